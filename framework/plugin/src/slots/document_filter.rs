//! The document filter slot.

use sbp_core::{Document, Fingerprint, SyntheticDocument};

use crate::Result;

pub use super::pair_filter::Verdict;

/// Judges synthetic documents.
///
/// # Contract
/// The verdict depends on the synthetic document, its seed document and the documents it was prepared with alone.
pub trait DocumentFilter: Send + Sync {
    /// Identity of files that the verdict depends on; none where it depends on none.
    ///
    /// # Errors
    /// When they cannot be read.
    fn content(&self) -> Result<Option<Fingerprint>> {
        Ok(None)
    }
    /// Looks at D_pretrain, once, before the first verdict. May be left out.
    ///
    /// # Errors
    /// When what the filter needs cannot be read.
    fn prepare(&mut self, documents: &[Document]) -> Result<()> {
        let _ = documents;
        Ok(())
    }
    /// Keeps the document or says why not.
    fn judge(&self, synthetic: &SyntheticDocument, seed: &Document) -> Verdict;
}
