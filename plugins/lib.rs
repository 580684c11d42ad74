//! What a recipe can choose from: one folder a slot, one file a plugin.
//!
//! Nothing in here is called by name. Each file registers its plugin, and a recipe selects it by `kind`. A program
//! that wants these plugins says so with one line, or the linker leaves them out and every slot is empty:
//!
//! ```
//! use sbp_plugins as _;
//!
//! let retrievers = sbp_plugin::entries::<sbp_plugin::slots::Retriever>();
//! assert!(retrievers.iter().any(|entry| entry.kind == "exact"));
//! ```
//!
//! To add one, copy the file nearest to it, name it in its folder's `mod.rs`, and run the tests: the contract suite
//! of the slot finds it by itself.

pub mod arms;
pub mod corpora;
pub mod document_filters;
pub mod embedders;
pub mod evaluators;
#[cfg(feature = "judge")]
pub mod judges;
pub mod mixers;
pub mod objectives;
pub mod optimizers;
pub mod pair_filters;
pub mod retrievers;
pub mod schedules;
pub mod synthesizers;
pub mod trackers;
