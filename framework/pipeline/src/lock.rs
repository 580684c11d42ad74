//! The lock of a recipe: everything that its results depend on, in a file that lies beside it and is kept with it.
//!
//! A run folder has its own. `--locked` compares what a recipe means now with what it meant when it was locked.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sbp_core::Fingerprint;
use sbp_plugin::input;
use sbp_plugin::registry::BuildContext;
use sbp_recipe::{Plan, Point, Recipe, SCHEMA_VERSION, dotted};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::differences::{Difference, differences, said};
use crate::stages::corpus::EvaluationSets;
use crate::stages::failed;
use crate::{Result, files};

/// What a recipe means: program, language, plugins, inputs, and the resolved recipe of every point.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Lock(Value);

/// What one recipe depends on.
#[derive(Serialize)]
struct PointLock {
    /// Value by axis, for a point of a sweep.
    #[serde(skip_serializing_if = "is_no_point")]
    values: Point,
    plan: Fingerprint,
    /// By place in the recipe.
    plugins: BTreeMap<String, PluginLock>,
    inputs: Inputs,
    /// Every default explicit; without paths, whose content is under `inputs`, and without what cannot change a
    /// result.
    recipe: Value,
}

#[derive(Serialize)]
struct PluginLock {
    kind: &'static str,
    version: u32,
}

#[derive(Serialize)]
struct Inputs {
    /// Content of the corpus.
    corpus: Fingerprint,
    /// Content of each evaluation set, by name.
    #[serde(skip_serializing_if = "no_sets")]
    evaluation_sets: Value,
    /// Content of a given `tokenizer.json`; none for a tokenizer that the study trains.
    #[serde(skip_serializing_if = "Option::is_none")]
    tokenizer: Option<Fingerprint>,
    /// Content of the files that evaluators read, by place in the recipe.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    evaluators: BTreeMap<String, Fingerprint>,
}

fn no_sets(sets: &Value) -> bool {
    sets.as_object().is_none_or(serde_json::Map::is_empty)
}

fn is_no_point(point: &Point) -> bool {
    point.0.is_empty()
}

impl Lock {
    /// The lock of these plans: one, or the points of a sweep. Reads the inputs once.
    ///
    /// # Errors
    /// When the corpus or the tokenizer cannot be read.
    pub fn of(plans: &[Plan]) -> Result<Self> {
        let mut corpora: BTreeMap<String, Fingerprint> = BTreeMap::new();
        let mut points = Vec::new();
        for plan in plans {
            let choice = json!(plan.recipe.corpus).to_string();
            let corpus = match corpora.get(&choice) {
                Some(corpus) => corpus.clone(),
                None => {
                    let fail = failed("lock");
                    let corpus = plan.recipe.corpus.build(&BuildContext::default()).map_err(&fail)?;
                    let content = corpus.fingerprint().map_err(&fail)?;
                    corpora.insert(choice, content.clone());
                    content
                }
            };
            points.push(PointLock::of(plan, corpus)?);
        }
        Ok(Self(json!({
            "lock_version": 1,
            "sbp": env!("CARGO_PKG_VERSION"),
            "recipe_schema": SCHEMA_VERSION,
            "points": points,
        })))
    }

    /// Where the lock of a recipe lies: `study.lock.json` beside `study.toml`.
    pub fn path_of(recipe: &Path) -> PathBuf {
        recipe.with_extension("lock.json")
    }

    /// Reads a lock.
    ///
    /// # Errors
    /// When there is none or it is not JSON.
    pub fn read(path: &Path) -> Result<Self> {
        files::read_json(path)
    }

