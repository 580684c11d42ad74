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

#[cfg(not(feature = "hnsw"))]
sbp_plugin::inventory::submit! {
    sbp_plugin::registry::Absent {
        slot: "retriever",
        kind: "hnsw",
        how: "run the program with `SBP_FEATURES=hnsw cargo sbp ...`, which needs a C++ compiler",
    }
}
