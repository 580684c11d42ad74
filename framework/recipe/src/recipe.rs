//! The recipe: one typed value that says the whole study.

use std::collections::BTreeMap;

use sbp_core::{Duration, ModelConfig};
use sbp_plugin::input::RecipePaths;
use sbp_plugin::ports::{KeepCheckpoints, Precision};
use sbp_plugin::registry::{Choice, RecipePath, Slot};
use sbp_plugin::{Selected, slots};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::arm::ArmSection;
use crate::source::escape;
use crate::synthesizer::SynthesizerSection;

/// The arms, by name.
pub type Arms = BTreeMap<String, ArmSection>;

/// A study of synthetic bootstrapped pretraining.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// What the study is called and how often it is repeated.
    pub recipe: RecipeSection,
    /// Where documents come from.
    pub corpus: Selected<slots::Corpus>,
    /// Which documents are D_pretrain, the oracle's pool and held out.
    pub splits: SplitsSection,
    /// How text becomes tokens.
    #[serde(default)]
    pub tokenizer: TokenizerSection,
    /// Shape of every language model in the study.
    #[serde(default)]
    pub model: ModelConfig,
    /// How documents become rows that can be compared. Needed by arms with synthetic documents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Selected<slots::Embedder>")]
    pub embedder: Option<Selected<slots::Embedder>>,
    /// How embeddings are kept.
    #[serde(default)]
    pub embeddings: EmbeddingsSection,
    /// How neighbors are found. Needed by arms with synthetic documents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Selected<slots::Retriever>")]
    pub retriever: Option<Selected<slots::Retriever>>,
    /// Which neighbors become pairs.
    #[serde(default)]
    pub pairs: PairsSection,
    /// The model that the synthesizer starts from.
    #[serde(default)]
    pub base: BaseSection,
    /// How the synthesizer is tuned and sampled. Needed by arms with synthetic documents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "SynthesizerSection")]
    pub synthesizer: Option<SynthesizerSection>,
    /// How synthetic documents are assessed.
    #[serde(default)]
    pub quality: QualitySection,
    /// How every arm and the base model are trained.
    pub training: TrainingSection,
    /// How much compute every arm gets.
    pub budget: BudgetSection,
    /// How an arm's sources are interleaved.
    pub mixer: Selected<slots::Mixer>,
    /// The sides of the comparison, by name.
    pub arms: Arms,
    /// Which arms are the yardsticks.
    #[serde(default)]
    pub comparison: ComparisonSection,
    /// What trained models are scored on.
    pub evaluators: Vec<Selected<slots::Evaluator>>,
    /// Where arms are scored on their way; by default at their end alone.
    #[serde(default, skip_serializing_if = "is_default")]
    pub dynamics: DynamicsSection,
    /// Where metrics go as they happen.
    #[serde(default)]
    pub trackers: Vec<Selected<slots::Tracker>>,
    /// Where it runs; never part of what an artifact is.
    #[serde(default)]
    pub execution: ExecutionSection,
}

/// What it takes to make synthetic documents: present when the recipe says all of it.
#[derive(Debug, Clone, Copy)]
pub struct Synthesis<'a> {
    /// How documents become rows that can be compared.
    pub embedder: &'a Selected<slots::Embedder>,
    /// How neighbors are found.
    pub retriever: &'a Selected<slots::Retriever>,
    /// Which neighbors become pairs.
    pub pairs: &'a PairsSection,
    /// The model that the synthesizer starts from.
    pub base: &'a BaseSection,
    /// How the synthesizer is tuned and sampled.
    pub synthesizer: &'a SynthesizerSection,
}

impl Recipe {
    /// What it takes to make synthetic documents, or the sections that are missing for it.
    ///
    /// # Errors
    /// The names of the missing sections.
    pub fn synthesis(&self) -> Result<Synthesis<'_>, Vec<&'static str>> {
        match (&self.embedder, &self.retriever, &self.synthesizer) {
            (Some(embedder), Some(retriever), Some(synthesizer)) => {
                Ok(Synthesis { embedder, retriever, pairs: &self.pairs, base: &self.base, synthesizer })
            }
            (embedder, retriever, synthesizer) => Err([
                ("embedder", embedder.is_none()),
                ("retriever", retriever.is_none()),
                ("synthesizer", synthesizer.is_none()),
            ]
            .into_iter()
            .filter_map(|(name, missing)| missing.then_some(name))
            .collect()),
        }
    }

