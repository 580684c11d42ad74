//! Synthesizers: how documents are sampled from the tuned model.

pub mod nucleus;
