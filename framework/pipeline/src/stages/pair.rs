//! Pairs: each document of D_pretrain with its neighbors, filtered.

use std::collections::BTreeMap;

use sbp_core::{Pair, RootSeed};
use sbp_plugin::registry::BuildContext;
use sbp_plugin::slots::pair_filter::Verdict;
use sbp_plugin::slots::retriever::SearchContext;
use sbp_recipe::Synthesis;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::corpus::CorpusData;
use super::embed::Embedded;
use super::{Study, failed};
use crate::store::Artifact;
use crate::watch::Progress;
use crate::{Error, Result, files};

/// Queries handed to the retriever at a time.
const QUERIES_AT_ONCE: usize = 4096;

/// The pairs that stayed.
pub(crate) struct Pairs {
    pub(crate) artifact: Artifact,
    pub(crate) pairs: Vec<Pair>,
    pub(crate) summary: Summary,
}

/// Counts of the pairing, `summary.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Summary {
    pub(crate) found: usize,
    pub(crate) kept: usize,
    /// Documents that are the seed of at least one pair.
    pub(crate) seeds: usize,
    /// Dropped pairs by reason.
    pub(crate) dropped: BTreeMap<String, usize>,
    /// Number of kept pairs by similarity, in steps of 0.05 from -1.
    pub(crate) similarity_histogram: Vec<usize>,
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
    let inputs = json!({
        "embeddings": embedded.artifact.fingerprint,
        "retriever": selected.identity(),
        "neighbors": section.neighbors,
        "filters": filters,
        "seed": seed,
    });
    let artifact = study.make(&label, "pair", &inputs, &mut |study, folder| {
        let fail = failed(&label);
        let context = BuildContext { seed };
        let mut retriever = selected.build(&context).map_err(&fail)?;
        let filters = section
            .filters
            .iter()
            .map(|filter| filter.build(&context))
            .collect::<sbp_plugin::Result<Vec<_>>>()
            .map_err(&fail)?;
        let scratch = folder.join("index");
        let _ = std::fs::remove_dir_all(&scratch);
        files::create_folder(&scratch)?;
        let rows: Vec<u32> = (0..corpus.pretrain.len() as u32).collect();
        let mut kept = Vec::new();
        let mut dropped = BTreeMap::new();
        let mut found = 0;
        for queries in rows.chunks(QUERIES_AT_ONCE) {
            let mut search = SearchContext {
                top_k: study.runtime.top_k(),
                scratch: &scratch,
                rng: RootSeed(seed).stream("retrieve", &[u64::from(queries[0])]),
            };
            let neighbors = retriever
                .neighbors(&embedded.embeddings, queries, section.neighbors, &mut search)
                .map_err(&fail)?;
            for (&query, neighbors) in queries.iter().zip(neighbors) {
                let seed_document = &corpus.pretrain[query as usize];
                for (rank, neighbor) in neighbors.iter().enumerate() {
                    found += 1;
                    let target = &corpus.pretrain[neighbor.row as usize];
                    let pair = Pair {
                        seed: seed_document.id,
                        target: target.id,
                        similarity: neighbor.similarity,
                        rank: rank as u32,
                    };
                    let reason =
                        filters.iter().find_map(|filter| match filter.judge(&pair, seed_document, target) {
                            Verdict::Keep => None,
                            Verdict::Drop(reason) => Some(reason),
                        });
                    match reason {
                        Some(reason) => *dropped.entry(reason).or_insert(0) += 1,
                        None => kept.push(pair),
                    }
                }
            }
            study.watch.reporter.progress(&Progress {
                stage: &label,
                done: u64::from(queries[queries.len() - 1]) + 1,
                total: rows.len() as u64,
                unit: "documents",
                tokens: 0,
                flops: 0,
                peak_flops: None,
                loss: None,
            });
        }
        drop(retriever);
        std::fs::remove_dir_all(&scratch).map_err(Error::file("remove", &scratch))?;
        if kept.is_empty() {
            return Err(fail(
                format!(
                    "no pair is left of {found} ({dropped:?}); widen pairs.filters or raise pairs.neighbors"
                )
                .into(),
            ));
        }
        let mut histogram = vec![0; 40];
        for pair in &kept {
            histogram[(((pair.similarity + 1.0) / 0.05) as usize).min(39)] += 1;
        }
        let mut seeds: Vec<_> = kept.iter().map(|pair| pair.seed).collect();
        seeds.dedup();
        files::write_lines(&folder.join("pairs.jsonl"), &kept)?;
        files::write_json(
            &folder.join("summary.json"),
            &Summary {
                found,
                kept: kept.len(),
                seeds: seeds.len(),
                dropped,
                similarity_histogram: histogram,
            },
        )
    })?;
    Ok(Pairs {
        pairs: files::read_lines(&artifact.file("pairs.jsonl"))?,
        summary: files::read_json(&artifact.file("summary.json"))?,
        artifact,
    })
}
