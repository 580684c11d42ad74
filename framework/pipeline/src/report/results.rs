//! Results: what scripts read (`report/results.json`).
//!
//! Two runs of one recipe on one class of machine give the same file but for `provenance` and `timing`.

use std::collections::BTreeMap;
use std::time::Duration;

use sbp_core::{Cause, Cost, Ledger};
use sbp_plugin::slots::arm::{Share, Supply};
use sbp_plugin::slots::evaluator::Score;
use sbp_recipe::match_compute::{self, Verdict};
use sbp_recipe::{ComparisonSection, Plan, plan::ArmPlan};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::compare::{Comparison, compare};
use super::curves::Curve;
use super::holm;
use super::nan;
use super::paired::Seeds;
use crate::stages::corpus::{CorpusData, Summary as CorpusSummary};
use crate::stages::embed::Stored;
use crate::stages::pair::Summary as PairSummary;
use crate::stages::quality::{Quality, Sample};
use crate::stages::tune::Summary as TuneSummary;

/// Version of the layout of `results.json`, raised when what reads it would go wrong.
pub const RESULTS_VERSION: u32 = 2;

/// The whole outcome of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Results {
    /// Version of this layout.
    pub schema_version: u32,
    /// The recipe's name.
    pub recipe: String,
    /// What the study asks, in the recipe's words.
    pub description: String,
    /// Identity of the plan.
    pub plan: String,
    /// How large the study is.
    pub scale: Scale,
    /// The arms in table order.
    pub arm_order: Vec<String>,
    /// Metrics by arm.
    pub arms: BTreeMap<String, ArmResults>,
    /// Each arm against the baseline, metric by metric.
    pub comparisons: Vec<Comparison>,
    /// By arm and cause: tokens and FLOPs, means over seeds.
    pub ledger: BTreeMap<String, BTreeMap<String, Cost>>,
    /// Whether the arms spent the same, over all seeds.
    pub compute_match: Verdict,
    /// By arm: how the training of each seed went.
    pub curves: BTreeMap<String, Vec<Curve>>,
    /// Counts of the corpus.
    pub corpus: Value,
    /// Quality of pairs and synthetic documents, by seed, and by round where there are several.
    pub quality: BTreeMap<String, Value>,
    /// A few synthetic documents beside their seeds.
    pub samples: Vec<Sample>,
    /// Circumstances; may differ between runs of one recipe.
    pub provenance: Value,
    /// Wall-clock figures; differ between runs.
    pub timing: Value,
}

impl Results {
    /// The plan's identity as folders are named by it.
    pub(crate) fn short_plan(&self) -> &str {
        first_digits(&self.plan)
    }
}

/// As much of an identity as names a folder.
pub(crate) fn first_digits(identity: &str) -> &str {
    identity.get(..8).unwrap_or(identity)
}

/// The JSON Schema of `results.json`.
pub fn results_schema() -> Value {
    SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Results>().to_value()
}

/// How large a study is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Scale {
    /// Parameters of the model, embeddings included.
    pub parameters: u64,
    /// Training tokens of D_pretrain, each counted once.
    pub unique_tokens: u64,
    /// Tokens that an arm trains on: the most that any does.
    pub train_tokens: u64,
    /// Tokens in the vocabulary, markers included.
    pub vocabulary: usize,
    /// Longest sequence in tokens that the model attends over.
    pub context: usize,
}

/// One arm's results.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ArmResults {
    /// Kind of the arm.
    pub kind: String,
    /// Where its tokens came from, with the unique tokens of each source.
    pub sources: Vec<Value>,
    /// Results of each seed.
    pub seeds: Vec<SeedResults>,
    /// Means over seeds.
    pub metrics: BTreeMap<String, Metric>,
}

/// One arm and seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SeedResults {
    /// The seed.
    pub seed: u64,
    /// Metric values by name.
    #[serde(deserialize_with = "nan::numbers")]
    pub metrics: BTreeMap<String, f64>,
}

