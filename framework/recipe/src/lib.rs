//! From text to plan.
//!
//! A recipe has three forms: as written ([`load`] merges the layers and keeps where each value came from), as
//! resolved ([`Recipe`], every default explicit), and as a [`Plan`], every arm's budget computed. This crate
//! touches neither data nor tensors.

mod check;
pub mod diagnostic;
mod load;
pub mod match_compute;
pub mod plan;
mod recipe;
mod source;

pub use check::recipe_schema;
pub use diagnostic::{Problem, RecipeErrors};
pub use load::{Loaded, Overrides, load};
pub use plan::Plan;
pub use recipe::{
    Arms, BaseSection, BudgetSection, ComparisonSection, ExecutionSection, MatchOn, PairsSection, Recipe,
    RecipeSection, SplitsSection, SynthesizerSection, TokenizerSection, TrainingSection,
};
