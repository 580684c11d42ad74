//! Runs beside each other: which options differ, whether they spent the same, and paired differences of their scores.
//!
//! Scores are compared where every unit of one is the same unit of the other: asked by the same evaluator, of the same
//! documents or questions. Where they are not, the reason stands in place of a difference.

mod run;
mod text;

use std::path::{Path, PathBuf};

use sbp_core::Ledger;
use sbp_plugin::slots::evaluator::Score;
use sbp_recipe::dotted;
use sbp_recipe::match_compute::{self, Verdict};
use serde::Serialize;
use serde_json::Value;

use self::run::Run;
use crate::differences::differences;
use crate::report::compare::{Comparison, compare};
use crate::report::paired::Seeds;
use crate::{Error, Result};

/// Runs, each after the first beside the first.
#[derive(Debug, Clone, Serialize)]
pub struct RunsCompared {
    /// The runs, as they were named.
    pub runs: Vec<RunCompared>,
    /// Every other run against the first.
    pub against_first: Vec<AgainstFirst>,
}

/// A run that is compared.
#[derive(Debug, Clone, Serialize)]
pub struct RunCompared {
    /// As people name it: recipe and beginning of the plan's identity.
    pub name: String,
    /// Its folder.
    pub run_dir: PathBuf,
    /// Identity of its plan.
    pub plan: String,
}

/// One run against the first.
#[derive(Debug, Clone, Serialize)]
pub struct AgainstFirst {
    /// Its place among the runs, from 0.
    pub run: usize,
    /// Options of the resolved recipes that differ.
    pub options: Vec<OptionDifference>,
    /// For each arm that both have: whether the two spent the same.
    pub ledgers: Vec<LedgerMatch>,
    /// For each metric of each arm that both have.
    pub scores: Vec<ScoreDifference>,
    /// Arms and metrics (`arm: metric`) that only the first run has.
    pub only_first: Vec<String>,
    /// Arms and metrics that only the other run has.
    pub only_other: Vec<String>,
}

/// An option that the two recipes give different values.
#[derive(Debug, Clone, Serialize)]
pub struct OptionDifference {
    /// The option, such as `training.peak_lr`.
    pub option: String,
    /// Its value in the first run; null where it has none.
    pub first: Value,
    /// Its value in the other.
    pub other: Value,
}

/// What an arm took in two runs, means over seeds.
#[derive(Debug, Clone, Serialize)]
pub struct LedgerMatch {
    /// The arm.
    pub arm: String,
    /// Training tokens in the first run and in the other.
    pub train_tokens: [u64; 2],
    /// End-to-end FLOPs in the first run and in the other.
    pub end_to_end_flops: [f64; 2],
    /// Whether they count as the same, by what the first run's recipe matches its arms on.
    pub verdict: Verdict,
}

/// One metric of one arm in two runs.
#[derive(Debug, Clone, Serialize)]
pub struct ScoreDifference {
    /// The arm.
    pub arm: String,
    /// The metric.
    pub metric: String,
    /// Whether more is better.
    pub higher_is_better: bool,
    /// The seeds that both have.
    pub seeds: Vec<u64>,
    /// How they compare.
    pub outcome: Outcome,
}

/// How two scores compare.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Unit by unit.
    Compared {
        /// Means over the seeds in the first run and in the other.
        values: [f64; 2],
        /// The other run less the first; here the runs stand where a study's arms do.
        comparison: Box<Comparison>,
    },
    /// Not at all, for this reason.
    NotComparable(String),
}

/// Compares runs, named by their folders or by their `results.json`, with the first of them.
///
/// # Errors
/// When there are fewer than two, or one of them is no finished run.
pub fn compare_runs(paths: &[PathBuf]) -> Result<RunsCompared> {
    let runs = paths.iter().map(|path| Run::read(Path::new(path))).collect::<Result<Vec<_>>>()?;
    let [first, others @ ..] = runs.as_slice() else { return Err(too_few()) };
    if others.is_empty() {
        return Err(too_few());
    }
    Ok(RunsCompared {
        against_first: others
            .iter()
            .enumerate()
            .map(|(place, other)| against(first, place + 1, other))
            .collect(),
        runs: runs
            .iter()
            .map(|run| RunCompared {
                name: run.name(),
                run_dir: run.folder.clone(),
                plan: run.report.plan.clone(),
            })
            .collect(),
    })
}

fn too_few() -> Error {
    Error::Refused("it takes two runs to compare".to_owned())
}

fn against(first: &Run, place: usize, other: &Run) -> AgainstFirst {
    let options = differences(&first.recipe, &other.recipe).into_iter().map(|difference| OptionDifference {
        option: dotted(&difference.at),
        first: difference.before,
        other: difference.after,
    });
    let arms: Vec<&String> =
        first.report.arm_order.iter().filter(|arm| other.report.arm_order.contains(arm)).collect();
    let mut scores: Vec<_> = arms.iter().flat_map(|arm| scores(first, other, arm)).collect();
    // By metric; the arms of each stay in their order.
    scores.sort_by(|a, b| a.metric.cmp(&b.metric));
    AgainstFirst {
        run: place,
        options: options.collect(),
        ledgers: arms.iter().filter_map(|arm| ledgers(first, other, arm)).collect(),
        scores,
        only_first: only(first, other),
        only_other: only(other, first),
    }
}

/// Arms of one run that another lacks, and metrics of the arms that both have.
fn only(run: &Run, lacking: &Run) -> Vec<String> {
    let mut only = Vec::new();
    for arm in &run.report.arm_order {
        if !lacking.report.arm_order.contains(arm) {
            only.push(arm.clone());
            continue;
        }
        let has =
            |metric: &str| lacking.seeds(arm).iter().any(|&seed| lacking.score(arm, seed, metric).is_some());
        let metrics = metrics(run, arm).into_iter().filter(|score| !has(&score.metric));
        only.extend(metrics.map(|score| format!("{arm}: {}", score.metric)));
    }
    only
}