/// A metric over seeds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Metric {
    /// Mean over seeds.
    #[serde(deserialize_with = "nan::number")]
    pub mean: f64,
    /// Standard error: of the units for one seed, of the seeds for several.
    #[serde(deserialize_with = "nan::number")]
    pub stderr: f64,
    /// Number of seeds.
    pub n: usize,
}

/// One trained and evaluated arm of one seed.
pub(crate) struct ArmRun {
    pub(crate) plan: ArmPlan,
    pub(crate) seed: u64,
    pub(crate) ledger: Ledger,
    pub(crate) final_loss: f64,
    pub(crate) scores: Vec<Score>,
    pub(crate) curve: Curve,
}

/// What a run gathers on its way.
pub(crate) struct Findings {
    arm_order: Vec<String>,
    corpus: CorpusSummary,
    runs: Vec<ArmRun>,
    quality: BTreeMap<String, Value>,
    samples: Vec<Sample>,
}

impl Findings {
    pub(crate) fn new(plan: &Plan, corpus: &CorpusData) -> Self {
        Self {
            arm_order: plan.arm_names(),
            corpus: corpus.summary.clone(),
            runs: Vec::new(),
            quality: BTreeMap::new(),
            samples: Vec::new(),
        }
    }

    pub(crate) fn synthesis(
        &mut self,
        name: &str,
        embeddings: Stored,
        pairs: &PairSummary,
        tuning: &TuneSummary,
        quality: Quality,
        samples: Vec<Sample>,
    ) {
        self.quality.insert(
            name.to_owned(),
            json!({"embeddings": embeddings, "pairs": pairs, "tuning": tuning, "synthetic": quality}),
        );
        if self.samples.is_empty() {
            self.samples = samples;
        }
    }

    pub(crate) fn arm(&mut self, run: ArmRun) {
        self.runs.push(run);
    }

    pub(crate) fn conclude(
        self,
        plan: &Plan,
        supply: &Supply,
        vocabulary: usize,
        provenance: Value,
        elapsed: Duration,
    ) -> Results {
        let runs_of = |name: &str| self.runs.iter().filter(|run| run.plan.name == name).collect::<Vec<_>>();
        let arms =
            self.arm_order.iter().map(|name| (name.clone(), arm_results(&runs_of(name), supply))).collect();
        let ledger = self.arm_order.iter().map(|name| (name.clone(), mean_ledger(&runs_of(name)))).collect();
        let curves_of = |name| runs_of(name).into_iter().map(|run| run.curve.clone()).collect();
        let curves = self.arm_order.iter().map(|name| (name.clone(), curves_of(name))).collect();
        let compute_match = self.verdict(plan);
        Results {
            schema_version: RESULTS_VERSION,
            recipe: plan.recipe.recipe.name.clone(),
            description: plan.recipe.recipe.description.clone(),
            plan: plan.id.to_string(),
            scale: self.scale(plan, supply, vocabulary),
            comparisons: self.comparisons(plan, compute_match.matched),
            compute_match,
            arm_order: self.arm_order.clone(),
            arms,
            ledger,
            curves,
            corpus: json!(self.corpus),
            quality: self.quality,
            samples: self.samples,
            provenance,
            timing: json!({"elapsed_secs": elapsed.as_secs_f64()}),
        }
    }

    fn scale(&self, plan: &Plan, supply: &Supply, vocabulary: usize) -> Scale {
        let model = &plan.recipe.model;
        let trained = self.runs.iter().map(|run| run.ledger.cost(Cause::Train).tokens);
        Scale {
            parameters: model.num_parameters(vocabulary),
            unique_tokens: supply.pretrain,
            train_tokens: trained.max().unwrap_or_default(),
            vocabulary,
            context: model.context_length,
        }
    }

