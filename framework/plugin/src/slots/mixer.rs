//! The mixer slot.

use sbp_core::{RootSeed, TokenCount};

/// Decides which document is trained on next.
///
/// # Contract
/// - Every pool gives its `tokens`, to within one document, over the whole budget.
/// - The order of real documents depends on the root seed alone, not on what is mixed with them, and is drawn
///   anew at every pass; no document is given more often than its pool allows.
/// - The same pools, seed and budget give the same draws.
pub trait Mixer: Send + Sync {
    /// The draws, in training order, unlimited: the caller stops when the budget is met.
    fn schedule<'a>(&self, pools: &'a [Pool<'a>], root: RootSeed) -> Box<dyn Iterator<Item = Draw> + 'a>;
}

/// Documents of one origin, and how many tokens of the budget are theirs.
#[derive(Debug, Clone)]
pub struct Pool<'a> {
    /// Where the documents come from.
    pub source: Source,
    /// Training tokens of each document.
    pub lengths: &'a [u32],
    /// This pool's part of the budget, in training tokens.
    pub tokens: TokenCount,
    /// How often one of its documents may be given; none is without limit.
    pub max_passes: Option<u32>,
}

/// Where training documents come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// D_pretrain, the limited unique data.
    Pretrain,
    /// The oracle's pool, which begins with D_pretrain.
    Oracle,
    /// What the synthesizer wrote.
    Synthetic,
    /// D_pretrain with related documents one after another in one context.
    Related,
}

impl Source {
    /// The name used in metrics and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pretrain => "pretrain",
            Self::Oracle => "oracle",
            Self::Synthetic => "synthetic",
            Self::Related => "related",
        }
    }
}

/// One document to train on next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draw {
    /// Index into the pools given.
    pub pool: usize,
    /// Index into that pool's documents.
    pub document: u32,
    /// Which traversal of the pool this is, from 0.
    pub pass: u32,
}