    /// Every plugin that the recipe chooses, by JSON pointer.
    pub fn choices(&self) -> Vec<(String, &dyn Choice)> {
        let mut choices: Vec<(String, &dyn Choice)> = vec![
            ("/corpus".to_owned(), &self.corpus),
            ("/mixer".to_owned(), &self.mixer),
            ("/training/schedule".to_owned(), &self.training.schedule),
            ("/training/optimizer".to_owned(), &self.training.optimizer),
        ];
        if let Some(embedder) = &self.embedder {
            choices.push(("/embedder".to_owned(), embedder));
        }
        if let Some(retriever) = &self.retriever {
            choices.push(("/retriever".to_owned(), retriever));
        }
        list("/pairs/filters", &self.pairs.filters, &mut choices);
        if let Some(section) = &self.synthesizer {
            choices.push(("/synthesizer/objective".to_owned(), &section.objective));
            choices.push(("/synthesizer/tuning/schedule".to_owned(), &section.tuning.schedule));
            choices.push(("/synthesizer/tuning/optimizer".to_owned(), &section.tuning.optimizer));
            choices.push(("/synthesizer/sampling".to_owned(), &section.sampling));
            list("/synthesizer/filters", &section.filters, &mut choices);
        }
        if let Some(judge) = &self.quality.judge {
            choices.push(("/quality/judge".to_owned(), judge));
        }
        for (name, arm) in &self.arms {
            let at = format!("/arms/{}", escape(name));
            if let Some(schedule) = &arm.training.schedule {
                choices.push((format!("{at}/training/schedule"), schedule));
            }
            if let Some(optimizer) = &arm.training.optimizer {
                choices.push((format!("{at}/training/optimizer"), optimizer));
            }
            choices.push((at, &arm.plugin));
        }
        list("/evaluators", &self.evaluators, &mut choices);
        list("/dynamics/evaluators", &self.dynamics.evaluators, &mut choices);
        list("/trackers", &self.trackers, &mut choices);
        choices
    }

    /// How an arm is trained: the shared settings with its own laid over them.
    pub fn training_of(&self, arm: &str) -> TrainingSection {
        match self.arms.get(arm) {
            Some(arm) => arm.training.over(&self.training),
            None => self.training.clone(),
        }
    }
}

fn list<'a, S: Slot>(at: &str, of: &'a [Selected<S>], choices: &mut Vec<(String, &'a dyn Choice)>) {
    choices.extend(of.iter().enumerate().map(|(index, one)| (format!("{at}/{index}"), one as &dyn Choice)));
}

/// What the study is called and how often it is repeated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecipeSection {
    /// Name of the run folder: letters, digits, `-`, `_` and `.`.
    #[schemars(regex(pattern = "^[A-Za-z0-9][A-Za-z0-9._-]*$"))]
    pub name: String,
    /// What the study asks, in a sentence.
    #[serde(default)]
    pub description: String,
    /// Root seeds; the whole study from the base model on is repeated for each.
    #[serde(default = "default_seeds")]
    #[schemars(length(min = 1))]
    pub seeds: Vec<u64>,
}

fn default_seeds() -> Vec<u64> {
    vec![1]
}

