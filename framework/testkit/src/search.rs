//! Search by looking at everything.

use sbp_core::{Document, Neighbor, RootSeed};
use sbp_plugin::Result;
use sbp_plugin::ports::{Block, TopK};
use sbp_plugin::slots::embedder::{Embeddings, inner_product};
use sbp_plugin::slots::retriever::{Retriever, SearchContext, sort_neighbors};

use crate::{TinyConfig, TinyCorpus};

/// Exact search, one inner product at a time.
#[derive(Debug, Clone, Copy, Default)]
pub struct NaiveTopK;

impl TopK for NaiveTopK {
    fn top_k(&mut self, rows: &[f32], dim: usize, queries: &[u32], k: usize) -> Result<Vec<Vec<Neighbor>>> {
        let mut found = Vec::with_capacity(queries.len());
        for &query in queries {
            let Some(numbers) = rows.chunks(dim.max(1)).nth(query as usize) else {
                return Err(format!("query {query} is not among {} rows", rows.len() / dim.max(1)).into());
            };
            let query = Block { first: query, numbers };
            found.extend(self.top_k_within(Block { first: 0, numbers: rows }, dim, query, k)?);
        }
        Ok(found)
    }

    fn top_k_within(
        &mut self,
        rows: Block<'_>,
        dim: usize,
        queries: Block<'_>,
        k: usize,
    ) -> Result<Vec<Vec<Neighbor>>> {
        let matrix = |block: Block<'_>| match block.numbers.len().checked_rem(dim) {
            Some(0) => Ok(Embeddings { dim, rows: block.numbers.to_vec() }),
            _ => Err(format!("{} numbers do not divide into rows of {dim}", block.numbers.len())),
        };
        let (matrix, queries_qd) = (matrix(rows)?, matrix(queries)?);
        let best = |query: usize| {
            let mut neighbors: Vec<Neighbor> = (0..matrix.len())
                .filter(|row| rows.first as usize + row != queries.first as usize + query)
                .map(|row| Neighbor {
                    row: rows.first + row as u32,
                    similarity: inner_product(queries_qd.row(query), matrix.row(row)),
                })
                .collect();
            sort_neighbors(&mut neighbors);
            neighbors.truncate(k);
            neighbors
        };
        Ok((0..queries_qd.len()).map(best).collect())
    }
}

/// [Searches](search_in_calls) in two calls, as the pipeline makes several.
///
/// # Panics
/// When the retriever fails, which in a test is what should happen.
pub fn search(
    retriever: &mut dyn Retriever,
    embeddings: &Embeddings,
    queries: &[u32],
    k: usize,
) -> Vec<Vec<Neighbor>> {
    let (first, second) = queries.split_at(queries.len() / 2);
    search_in_calls(retriever, embeddings, [first, second], k)
}

/// Prepares a retriever once, in a scratch folder of its own, with exact search by [`NaiveTopK`] and a fixed
/// stream, and asks it for the neighbors of these queries, call after call.
///
/// # Panics
/// When the retriever fails, which in a test is what should happen.
pub fn search_in_calls<'a>(
    retriever: &mut dyn Retriever,
    embeddings: &Embeddings,
    calls: impl IntoIterator<Item = &'a [u32]>,
    k: usize,
) -> Vec<Vec<Neighbor>> {
    let scratch = tempfile::tempdir().expect("a temporary folder can be made");
    let corpus = TinyCorpus(TinyConfig::default());
    let documents: Vec<Document> = (0..embeddings.len()).map(|row| corpus.document(row)).collect();
    let mut context = SearchContext {
        top_k: &mut NaiveTopK,
        documents: &documents,
        scratch: scratch.path(),
        rng: RootSeed(0).stream("retrieve", &[]),
    };
    retriever.prepare(embeddings, &mut context).expect("the index can be built");
    let mut found = Vec::new();
    for queries in calls {
        let lists = retriever.neighbors(embeddings, queries, k, &mut context);
        found.extend(lists.expect("the search succeeds"));
    }
    found
}

/// Rows in random directions, the same for the same seed.
pub fn random_embeddings(len: usize, dim: usize, seed: u64) -> Embeddings {
    let mut rng = RootSeed(seed).stream("random embeddings", &[]);
    // A sum of uniforms is close enough to a normal for directions to be spread evenly.
    let mut normal = || (0..4).map(|_| rng.uniform() - 0.5).sum::<f64>() as f32;
    Embeddings::normalised(dim, (0..len * dim).map(|_| normal()).collect())
}
