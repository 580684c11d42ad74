//! Retrievers: who the neighbors of a document are.

#[cfg(feature = "arroy")]
pub mod arroy;
pub mod auto;
pub mod exact;
#[cfg(feature = "hnsw")]
pub mod hnsw;
pub mod itself;
#[cfg(feature = "lexical")]
pub mod lexical;
pub mod random;
