//! The contract of every slot as a suite of checks, for plugins of any crate.
//!
//! Each takes the plugin as a recipe selects it and panics with what was broken. A crate of plugins needs one test:
//!
//! ```
//! use sbp_plugin::{entries, slots};
//! use sbp_testkit::contract;
//!
//! for entry in entries::<slots::Retriever>() {
//!     contract::retriever(&contract::plugin(entry));
//! }
//! ```

mod arm;
mod corpus;
mod embedder;
mod evaluator;
mod filters;
mod judge;
mod mixer;
mod objective;
mod optimizer;
mod plugin;
mod retriever;
mod schedule;
mod synthesizer;
mod tracker;

pub use arm::arm;
pub use corpus::corpus;
pub use embedder::embedder;
pub use evaluator::evaluator;
pub use filters::{document_filter, pair_filter};
pub use judge::judge;
pub use mixer::mixer;
pub use objective::objective;
pub use optimizer::optimizer;
pub use plugin::{is_snake_case, plugin, slot, undescribed};
pub use retriever::retriever;
pub use schedule::schedule;
pub use synthesizer::synthesizer;
pub use tracker::tracker;

use sbp_core::Document;
use sbp_plugin::registry::BuildContext;
use sbp_plugin::{Selected, Slot};

use crate::{TinyConfig, TinyCorpus};

/// Builds the selected plugin, without the guard: a panic breaks every contract.
fn build<S: Slot>(selected: &Selected<S>) -> Box<S::Object> {
    let problems = selected.check();
    assert!(problems.is_empty(), "{}: its own options are wrong: {problems:?}", selected.kind());
    match selected.build_unguarded(&BuildContext { seed: 1 }) {
        Ok(object) => object,
        Err(error) => panic!("{}: {error}", selected.kind()),
    }
}

/// Documents of the tiny corpus.
fn documents(count: usize) -> Vec<Document> {
    let corpus = TinyCorpus(TinyConfig::default());
    (0..count).map(|n| corpus.document(n)).collect()
}

/// Texts that break careless code: empty, no words, no spaces, other scripts, control characters, loops.
fn strange_texts() -> Vec<String> {
    let mut texts: Vec<String> =
        ["", " ", "\n\n", "...", "a", "Ünïcödé 漢字 \u{1F30D}", "\0\t\u{200B}\u{FFFD}"]
            .map(str::to_owned)
            .to_vec();
    texts.push("x".repeat(5000));
    texts.push("again and ".repeat(500));
    texts.push("One sentence. ".repeat(100));
    texts
}
