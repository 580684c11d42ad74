//! Ports: what the tensor world offers, in terms of tokens and rows of `f32`.
//!
//! The runtime on libtorch implements them, and so does the counting bigram model of the test kit; plugins and
//! the pipeline cannot tell the difference.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sbp_core::{Cost, Example, Fingerprint, Markers, ModelConfig, Neighbor, RngStream, RootSeed, TokenId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::slots::optimizer::Optimizer;
use crate::slots::schedule::Schedule;
use crate::team::{Solo, Team};

/// Text to tokens and back.
pub trait Tokenizer: Send + Sync {
    /// The tokens of a text, without markers.
    ///
    /// # Errors
    /// When the underlying tokenizer fails, which byte-level ones do not.
    fn encode(&self, text: &str) -> Result<Vec<TokenId>>;
    /// The text of tokens, markers left out; bytes that are not UTF-8 become U+FFFD.
    ///
    /// # Errors
    /// When a token is outside the vocabulary.
    fn decode(&self, tokens: &[TokenId]) -> Result<String>;
    /// The tokens with a meaning of their own.
    fn markers(&self) -> Markers;
    /// Number of tokens, markers included.
    fn vocab_size(&self) -> usize;
}

/// A trained language model, opened for use.
pub trait LanguageModel {
    /// Longest sequence it attends over, in tokens.
    fn context_length(&self) -> usize;
    /// Natural-log probability of each token given all before it: row i has `sequences[i].len() - 1` entries.
    ///
    /// # Errors
    /// When a sequence is longer than the context, empty, or holds a token outside the vocabulary.
    fn log_probs(&mut self, sequences: &[Vec<TokenId>]) -> Result<Vec<Vec<f32>>>;
    /// How likely each continuation is after its context, in the order given. What is shared among them is computed once:
    /// equal contexts, in whatever order they come.
    ///
    /// # Errors
    /// When a context or a continuation is empty, when the two together are longer than the context length and one token
    /// more (the last is predicted, never read), or as [`Self::log_probs`].
    fn likelihoods(&mut self, continuations: &[Continuation]) -> Result<Vec<Likelihood>>;
    /// Mean over positions of the last hidden state (after the final norm), one row a sequence.
    ///
    /// # Errors
    /// As [`Self::log_probs`].
    fn mean_hidden(&mut self, sequences: &[Vec<TokenId>]) -> Result<Vec<Vec<f32>>>;
    /// Continues each prompt, every prompt by its own random stream. A completion is handed to `done` with the place of its
    /// prompt as soon as it ends, in whatever order they do.
    ///
    /// # Errors
    /// When a prompt leaves no room in the context, as [`Self::log_probs`], or what `done` says; what was handed over before
    /// stands.
    fn complete(
        &mut self,
        prompts: Vec<Prompt>,
        how: &Decoding,
        done: &mut dyn FnMut(usize, Completion) -> Result<()>,
    ) -> Result<()>;
    /// Tokens processed and FLOPs spent since the last call of this method.
    fn take_cost(&mut self) -> Cost;
}

/// A text that might follow another, in tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Continuation {
    /// What it follows.
    pub context: Vec<TokenId>,
    /// What follows.
    pub tokens: Vec<TokenId>,
}

/// How likely a continuation is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Likelihood {
    /// Sum over its tokens of the natural-log probability of each given all before it.
    pub log_prob: f64,
    /// Whether each token is the likeliest where it stands.
    pub is_greedy: bool,
}

/// A prompt and the random stream that decides its continuation.
#[derive(Debug, Clone)]
pub struct Prompt {
    /// What the continuation is conditioned on.
    pub tokens: Vec<TokenId>,
    /// The stream that every random choice for this prompt is taken from.
    pub rng: RngStream,
}

/// How to decode.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Decoding {
    /// Divides the logits; 0 means greedy.
    pub temperature: f64,
    /// Nucleus: the smallest set of tokens whose probabilities reach this sum; 1 leaves none out.
    pub top_p: f64,
    /// The most probable tokens that are left to choose from; 0 leaves none out.
    pub top_k: usize,
    /// Tokens less probable than this share of the most probable one are left out.
    pub min_p: f64,
    /// Most tokens to emit, the stop token included.
    pub max_new_tokens: usize,
    /// Ends a completion.
    pub stop: TokenId,
    /// Number of prompts decoded side by side.
    pub batch_size: usize,
}

impl Default for Decoding {
    /// Plain sampling of up to 128 tokens, 64 prompts side by side.
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_p: 1.0,
            top_k: 0,
            min_p: 0.0,
            max_new_tokens: 128,
            stop: 0,
            batch_size: 64,
        }
    }
}

/// A continuation of a prompt.
#[derive(Debug, Clone, PartialEq)]
pub struct Completion {
    /// Emitted tokens, the stop token left out.
    pub tokens: Vec<TokenId>,
    /// Sum of natural-log probabilities of the emitted tokens, stop included, before temperature and nucleus.
    pub log_prob: f64,
    /// Whether the stop token was emitted.
    pub finished: bool,
    /// What one forward pass over prompt and continuation takes: as if the prompt had been read for this one alone.
    pub cost: Cost,
}