/// The scores of an arm's first seed, one for each metric.
fn metrics<'r>(run: &'r Run, arm: &str) -> Vec<&'r Score> {
    run.seeds(arm).first().map(|&seed| run.scores(arm, seed).iter().collect()).unwrap_or_default()
}

fn ledgers(first: &Run, other: &Run, arm: &str) -> Option<LedgerMatch> {
    let both = [first.report.ledger.get(arm)?, other.report.ledger.get(arm)?];
    let named = ["first", "other"].map(str::to_owned).into_iter().zip(both.map(Ledger::clone)).collect();
    Some(LedgerMatch {
        arm: arm.to_owned(),
        train_tokens: both.map(|ledger| ledger.cost(sbp_core::Cause::Train).tokens),
        end_to_end_flops: both.map(Ledger::end_to_end_flops),
        verdict: match_compute::verdict(first.report.compute_match.mode, &named),
    })
}

/// Every metric of an arm that both runs have.
fn scores(first: &Run, other: &Run, arm: &str) -> Vec<ScoreDifference> {
    let others = other.seeds(arm);
    let seeds: Vec<u64> = first.seeds(arm).into_iter().filter(|seed| others.contains(seed)).collect();
    let shared = metrics(first, arm)
        .into_iter()
        .filter(|score| others.iter().any(|&seed| other.score(arm, seed, &score.metric).is_some()));
    shared
        .map(|score| ScoreDifference {
            arm: arm.to_owned(),
            metric: score.metric.clone(),
            higher_is_better: score.higher_is_better,
            outcome: match paired(first, other, arm, &score.metric, &seeds) {
                Ok(outcome) => outcome,
                Err(reason) => Outcome::NotComparable(reason),
            },
            seeds: seeds.clone(),
        })
        .collect()
}

/// The difference, or why there is none.
fn paired(
    first: &Run,
    other: &Run,
    arm: &str,
    metric: &str,
    seeds: &[u64],
) -> std::result::Result<Outcome, String> {
    if seeds.is_empty() {
        return Err("no seed in common".to_owned());
    }
    let (mut of_first, mut of_other): (Seeds<'_>, Seeds<'_>) = (Vec::new(), Vec::new());
    for &seed in seeds {
        same_question(first, other, arm, metric, seed)?;
        let both = (first.score(arm, seed, metric), other.score(arm, seed, metric));
        let (Some(a), Some(b)) = both else { return Err(format!("no score for seed {seed}")) };
        same_units(a, b)?;
        of_first.push(a);
        of_other.push(b);
    }
    // By place, since a run may be compared with itself.
    let compared = compare(&[("first", of_first.clone()), ("other", of_other.clone())], "first", "");
    let comparison = compared.into_iter().next().ok_or("the runs have other units or seeds")?;
    let mean = |seeds: &Seeds<'_>| seeds.iter().map(|score| score.value()).sum::<f64>() / seeds.len() as f64;
    Ok(Outcome::Compared { values: [mean(&of_first), mean(&of_other)], comparison: Box::new(comparison) })
}

/// Whether both runs measured a metric by the same evaluator and on the same texts.
fn same_question(
    first: &Run,
    other: &Run,
    arm: &str,
    metric: &str,
    seed: u64,
) -> std::result::Result<(), String> {
    let both = (first.evaluator(arm, seed, metric), other.evaluator(arm, seed, metric));
    let (Some(a), Some(b)) = both else {
        return Err("a run does not say how it was measured".to_owned());
    };
    let choice = |evaluator: &Value| ["kind", "version", "options"].map(|part| evaluator[part].clone());
    if choice(a) != choice(b) {
        return Err("another evaluator, or other options of it".to_owned());
    }
    if a["content"] != b["content"] {
        return Err("other files of the task".to_owned());
    }
    // An evaluator without files of its own asks about the corpus: held-out documents, or questions.
    let asks_corpus = a["content"].is_null();
    if asks_corpus && metric.starts_with("val/") && first.heldout != other.heldout {
        return Err("other held-out documents".to_owned());
    }
    if asks_corpus && metric.starts_with("eval/") && first.questions != other.questions {
        return Err("other questions".to_owned());
    }
    Ok(())
}

/// Whether two scores average over the same units, as far as they tell.
fn same_units(first: &Score, other: &Score) -> std::result::Result<(), String> {
    if (first.form, first.higher_is_better) != (other.form, other.higher_is_better) {
        return Err("another formula".to_owned());
    }
    let (n, m) = (first.units.len(), other.units.len());
    if n != m {
        return Err(format!("{n} units and {m}"));
    }
    // Tokens of another tokenizer, for one.
    if first.units.iter().zip(&other.units).any(|(a, b)| a.1 != b.1) {
        return Err("units of other sizes".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_the_same_when_they_are_as_many_and_as_large() {
        let score = |units: &[(f64, f64)]| Score::ratio("val/t/bpb", false, units.to_vec());
        let first = score(&[(1.0, 2.0), (3.0, 4.0)]);
        assert_eq!(same_units(&first, &score(&[(9.0, 2.0), (9.0, 4.0)])), Ok(()));
        assert_eq!(same_units(&first, &score(&[(1.0, 2.0)])), Err("2 units and 1".to_owned()));
        assert!(same_units(&first, &score(&[(1.0, 2.0), (3.0, 5.0)])).is_err());
        assert!(same_units(&first, &Score::perplexity("val/t/bpb", first.units.clone())).is_err());
    }
}
