//! Neighbors and pairs.

use serde::{Deserialize, Serialize};

use crate::DocId;

/// A retrieval hit: a row of the embedding table and its similarity to the query row.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Neighbor {
    /// Row of the neighbor in the embedding table.
    pub row: u32,
    /// Inner product of the two unit-norm embeddings, in [-1, 1].
    pub similarity: f32,
}

/// A pair (d1, d2) of related documents, used to tune the synthesizer on p(d2 | d1).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Pair {
    /// d1, the document conditioned on.
    pub seed: DocId,
    /// d2, the document to be predicted.
    pub target: DocId,
    /// Inner product of their unit-norm embeddings, in [-1, 1].
    pub similarity: f32,
    /// Place of the target among the seed's neighbors, best first, from 0.
    pub rank: u32,
}
