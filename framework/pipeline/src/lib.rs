//! The spine of `sbp`: from a plan to a report, every stage an artifact that is reused or resumed.
//!
//! [`run`] reads as the method does. Plugins are called through their traits, tensors through the
//! [`Runtime`](sbp_plugin::ports::Runtime) port; this crate names neither a plugin nor libtorch.

mod batches;
mod corpus_sample;
mod corpus_stats;
mod error;
mod files;
mod leakage;
mod lock;
mod manifest;
mod pipeline;
mod preview;
pub mod report;
mod run_folder;
mod stages;
mod store;
mod sweep;
mod token_store;
mod tokenizer;
mod watch;

pub use corpus_sample::corpus_sample;
pub use corpus_stats::{Bar, CorpusStats, Lengths, SplitStats, corpus_stats};
pub use error::{Error, Result};
pub use lock::Lock;
pub use pipeline::{Finished, FoundPairs, Options, PairSample, pairs, run};
pub use preview::{Concern, Preview, preview};
pub use report::results::{Results, results_schema};
pub use run_folder::{RunFolder, home_of};
pub use store::Store;
pub use sweep::{FinishedSweep, SweepResults, run_sweep, sweep_schema};
pub use watch::{Progress, Reporter};
