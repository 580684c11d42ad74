//! The judge slot.

use sbp_core::{Document, SyntheticDocument};
use serde_json::Value;

use crate::Result;

/// Gives an opinion of synthetic documents, for the report: nothing is trained by it.
///
/// # Contract
/// [`Self::card`] names everything that an opinion depends on beside the documents, such as a model and a prompt.
pub trait Judge: Send {
    /// What judges, for the report.
    fn card(&self) -> Value;
    /// Reads a synthetic document beside its seed document.
    ///
    /// # Errors
    /// When there is no opinion to be had; the document then counts as not judged.
    fn judge(&mut self, synthetic: &SyntheticDocument, seed: &Document) -> Result<Opinion>;
}

/// What a judge thinks of a synthetic document; none where it cannot tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Opinion {
    /// Whether what it states is true.
    pub factual: Option<bool>,
    /// Whether it is about what the seed document is about.
    pub relevant: Option<bool>,
}
