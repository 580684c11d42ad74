//! The spine of `sbp`: from a plan to a report, every stage an artifact that is reused or resumed.
//!
//! [`run`] reads as the method does. Plugins are called through their traits, tensors through the
//! [`Runtime`](sbp_plugin::ports::Runtime) port; this crate names neither a plugin nor libtorch.

mod batches;
mod compare_runs;
mod corpus_sample;
mod corpus_stats;
mod devices;
mod differences;
mod error;
mod evaluation;
pub mod explain;
pub mod export;
mod files;
pub mod gc;
mod leakage;
mod lock;
mod manifest;
mod memory;
mod model_card;
mod pace;
mod pipeline;
mod preview;
mod pricing;
mod process;
mod remote;
pub mod report;
mod run_folder;
mod runs;
mod stages;
mod status;
mod store;
mod sweep;
mod together;
mod token_store;
mod tokenizer;
mod trackers;
mod watch;

pub use compare_runs::{
    AgainstFirst, LedgerMatch, OptionDifference, Outcome, RunCompared, RunsCompared, ScoreDifference,
    compare_runs,
};
pub use corpus_sample::corpus_sample;
pub use corpus_stats::{Bar, CorpusStats, Lengths, SplitStats, corpus_stats};
pub use devices::{Devices, OnDevices, Presumed, StageTime, TrainingMemory, on_devices};
pub use error::{Error, Result};
pub use evaluation::{FolderEvaluation, evaluate_folder};
pub use lock::Lock;
pub use memory::Memory;
pub use pace::{Pace, UnderWay};
pub use pipeline::{Finished, FoundPairs, Options, PairSample, follow, pairs, run};
pub use preview::{Concern, Detectable, Effect, Preview, preview};
pub use pricing::{H100_FLOPS, Price, StagePrice};
pub use process::Process;
pub use report::results::{Results, results_schema};
pub use run_folder::{RunFolder, home_of};
pub use runs::{Run, Size, find_run, runs};
pub use status::{DoneStage, State, Status};
pub use store::Store;
pub use sweep::{FinishedSweep, SweepResults, run_sweep, sweep_schema};
pub use watch::{Progress, Quiet, Reporter};
