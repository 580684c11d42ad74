//! Evaluation: every evaluator's scores of one trained model.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use sbp_core::{Cause, Cost, Document, Ledger};
use sbp_plugin::ports::{LanguageModel, Precision, Tokenizer};
use sbp_plugin::registry::BuildContext;
use sbp_plugin::slots::corpus::Question;
use sbp_plugin::slots::evaluator::{EvalContext, Evaluator, Item, Score, TaskCard};
use sbp_plugin::slots::tracker::MetricPoint;
use sbp_plugin::{Selected, slots};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::corpus::CorpusData;
use super::tokenize::Tokens;
use super::{Study, failed, train};
use crate::evaluation::harness;
use crate::report::curves::CurvePoint;
use crate::store::Artifact;
use crate::together::each_piece;
use crate::watch::Progress;
use crate::{Error, Result, files};

/// Scores of one model, `scores.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Scores {
    pub(crate) scores: Vec<Score>,
    pub(crate) ledger: Ledger,
    /// The tasks that were asked.
    #[serde(default)]
    pub(crate) tasks: Vec<TaskCard>,
    /// By metric: the evaluator that measured it, as far as it decides about the score.
    #[serde(default)]
    pub(crate) evaluators: BTreeMap<String, Value>,
}

impl Scores {
    /// Value by metric.
    pub(crate) fn values(&self) -> BTreeMap<String, f64> {
        self.scores.iter().map(|score| (score.metric.clone(), score.value())).collect()
    }
}

/// What a model may be asked about.
#[derive(Clone, Copy)]
pub(crate) struct Questions<'a> {
    pub(crate) tokenizer: &'a dyn Tokenizer,
    pub(crate) heldout: &'a [Document],
    pub(crate) questions: &'a [Question],
}

impl<'a> Questions<'a> {
    pub(crate) fn of(corpus: &'a CorpusData, tokens: &'a Tokens) -> Self {
        Self { tokenizer: tokens.tokenizer.as_ref(), heldout: &corpus.heldout, questions: &corpus.questions }
    }
}

/// What an evaluation came to.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Evaluation {
    pub(crate) scores: Vec<Score>,
    pub(crate) items: Vec<Item>,
    pub(crate) tasks: Vec<TaskCard>,
    /// By metric: the evaluator that measured it, as far as it decides about the score.
    pub(crate) evaluators: BTreeMap<String, Value>,
    pub(crate) cost: Cost,
}

/// The evaluators of a study, as far as they decide about scores: their choices and what they read.
pub(crate) fn identity(evaluators: &[Selected<slots::Evaluator>], seed: u64) -> sbp_plugin::Result<Value> {
    let identity = |selected: &Selected<slots::Evaluator>| {
        identity_of(selected, selected.build(&BuildContext { seed })?.as_ref())
    };
    evaluators.iter().map(identity).collect()
}

fn identity_of(
    selected: &Selected<slots::Evaluator>,
    evaluator: &dyn Evaluator,
) -> sbp_plugin::Result<Value> {
    let mut identity = selected.identity();
    if let Some(content) = evaluator.content()? {
        identity["content"] = json!(content);
    }
    Ok(identity)
}

/// Asks every evaluator about a model; `done` is told how many have answered.
pub(crate) fn evaluate(
    model: &mut dyn LanguageModel,
    about: Questions<'_>,
    evaluators: &[Selected<slots::Evaluator>],
    seed: u64,
    done: &mut dyn FnMut(u64),
) -> sbp_plugin::Result<Evaluation> {
    let mut evaluation = Evaluation::default();
    for (index, selected) in evaluators.iter().enumerate() {
        evaluation.add(ask(model, about, selected, seed)?);
        done(index as u64 + 1);
    }
    Ok(evaluation)
}

/// Asks one evaluator about a model.
fn ask(
    model: &mut dyn LanguageModel,
    about: Questions<'_>,
    selected: &Selected<slots::Evaluator>,
    seed: u64,
) -> sbp_plugin::Result<Evaluation> {
    let mut evaluator = selected.build(&BuildContext { seed })?;
    let mut items = Vec::new();
    let mut context = EvalContext {
        heldout: about.heldout,
        questions: about.questions,
        items: Some(&mut items),
        ..EvalContext::new(&mut *model, about.tokenizer)
    };
    let scores = evaluator.evaluate(&mut context)?;
    let identity = identity_of(selected, evaluator.as_ref())?;
    let evaluators = scores.iter().map(|score| (score.metric.clone(), identity.clone())).collect();
    let tasks = evaluator.tasks()?;
    Ok(Evaluation { scores, items, tasks, evaluators, cost: model.take_cost() })
}

