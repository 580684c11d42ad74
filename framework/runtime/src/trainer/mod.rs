//! Training: a fixed number of optimizer steps, interrupted and resumed without a trace in the result.
//!
//! A step is a function of (weights, moments, step number, batch): what is drawn at random comes from streams named by
//! the step, so that a resumed job needs no generator state, and on the CPU with the same number of threads it ends bit by bit
//! where a straight one would.

mod batch;
mod gradients;
mod saver;
mod sharing;
#[cfg(test)]
mod tests;
mod windows;

use std::path::Path;
use std::time::Instant;

use sbp_core::{Cost, Fingerprint, ModelConfig};
use sbp_plugin::ports::{Start, TrainJob, TrainOutcome, TrainPoint};
use sbp_plugin::team::Team;
use serde::{Deserialize, Serialize};
use tch::Device;

use self::batch::{Counts, counts};
use self::gradients::{Differentiation, groups};
use self::saver::Saver;
use self::sharing::Sharing;
use crate::checkpoint::{publish_folder, start_folder, write_json};
use crate::error::{Error, Result};
use crate::hub;
use crate::language_model::kind_of;
use crate::model::rope::Rotary;
use crate::model::{Dims, Parameters};
use crate::optim::Optimizer;
use crate::progress::{Progress, State};

/// What a finished job leaves beside its model: `checkpoint/training.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Finished {
    identity: Fingerprint,
    steps: u64,
    cost: Cost,
    final_loss: f64,
}

/// Runs a job to its end, or to where its observer stops it. Every process of the team does, and the leader alone writes.
pub(crate) fn train(job: TrainJob<'_>, device: Device, team: &dyn Team) -> sbp_plugin::Result<TrainOutcome> {
    // The leader may have been at work here alone.
    team.meet()?;
    let finished = job.folder.join("checkpoint");
    let progress = Progress::new(job.folder, hub::config_json(job.model, job.vocab_size));
    if let Some(outcome) = already_finished(&finished, &job.identity)? {
        // A kill may have come between publishing the one and removing the other.
        if team.is_leader() {
            progress.remove()?;
        }
        return Ok(outcome);
    }

    let dims = Dims::new(job.model, job.vocab_size)?;
    let mut state = State { identity: job.identity.clone(), step: 0, tokens: 0, flops: 0.0, loss: f64::NAN };
    let resumed = progress.load(&job.identity)?;
    let parameters = match (&resumed, &job.start) {
        (Some(resumed), _) => {
            let weights =
                resumed.weights.iter().map(|(name, it)| (name.clone(), it.shallow_clone())).collect();
            Parameters::from_tensors(&dims, weights, device)?
        }
        (None, Start::Fresh(stream)) => Parameters::fresh(&dims, stream.clone(), device)?,
        (None, Start::From(folder)) => start_from(folder, job.model, &dims, device)?,
    };
    parameters.require_grad()?;
    let groups = groups(&parameters, dims.layers);
    let sharing = Sharing::new(team, job.gradient_parts, &parameters, &groups)?;
    let mut optimizer =
        Optimizer::new(job.optimizer, job.max_grad_norm, &parameters, &dims, &|name| sharing.owns(name))?;
    if let Some(resumed) = resumed {
        optimizer.restore(&resumed.optimizer, resumed.state.step)?;
        state = resumed.state;
        // A kill may have come between saving it and keeping it.
        if team.is_leader() {
            progress.keep(state.step, &job.keep_checkpoints.names_at(state.step))?;
        }
        job.observer.resumed(state.step);
    }

    let differentiation = Differentiation {
        parameters: &parameters,
        groups: groups.clone(),
        dims,
        rotary: Rotary::new(&dims, device)?,
        most_tokens: job.tokens_per_microbatch,
        kind: kind_of(job.precision),
        recompute: job.recompute_activations,
        dropout: job.dropout,
    };
    let mut saver = Saver::new(progress.clone(), state.step);
    let mut saved_at = Instant::now();
    agree_on_start(team, state.step)?;
    while state.step < job.num_steps {
        let now = Now {
            stop: job.observer.stop_requested(),
            save: saved_at.elapsed().as_secs_f64() >= job.checkpoint_every_secs && saver.is_free(),
        };
        let now = now.agreed(team)?;
        if (now.stop || now.save) && saver.newest() != state.step {
            saver.save(&state, &parameters, sharing.whole_state(&optimizer)?, Vec::new())?;
            saved_at = Instant::now();
        }
        if now.stop {
            saver.wait()?;
            // What the leader wrote is there for all.
            team.meet()?;
            let cost = Cost { tokens: state.tokens, flops: state.flops };
            return Ok(TrainOutcome::Stopped { step: state.step, cost, loss: state.loss });
        }
        let step = state.step + 1;
        let examples = job.batches.batch(state.step)?;
        let counts = counts(step, &examples, &dims)?;
        let parts = sharing.parts(&examples);
        let own =
            sharing.summed(|ready| differentiation.of_parts(step, &parts, counts.total_weight, ready))?;
        let (loss, grad_norm) = sharing.loss_and_norm(&own)?;
        let lr = job.peak_lr * job.schedule.share(state.step, job.schedule_steps);
        optimizer
            .step(&own.of, grad_norm, lr)
            .map_err(|error| error.in_step(step, || "the optimizer's step".to_owned()))?;
        if !(loss.is_finite() && grad_norm.is_finite()) {
            saver.wait()?;
            let last_checkpoint = match saver.newest() {
                0 => "There is no checkpoint before it".to_owned(),
                step => format!("The last good checkpoint is {}", progress.path(step).display()),
            };
            return Err(Error::Diverged { step, loss, grad_norm, last_checkpoint }.into());
        }
        sharing.spread(&parameters)?;
        state.step = step;
        state.tokens += counts.num_predictions;
        state.flops += step_flops(job.model, job.vocab_size, counts);
        state.loss = loss;
        job.observer.step(&TrainPoint {
            step: state.step,
            num_steps: job.num_steps,
            tokens: state.tokens,
            flops: state.flops,
            loss,
            lr,
            grad_norm,
        });
        let keep = job.keep_checkpoints.names_at(state.step);
        if !keep.is_empty() {
            saver.save(&state, &parameters, sharing.whole_state(&optimizer)?, keep)?;
            saved_at = Instant::now();
        }
    }
    saver.wait()?;

    let cost = Cost { tokens: state.tokens, flops: state.flops };
    if team.is_leader() {
        publish(&job, &progress, &parameters, &state)?;
    }
    team.meet()?;
    Ok(TrainOutcome::Finished { cost, final_loss: state.loss })
}

