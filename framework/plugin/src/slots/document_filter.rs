//! The document filter slot.

use sbp_core::{Document, SyntheticDocument};

pub use super::pair_filter::Verdict;

/// Judges synthetic documents.
///
/// # Contract
/// The verdict depends on the synthetic document and its seed document alone.
pub trait DocumentFilter: Send + Sync {
    /// Keeps the document or says why not.
    fn judge(&self, synthetic: &SyntheticDocument, seed: &Document) -> Verdict;
}
