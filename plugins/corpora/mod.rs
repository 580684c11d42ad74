//! Corpora: where documents come from.

pub mod concepts;
pub mod jsonl;
