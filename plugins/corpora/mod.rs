//! Corpora: where documents come from.

pub mod concepts;
pub mod jsonl;
#[cfg(feature = "parquet")]
pub mod parquet;
mod reading;
pub mod text;
