//! Pairs: each document of D_pretrain with its neighbors, filtered.

mod pairing;
mod parts;
mod recall;
mod shards;

use std::sync::Arc;

use sbp_core::{Pair, RootSeed};
use sbp_plugin::registry::BuildContext;
use sbp_plugin::slots::retriever::SearchContext;
use sbp_recipe::Synthesis;
use serde_json::json;

use self::pairing::Pairing;
pub(crate) use self::pairing::Summary;
use self::recall::RecallSample;

use super::corpus::CorpusData;
use super::embed::Embedded;
use super::{Study, caught, failed};
use crate::store::Artifact;
use crate::together::each_piece;
use crate::watch::Progress;
use crate::{Error, Result, files};

/// Folder of the pairs in the artifact.
pub(crate) const PAIRS: &str = "pairs";

/// Queries handed to the retriever at a time, and kept as one shard: the work that a kill can lose.
const QUERIES_AT_ONCE: usize = 4096;

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
        let mut retriever = selected.build(&context).map_err(&fail)?;
        let found_before = folder.join("neighbors");
        files::create_folder(&found_before)?;
        let team = Arc::clone(&study.team);
        // An index is for one process.
        let scratch = folder.join(format!("index-{}", team.rank()));
        let _ = std::fs::remove_dir_all(&scratch);
        files::create_folder(&scratch)?;
        let rows: Vec<u32> = (0..corpus.pretrain.len() as u32).collect();
        let stream = |name: &str, index: u32| RootSeed(seed).stream(name, &[u64::from(index)]);
        let mut search_context = SearchContext {
            top_k: study.runtime.top_k(),
            documents: &corpus.pretrain,
            scratch: &scratch,
            rng: stream("index", 0),
        };
        // An index is built anew by every attempt: it takes a share of the time that searching takes.
        retriever.prepare(&embedded.embeddings, &mut search_context).map_err(&fail)?;
        if let Some(choice) = choice.as_ref().filter(|_| team.is_leader()) {
            study.watch.reporter.show(&format!("  {label}: {choice}"));
        }
        let is_approximate = caught(&label, || Ok(retriever.is_approximate()))?;
        let shards: Vec<&[u32]> = rows.chunks(QUERIES_AT_ONCE).collect();
        let mut find = |study: &mut Study<'_>, queries: &[u32]| {
            let mut search_context = SearchContext {
                top_k: study.runtime.top_k(),
                documents: &corpus.pretrain,
                scratch: &scratch,
                rng: stream("retrieve", queries[0]),
            };
            shards::neighbors(&found_before, queries, rows.len(), || {
                retriever
                    .neighbors(&embedded.embeddings, queries, section.neighbors, &mut search_context)
                    .map_err(&fail)
            })
        };
        each_piece(team.as_ref(), &label, shards.len(), |number| {
            let queries = shards[number];
            if !shards::are_there(&found_before, queries) && study.watch.reporter.stop_requested() {
                return Err(Error::Stopped { stage: label.clone() });
            }
            find(study, queries)?;
            study.watch.reporter.progress(&Progress {
                stage: &label,
                done: u64::from(queries[queries.len() - 1]) + 1,
                total: rows.len() as u64,
                unit: "documents",
                tokens: 0,
                flops: 0.0,
                peak_flops: None,
                loss: None,
                dropped: None,
            });
            Ok(())
        })?;
        if !team.is_leader() {
            drop(retriever);
            return std::fs::remove_dir_all(&scratch).map_err(Error::file("remove", &scratch));
        }
        let mut pairing = Pairing::new(section, &corpus.pretrain, &context).map_err(&fail)?;
        let mut sample = is_approximate.then(|| RecallSample::new(rows.len(), section.neighbors, seed));
        for queries in shards {
            let found = find(study, queries)?;
            for (&query, neighbors) in queries.iter().zip(&found) {
                pairing.add(query, neighbors);
                if let Some(sample) = &mut sample {
                    sample.note(query, neighbors);
                }
            }
        }
        drop(retriever);
        std::fs::remove_dir_all(&scratch).map_err(Error::file("remove", &scratch))?;
        let recall = match sample {
            Some(sample) => Some(sample.recall(&embedded.embeddings, study.runtime.top_k()).map_err(&fail)?),
            None => None,
        };
        if let Some(recall) = recall.filter(|recall| recall.share < LOW_RECALL) {
            study.watch.warn(&format!(
                "the retriever `{}` finds {:.0}% of the true {} nearest neighbors; name another and its options, or take `exact`",
                choice.as_deref().unwrap_or(selected.kind()),
                100.0 * recall.share,
                recall.k
            ));
        }
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
