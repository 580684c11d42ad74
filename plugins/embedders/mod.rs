//! Embedders: from a document to a row of numbers.

pub mod lm;
pub mod tfidf;
pub mod transformer;
