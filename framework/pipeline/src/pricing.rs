//! What a plan takes, before any of it is spent: tokens, steps, FLOPs and disk of every stage.
//!
//! All of it is arithmetic on the recipe and on the size of its corpus; nothing is measured. FLOPs are counted as the ledger
//! counts them ([`sbp_core::FLOPS_CONVENTION`]), for documents that are all as long as the mean. The formulas are in
//! docs/SCALING.md.

use sbp_core::TokenCount;
use sbp_plugin::registry::BuildContext;
use sbp_plugin::slots::arm::Supply;
use sbp_plugin::slots::embedder::Embedder;
use sbp_plugin::slots::mixer::Source;
use sbp_plugin::slots::optimizer::{Parameter, Role, Rule};
use sbp_recipe::plan::ArmPlan;
use sbp_recipe::{InitFrom, Recipe, Synthesis, TrainingSection};
use serde::Serialize;

use crate::Result;
use crate::stages::embed::row_bytes;
use crate::stages::failed;
use crate::stages::tune::Room;
use crate::token_store::token_bytes;

/// FLOP/s of an NVIDIA H100 SXM in bf16, dense, by its data sheet.
pub const H100_FLOPS: f64 = 989.4e12;

/// Bytes of a number in a checkpoint: weights and moments are `fp32`.
const NUMBER_BYTES: f64 = 4.0;
/// Bytes of a document's length beside its tokens.
const LENGTH_BYTES: f64 = 4.0;
/// Bytes of a pair as Parquet, mostly of its two ids, which do not compress.
const PAIR_BYTES: f64 = 20.0;

/// What a plan takes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Price {
    /// The stages in the order of the method, the arms last. Scoring is not among them.
    pub stages: Vec<StagePrice>,
}

impl Price {
    /// Model FLOPs of the whole study, but for what is not priced.
    pub fn flops(&self) -> f64 {
        self.stages.iter().map(|stage| stage.times as f64 * stage.flops.unwrap_or_default()).sum()
    }

    /// Bytes on the disk when all is done, but for what is not priced.
    pub fn disk_bytes(&self) -> f64 {
        self.stages.iter().map(|stage| stage.times as f64 * stage.disk_bytes.unwrap_or_default()).sum()
    }

    /// Bytes of the largest resumable checkpoint: there is one at a time, and for a moment the next beside it.
    pub fn resumable_bytes(&self) -> f64 {
        self.stages.iter().filter_map(|stage| stage.resumable_bytes).fold(0.0, f64::max)
    }
}

/// What a stage takes each time.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct StagePrice {
    /// What the stage is called; an arm is `train NAME`.
    pub stage: String,
    /// How often the study does it: for each seed, in each round.
    pub times: u64,
    /// Tokens that it reads and writes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<TokenCount>,
    /// Optimizer steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<u64>,
    /// Model FLOPs, and those of exact search.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flops: Option<f64>,
    /// Of an arm: its own training and all that its documents took, search left out as in the ledger.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_to_end_flops: Option<f64>,
    /// Bytes that it leaves on the disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_bytes: Option<f64>,
    /// Bytes of a checkpoint to resume from, until it is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resumable_bytes: Option<f64>,
    /// Why its FLOPs cannot be told, where they cannot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_priced: Option<String>,
}

impl StagePrice {
    fn of(stage: impl Into<String>, times: u64) -> Self {
        Self { stage: stage.into(), times, ..Self::default() }
    }
}

/// What it takes to make synthetic documents; up to the pairs where those are all that is needed.
#[derive(Debug, Default)]
pub(crate) struct Making {
    pub(crate) stages: Vec<StagePrice>,
    /// FLOPs of a seed that the ledger charges to an arm that reads related documents.
    pairing_flops: f64,
    /// FLOPs of a seed that the ledger charges to an arm that reads synthetic documents.
    pub(crate) overhead_flops: f64,
}

/// What prices are worked out from.
pub(crate) struct Pricing<'r> {
    pub(crate) recipe: &'r Recipe,
    pub(crate) vocab_size: usize,
    /// Mean training tokens of a document.
    pub(crate) document: f64,
    /// Unique training tokens; synthetic ones as many as are wanted.
    pub(crate) supply: Supply,
}