/// An encoder of texts, opened for use: a model that was made to tell what a text is about, with its own tokenizer.
pub trait TextEncoder: Send {
    /// Numbers in a row.
    fn dim(&self) -> usize;
    /// One row of unit length for each text, row-major, in the order given. A text without a single token gives a row of
    /// zeros. `progress` is told how many texts are done.
    ///
    /// # Errors
    /// When the tokenizer or the model fails.
    fn encode(&mut self, texts: &[&str], progress: &mut dyn FnMut(usize)) -> Result<Vec<f32>>;
    /// Tokens processed and FLOPs spent since the last call of this method.
    fn take_cost(&mut self) -> Cost;
}

/// How a text encoder is to read and to compute.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EncoderOptions {
    /// How the hidden states of a text become its row; none takes what the folder says.
    pub pooling: Option<Pooling>,
    /// Longest text that is read, in the encoder's tokens, markers included; none takes what the folder says.
    pub max_tokens: Option<usize>,
    /// Put before every text.
    pub prefix: String,
    /// What the model computes in. Rows are `f32` in either case.
    pub precision: Precision,
}

/// How the last hidden states of a text become its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// The mean over all tokens.
    Mean,
    /// That of the last token, which has seen all others in a decoder.
    LastToken,
    /// That of the first token, `[CLS]` in encoders of BERT's kind.
    Cls,
}

/// Rows of a matrix, one after the other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Block<'a> {
    /// Which row of the matrix is the first.
    pub first: u32,
    /// Row-major.
    pub numbers: &'a [f32],
}

/// Where blocks are cut at multiples of so many rows, search in each gives the bits that search in all of them gives.
pub const BLOCK_ROWS: usize = 4096;

/// Blocked exact search: the k rows of greatest inner product.
pub trait TopK {
    /// Whether it computes on a GPU.
    fn is_on_gpu(&self) -> bool {
        false
    }
    /// For each query row, the k best rows other than itself, best first, ties by row. `rows` is row-major with
    /// `dim` columns; memory beyond it is bounded by a tile, never by the square of the number of rows.
    ///
    /// # Errors
    /// When sizes do not fit together.
    fn top_k(&mut self, rows: &[f32], dim: usize, queries: &[u32], k: usize) -> Result<Vec<Vec<Neighbor>>>;
    /// As [`Self::top_k`], for the rows of a block, of the rows of another: for matrices that are nowhere whole.
    ///
    /// # Errors
    /// When sizes do not fit together.
    fn top_k_within(
        &mut self,
        rows: Block<'_>,
        dim: usize,
        queries: Block<'_>,
        k: usize,
    ) -> Result<Vec<Vec<Neighbor>>>;
}

/// Where a model's weights start.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "one exists a training job, so its size is no concern")]
pub enum Start {
    /// Drawn from a stream: the same stream, the same weights.
    Fresh(RngStream),
    /// The weights of a checkpoint folder, with a fresh optimizer.
    From(PathBuf),
}

/// The training data of a job, addressed by step so that a resumed run sees what a straight one would.
pub trait BatchSource {
    /// The sequences of optimizer step `step` (from 0). Called with increasing steps, starting anywhere.
    ///
    /// # Errors
    /// When the data cannot be read.
    fn batch(&mut self, step: u64) -> Result<Vec<Example>>;
}

/// One model to train.
pub struct TrainJob<'a> {
    /// Shape of the model.
    pub model: &'a ModelConfig,
    /// Number of tokens in the vocabulary.
    pub vocab_size: usize,
    /// Initial weights.
    pub start: Start,
    /// How parameters are updated.
    pub optimizer: &'a dyn Optimizer,
    /// Learning rate at the top of the schedule.
    pub peak_lr: f64,
    /// Learning rate as a share of the peak, by step.
    pub schedule: &'a dyn Schedule,
    /// Gradients are scaled down to this global L2 norm; none leaves them alone.
    pub max_grad_norm: Option<f64>,
    /// Number of optimizer steps, no more and no fewer.
    pub num_steps: u64,
    /// Number of steps that the schedule is laid out for, at least as many.
    pub schedule_steps: u64,
    /// The data, by step.
    pub batches: &'a mut dyn BatchSource,
    /// Identity of data, model and options: a half-done job with another identity is refused.
    pub identity: Fingerprint,
    /// Folder of the job. Resumable state is kept in `progress/` and removed at the end; the trained model is
    /// left in `checkpoint/` as a Hugging Face folder (without tokenizer files).
    pub folder: &'a Path,
    /// Parts of a step whose gradients are summed in a fixed order, so that the step is the same bit by bit on as many processes
    /// as divide their number. None takes a part for each process.
    pub gradient_parts: Option<usize>,
    /// Most predictions computed at once, so that a step fits into memory; the step is the same up to rounding.
    /// None computes a step in one part.
    pub tokens_per_microbatch: Option<usize>,
    /// Whether a layer keeps only its input and is computed a second time for its gradient: less memory, about a third
    /// more time, the same step bit by bit.
    pub recompute_activations: bool,
    /// What activations and matrix products are computed in.
    pub precision: Precision,
    /// Share of what every layer adds to the residual stream that is dropped at random while training, and the seed of
    /// that.
    pub dropout: (f64, RootSeed),
    /// Seconds between resumable checkpoints.
    pub checkpoint_every_secs: f64,
    /// Checkpoints that stay when newer ones come, in `checkpoints/`, each a Hugging Face folder (without tokenizer
    /// files).
    pub keep_checkpoints: &'a KeepCheckpoints,
    /// Watches steps and may ask to stop.
    pub observer: &'a mut dyn TrainObserver,
}

