//! Trackers: where metrics go as they happen.

pub mod jsonl;
mod logged;
pub mod stdout;
pub mod tensorboard;
pub mod wandb;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The time since 1970, with which trackers stamp what they log.
#[expect(
    clippy::disallowed_methods,
    reason = "a stamp for people and their tools; no result is made from it"
)]
fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
