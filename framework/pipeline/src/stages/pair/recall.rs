//! What an approximate retriever misses, measured on a sample.

use std::collections::HashSet;

use sbp_core::{Neighbor, RootSeed};
use sbp_plugin::ports::TopK;
use sbp_plugin::slots::embedder::Embeddings;
use serde::{Deserialize, Serialize};

/// Documents on which an approximate retriever is compared with exact search.
const SAMPLE: usize = 200;

/// Share of the true `k` nearest neighbors that were found, over a sample of documents.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Recall {
    pub(crate) k: usize,
    pub(crate) documents: usize,
    pub(crate) share: f64,
}

/// What an approximate retriever found for some documents.
pub(super) struct RecallSample {
    k: usize,
    rows: HashSet<u32>,
    found: Vec<(u32, Vec<u32>)>,
}

impl RecallSample {
    pub(super) fn new(num_documents: usize, k: usize, seed: u64) -> Self {
        let mut rows = RootSeed(seed).stream("recall", &[]).permutation(num_documents);
        rows.truncate(SAMPLE);
        Self { k, rows: rows.into_iter().collect(), found: Vec::new() }
    }

    pub(super) fn note(&mut self, query: u32, neighbors: &[Neighbor]) {
        if self.rows.contains(&query) {
            self.found.push((query, neighbors.iter().map(|neighbor| neighbor.row).collect()));
        }
    }

    pub(super) fn recall(self, embeddings: &Embeddings, top_k: &mut dyn TopK) -> sbp_plugin::Result<Recall> {
        let queries: Vec<u32> = self.found.iter().map(|(query, _)| *query).collect();
        let exact = top_k.top_k(&embeddings.rows, embeddings.dim, &queries, self.k)?;
        let (mut hits, mut wanted) = (0, 0);
        for ((_, found), exact) in self.found.iter().zip(&exact) {
            hits += exact.iter().filter(|neighbor| found.contains(&neighbor.row)).count();
            wanted += exact.len();
        }
        let share = if wanted == 0 { 1.0 } else { hits as f64 / wanted as f64 };
        Ok(Recall { k: self.k, documents: queries.len(), share })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recall_counts_what_was_found_of_the_true_neighbors() {
        let embeddings = sbp_testkit::random_embeddings(50, 4, 1);
        let exact =
            sbp_testkit::NaiveTopK.top_k(&embeddings.rows, 4, &(0..50).collect::<Vec<_>>(), 4).unwrap();
        let mut sample = RecallSample::new(50, 4, 1);
        for (query, neighbors) in exact.iter().enumerate() {
            // Three of four.
            sample.note(query as u32, &neighbors[1..]);
        }
        let recall = sample.recall(&embeddings, &mut sbp_testkit::NaiveTopK).unwrap();
        assert_eq!(recall, Recall { k: 4, documents: 50, share: 0.75 });
    }
}