impl Evaluation {
    /// Adds what another evaluator found.
    fn add(&mut self, other: Self) {
        self.scores.extend(other.scores);
        self.items.extend(other.items);
        self.tasks.extend(other.tasks);
        self.evaluators.extend(other.evaluators);
        self.cost.add(other.cost);
    }
}

/// How the screen tells that so many evaluators of all have answered.
pub(crate) fn progress(stage: &str, done: u64, num_evaluators: usize) -> Progress<'_> {
    Progress::of(stage, done, num_evaluators as u64, "evaluators")
}

/// Asks every evaluator about a checkpoint, each process the next that nobody has; the leader has all answers in the end.
/// Those of an earlier attempt are used again.
fn evaluate_together(
    study: &mut Study<'_>,
    label: &str,
    folder: &Path,
    checkpoint: &Path,
    about: Questions<'_>,
    seed: u64,
) -> Result<Option<Evaluation>> {
    let fail = failed(label);
    let team = Arc::clone(&study.team);
    let evaluators = &study.plan.recipe.evaluators;
    let answers = folder.join("answers");
    files::create_folder(&answers)?;
    let answer = |number: usize| answers.join(format!("{number:03}.json"));
    let mut model = study.runtime.open(checkpoint, Precision::Fp32).map_err(&fail)?;
    let reporter = &mut study.watch.reporter;
    each_piece(team.as_ref(), label, evaluators.len(), |number| {
        if !answer(number).exists() {
            if reporter.stop_requested() {
                return Err(Error::Stopped { stage: label.to_owned() });
            }
            let found = ask(model.as_mut(), about, &evaluators[number], seed).map_err(&fail)?;
            files::write_json(&answer(number), &found)?;
        }
        reporter.progress(&progress(label, number as u64 + 1, evaluators.len()));
        Ok(())
    })?;
    if !team.is_leader() {
        return Ok(None);
    }
    let mut evaluation = Evaluation::default();
    for number in 0..evaluators.len() {
        evaluation.add(files::read_json(&answer(number))?);
    }
    std::fs::remove_dir_all(&answers).map_err(Error::file("remove", &answers))?;
    Ok(Some(evaluation))
}

pub(crate) fn make(
    study: &mut Study<'_>,
    corpus: &CorpusData,
    tokens: &Tokens,
    arm: &str,
    seed: u64,
    model: &Artifact,
) -> Result<(Artifact, Scores)> {
    let label = format!("evaluate {arm} seed {seed}");
    let evaluators = &study.plan.recipe.evaluators;
    let inputs = json!({
        "model": model.fingerprint,
        "corpus": corpus.artifact.fingerprint,
        "tokens": tokens.artifact.fingerprint,
        "evaluators": identity(evaluators, seed).map_err(failed(&label))?,
    });
    let trained = train::summary(model)?;
    let artifact = study.share(&label, "evaluate", &inputs, &mut |study, folder| {
        let (about, checkpoint) = (Questions::of(corpus, tokens), model.file("checkpoint"));
        let found = evaluate_together(study, &label, folder, &checkpoint, about, seed)?;
        let Some(evaluation) = found else { return Ok(()) };
        // As a run folder has them side by side.
        harness::write(folder, &evaluation, &harness::config("../hf", Precision::Fp32, &evaluation))?;
        let Evaluation { scores, tasks, evaluators, cost, .. } = evaluation;
        let mut ledger = Ledger::default();
        ledger.charge(Cause::Evaluate, cost);
        files::write_json(&folder.join("scores.json"), &Scores { scores, ledger, tasks, evaluators })
    })?;
    let scores: Scores = files::read_json(&artifact.file("scores.json"))?;
    let point = CurvePoint {
        step: trained.steps,
        tokens: trained.cost.tokens,
        flops: trained.cost.flops,
        metrics: scores.values(),
    };
    track(study, (arm, seed), &point);
    Ok((artifact, scores))
}

/// Tells the trackers what a model of an arm scored.
pub(super) fn track(study: &mut Study<'_>, (arm, seed): (&str, u64), point: &CurvePoint) {
    let values: Vec<(&str, f64)> =
        point.metrics.iter().map(|(metric, value)| (metric.as_str(), *value)).collect();
    study.watch.metrics(&MetricPoint {
        stage: "evaluate",
        arm,
        seed,
        round: None,
        step: point.step,
        tokens: point.tokens,
        values: &values,
    });
}
