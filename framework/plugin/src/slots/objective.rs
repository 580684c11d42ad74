//! The objective slot.

use sbp_core::{Example, Markers, TokenId};

/// Turns a pair into a weighted token sequence, and a seed document into the prompt that sampling starts from.
///
/// `seeds` is the seed document, first, and as many of its neighbors as [`Self::num_seeds`] asks for and there are.
///
/// # Contract
/// The example of a pair begins with the prompt of its seeds, or with that of its target where roles are exchanged; weights
/// align with tokens and the first is 0.
pub trait Objective: Send + Sync {
    /// Documents that a prompt is made of at most: the seed document, and its nearest neighbors.
    fn num_seeds(&self) -> usize {
        1
    }
    /// What to train on for the pair (seed, target).
    fn example(&self, seeds: &[&[TokenId]], target: &[TokenId], markers: Markers) -> Example;
    /// What sampling for this seed document starts from.
    fn prompt(&self, seeds: &[&[TokenId]], markers: Markers) -> Vec<TokenId>;
}
