//! Scores on the way: an arm's training pauses where the recipe says, is scored, and goes on.
//!
//! It pauses as a stopped training does and goes on as one, so that pauses leave no trace in the model. The checkpoint that
//! is scored is removed afterwards.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sbp_core::Cost;
use sbp_plugin::ports::Precision;
use sbp_plugin::{Selected, slots};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::corpus::CorpusData;
use super::evaluate::{self, Questions};
use super::tokenize::Tokens;
use super::train::{Job, Outcome, Pause, TrainingSummary, run};
use super::{Study, failed};
use crate::report::curves::CurvePoint;
use crate::store::Artifact;
use crate::{Error, Result, files};

/// Lines of [`Measurement`] in a training's artifact.
const LOG: &str = "dynamics.jsonl";

/// One measurement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Measurement {
    /// What the model scored, and after how much training.
    #[serde(flatten)]
    pub(crate) point: CurvePoint,
    /// What that took.
    pub(crate) cost: Cost,
}

impl Measurement {
    /// What a training left; nothing if it was not scored on its way.
    pub(crate) fn read(training: &Artifact) -> Result<Vec<Self>> {
        let log = training.file(LOG);
        if log.exists() { files::read_lines(&log) } else { Ok(Vec::new()) }
    }
}

/// Where and on what a training is scored.
#[derive(Clone)]
pub(crate) struct Dynamics<'a> {
    corpus: &'a CorpusData,
    tokens: &'a Tokens,
    evaluators: &'a [Selected<slots::Evaluator>],
    steps: Vec<u64>,
}

/// Makes the job anew, with its data from the start, and hands it to what is to be done with it.
type Maker<'a> = dyn FnMut(&mut dyn FnMut(Job<'_>) -> Result<Outcome>) -> Result<Outcome> + 'a;

impl<'a> Dynamics<'a> {
    /// Those of an arm of so many steps; none where the recipe asks for no scores on its way.
    pub(crate) fn of<'s: 'a>(
        study: &Study<'s>,
        corpus: &'a CorpusData,
        tokens: &'a Tokens,
        num_steps: u64,
    ) -> Option<Self> {
        let recipe = &study.plan.recipe;
        let pass = tokens.pretrain.num_training_tokens();
        let steps = recipe.dynamics.steps(num_steps, recipe.training.tokens_per_step, pass);
        let evaluators = match recipe.dynamics.evaluators.as_slice() {
            [] => recipe.evaluators.as_slice(),
            own => own,
        };
        (!steps.is_empty()).then_some(Self { corpus, tokens, evaluators, steps })
    }

    /// What the measurements depend on beside the training.
    pub(crate) fn identity(&self, seed: u64) -> sbp_plugin::Result<Value> {
        Ok(json!({
            "steps": self.steps,
            "corpus": self.corpus.artifact.fingerprint,
            "evaluators": evaluate::identity(self.evaluators, seed)?,
        }))
    }

    /// Trains to the end, scoring on the way; goes on where an earlier attempt stopped.
    pub(crate) fn train(
        &self,
        study: &mut Study<'_>,
        folder: &Path,
        seed: u64,
        job: &mut Maker<'_>,
    ) -> Result<Outcome> {
        let log = folder.join(LOG);
        let mut measured: Vec<Measurement> = if log.exists() { files::read_lines(&log)? } else { Vec::new() };
        for &after in &self.steps[measured.len().min(self.steps.len())..] {
            let checkpoint = kept(folder, after);
            let mut keep = study.plan.recipe.execution.keep_checkpoints.clone();
            keep.named.insert(name_of(after), after);
            let (mut label, mut arm) = (String::new(), String::new());
            let outcome = job(&mut |job| {
                (label, arm) = (job.label.to_owned(), job.arm.to_owned());
                run(
                    study,
                    self.tokens,
                    folder,
                    Job { pause: Some(Pause { after, keep: keep.clone() }), ..job },
                )
            })?;
            study.led(|study| {
                let now = self.measure(study, &checkpoint, outcome.summary(), seed, &label)?;
                evaluate::track(study, (&arm, seed), &now.point);
                measured.push(now);
                files::write_lines(&log, &measured)?;
                remove(&checkpoint)
            })?;
        }
        study.led(|_| {
            // Those of an attempt that ended between the two lines above.
            self.steps.iter().try_for_each(|&step| remove(&kept(folder, step)))?;
            // Goes if it is empty: the recipe may keep checkpoints of its own.
            let _ = std::fs::remove_dir(folder.join("checkpoints"));
            Ok(())
        })?;
        job(&mut |job| run(study, self.tokens, folder, job))
    }

    /// Scores a checkpoint that training has come to.
    fn measure(
        &self,
        study: &mut Study<'_>,
        checkpoint: &Path,
        trained: TrainingSummary,
        seed: u64,
        label: &str,
    ) -> Result<Measurement> {
        let about = Questions::of(self.corpus, self.tokens);
        let mut model = study.runtime.open(checkpoint, Precision::Fp32).map_err(failed(label))?;
        let evaluation = evaluate::evaluate(model.as_mut(), about, self.evaluators, seed, &mut |_| ())
            .map_err(failed(label))?;
        let metrics: BTreeMap<String, f64> =
            evaluation.scores.iter().map(|score| (score.metric.clone(), score.value())).collect();
        let point = CurvePoint {
            step: trained.steps,
            tokens: trained.cost.tokens,
            flops: trained.cost.flops,
            metrics,
        };
        Ok(Measurement { point, cost: evaluation.cost })
    }
}

/// The checkpoint that is scored after so many steps.
fn kept(folder: &Path, step: u64) -> PathBuf {
    folder.join("checkpoints").join(name_of(step))
}

fn remove(folder: &Path) -> Result<()> {
    if folder.exists() {
        std::fs::remove_dir_all(folder).map_err(Error::file("remove", folder))?;
    }
    Ok(())
}

fn name_of(step: u64) -> String {
    format!("dynamics-{step:06}")
}