/// What is to be done before the next step.
#[derive(Clone, Copy)]
struct Now {
    stop: bool,
    save: bool,
}

impl Now {
    /// What all processes do: stop if one is to, write a checkpoint if the leader says so.
    fn agreed(self, team: &dyn Team) -> sbp_plugin::Result<Self> {
        if team.is_alone() {
            return Ok(self);
        }
        let all = team.exchange(&[u8::from(self.stop), u8::from(self.save)])?;
        Ok(Self { stop: all.iter().any(|said| said[0] == 1), save: all[0][1] == 1 })
    }
}

/// Every process has to go on from the same checkpoint.
fn agree_on_start(team: &dyn Team, step: u64) -> sbp_plugin::Result<()> {
    let all = team.exchange(&step.to_le_bytes())?;
    match all.iter().position(|said| said != &all[0]) {
        None => Ok(()),
        Some(rank) => Err(format!(
            "rank {rank} sees another checkpoint than rank 0: SBP_HOME has to be one folder that all processes share"
        )
        .into()),
    }
}

/// Leaves the trained model, and removes what would have been gone on from.
fn publish(job: &TrainJob<'_>, progress: &Progress, parameters: &Parameters, state: &State) -> Result<()> {
    let cost = Cost { tokens: state.tokens, flops: state.flops };
    let record = Finished { identity: job.identity.clone(), steps: state.step, cost, final_loss: state.loss };
    let unfinished = job.folder.join("checkpoint.unfinished");
    start_folder(&unfinished)?;
    hub::export(&unfinished, job.model, job.vocab_size, parameters)?;
    write_json(&unfinished.join("training.json"), &record)?;
    publish_folder(&unfinished, &job.folder.join("checkpoint"))?;
    progress.remove()
}

/// The outcome of a job whose checkpoint is in place.
fn already_finished(folder: &Path, identity: &Fingerprint) -> Result<Option<TrainOutcome>> {
    // The folder appears by rename, so what is in it is whole unless somebody changed it.
    if !folder.exists() {
        return Ok(None);
    }
    let refuse = |reason: String| Error::NotACheckpoint { path: folder.to_owned(), reason };
    let text = std::fs::read(folder.join("training.json"))
        .map_err(|error| refuse(format!("training.json: {error}")))?;
    let record: Finished =
        serde_json::from_slice(&text).map_err(|error| refuse(format!("training.json: {error}")))?;
    if record.identity != *identity {
        let (path, found) = (folder.to_owned(), record.identity);
        return Err(Error::Identity { path, found, expected: identity.clone() });
    }
    Ok(Some(TrainOutcome::Finished { cost: record.cost, final_loss: record.final_loss }))
}

/// The weights of another job's checkpoint, where its model has the same shape.
fn start_from(folder: &Path, model: &ModelConfig, dims: &Dims, device: Device) -> Result<Parameters> {
    let (found, vocab_size) = hub::read_config(folder)?;
    // No weight depends on the longest sequence, and these are no longer fresh.
    let comparable = ModelConfig {
        context_length: model.context_length,
        initializer_range: model.initializer_range,
        mup_base_width: model.mup_base_width,
        ..found.clone()
    };
    if comparable != *model || vocab_size as i64 != dims.v {
        return Err(Error::NotACheckpoint {
            path: folder.to_owned(),
            reason: format!(
                "training starts from a model of the same shape; this one is {found:?} with a vocabulary of \
                 {vocab_size}, wanted is {model:?} with {}",
                dims.v
            ),
        });
    }
    hub::read_parameters(folder, dims, device)
}

/// Model FLOPs of a step, by the formula of [`ModelConfig`] at the mean context of its predictions.
fn step_flops(model: &ModelConfig, vocab_size: usize, step: Counts) -> f64 {
    let mean_context = step.sum_context as f64 / step.num_predictions as f64;
    (model.train_flops_per_token(vocab_size, mean_context) * step.num_predictions as f64).round()
}
