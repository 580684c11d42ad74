//! The pair filter slot, and the verdict that both kinds of filter give.

use sbp_core::{Document, Pair};
use serde::{Deserialize, Serialize};

/// Judges neighbor pairs.
///
/// # Contract
/// The verdict depends on the pair and its two documents alone, whether the filter was prepared or not.
pub trait PairFilter: Send + Sync {
    /// Looks at the documents that pairs will be made of, so that verdicts come faster. May be left out.
    fn prepare(&mut self, documents: &[Document]) {
        let _ = documents;
    }
    /// Keeps the pair or says why not.
    fn judge(&self, pair: &Pair, seed: &Document, target: &Document) -> Verdict;
}

/// A filter's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It stays.
    Keep,
    /// It goes, for this reason: a short snake-case phrase that the report counts by.
    Drop(String),
}

impl Verdict {
    /// Drops for a reason.
    pub fn drop(reason: &str) -> Self {
        Self::Drop(reason.to_owned())
    }

    /// Whether it stays.
    pub fn is_keep(&self) -> bool {
        *self == Self::Keep
    }
}
