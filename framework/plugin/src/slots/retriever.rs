//! The retriever slot.

use std::path::Path;

use sbp_core::{Document, Neighbor, RngStream};

use crate::Result;
use crate::ports::TopK;
use crate::slots::embedder::Embeddings;

/// Finds the neighbors of documents.
///
/// # Contract
/// At most k neighbors a query, never the query itself (left out by row, not by position) unless it [finds
/// itself](Self::finds_itself), no row twice, with the inner products of their embeddings as similarities, best
/// first, ties by row. The same embeddings and stream give the same neighbors, and so they do however queries are
/// divided among calls, unless it [draws at random](Self::draws_at_random).
pub trait Retriever: Send {
    /// What a retriever that chooses among others takes for so many documents on such a device, and why: part of the
    /// identity of what it finds, and told to people.
    fn choice(&self, num_documents: usize, is_on_gpu: bool) -> Option<String> {
        let _ = (num_documents, is_on_gpu);
        None
    }
    /// Whether what it finds is what [exact search](SearchContext::top_k) of so many documents on such a device finds, and
    /// nothing else: several processes then search without it, each holding a share of the rows.
    fn is_exact_search(&self, num_documents: usize, is_on_gpu: bool) -> bool {
        let _ = (num_documents, is_on_gpu);
        false
    }
    /// Whether it may miss neighbors that [exact search](SearchContext::top_k) would find: its recall is then measured.
    /// Asked after [`Self::prepare`].
    fn is_approximate(&self) -> bool {
        false
    }
    /// FLOPs of finding the neighbors of so many rows of `dim` numbers, for a plan; none where that depends on the rows.
    fn search_flops(&self, num_documents: usize, dim: usize) -> Option<f64> {
        let _ = (num_documents, dim);
        None
    }
    /// Whether the neighbor of a document is the document itself: a control.
    fn finds_itself(&self) -> bool {
        false
    }
    /// Whether searches draw from the [stream](SearchContext::rng), so that what a query gets depends on the queries
    /// asked before. Asked after [`Self::prepare`], which may draw all the same.
    fn draws_at_random(&self) -> bool {
        false
    }
    /// Builds what searches need. Called once, before the first search, with what all of them are given.
    ///
    /// # Errors
    /// When the index cannot be built.
    fn prepare(&mut self, embeddings: &Embeddings, context: &mut SearchContext<'_>) -> Result<()> {
        let _ = (embeddings, context);
        Ok(())
    }
    /// Neighbors of each query row among all rows.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn neighbors(
        &mut self,
        embeddings: &Embeddings,
        queries: &[u32],
        k: usize,
        context: &mut SearchContext<'_>,
    ) -> Result<Vec<Vec<Neighbor>>>;
}

/// What a retriever may use.
pub struct SearchContext<'a> {
    /// Exact search on the runtime's device.
    pub top_k: &'a mut dyn TopK,
    /// The documents; row i of the embeddings is of document i.
    pub documents: &'a [Document],
    /// Folder for an index on disk, empty at the start and removed afterwards.
    pub scratch: &'a Path,
    /// Source of every random choice.
    pub rng: RngStream,
}

/// The neighbors of a query in the promised order, from rows that a search found: without the query, at most k.
pub fn neighbors_of(
    embeddings: &Embeddings,
    query: u32,
    rows: impl IntoIterator<Item = u32>,
    k: usize,
) -> Vec<Neighbor> {
    let similarity = |row: u32| embeddings.similarity(query as usize, row as usize);
    let others = rows.into_iter().filter(|row| *row != query);
    let mut neighbors: Vec<Neighbor> =
        others.take(k).map(|row| Neighbor { row, similarity: similarity(row) }).collect();
    sort_neighbors(&mut neighbors);
    neighbors
}

/// Puts neighbors in the promised order: best first, ties by row.
pub fn sort_neighbors(neighbors: &mut [Neighbor]) {
    neighbors.sort_by(|a, b| b.similarity.total_cmp(&a.similarity).then(a.row.cmp(&b.row)));
}
