//! The retriever slot.

use std::path::Path;

use sbp_core::{Neighbor, RngStream};

use crate::Result;
use crate::ports::TopK;
use crate::slots::embedder::Embeddings;

/// Finds the neighbors of documents.
///
/// # Contract
/// At most k neighbors a query, never the query itself (left out by row, not by position), no row twice, best
/// first, ties by row. The same embeddings and stream give the same neighbors.
pub trait Retriever: Send {
    /// Neighbors of each query row among all rows.
    ///
    /// # Errors
    /// When the index cannot be built.
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
    /// Folder for an index on disk, empty at the start and removed afterwards.
    pub scratch: &'a Path,
    /// Source of every random choice.
    pub rng: RngStream,
}

/// Puts neighbors in the promised order: best first, ties by row.
pub fn sort_neighbors(neighbors: &mut [Neighbor]) {
    neighbors.sort_by(|a, b| b.similarity.total_cmp(&a.similarity).then(a.row.cmp(&b.row)));
}
