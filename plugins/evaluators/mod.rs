//! Evaluators: what a trained model is asked.

pub mod bits_per_byte;
pub mod multiple_choice;
pub mod perplexity;
pub mod suite;
pub mod task;
