//! The synthesizer of a recipe: what it starts from, how it is tuned, how it is sampled, how often.

use sbp_core::Duration;
use sbp_plugin::ports::Precision;
use sbp_plugin::registry::RecipePath;
use sbp_plugin::{Selected, slots};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::TrainingSection;

/// How the synthesizer is tuned and sampled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SynthesizerSection {
    /// What weights it starts from.
    #[serde(default)]
    pub init: InitSection,
    /// What is learned from a pair.
    pub objective: Selected<slots::Objective>,
    /// Length of tuning. `passes` are traversals of the pairs, by their tokens.
    pub duration: Duration,
    /// How it is tuned.
    pub tuning: TrainingSection,
    /// Pairs that are not tuned on, to measure what the synthesizer learns from pairs and to stop where it learns no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "HeldoutPairsSection")]
    pub heldout: Option<HeldoutPairsSection>,
    /// How it is sampled.
    pub sampling: Selected<slots::Synthesizer>,
    /// Most draws for one seed document.
    #[serde(default = "default_max_draws")]
    #[schemars(range(min = 1))]
    pub max_draws_per_seed: u32,
    /// Draws for a seed document that are made together, and read it once; every seed document gets as many before one gets
    /// more. Sampling stops when there are enough tokens, so that with more than 1 the last seed documents may get none.
    #[serde(default = "default_draws_at_once")]
    #[schemars(range(min = 1))]
    pub draws_at_once: u32,
    /// What sampling computes in. `bf16` is for GPUs; it gives other documents than `fp32`.
    #[serde(default)]
    pub precision: Precision,
    /// Filters in order; a synthetic document stays if all keep it.
    #[serde(default)]
    pub filters: Vec<Selected<slots::DocumentFilter>>,
    /// How often documents are paired, a synthesizer tuned on them, and documents sampled from it.
    #[serde(default)]
    pub rounds: RoundsSection,
}

/// Rounds of synthesis.
///
/// The documents of each round are paired, tuned on and seeds of the next; the arms are trained on what the last one writes. Every
/// round starts from the same weights.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RoundsSection {
    /// Number of rounds; one in the published study.
    #[schemars(range(min = 1, max = 100))]
    pub count: u32,
    /// What a round after the first is made from.
    pub keep: Keep,
}

impl Default for RoundsSection {
    fn default() -> Self {
        Self { count: 1, keep: Keep::default() }
    }
}

/// What a round of synthesis is made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// D_pretrain and everything that was written since.
    #[default]
    Accumulate,
    /// What the round before wrote, and nothing else.
    Replace,
}

fn default_max_draws() -> u32 {
    16
}
fn default_draws_at_once() -> u32 {
    1
}

/// What weights the synthesizer starts from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct InitSection {
    /// Where they come from.
    pub from: InitFrom,
    /// A Hugging Face folder of a model of the same shape and vocabulary, for `from = "checkpoint"`. What it took to train it
    /// is not known, so that it is not in the ledger.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<RecipePath>,
}

/// Where the synthesizer's weights come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InitFrom {
    /// The base model, pretrained on D_pretrain; its compute is charged to the arms with synthetic documents.
    #[default]
    Base,
    /// Fresh weights: the synthesizer learns from the pairs alone.
    Scratch,
    /// A model that was trained before.
    Checkpoint,
}

/// Pairs that are not tuned on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HeldoutPairsSection {
    /// Share of the seed documents whose pairs are held out, at least one. They are chosen by their ids, so that the same ones
    /// are whatever else the recipe says.
    #[schemars(extend("exclusiveMinimum" = 0.0), range(max = 0.5))]
    pub share: f64,
    /// Most held-out pairs that are measured.
    #[schemars(range(min = 1))]
    pub max_pairs: usize,
    /// Measure the loss of held-out pairs each so many steps while tuning, and take the weights with the least; by default
    /// tuning runs to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub every_steps: Option<u64>,
    /// End tuning after so many measurements without a new least loss.
    #[schemars(range(min = 1))]
    pub patience: u64,
}

impl Default for HeldoutPairsSection {
    fn default() -> Self {
        Self { share: 0.05, max_pairs: 500, every_steps: None, patience: 3 }
    }
}
