//! The objective slot.

use sbp_core::{Example, Markers, TokenId};

/// Turns a pair into a weighted token sequence, and a seed document into the prompt that sampling starts from.
///
/// # Contract
/// The example of a pair begins with the prompt of its seed; weights align with tokens and the first is 0.
pub trait Objective: Send + Sync {
    /// What to train on for the pair (seed, target).
    fn example(&self, seed: &[TokenId], target: &[TokenId], markers: Markers) -> Example;
    /// What sampling for this seed document starts from.
    fn prompt(&self, seed: &[TokenId], markers: Markers) -> Vec<TokenId>;
}
