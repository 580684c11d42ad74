//! Retrievers: who the neighbors of a document are.

#[cfg(feature = "arroy")]
pub mod arroy;
pub mod exact;
pub mod random;