/// Which documents are D_pretrain, the oracle's pool and held out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SplitsSection {
    /// Number of documents in D_pretrain, the limited unique data.
    #[schemars(range(min = 2))]
    pub pretrain_documents: usize,
    /// The oracle's pool holds this many times as many documents; D_pretrain is its beginning.
    #[serde(default = "default_oracle_factor")]
    #[schemars(range(min = 1))]
    pub oracle_factor: usize,
    /// Number of documents in the oracle's pool, D_pretrain included, where it is no multiple of that; takes the place of
    /// `oracle_factor`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2))]
    pub oracle_documents: Option<usize>,
    /// Number of documents kept for evaluation.
    #[schemars(range(min = 1))]
    pub heldout_documents: usize,
    /// Evaluation sets whose texts must not be trained on, by name, each with its files: a path, a folder, a pattern, or a
    /// list of these, on a disk or in a bucket. Every string counts in JSON, JSONL and Parquet, every cell in CSV and TSV,
    /// every line in other files; `.gz` and `.zst` are unpacked. They are guarded as held-out documents are.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub evaluation_sets: BTreeMap<String, RecipePaths>,
    /// Words in the n-grams by which a document counts as containing held-out or evaluation text.
    #[serde(default = "default_contamination_ngram")]
    #[schemars(range(min = 2))]
    pub contamination_ngram: usize,
    /// Share of a document's n-grams found in held-out or evaluation text from which it is left out of the pool, and of
    /// the synthetic output. A document of fewer words is left out when it is such a text.
    #[serde(default = "default_contamination_share")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub contamination_share: f64,
    /// Leave near-duplicates of earlier documents out of the pool. Off when left out: most published corpora are
    /// deduplicated already, and what counts as a duplicate is a choice of the study, not of the program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "NearDuplicatesSection")]
    pub near_duplicates: Option<NearDuplicatesSection>,
    /// Share of unreadable records above which the run fails; below it they are quarantined to a file.
    #[serde(default = "default_max_bad_share")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub max_bad_share: f64,
    /// Size of a corpus that may not be at hand, so that a plan can be worked out all the same. A corpus that is there is
    /// looked at instead, and the plan warns where it is another than this says. Changes no result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ExpectedSection")]
    pub expected: Option<ExpectedSection>,
}

impl SplitsSection {
    /// Number of documents asked for the oracle's pool, D_pretrain included.
    pub fn pool_documents(&self) -> usize {
        self.oracle_documents.unwrap_or(self.pretrain_documents.saturating_mul(self.oracle_factor))
    }
}

/// What a plan takes a corpus to be where it is not at hand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExpectedSection {
    /// Number of documents that may be trained on.
    #[schemars(range(min = 2))]
    pub documents: usize,
    /// Mean training tokens of a document, its end marker included.
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub tokens_per_document: f64,
}

/// When a document counts as a near-duplicate of an earlier one.
///
/// Documents are compared as sets of shingles: runs of consecutive words, in lower case, without punctuation.
/// Candidates are found by MinHash and each is compared in full, so that no other document is left out; of
/// near-duplicates just above the limit about one in a hundred may be missed.
///
/// Cost: O(words) time; 8 bytes a shingle and about 700 bytes for each document of the pool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NearDuplicatesSection {
    /// Words of a shingle. Lee et al. (2022, arXiv 2107.06499) take 5; 13, as for contamination, lets copies with
    /// changed words pass.
    #[schemars(range(min = 1))]
    pub shingle_words: usize,
    /// The greatest Jaccard similarity that stays: shared shingles over all shingles of both documents.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub max_jaccard: f64,
}

impl Default for NearDuplicatesSection {
    fn default() -> Self {
        Self { shingle_words: 5, max_jaccard: 0.8 }
    }
}

fn default_oracle_factor() -> usize {
    20
}
fn default_contamination_ngram() -> usize {
    13
}
fn default_contamination_share() -> f64 {
    0.5
}
fn default_max_bad_share() -> f64 {
    0.01
}

/// How text becomes tokens: a byte-level BPE trained on D_pretrain, or a tokenizer of your own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TokenizerSection {
    /// Size of the vocabulary to train, markers included. With `file` it is what a plan reckons with where that is not at
    /// hand.
    #[schemars(range(min = 258))]
    pub vocab_size: usize,
    /// A Hugging Face `tokenizer.json` to use instead of training one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<RecipePath>,
}

impl Default for TokenizerSection {
    fn default() -> Self {
        Self { vocab_size: 2048, file: None }
    }
}

/// How embeddings are kept.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EmbeddingsSection {
    /// What their numbers are on disk. Searches see them so, and how many neighbors that changes is measured.
    pub storage: Storage,
}

/// What the numbers of an embedding are on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Storage {
    /// 32-bit floating-point numbers, as they were computed.
    #[default]
    F32,
    /// 16-bit floating-point numbers: half the space.
    F16,
    /// 8-bit whole numbers, with one scale for each row: a quarter of the space.
    Int8,
}

