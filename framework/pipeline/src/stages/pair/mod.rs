//! Pairs: each document of D_pretrain with its neighbors, filtered.

mod pairing;
mod parts;
mod recall;
mod ring;
mod search;
mod shards;

use std::sync::Arc;

use sbp_core::Pair;
use sbp_plugin::registry::BuildContext;
use sbp_recipe::Synthesis;
use serde_json::json;

use self::pairing::Pairing;
pub(crate) use self::pairing::Summary;
use self::recall::RecallSample;
pub(crate) use self::search::QUERIES_A_ROUND;
use self::search::Search;

use super::corpus::CorpusData;
use super::embed::Embedded;
use super::{Study, caught, failed};
use crate::store::Artifact;
use crate::{Error, Result, files};

/// Folder of the pairs in the artifact.
pub(crate) const PAIRS: &str = "pairs";

/// A retriever that finds a smaller share of the true neighbors is warned of.
const LOW_RECALL: f64 = 0.9;

/// The pairs that stayed.
pub(crate) struct Pairs {
    pub(crate) artifact: Artifact,
    pub(crate) pairs: Vec<Pair>,
    pub(crate) summary: Summary,
}

pub(crate) fn make(
    study: &mut Study<'_>,
    synthesis: Synthesis<'_>,
    corpus: &CorpusData,
    embedded: &Embedded,
    seed: u64,
) -> Result<Pairs> {
    let label = format!("pair seed {seed}");
    let Synthesis { retriever: selected, pairs: section, .. } = synthesis;
    let filters: Vec<_> = section.filters.iter().map(|filter| filter.identity()).collect();
    // What a retriever chooses depends on the device and on what is built in, so that its options do not tell.
    let choice = {
        let retriever = selected.build(&BuildContext { seed }).map_err(failed(&label))?;
        let is_on_gpu = study.runtime.top_k().is_on_gpu();
        caught(&label, || Ok(retriever.choice(corpus.pretrain.len(), is_on_gpu)))?
    };
    let inputs = json!({
        "embeddings": embedded.artifact.fingerprint,
        "retriever": selected.identity(),
        "choice": choice,
        "neighbors": section.neighbors,
        "filters": filters,
        "max_targets_per_seed": section.max_targets_per_seed,
        "symmetric": section.symmetric,
        "seed": seed,
    });
    let artifact = study.share(&label, "pair", &inputs, &mut |study, folder| {
        let fail = failed(&label);
        let context = BuildContext { seed };
        let team = Arc::clone(&study.team);
        let mut search = Search {
            label: &label,
            documents: &corpus.pretrain,
            embedded,
            retriever: selected.build(&context).map_err(&fail)?,
            k: section.neighbors,
            seed,
            folder: folder.join("neighbors"),
            // An index is for one process.
            scratch: folder.join(format!("index-{}", team.rank())),
            rows: None,
        };
        let _ = std::fs::remove_dir_all(&search.scratch);
        files::create_folder(&search.scratch)?;
        files::create_folder(&search.folder)?;
        if let Some(choice) = choice.as_ref().filter(|_| team.is_leader()) {
            study.watch.reporter.show(&format!("  {label}: {choice}"));
        }
        search.all(study)?;
        if !team.is_leader() {
            return search.close();
        }
        let mut pairing = Pairing::new(section, &corpus.pretrain, &context).map_err(&fail)?;
        let is_approximate = caught(&label, || Ok(search.is_approximate()))?;
        let mut sample =
            is_approximate.then(|| RecallSample::new(corpus.pretrain.len(), section.neighbors, seed));
        for number in 0..search.num_shards() {
            let queries = search.shard(number);
            let found = search.neighbors(study, &queries)?;
            for (&query, neighbors) in queries.iter().zip(&found) {
                pairing.add(query, neighbors);
                if let Some(sample) = &mut sample {
                    sample.note(query, neighbors);
                }
            }
        }
        let recall = match (sample, &search.rows) {
            (Some(sample), Some(rows)) => Some(sample.recall(rows, study.runtime.top_k()).map_err(&fail)?),
            _ => None,
        };
        if let Some(recall) = recall.filter(|recall| recall.share < LOW_RECALL) {
            study.watch.warn(&format!(
                "the retriever `{}` finds {:.0}% of the true {} nearest neighbors; name another and its options, or take `exact`",
                choice.as_deref().unwrap_or(selected.kind()),
                100.0 * recall.share,
                recall.k
            ));
        }
        let found_before = search.folder.clone();
        search.close()?;
        let (kept, mut summary) = pairing.finish();
        summary.retriever = selected.kind().to_owned();
        summary.choice.clone_from(&choice);
        summary.neighbors = section.neighbors;
        summary.recall = recall;
        if kept.is_empty() {
            let Summary { found, dropped, .. } = summary;
            return Err(fail(
                format!(
                    "no pair is left of {found} ({dropped:?}); widen pairs.filters or raise pairs.neighbors"
                )
                .into(),
            ));
        }
        parts::write(&folder.join(PAIRS), &kept)?;
        files::write_json(&folder.join("summary.json"), &summary)?;
        std::fs::remove_dir_all(&found_before).map_err(Error::file("remove", &found_before))
    })?;
    Ok(Pairs {
        pairs: parts::read(&artifact.file(PAIRS))?,
        summary: files::read_json(&artifact.file("summary.json"))?,
        artifact,
    })
}