    /// The worst of the seeds' verdicts.
    fn verdict(&self, plan: &Plan) -> Verdict {
        let mode = plan.recipe.budget.match_on;
        let verdicts = plan.recipe.recipe.seeds.iter().map(|&seed| {
            let ledgers = self.runs.iter().filter(|run| run.seed == seed);
            match_compute::verdict(
                mode,
                &ledgers.map(|run| (run.plan.name.clone(), run.ledger.clone())).collect(),
            )
        });
        verdicts
            .max_by(|a, b| a.residual.total_cmp(&b.residual))
            .unwrap_or_else(|| match_compute::verdict(mode, &BTreeMap::new()))
    }

    /// Every arm on every metric, corrected for their number; `comparable` says whether the arms spent the same.
    fn comparisons(&self, plan: &Plan, comparable: bool) -> Vec<Comparison> {
        let scores = |arm: &str, metric: &str| -> Seeds<'_> {
            let runs = self.runs.iter().filter(|run| run.plan.name == arm);
            runs.filter_map(|run| run.scores.iter().find(|score| score.metric == metric)).collect()
        };
        let Some(first) = self.runs.first() else { return Vec::new() };
        let names = &plan.recipe.comparison;
        let mut comparisons = Vec::new();
        for metric in compared(names, first) {
            let arms = self.arm_order.iter().map(|arm| (arm.as_str(), scores(arm, metric)));
            let arms: Vec<_> = arms.filter(|(_, seeds)| !seeds.is_empty()).collect();
            comparisons.extend(compare(&arms, &names.baseline, &names.oracle));
        }
        for comparison in &mut comparisons {
            comparison.comparable = comparable;
        }
        holm::correct(&mut comparisons);
        comparisons
    }
}

/// The metrics to compare on: those the recipe lists, else all that were computed.
fn compared<'f>(names: &'f ComparisonSection, first: &'f ArmRun) -> Vec<&'f str> {
    if names.metrics.is_empty() {
        first.scores.iter().map(|score| score.metric.as_str()).collect()
    } else {
        names.metrics.iter().map(String::as_str).collect()
    }
}

fn arm_results(runs: &[&ArmRun], supply: &Supply) -> ArmResults {
    let seeds: Vec<SeedResults> = runs
        .iter()
        .map(|run| {
            let mut metrics: BTreeMap<String, f64> =
                run.scores.iter().map(|score| (score.metric.clone(), score.value())).collect();
            metrics.insert("train/loss".to_owned(), run.final_loss);
            SeedResults { seed: run.seed, metrics }
        })
        .collect();
    let mut metrics = BTreeMap::new();
    if let Some(first) = runs.first() {
        for score in &first.scores {
            let values: Vec<f64> = seeds.iter().map(|seed| seed.metrics[&score.metric]).collect();
            let n = values.len();
            let mean = values.iter().sum::<f64>() / n as f64;
            let stderr = if n > 1 {
                (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1) as f64 / n as f64)
                    .sqrt()
            } else {
                score.stderr()
            };
            metrics.insert(score.metric.clone(), Metric { mean, stderr, n });
        }
    }
    ArmResults {
        kind: runs.first().map(|run| run.plan.kind.clone()).unwrap_or_default(),
        sources: runs.first().map(|run| sources(&run.plan.shares, supply)).unwrap_or_default(),
        seeds,
        metrics,
    }
}

fn sources(shares: &[Share], supply: &Supply) -> Vec<Value> {
    shares
        .iter()
        .map(|share| {
            let unique = sbp_recipe::plan::unique_tokens(supply, share.source);
            json!({
                "source": share.source,
                "tokens": share.tokens,
                "unique_tokens": unique,
                "passes": share.tokens as f64 / unique.max(1) as f64,
            })
        })
        .collect()
}

fn mean_ledger(runs: &[&ArmRun]) -> BTreeMap<String, Cost> {
    let n = runs.len().max(1) as u64;
    Cause::ALL
        .into_iter()
        .map(|cause| {
            let (tokens, flops) = runs.iter().fold((0, 0.0), |(tokens, flops), run| {
                let cost = run.ledger.cost(cause);
                (tokens + cost.tokens, flops + cost.flops)
            });
            (cause.name().to_owned(), Cost { tokens: tokens / n, flops: flops / n as f64 })
        })
        .collect()
}