/// What activations and matrix products are computed in. Weights, their gradients and the optimizer's state are `f32` in
/// either case, and so are losses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// 32-bit floating-point numbers.
    #[default]
    Fp32,
    /// bfloat16: for GPUs. On a CPU without matrix units for it, slower than `fp32`.
    Bf16,
}

/// Which checkpoints of a training stay when newer ones come.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KeepCheckpoints {
    /// One after every so many steps, named `step-000100`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u64", range(min = 1))]
    pub every_steps: Option<u64>,
    /// Names (letters, digits, `-`, `_`), each with the number of steps after which it is kept.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub named: BTreeMap<String, u64>,
}

impl KeepCheckpoints {
    /// The names under which the checkpoint after `step` steps is kept.
    pub fn names_at(&self, step: u64) -> Vec<String> {
        let periodic = self.every_steps.filter(|every| step.is_multiple_of(*every));
        let periodic = periodic.map(|_| format!("step-{step:06}"));
        let named = self.named.iter().filter(|(_, at)| **at == step).map(|(name, _)| name.clone());
        periodic.into_iter().chain(named).collect()
    }
}

/// What is known after an optimizer step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrainPoint {
    /// Steps done, this one included.
    pub step: u64,
    /// Steps in all.
    pub num_steps: u64,
    /// Training tokens consumed so far, all attempts of a resumed run counted once.
    pub tokens: u64,
    /// Model FLOPs spent so far.
    pub flops: f64,
    /// Mean loss of this step in nats per weighted token.
    pub loss: f64,
    /// Learning rate of this step.
    pub lr: f64,
    /// Global L2 norm of the gradient before clipping.
    pub grad_norm: f64,
}

/// Watches a training job.
pub trait TrainObserver {
    /// The job goes on after `step` steps of an earlier attempt.
    fn resumed(&mut self, step: u64);
    /// A step was done.
    fn step(&mut self, point: &TrainPoint);
    /// Whether to write a checkpoint and stop before the next step.
    fn stop_requested(&self) -> bool;
}

/// How a training job ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum TrainOutcome {
    /// All steps done; the checkpoint is in place.
    Finished {
        /// Tokens and FLOPs of the whole job.
        cost: Cost,
        /// Loss of the last step in nats per weighted token.
        final_loss: f64,
    },
    /// Stopped on request after this many steps; the same job goes on from there.
    Stopped {
        /// Steps done.
        step: u64,
        /// Tokens and FLOPs so far.
        cost: Cost,
        /// Loss of the last step in nats per weighted token; not a number before the first.
        loss: f64,
    },
}

/// What a run's manifest says of the machine underneath.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct RuntimeFacts {
    /// Name and version of the tensor library.
    pub library: String,
    /// Device in use, such as `cpu` or `cuda:0 (NVIDIA H100)`.
    pub device: String,
    /// Threads used for tensor operations.
    pub num_threads: usize,
}

/// The tensor world.
pub trait Runtime {
    /// What it runs on.
    fn facts(&self) -> RuntimeFacts;
    /// The processes that share the work.
    fn team(&self) -> Arc<dyn Team> {
        Arc::new(Solo::default())
    }
    /// Trains a model, going on where an interrupted attempt in the same folder stopped. Every process of the team calls it with
    /// the same job; the leader alone writes.
    ///
    /// # Errors
    /// On a loss that is not finite (with step and last good checkpoint), on data of another identity, on a full
    /// disk or too little memory.
    fn train(&mut self, job: TrainJob<'_>) -> Result<TrainOutcome>;
    /// Opens a checkpoint folder, to compute in a precision. Probabilities are `f32` in either case.
    ///
    /// # Errors
    /// When the folder is not a checkpoint of a supported layout.
    fn open(&mut self, checkpoint: &Path, precision: Precision) -> Result<Box<dyn LanguageModel>>;
    /// Opens a Hugging Face folder of a text encoder.
    ///
    /// # Errors
    /// When the folder is not of a supported layout, or the options do not fit it.
    fn open_encoder(&mut self, folder: &Path, options: &EncoderOptions) -> Result<Box<dyn TextEncoder>>;
    /// FLOP/s that the device reaches at best, known or the most measured so far; none where there is no such figure.
    fn peak_flops(&mut self, precision: Precision) -> Option<f64>;
    /// Exact search on this runtime's device.
    fn top_k(&mut self) -> &mut dyn TopK;
}
