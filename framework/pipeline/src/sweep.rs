//! A sweep: one plan after another in one store, so that what points have in common is made once.
//!
//! Each point is a run of its own with a folder of its own; the sweep adds a report with a row per point. A point
//! that fails does not take the others with it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use sbp_plugin::ports::Runtime;
use sbp_recipe::match_compute::Verdict;
use sbp_recipe::{Plan, Point};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::lock::Lock;
use crate::pipeline::{Finished, Options, run};
use crate::report::compare::Comparison;
use crate::report::results::Metric;
use crate::report::table;
use crate::run_folder::sweep_id;
use crate::watch::Reporter;
use crate::{Error, Result, RunFolder, files, report};

/// Version of the layout of a sweep's `results.json`.
pub(crate) const SWEEP_VERSION: u32 = 2;

/// The outcome of a sweep (`report/results.json` of its folder).
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct SweepResults {
    /// Version of this layout.
    pub schema_version: u32,
    /// The recipe's name.
    pub recipe: String,
    /// Identity of the sweep: of its points, in order.
    pub sweep: String,
    /// One entry a point, in the order of the sweep.
    pub points: Vec<PointResults>,
    /// Wall-clock figures; differ between runs.
    pub timing: Value,
}

/// One point of a sweep.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct PointResults {
    /// Value by axis.
    #[schemars(with = "BTreeMap<String, Value>")]
    pub values: Point,
    /// Identity of its plan.
    pub plan: String,
    /// Its run folder, as seen from the sweep's.
    pub run_dir: PathBuf,
    /// What it found, or why it failed.
    pub outcome: Outcome,
}

/// How a point ended.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It came to its table.
    Finished(Box<Findings>),
    /// It failed; the message says why.
    Failed(String),
}

/// What the sweep's report needs of a point; its own `results.json` has the rest.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Findings {
    /// Metrics by arm, means over seeds.
    pub arms: BTreeMap<String, BTreeMap<String, Metric>>,
    /// The arms in table order.
    pub arm_order: Vec<String>,
    /// Each arm against the baseline.
    pub comparisons: Vec<Comparison>,
    /// Whether the arms spent the same.
    pub compute_match: Verdict,
}

/// The JSON Schema of a sweep's `results.json`.
pub fn sweep_schema() -> Value {
    SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<SweepResults>().to_value()
}

/// A sweep that came to its report.
#[derive(Debug)]
pub struct FinishedSweep {
    /// Its folder.
    pub folder: RunFolder,
    /// Its results.
    pub results: SweepResults,
    /// Its table, as in `report/table.md`.
    pub table: String,
}

impl SweepResults {
    /// Whether every point came to its table.
    pub fn is_complete(&self) -> bool {
        self.points.iter().all(|point| matches!(point.outcome, Outcome::Finished(_)))
    }

    /// Whether the arms of every finished point spent the same.
    pub fn is_matched(&self) -> bool {
        self.points.iter().all(|point| match &point.outcome {
            Outcome::Finished(findings) => findings.compute_match.matched,
            Outcome::Failed(_) => true,
        })
    }
}

/// Runs the plans of a sweep one after another. Stopped and started again, it goes on.
///
/// # Errors
/// When it is stopped, or its own report cannot be written. A point that fails is a row of the report.
pub fn run_sweep(
    plans: &[Plan],
    runtime: &mut dyn Runtime,
    reporter: &mut dyn Reporter,
    options: &Options<'_>,
) -> Result<FinishedSweep> {
    let first = plans.first().ok_or_else(|| Error::Corpus("a sweep has no points".to_owned()))?;
    let folder = RunFolder::of_sweep(options.home, plans);
    files::create_folder(&folder.path.join("report"))?;
    files::write_whole(&folder.path.join("recipe.toml"), first.written.as_bytes())?;
    Lock::of(plans)?.write(&folder.path.join("recipe.lock.json"))?;
    let mut points = Vec::new();
    for (index, plan) in plans.iter().enumerate() {
        reporter.show(&format!("\n== point {} of {}: {}", index + 1, plans.len(), plan.point));
        let outcome = match run(plan, runtime, reporter, options) {
            Ok(finished) => Outcome::Finished(Box::new(Findings::of(&finished))),
            Err(ended @ (Error::Stopped { .. } | Error::Team(_))) => return Err(ended),
            // The others ended with it.
            Err(error) if !runtime.team().is_alone() => return Err(error),
            Err(error) => {
                reporter
                    .warn(&format!("point {} failed: {error}; the sweep goes on with the next", index + 1));
                Outcome::Failed(error.to_string())
            }
        };
        points.push(PointResults {
            values: plan.point.clone(),
            plan: plan.id.to_string(),
            run_dir: folder.to(&RunFolder::of(options.home, plan)),
            outcome,
        });
    }
    let elapsed: Duration = (options.elapsed)();
    let results = SweepResults {
        schema_version: SWEEP_VERSION,
        recipe: first.recipe.recipe.name.clone(),
        sweep: sweep_id(plans).to_string(),
        points,
        timing: json!({"elapsed_secs": elapsed.as_secs_f64()}),
    };
    files::write_json(&folder.results(), &results)?;
    report::write_sweep(&results, &folder.path.join("report"))?;
    let table = table::sweep(&results);
    Ok(FinishedSweep { folder, results, table })
}

impl Findings {
    fn of(finished: &Finished) -> Self {
        let results = &finished.results;
        Self {
            arms: results.arms.iter().map(|(name, arm)| (name.clone(), arm.metrics.clone())).collect(),
            arm_order: results.arm_order.clone(),
            comparisons: results.comparisons.clone(),
            compute_match: results.compute_match.clone(),
        }
    }
}