impl Storage {
    /// The word used in recipes and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Int8 => "int8",
        }
    }
}

/// Which neighbors become pairs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PairsSection {
    /// Neighbors asked of the retriever for each document.
    #[schemars(range(min = 1))]
    pub neighbors: usize,
    /// Filters in order; a pair stays if all keep it.
    pub filters: Vec<Selected<slots::PairFilter>>,
    /// Most pairs of one seed document, the most similar of those that stay; no limit by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_targets_per_seed: Option<usize>,
    /// Whether a pair is there in both directions or not at all: the reverse of each that stays is judged and added.
    /// `max_targets_per_seed` is applied before.
    pub symmetric: bool,
}

impl Default for PairsSection {
    fn default() -> Self {
        Self { neighbors: 4, filters: Vec::new(), max_targets_per_seed: None, symmetric: false }
    }
}

/// The model that the synthesizer starts from: pretrained on D_pretrain alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BaseSection {
    /// How long it is trained, on the schedule of `training`.
    pub duration: Duration,
    /// How long a training the schedule is laid out for, when it is longer than that. With the budget's duration the base model
    /// is what a repetition arm is after `duration`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Duration")]
    pub schedule_duration: Option<Duration>,
}

impl Default for BaseSection {
    fn default() -> Self {
        Self { duration: Duration::Passes(4.0), schedule_duration: None }
    }
}

/// How synthetic documents are assessed, beside what is measured of all of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct QualitySection {
    /// Who is asked for an opinion; nobody by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Selected<slots::Judge>")]
    pub judge: Option<Selected<slots::Judge>>,
    /// Documents that a judge reads, at random.
    #[schemars(range(min = 1))]
    pub judged_documents: usize,
}

impl Default for QualitySection {
    fn default() -> Self {
        Self { judge: None, judged_documents: 200 }
    }
}

/// Optimizer, schedule and batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrainingSection {
    /// Training tokens in one optimizer step.
    #[schemars(range(min = 1))]
    pub tokens_per_step: u64,
    /// Learning rate at the top of the schedule.
    #[schemars(range(max = 1.0), extend("exclusiveMinimum" = 0.0))]
    pub peak_lr: f64,
    /// Learning rate over time.
    pub schedule: Selected<slots::Schedule>,
    /// How parameters are updated.
    pub optimizer: Selected<slots::Optimizer>,
    /// Gradients are scaled down to this global L2 norm.
    #[serde(default = "default_max_grad_norm")]
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub max_grad_norm: f64,
    /// Share of what every layer adds to the residual stream that is dropped at random.
    #[serde(default)]
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1.0))]
    pub dropout: f64,
    /// Whether attention and positions cross from one document into the next: the tokens of a step are then cut into
    /// windows of the context's length, whatever documents they are of. Pairs are tuned on one by one.
    #[serde(default)]
    pub cross_documents: bool,
    /// What activations and matrix products are computed in; weights, gradients and the optimizer's state are `fp32`.
    #[serde(default)]
    pub precision: Precision,
    /// Parts that a step is cut into, whose gradients are summed in a fixed order: a power of two. As many processes as divide it
    /// then train the same model bit by bit, with the same number of threads each. By default each process computes one
    /// part, and models of different numbers of processes differ by rounding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub gradient_parts: Option<usize>,
}

fn default_max_grad_norm() -> f64 {
    1.0
}

/// How much compute every arm gets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BudgetSection {
    /// What is held equal between arms.
    #[serde(rename = "match", default)]
    pub match_on: MatchOn,
    /// Length of each arm's training. Under `total_flops`, of an arm that needs no synthesizer.
    pub duration: Duration,
}

/// What "compute-matched" means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MatchOn {
    /// Tokens of the arm's own training, as in the published study; base, embedding, tuning and generation
    /// are reported beside it.
    #[default]
    TrainTokens,
    /// FLOPs end to end: an arm that needs a synthesizer trains on fewer tokens.
    TotalFlops,
}

impl MatchOn {
    /// The word used in recipes and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::TrainTokens => "train_tokens",
            Self::TotalFlops => "total_flops",
        }
    }
}