impl Pricing<'_> {
    /// What pretraining on one token takes.
    pub(crate) fn pretraining_flops(&self) -> f64 {
        let model = &self.recipe.model;
        let context = model.context_length as f64;
        let window = if self.recipe.training.cross_documents { context } else { self.document.min(context) };
        model.train_flops_per_token(self.vocab_size, mean_context(window))
    }

    /// The corpus as text and as tokens.
    pub(crate) fn reading(&self) -> [StagePrice; 2] {
        let pool = self.supply.oracle;
        let text = StagePrice { disk_bytes: Some(self.text_bytes(pool)), ..StagePrice::of("corpus", 1) };
        let tokens = StagePrice {
            tokens: Some(pool),
            disk_bytes: Some(self.token_bytes(pool)),
            ..StagePrice::of("tokens", 1)
        };
        [text, tokens]
    }

    /// Everything from the base model to the synthetic documents.
    pub(crate) fn making(&self, method: Synthesis<'_>) -> Result<Making> {
        let section = method.synthesizer;
        let seeds = self.num_seeds();
        let writes = self.supply.synthetic > 0;
        let rounds = if writes { u64::from(section.rounds.count) } else { 1 };
        let embedder = method.embedder.build(&BuildContext::default()).map_err(failed("plan"))?;
        let embeds_with_base = embedder.needs_base_model();

        let mut making = Making::default();
        let mut base_flops = 0.0;
        if embeds_with_base || section.init.from == InitFrom::Base {
            let steps =
                method.base.duration.steps(self.recipe.training.tokens_per_step, self.supply.pretrain);
            let base = self.training("base", &self.recipe.training, steps, self.pretraining_flops())?;
            base_flops = base.flops.unwrap_or_default();
            making.stages.push(base);
        }
        // Seeds share the embedded D_pretrain where nothing of a seed is in it.
        let embed_times = if embeds_with_base { seeds * rounds } else { 1 + seeds * (rounds - 1) };
        let (embed, dim) = self.embed(embedder.as_ref(), embed_times);
        let mut of_a_round = embed.flops.unwrap_or_default();
        making.pairing_flops = of_a_round + if embeds_with_base { base_flops } else { 0.0 };
        making.stages.push(embed);
        making.stages.push(self.pair(method, dim, seeds * rounds)?);
        if writes {
            for stage in self.writing(method)? {
                of_a_round += stage.flops.unwrap_or_default();
                making.stages.push(StagePrice { times: seeds * rounds, ..stage });
            }
            making.overhead_flops = base_flops + rounds as f64 * of_a_round;
        }
        Ok(making)
    }

    /// An arm's training, and all that it takes from end to end.
    pub(crate) fn arm(&self, arm: &ArmPlan, making: &Making) -> Result<StagePrice> {
        let training = self.recipe.training_of(&arm.name);
        let stage = format!("train {}", arm.name);
        let own = self.training(&stage, &training, arm.budget.steps, self.pretraining_flops())?;
        let reads_related = arm.shares.iter().any(|share| share.source == Source::Related);
        let made = match (arm.synthetic_wanted > 0, reads_related) {
            (true, _) => making.overhead_flops,
            (false, true) => making.pairing_flops,
            (false, false) => 0.0,
        };
        Ok(StagePrice { end_to_end_flops: own.flops.map(|flops| flops + made), ..own })
    }

    /// The embedded D_pretrain, and how many numbers a row of it has.
    fn embed(&self, embedder: &dyn Embedder, times: u64) -> (StagePrice, Option<usize>) {
        let price = StagePrice::of("embed", times);
        let model = &self.recipe.model;
        let told = if embedder.needs_base_model() {
            let read = self.document.min(model.context_length as f64);
            Ok((model.hidden_size, read, model.forward_flops_per_token(self.vocab_size, mean_context(read))))
        } else {
            embedder.size().map(|size| {
                let read = size.max_tokens.map_or(self.document, |most| self.document.min(most as f64));
                (size.dim, read, 2.0 * size.parameters as f64)
            })
        };
        let (dim, read, flops_per_token) = match told {
            Ok(told) => told,
            Err(why) => return (StagePrice { not_priced: Some(why.to_string()), ..price }, None),
        };
        let row = row_bytes(dim, self.recipe.embeddings.storage);
        let price = StagePrice { disk_bytes: Some(self.documents() * row as f64), ..price };
        if flops_per_token == 0.0 {
            return (price, Some(dim));
        }
        let tokens = self.documents() * read;
        let flops = Some(tokens * flops_per_token);
        (StagePrice { tokens: Some(tokens as TokenCount), flops, ..price }, Some(dim))
    }

    /// The search for neighbors, and the pairs if filters keep all of them.
    fn pair(&self, method: Synthesis<'_>, dim: Option<usize>, times: u64) -> Result<StagePrice> {
        let retriever = method.retriever.build(&BuildContext::default()).map_err(failed("plan"))?;
        let flops = dim.and_then(|dim| retriever.search_flops(self.documents().round() as usize, dim));
        let not_priced = match (dim, flops) {
            (None, _) => Some("how wide the embedder's rows are is not known".to_owned()),
            (Some(_), None) => Some(format!(
                "retriever \"{}\": it does not say what searching takes",
                method.retriever.kind()
            )),
            (Some(_), Some(_)) => None,
        };
        let disk_bytes = Some(PAIR_BYTES * self.num_pairs(method));
        Ok(StagePrice { flops, disk_bytes, not_priced, ..StagePrice::of("pair", times) })
    }

    fn num_pairs(&self, method: Synthesis<'_>) -> f64 {
        let section = method.pairs;
        let of_a_seed = section.max_targets_per_seed.unwrap_or(section.neighbors).min(section.neighbors);
        let directions = if section.symmetric { 2.0 } else { 1.0 };
        self.documents() * of_a_seed as f64 * directions
    }

    /// Tuning on pairs, none of which is dropped, and sampling, none of which is.
    fn writing(&self, method: Synthesis<'_>) -> Result<[StagePrice; 2]> {
        let (model, section) = (&self.recipe.model, method.synthesizer);
        let context = model.context_length as f64;
        let room = Room::of(section, model.context_length, BuildContext::default().seed)?;
        let prompt = room.num_seeds as f64 * self.document.min(room.tokens as f64);

        let pair = (prompt + self.document).min(context);
        let of_pairs = self.num_pairs(method) * pair;
        let steps = section.duration.steps(section.tuning.tokens_per_step, of_pairs as TokenCount);
        let per_token = model.train_flops_per_token(self.vocab_size, mean_context(pair));
        let tune = self.training("tune", &section.tuning, steps, per_token)?;

        let sampling = section.sampling.build(&BuildContext::default()).map_err(failed("plan"))?;
        let completion = self.document.min(sampling.max_new_tokens() as f64);
        let draws = self.supply.synthetic as f64 / completion;
        let tokens = draws * (prompt / f64::from(section.draws_at_once) + completion);
        let per_token = model.forward_flops_per_token(self.vocab_size, mean_context(prompt + completion));
        let written = self.supply.synthetic;
        let synthesize = StagePrice {
            tokens: Some(tokens as TokenCount),
            flops: Some(tokens * per_token),
            disk_bytes: Some(self.text_bytes(written) + self.token_bytes(written)),
            ..StagePrice::of("synthesize", 1)
        };
        Ok([tune, synthesize])
    }

    fn training(
        &self,
        stage: &str,
        section: &TrainingSection,
        steps: u64,
        flops_per_token: f64,
    ) -> Result<StagePrice> {
        let tokens = steps * section.tokens_per_step;
        let weights = NUMBER_BYTES * self.recipe.model.num_parameters(self.vocab_size) as f64;
        let resumable = weights + NUMBER_BYTES * self.num_moments(section)?;
        let keep = &self.recipe.execution.keep_checkpoints;
        let num_kept = keep.every_steps.map_or(0, |every| steps / every)
            + keep.named.values().filter(|step| **step <= steps).count() as u64;
        Ok(StagePrice {
            tokens: Some(tokens),
            steps: Some(steps),
            flops: Some(tokens as f64 * flops_per_token),
            disk_bytes: Some(weights + num_kept as f64 * resumable),
            resumable_bytes: Some(resumable),
            ..StagePrice::of(stage, self.num_seeds())
        })
    }

    /// Numbers that the optimizer keeps of all parameters.
    fn num_moments(&self, section: &TrainingSection) -> Result<f64> {
        let model = &self.recipe.model;
        let all = model.num_parameters(self.vocab_size) as f64;
        let embedding = (self.vocab_size * model.hidden_size) as f64;
        let head = if model.tie_embeddings { 0.0 } else { embedding };
        let optimizer = section.optimizer.build(&BuildContext::default()).map_err(failed("plan"))?;
        let state = |role, parameters: f64| {
            // The gains of norms are so few that they pass for part of the projections.
            let parameter = Parameter { name: "", shape: &[1, 1], role };
            parameters
                * match optimizer.update(&parameter).rule {
                    Rule::AdamW { .. } => 2.0,
                    Rule::Muon { .. } => 1.0,
                }
        };
        let inside = all - embedding - head;
        Ok(state(Role::Embedding, embedding) + state(Role::Head, head) + state(Role::Projection, inside))
    }

    fn num_seeds(&self) -> u64 {
        self.recipe.recipe.seeds.len() as u64
    }

    /// Documents of D_pretrain.
    fn documents(&self) -> f64 {
        self.supply.pretrain as f64 / self.document
    }

    fn text_bytes(&self, tokens: TokenCount) -> f64 {
        tokens as f64 * bytes_per_token(self.vocab_size)
    }

    /// As in a token store, which holds no end markers but the length of every document.
    fn token_bytes(&self, tokens: TokenCount) -> f64 {
        let documents = tokens as f64 / self.document;
        (tokens as f64 - documents) * token_bytes(self.vocab_size) as f64 + documents * LENGTH_BYTES
    }
}

/// Tokens that a token of a sequence of `length` attends over on average, itself included.
fn mean_context(length: f64) -> f64 {
    (length + 1.0) / 2.0
}

/// English under a byte-level BPE trained on the same text. A line through two measurements: 3.8 bytes a token with
/// 1,536 tokens on the world of concepts, 4.5 with 4,096 on abstracts of papers.
pub(crate) fn bytes_per_token(vocab_size: usize) -> f64 {
    (3.0 + 1.5 * (vocab_size as f64 / 512.0).log(8.0)).clamp(1.0, 5.0)
}
