//! Judges: opinions of synthetic documents, for the report.

pub mod openai;
