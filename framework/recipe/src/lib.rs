//! From text to plan.
//!
//! A recipe has three forms: as written ([`load`] merges the layers and keeps where each value came from), as
//! resolved ([`Recipe`], every default explicit), and as a [`Plan`], every arm's budget computed. This crate
//! touches neither data nor tensors.

mod check;
pub mod diagnostic;
mod load;
pub mod match_compute;
mod meaning;
pub mod plan;
mod recipe;
mod schema;
mod source;

pub use diagnostic::{Problem, RecipeErrors};
pub use load::{Loaded, Overrides, load};
pub use plan::Plan;
pub use recipe::{
    Arms, BaseSection, BudgetSection, ComparisonSection, ExecutionSection, MatchOn, PairsSection, Recipe,
    RecipeSection, SplitsSection, SynthesizerSection, TokenizerSection, TrainingSection,
};
pub use schema::{layer_schema, recipe_schema};