/// Where arms are scored on their way, so that it can be seen when one overtakes another.
///
/// Training pauses there and goes on as if it had not: the trained model is the same, bit by bit on a CPU. What the scores
/// cost is counted as evaluation. A change here trains the arms again.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DynamicsSection {
    /// After every so much training.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Duration")]
    pub every: Option<Duration>,
    /// After these amounts of training, beside those.
    pub at: Vec<Duration>,
    /// What is asked there; the recipe's `evaluators` if none is listed. In-loop scores are best few and quick.
    pub evaluators: Vec<Selected<slots::Evaluator>>,
}

fn is_default(section: &DynamicsSection) -> bool {
    *section == DynamicsSection::default()
}

impl DynamicsSection {
    /// The steps after which an arm of `num_steps` is scored, in order; not the last one, after which it is scored anyway.
    pub fn steps(&self, num_steps: u64, tokens_per_step: u64, tokens_per_pass: u64) -> Vec<u64> {
        let steps_of = |duration: &Duration| duration.steps(tokens_per_step, tokens_per_pass);
        let every = self.every.iter().flat_map(|every| (1..).map(move |count| count * steps_of(every)));
        let mut steps: Vec<u64> = every.take_while(|&step| step < num_steps).collect();
        steps.extend(self.at.iter().map(steps_of).filter(|&step| step < num_steps));
        steps.sort_unstable();
        steps.dedup();
        steps
    }
}

/// Which arms are the yardsticks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ComparisonSection {
    /// The arm that others are measured against.
    pub baseline: String,
    /// The arm whose gain over the baseline is the most that can be hoped for; a study may do without.
    pub oracle: String,
    /// Metrics that the arms are compared on, in this order; all that the evaluators compute if none is listed.
    pub metrics: Vec<String>,
}

impl Default for ComparisonSection {
    fn default() -> Self {
        Self { baseline: "repetition".to_owned(), oracle: "oracle".to_owned(), metrics: Vec::new() }
    }
}

/// Where it runs; never part of what an artifact is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ExecutionSection {
    /// `cpu`, `cuda`, `cuda:N` or `auto` (a GPU where there is one).
    #[schemars(regex(pattern = "^(cpu|auto|cuda(:[0-9]+)?)$"))]
    pub device: String,
    /// Threads for tensor operations; by default one for each core.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub num_threads: Option<usize>,
    /// Most training tokens computed at once: a step of more is computed in parts, whose gradients are summed.
    /// Takes less memory and gives the same step up to rounding; by default a step is computed whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub tokens_per_microbatch: Option<usize>,
    /// Whether a layer keeps only its input and is computed a second time for its gradient: less memory, about a third
    /// more time, the same numbers.
    pub recompute_activations: bool,
    /// Seconds between resumable checkpoints of a training job.
    #[schemars(range(min = 0.0))]
    pub checkpoint_every_secs: f64,
    /// Checkpoints of trainings that stay, in `checkpoints/` of the artifact; by default only the last one does. Without
    /// effect on trainings that are done already.
    pub keep_checkpoints: KeepCheckpoints,
    /// A folder in a bucket, such as `s3://bucket/store`, that artifacts are shared through: what the store on this machine
    /// lacks is fetched from there, what it has is copied there. Where the bucket fails, the run goes on without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^(s3|gs|az|abfss)://[^/]+"))]
    pub remote_store: Option<String>,
}

impl Default for ExecutionSection {
    fn default() -> Self {
        Self {
            device: "cpu".to_owned(),
            num_threads: None,
            tokens_per_microbatch: None,
            recompute_activations: false,
            checkpoint_every_secs: 60.0,
            keep_checkpoints: KeepCheckpoints::default(),
            remote_store: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arms_are_scored_in_order_and_each_step_once() {
        let section = DynamicsSection {
            every: Some(Duration::Tokens(300)),
            at: vec![Duration::Steps(5), Duration::Passes(0.5), Duration::Steps(10)],
            evaluators: Vec::new(),
        };
        // 100 tokens a step, 1,000 a pass: every third step, and after 5 and 5; 10 is the end.
        assert_eq!(section.steps(10, 100, 1_000), [3, 5, 6, 9]);
        assert!(DynamicsSection::default().steps(10, 100, 1_000).is_empty());
    }
}
