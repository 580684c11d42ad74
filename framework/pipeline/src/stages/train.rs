//! What the base model, the synthesizer and the arms have in common: one training job in one artifact.

use std::path::Path;

use sbp_core::{Cost, Fingerprint, RootSeed};
use sbp_plugin::ports::{BatchSource, KeepCheckpoints, Start, Tokenizer as _, TrainJob, TrainOutcome};
use sbp_plugin::registry::BuildContext;
use sbp_recipe::TrainingSection;
use serde::{Deserialize, Serialize};

use super::tokenize::Tokens;
use super::{Study, failed};
use crate::store::Artifact;
use crate::watch::{Meter, MetricLog, TrainWatch};
use crate::{Error, Result, files};

/// The figures of a finished job, `training.json` in its artifact.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct TrainingSummary {
    pub(crate) steps: u64,
    pub(crate) cost: Cost,
    pub(crate) final_loss: f64,
}

/// What tells one job from another.
pub(crate) struct Job<'j> {
    /// As the screen names it.
    pub(crate) label: &'j str,
    /// The stage as metrics name it: `base`, `tune`, `train`.
    pub(crate) kind: &'j str,
    /// The arm, empty for base and tune.
    pub(crate) arm: &'j str,
    pub(crate) seed: u64,
    pub(crate) start: Start,
    pub(crate) training: &'j TrainingSection,
    pub(crate) num_steps: u64,
    /// Steps that the schedule is laid out for.
    pub(crate) schedule_steps: u64,
    pub(crate) batches: &'j mut dyn BatchSource,
    pub(crate) identity: Fingerprint,
    /// A step to pause after, and the checkpoints to keep beside those that the recipe asks for.
    pub(crate) pause: Option<Pause>,
}

/// Where a job pauses, to be gone on with.
pub(crate) struct Pause {
    pub(crate) after: u64,
    pub(crate) keep: KeepCheckpoints,
}

/// How far a job has come.
pub(crate) enum Outcome {
    Finished(TrainingSummary),
    /// It paused after so many steps.
    Paused(TrainingSummary),
}

impl Outcome {
    pub(crate) fn summary(&self) -> TrainingSummary {
        match self {
            Self::Finished(summary) | Self::Paused(summary) => *summary,
        }
    }
}

/// Makes the folders of the models whole (Hugging Face folders with their tokenizer) and writes the figures. The leader does.
pub(crate) fn finish(
    study: &Study<'_>,
    tokens: &Tokens,
    folder: &Path,
    summary: TrainingSummary,
) -> Result<()> {
    if !study.team.is_leader() {
        return Ok(());
    }
    add_tokenizer(tokens, &folder.join("checkpoint"))?;
    for kept in files::folders_in(&folder.join("checkpoints"))? {
        add_tokenizer(tokens, &kept)?;
    }
    files::write_json(&folder.join("training.json"), &summary)
}

/// Trains in `folder` to the end or to the pause, leaving `checkpoint/` and `metrics.jsonl`.
pub(crate) fn run(study: &mut Study<'_>, tokens: &Tokens, folder: &Path, job: Job<'_>) -> Result<Outcome> {
    let label = job.label;
    let schedule = job.training.schedule.build(&BuildContext { seed: job.seed }).map_err(failed(label))?;
    let optimizer = job.training.optimizer.build(&BuildContext { seed: job.seed }).map_err(failed(label))?;
    let leads = study.team.is_leader();
    let mut observer = TrainWatch {
        watch: &mut study.watch,
        stage: label,
        kind: job.kind,
        arm: job.arm,
        seed: job.seed,
        round: study.round,
        log: if leads { MetricLog::new(folder.join("metrics.jsonl")) } else { MetricLog::none() },
        meter: Meter::new(if leads { study.runtime.peak_flops(job.training.precision) } else { None }),
        pause_after: job.pause.as_ref().map(|pause| pause.after),
        at: 0,
    };
    let outcome = study.runtime.train(TrainJob {
        model: &study.plan.recipe.model,
        vocab_size: tokens.tokenizer.vocab_size(),
        start: job.start,
        optimizer: optimizer.as_ref(),
        peak_lr: job.training.peak_lr,
        schedule: schedule.as_ref(),
        max_grad_norm: Some(job.training.max_grad_norm),
        num_steps: job.num_steps,
        schedule_steps: job.schedule_steps,
        batches: job.batches,
        identity: job.identity,
        folder,
        gradient_parts: job.training.gradient_parts,
        tokens_per_microbatch: study.plan.recipe.execution.tokens_per_microbatch,
        recompute_activations: study.plan.recipe.execution.recompute_activations,
        precision: job.training.precision,
        dropout: (job.training.dropout, RootSeed(job.seed)),
        checkpoint_every_secs: study.plan.recipe.execution.checkpoint_every_secs,
        keep_checkpoints: job
            .pause
            .as_ref()
            .map_or(&study.plan.recipe.execution.keep_checkpoints, |pause| &pause.keep),
        observer: &mut observer,
    });
    match outcome.map_err(failed(label))? {
        TrainOutcome::Finished { cost, final_loss } => {
            Ok(Outcome::Finished(TrainingSummary { steps: job.num_steps, cost, final_loss }))
        }
        TrainOutcome::Stopped { step, cost, loss } if observer.pause_after == Some(step) => {
            Ok(Outcome::Paused(TrainingSummary { steps: step, cost, final_loss: loss }))
        }
        TrainOutcome::Stopped { .. } => Err(Error::Stopped { stage: label.to_owned() }),
    }
}

/// Makes the folder of a model a whole Hugging Face folder.
fn add_tokenizer(tokens: &Tokens, checkpoint: &Path) -> Result<()> {
    let tokenizer = tokens.tokenizer_artifact.file("tokenizer.json");
    let copy = checkpoint.join("tokenizer.json");
    std::fs::copy(&tokenizer, &copy).map_err(Error::file("write", &copy))?;
    files::write_json(
        &checkpoint.join("tokenizer_config.json"),
        &serde_json::json!({
            "tokenizer_class": "PreTrainedTokenizerFast",
            "eos_token": tokens.tokenizer.end_of_text(),
        }),
    )
}

pub(crate) fn summary(artifact: &Artifact) -> Result<TrainingSummary> {
    files::read_json(&artifact.file("training.json"))
}
