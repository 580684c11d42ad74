//! From text to plan.
//!
//! A recipe has three forms: as written ([`load`] merges the layers and keeps where each value came from), as
//! resolved ([`Recipe`], every default explicit), and as a [`Plan`], every arm's budget computed. This crate
//! touches neither data nor tensors.

mod arm;
mod check;
mod code;
pub mod diagnostic;
mod load;
pub mod match_compute;
mod meaning;
pub mod plan;
mod read;
mod recipe;
mod schema;
mod source;
mod suggest;
mod sweep;
mod synthesizer;

pub use arm::{ArmSection, TrainingDelta};
pub use code::Code;
pub use diagnostic::{Problem, RecipeErrors};
pub use load::{Loaded, Overrides, load, load_points};
pub use plan::Plan;
pub use recipe::{
    Arms, BaseSection, BudgetSection, ComparisonSection, EmbeddingsSection, ExecutionSection,
    ExpectedSection, MatchOn, NearDuplicatesSection, PairsSection, QualitySection, Recipe, RecipeSection,
    SplitsSection, Storage, Synthesis, TokenizerSection, TrainingSection,
};
pub use schema::{SCHEMA_VERSION, layer_schema, recipe_schema};
pub use source::dotted;
pub use suggest::suggest;
pub use sweep::{Axis, Point, SweepMode, SweepSection};
pub use synthesizer::{HeldoutPairsSection, InitFrom, InitSection, Keep, RoundsSection, SynthesizerSection};
