//! One run as its folder tells of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use sbp_core::{Fingerprint, Ledger};
use sbp_plugin::slots::evaluator::Score;
use sbp_recipe::match_compute::Verdict;
use serde::Deserialize;
use serde_json::Value;

use crate::report::other_version;
use crate::report::results::RESULTS_VERSION;
use crate::stages::evaluate::Scores;
use crate::{Error, Result, files};

/// A finished run.
pub(super) struct Run {
    pub(super) folder: PathBuf,
    pub(super) report: Report,
    /// The recipe with every default.
    pub(super) recipe: Value,
    pub(super) heldout: Fingerprint,
    pub(super) questions: Fingerprint,
    scores: BTreeMap<(String, u64), Scores>,
}

/// What is needed of `results.json`.
#[derive(Deserialize)]
pub(super) struct Report {
    pub(super) recipe: String,
    pub(super) plan: String,
    pub(super) arm_order: Vec<String>,
    pub(super) ledger: BTreeMap<String, Ledger>,
    pub(super) compute_match: Verdict,
    arms: BTreeMap<String, Arm>,
}

#[derive(Deserialize)]
struct Arm {
    seeds: Vec<Seed>,
}

#[derive(Deserialize)]
struct Seed {
    seed: u64,
}

impl Run {
    /// Reads a run by its folder or by its `results.json`.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let folder = match path.is_file() {
            // report/results.json
            true => path.ancestors().nth(2).filter(|above| *above != Path::new("")).unwrap_or(Path::new(".")),
            false => path,
        };
        let report = report(path, folder)?;
        let resolved = folder.join("recipe.resolved.toml");
        let text = fs::read_to_string(&resolved).map_err(Error::file("read", &resolved))?;
        let recipe = toml::from_str(&text).map_err(|error| files::invalid(&resolved, &error))?;
        let mut scores = BTreeMap::new();
        for (arm, results) in &report.arms {
            for &Seed { seed } in &results.seeds {
                let path = folder.join(format!("arms/{arm}/seed-{seed}/eval/scores.json"));
                scores.insert((arm.clone(), seed), files::read_json(&linked(path)?)?);
            }
        }
        let content = |name: &str| {
            let path = linked(folder.join("stages/corpus").join(name))?;
            let bytes = fs::read(&path).map_err(Error::file("read", &path))?;
            Ok::<_, Error>(Fingerprint::of_bytes(&bytes))
        };
        Ok(Self {
            recipe,
            heldout: content("heldout.jsonl")?,
            questions: content("questions.jsonl")?,
            scores,
            report,
            folder: folder.to_owned(),
        })
    }

    /// As people name it: `quickstart/1de5811b`.
    pub(super) fn name(&self) -> String {
        let id = self.report.plan.get(..8).unwrap_or(&self.report.plan);
        format!("{}/{id}", self.report.recipe)
    }

    /// The seeds of an arm; none for an arm that it does not have.
    pub(super) fn seeds(&self, arm: &str) -> Vec<u64> {
        let arm = self.report.arms.get(arm);
        arm.map(|arm| arm.seeds.iter().map(|seed| seed.seed).collect()).unwrap_or_default()
    }

    /// What an arm scored.
    pub(super) fn scores(&self, arm: &str, seed: u64) -> &[Score] {
        self.measured(arm, seed).map_or(&[], |scores| &scores.scores)
    }

    /// An arm's score on a metric.
    pub(super) fn score(&self, arm: &str, seed: u64, metric: &str) -> Option<&Score> {
        self.scores(arm, seed).iter().find(|score| score.metric == metric)
    }

    /// The evaluator that measured a metric, as far as it decides about the score.
    pub(super) fn evaluator(&self, arm: &str, seed: u64, metric: &str) -> Option<&Value> {
        self.measured(arm, seed)?.evaluators.get(metric)
    }

    fn measured(&self, arm: &str, seed: u64) -> Option<&Scores> {
        self.scores.get(&(arm.to_owned(), seed))
    }
}

fn report(named: &Path, folder: &Path) -> Result<Report> {
    let path = folder.join("report/results.json");
    if !path.exists() {
        let remedy = match folder.join("recipe.toml").exists() {
            true => "it has not come to its table, and `sbp run` with its recipe goes on with it",
            false => "name a run's folder, such as .sbp/runs/quickstart/1de5811b, or its report/results.json",
        };
        return Err(Error::Refused(format!("{} is no finished run: {remedy}", named.display())));
    }
    let results: Value = files::read_json(&path)?;
    if let Some(points) = results["points"].as_array() {
        let points = points.iter().filter_map(|point| point["run_dir"].as_str());
        let points: Vec<String> = points.map(|point| folder.join(point).display().to_string()).collect();
        return Err(Error::Refused(format!(
            "{} is a sweep; compare its points: {}",
            named.display(),
            points.join(" ")
        )));
    }
    if let Some(reason) = other_version(&results, RESULTS_VERSION) {
        return Err(Error::Refused(format!("cannot compare {}: {reason}", path.display())));
    }
    serde_json::from_value(results).map_err(|error| files::invalid(&path, &error))
}

/// A path whose links lead into the store.
fn linked(path: PathBuf) -> Result<PathBuf> {
    if path.exists() {
        return Ok(path);
    }
    Err(Error::Refused(format!(
        "{} is not there; a run's folder leads into the store of its home, so keep (or copy) the whole home",
        path.display()
    )))
}
