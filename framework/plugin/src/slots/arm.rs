//! The arm slot.

use sbp_core::TokenCount;

use super::mixer::Source;
use crate::Result;

/// One side of the comparison.
///
/// # Contract
/// The shares sum to the budget, whatever the budget: an arm chooses documents, the framework fixes compute.
pub trait Arm: Send + Sync {
    /// How many synthetic tokens this arm asks for within a budget, so that enough are sampled.
    fn synthetic_tokens(&self, budget: TokenCount) -> TokenCount {
        let _ = budget;
        0
    }
    /// Whether it reads [`Source::Related`], for which documents must be paired.
    fn needs_pairs(&self) -> bool {
        false
    }
    /// Divides the budget among sources.
    ///
    /// # Errors
    /// When a source that the arm cannot do without is empty.
    fn shares(&self, budget: TokenCount, supply: &Supply) -> Result<Vec<Share>>;
}

/// Unique training tokens at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Supply {
    /// Of D_pretrain.
    pub pretrain: TokenCount,
    /// Of the oracle's pool, D_pretrain included.
    pub oracle: TokenCount,
    /// Of accepted synthetic documents.
    pub synthetic: TokenCount,
}

/// A source's part of an arm's budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Share {
    /// Where the documents come from.
    pub source: Source,
    /// Training tokens taken from it, repeats counted each time.
    pub tokens: TokenCount,
    /// How often one of its documents may be seen; none is without limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_passes: Option<u32>,
}

impl Share {
    /// Of real documents, which may be seen as often as it takes.
    pub fn real(source: Source, tokens: TokenCount) -> Self {
        Self { source, tokens, max_passes: None }
    }
}
