//! Document filters: which synthetic documents are trained on.

pub mod classifier;
pub mod corpus_copy;
pub mod length;
pub mod repetition;
pub mod seed_copy;
