//! Trackers: where metrics go as they happen.

pub mod jsonl;
pub mod stdout;
