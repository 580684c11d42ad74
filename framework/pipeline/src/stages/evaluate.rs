//! Evaluation: every evaluator's scores of one trained model.

use std::collections::BTreeMap;
use std::path::Path;

use sbp_core::{Cause, Cost, Document, Ledger};
use sbp_plugin::ports::{LanguageModel, Precision, Runtime, Tokenizer};
use sbp_plugin::registry::BuildContext;
use sbp_plugin::slots::corpus::Question;
use sbp_plugin::slots::evaluator::{EvalContext, Item, Score, TaskCard};
use sbp_plugin::slots::tracker::MetricPoint;
use sbp_plugin::{Selected, slots};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::corpus::CorpusData;
use super::tokenize::Tokens;
use super::{Study, failed, train};
use crate::store::Artifact;
use crate::watch::Progress;
use crate::{Result, files};

/// Scores of one model, `scores.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Scores {
    pub(crate) scores: Vec<Score>,
    pub(crate) ledger: Ledger,
    /// The tasks that were asked.
    #[serde(default)]
    pub(crate) tasks: Vec<TaskCard>,
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
pub(crate) struct Evaluation {
    pub(crate) scores: Vec<Score>,
    pub(crate) items: Vec<Item>,
    pub(crate) tasks: Vec<TaskCard>,
    pub(crate) cost: Cost,
}

/// The evaluators of a study, as far as they decide about scores: their choices and what they read.
pub(crate) fn identity(evaluators: &[Selected<slots::Evaluator>], seed: u64) -> sbp_plugin::Result<Value> {
    let identity = |selected: &Selected<slots::Evaluator>| {
        let mut identity = selected.identity();
        if let Some(content) = selected.build(&BuildContext { seed })?.content()? {
            identity["content"] = json!(content);
        }
        Ok(identity)
    };
    evaluators.iter().map(identity).collect()
}

/// Asks every evaluator about a model; `done` is told how many have answered.
pub(crate) fn evaluate(
    model: &mut dyn LanguageModel,
    about: Questions<'_>,
    evaluators: &[Selected<slots::Evaluator>],
    seed: u64,
    done: &mut dyn FnMut(u64),
) -> sbp_plugin::Result<Evaluation> {
    let mut evaluation =
        Evaluation { scores: Vec::new(), items: Vec::new(), tasks: Vec::new(), cost: Cost::default() };
    for (index, selected) in evaluators.iter().enumerate() {
        let mut evaluator = selected.build(&BuildContext { seed })?;
        let mut context = EvalContext {
            heldout: about.heldout,
            questions: about.questions,
            items: Some(&mut evaluation.items),
            ..EvalContext::new(&mut *model, about.tokenizer)
        };
        evaluation.scores.extend(evaluator.evaluate(&mut context)?);
        evaluation.tasks.extend(evaluator.tasks()?);
        done(index as u64 + 1);
    }
    evaluation.cost = model.take_cost();
    Ok(evaluation)
}

/// Opens a checkpoint and asks every evaluator about it.
pub(crate) fn evaluate_checkpoint(
    runtime: &mut dyn Runtime,
    checkpoint: &Path,
    about: Questions<'_>,
    evaluators: &[Selected<slots::Evaluator>],
    seed: u64,
    done: &mut dyn FnMut(u64),
) -> sbp_plugin::Result<Evaluation> {
    let mut model = runtime.open(checkpoint, Precision::Fp32)?;
    evaluate(model.as_mut(), about, evaluators, seed, done)
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
    let artifact = study.make(&label, "evaluate", &inputs, &mut |study, folder| {
        let reporter = &mut study.watch.reporter;
        let mut done = |done| {
            reporter.progress(&Progress {
                stage: &label,
                done,
                total: evaluators.len() as u64,
                unit: "evaluators",
                tokens: 0,
                flops: 0,
                peak_flops: None,
                loss: None,
                dropped: None,
            });
        };
        let about = Questions::of(corpus, tokens);
        let checkpoint = model.file("checkpoint");
        let evaluation = evaluate_checkpoint(study.runtime, &checkpoint, about, evaluators, seed, &mut done)
            .map_err(failed(&label))?;
        let Evaluation { scores, items, tasks, cost } = evaluation;
        if !items.is_empty() {
            files::write_lines(&folder.join("items.jsonl"), &items)?;
        }
        let mut ledger = Ledger::default();
        ledger.charge(Cause::Evaluate, cost);
        files::write_json(&folder.join("scores.json"), &Scores { scores, ledger, tasks })
    })?;
    let scores: Scores = files::read_json(&artifact.file("scores.json"))?;
    let values: Vec<(&str, f64)> =
        scores.scores.iter().map(|score| (score.metric.as_str(), score.value())).collect();
    study.watch.metrics(&MetricPoint {
        stage: "evaluate",
        arm,
        seed,
        step: trained.steps,
        tokens: trained.cost.tokens,
        values: &values,
    });
    Ok((artifact, scores))
}
