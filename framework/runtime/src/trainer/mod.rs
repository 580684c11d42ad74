//! Training: a fixed number of optimizer steps, interrupted and resumed without a trace in the result.
//!
//! A step is a function of (weights, moments, step number, batch): what is drawn at random comes from streams named by
//! the step, so that a resumed job needs no generator state, and on the CPU with the same number of threads it ends bit by bit
//! where a straight one would.

mod batch;
mod gradients;
mod saver;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::time::Instant;

use sbp_core::{Cost, Fingerprint, ModelConfig};
use sbp_plugin::ports::{Start, TrainJob, TrainOutcome, TrainPoint};
use serde::{Deserialize, Serialize};
use tch::Device;

use self::gradients::{Differentiation, StepGradients};
use self::saver::Saver;
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

/// Runs a job to its end, or to where its observer stops it.
pub(crate) fn train(job: TrainJob<'_>, device: Device) -> sbp_plugin::Result<TrainOutcome> {
    let finished = job.folder.join("checkpoint");
    let progress = Progress::new(job.folder, hub::config_json(job.model, job.vocab_size));
    if let Some(outcome) = already_finished(&finished, &job.identity)? {
        // A kill may have come between publishing the one and removing the other.
        progress.remove()?;
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
    let mut optimizer = Optimizer::new(job.optimizer, job.max_grad_norm, &parameters, &dims)?;
    if let Some(resumed) = resumed {
        optimizer.restore(&resumed.optimizer, resumed.state.step)?;
        state = resumed.state;
        // A kill may have come between saving it and keeping it.
        progress.keep(state.step, &job.keep_checkpoints.names_at(state.step))?;
        job.observer.resumed(state.step);
    }

    let differentiation = Differentiation {
        parameters: &parameters,
        dims,
        rotary: Rotary::new(&dims, device)?,
        most_tokens: job.tokens_per_microbatch,
        kind: kind_of(job.precision),
        recompute: job.recompute_activations,
        dropout: job.dropout,
    };
    let mut saver = Saver::new(progress.clone(), state.step);
    let mut saved_at = Instant::now();
    while state.step < job.num_steps {
        if job.observer.stop_requested() {
            if saver.newest() != state.step {
                saver.save(&state, &parameters, &optimizer, Vec::new())?;
            }
            saver.wait()?;
            let cost = Cost { tokens: state.tokens, flops: state.flops };
            return Ok(TrainOutcome::Stopped { step: state.step, cost, loss: state.loss });
        }
        let step = state.step + 1;
        let examples = job.batches.batch(state.step)?;
        let gradients = differentiation.of_step(step, &examples)?;
        let lr = job.peak_lr * job.schedule.share(state.step, job.schedule_steps);
        let loss = gradients.loss;
        let grad_norm = optimizer
            .step(&gradients.of, lr)
            .map_err(|error| error.in_step(step, || "the optimizer's step".to_owned()))?;
        if !(loss.is_finite() && grad_norm.is_finite()) {
            saver.wait()?;
            let last_checkpoint = match saver.newest() {
                0 => "There is no checkpoint before it".to_owned(),
                step => format!("The last good checkpoint is {}", progress.path(step).display()),
            };
            return Err(Error::Diverged { step, loss, grad_norm, last_checkpoint }.into());
        }
        state.step = step;
        state.tokens += gradients.num_predictions;
        state.flops += step_flops(job.model, job.vocab_size, &gradients);
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
        let is_due = saved_at.elapsed().as_secs_f64() >= job.checkpoint_every_secs && saver.is_free();
        if is_due || !keep.is_empty() {
            saver.save(&state, &parameters, &optimizer, keep)?;
            saved_at = Instant::now();
        }
    }
    saver.wait()?;

    let cost = Cost { tokens: state.tokens, flops: state.flops };
    let record = Finished { identity: job.identity, steps: state.step, cost, final_loss: state.loss };
    let unfinished = job.folder.join("checkpoint.unfinished");
    start_folder(&unfinished)?;
    hub::export(&unfinished, job.model, job.vocab_size, &parameters)?;
    write_json(&unfinished.join("training.json"), &record)?;
    publish_folder(&unfinished, &finished)?;
    progress.remove()?;
    Ok(TrainOutcome::Finished { cost, final_loss: state.loss })
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
fn step_flops(model: &ModelConfig, vocab_size: usize, step: &StepGradients) -> f64 {
    let mean_context = step.sum_context as f64 / step.num_predictions as f64;
    (model.train_flops_per_token(vocab_size, mean_context) * step.num_predictions as f64).round()
}