    /// Writes the lock.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        files::write_json(path, self)
    }

    /// What is not as it was locked, a line each: `recipe.training.peak_lr: 0.004 is locked, 0.005 found`.
    pub fn differences(&self, now: &Self) -> Vec<String> {
        let mut lines = compare(&without_points(&self.0), &without_points(&now.0));
        let (locked, found) = (points(&self.0), points(&now.0));
        if locked.len() != found.len() {
            lines.push(format!("the sweep: {} points are locked, {} found", locked.len(), found.len()));
            return lines;
        }
        let mut where_found: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (index, (locked, found)) in locked.iter().zip(found).enumerate() {
            for line in compare(locked, found) {
                where_found.entry(line).or_default().push((index + 1).to_string());
            }
        }
        lines.extend(where_found.into_iter().map(|(line, at)| {
            if at.len() == locked.len() { line } else { format!("{line} (point {})", at.join(", ")) }
        }));
        lines
    }
}

impl PointLock {
    fn of(plan: &Plan, corpus: Fingerprint) -> Result<Self> {
        let choices = plan.recipe.choices().into_iter().filter(|(at, _)| !at.starts_with("/trackers"));
        let plugins = choices
            .map(|(at, choice)| (dotted(&at), PluginLock { kind: choice.kind(), version: choice.version() }))
            .collect();
        let tokenizer = match &plan.recipe.tokenizer.file {
            Some(file) => {
                let bytes = input::bytes(file.as_ref()).map_err(failed("lock"))?;
                Some(Fingerprint::of_bytes(&bytes))
            }
            None => None,
        };
        let evaluation_sets = EvaluationSets::read(&plan.recipe.splits)?.identity();
        Ok(Self {
            values: plan.point.clone(),
            plan: plan.id.clone(),
            plugins,
            inputs: Inputs { corpus, evaluation_sets, tokenizer, evaluators: evaluators(plan)? },
            recipe: plan.identity(),
        })
    }
}

fn evaluators(plan: &Plan) -> Result<BTreeMap<String, Fingerprint>> {
    let Recipe { evaluators, dynamics, .. } = &plan.recipe;
    let mut contents = BTreeMap::new();
    for (section, evaluators) in [("evaluators", evaluators), ("dynamics.evaluators", &dynamics.evaluators)] {
        for (index, selected) in evaluators.iter().enumerate() {
            let content = selected.build(&BuildContext::default()).and_then(|evaluator| evaluator.content());
            if let Some(content) = content.map_err(failed("lock"))? {
                contents.insert(format!("{section}.{index}"), content);
            }
        }
    }
    Ok(contents)
}

fn points(lock: &Value) -> &[Value] {
    lock["points"].as_array().map_or(&[], Vec::as_slice)
}

fn without_points(lock: &Value) -> Value {
    let mut lock = lock.clone();
    lock["points"].take();
    lock
}

/// What differs, a line each. A plan's fingerprint differs with any of it and says nothing itself.
fn compare(locked: &Value, found: &Value) -> Vec<String> {
    let differences = differences(locked, found).into_iter().filter(|difference| difference.at != "/plan");
    differences
        .map(|Difference { at, before, after }| {
            format!("{}: {} is locked, {} found", dotted(&at), said(&before), said(&after))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_changed_leaf_is_named() {
        let point = |lr: f64, version: u32| {
            json!({
                "plan": lr.to_string(),
                "plugins": {"mixer": {"kind": "joint", "version": version}},
                "recipe": {"training": {"peak_lr": lr}, "arms": {"a": {}}},
            })
        };
        let lock = |points: &[Value]| Lock(json!({"sbp": "1", "points": points}));
        let locked = lock(&[point(0.1, 1), point(0.3, 1)]);
        assert_eq!(locked.differences(&locked), Vec::<String>::new());
        assert_eq!(
            locked.differences(&lock(&[point(0.2, 2), point(0.3, 2)])),
            [
                "plugins.mixer.version: 1 is locked, 2 found",
                "recipe.training.peak_lr: 0.1 is locked, 0.2 found (point 1)",
            ]
        );
        assert_eq!(locked.differences(&lock(&[point(0.1, 1)])), ["the sweep: 2 points are locked, 1 found"]);
    }
}
