//! The vocabulary of `sbp`: plain data that every other crate speaks in.
//!
//! Nothing here computes on tensors, reads files or knows a plugin; it depends on nobody in the workspace.

mod budget;
mod document;
mod fingerprint;
mod ledger;
mod model;
mod pair;
mod seeds;
pub mod text;
mod tokens;

pub use budget::{Duration, TokenCount};
pub use document::{DocId, Document, SyntheticDocument};
pub use fingerprint::{Fingerprint, FingerprintBuilder};
pub use ledger::{Cause, Cost, Ledger};
pub use model::{FLOPS_CONVENTION, ModelConfig, ModelConfigError};
pub use pair::{Neighbor, Pair};
pub use seeds::{RngStream, RootSeed};
pub use tokens::{Example, Markers, TokenId};
