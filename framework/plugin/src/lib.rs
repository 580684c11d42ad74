//! What a plugin author imports, and nothing else.
//!
//! [`slots`] holds one file per place a plugin can stand; [`registry`] how a plugin makes itself known;
//! [`ports`] what the tensor world offers to plugins without showing a tensor; [`input`] how files that a recipe names
//! are found and opened, [`objects`] those in buckets; [`engine`] how a program gets at the tensor world; [`team`] how
//! processes share a run.

pub mod engine;
mod guarded;
pub mod input;
pub mod objects;
pub mod ports;
pub mod reference;
pub mod registry;
pub mod schema;
pub mod slots;
pub mod team;

pub use guarded::{Guarded, catch_panic};
#[doc(hidden)]
pub use inventory;
pub use registry::{Entry, Plugin, Selected, Slot, entries};

/// The error of a plugin: any error, since the set of plugins is open. The pipeline adds stage, slot and kind.
pub type Error = Box<dyn std::error::Error + Send + Sync>;
/// The result of every fallible plugin method.
pub type Result<T> = std::result::Result<T, Error>;

/// The names that every plugin file needs.
pub mod prelude {
    pub use schemars::JsonSchema;
    pub use serde::{Deserialize, Serialize};

    pub use crate::input::RecipePaths;
    pub use crate::registry::{BuildContext, Plugin, RecipePath, Selected};
    pub use crate::slots;
    pub use crate::{Error, Result, register};
    pub use sbp_core::{
        DocId, Document, Example, Fingerprint, Markers, Neighbor, Pair, RngStream, RootSeed,
        SyntheticDocument, TokenCount, TokenId,
    };
}
