//! Training: a fixed number of optimizer steps, interrupted and resumed without a trace in the result.
//!
//! A step is a function of (weights, moments, step number, batch): nothing is drawn at random while training, so
//! a resumed job needs no generator state, and on the CPU with the same number of threads it ends bit by bit
//! where a straight one would.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use sbp_core::{Cost, Example, Fingerprint, ModelConfig, TokenId};
use sbp_plugin::ports::{Start, TrainJob, TrainOutcome, TrainPoint};
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use crate::checkpoint::{publish_folder, start_folder, write_json};
use crate::error::{Error, Result};
use crate::hub;
use crate::loss::{Targets, cross_entropy};
use crate::model::parameters::{EMBEDDING, HEAD};
use crate::model::rope::Rotary;
use crate::model::{Dims, Parameters, Tokens, Transformer};
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
    let progress = Progress::new(job.folder.join("progress"));
    if let Some(outcome) = already_finished(&finished, &job.identity)? {
        // A kill may have come between publishing the one and removing the other.
        progress.remove()?;
        return Ok(outcome);
    }

    let dims = Dims::new(job.model, job.vocab_size)?;
    let mut state = State { identity: job.identity.clone(), step: 0, tokens: 0, flops: 0, loss: f64::NAN };
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
    let mut optimizer = Optimizer::new(job.optimizer, &parameters)?;
    if let Some(resumed) = resumed {
        optimizer.restore(resumed.optimizer, resumed.state.step)?;
        state = resumed.state;
        job.observer.resumed(state.step);
    }

    let rotary = Rotary::new(&dims, device)?;
    let save = |state: &State, optimizer: &Optimizer| {
        let weights = parameters.iter().map(|(name, tensor)| (name.to_owned(), tensor));
        progress.save(state, weights, optimizer.state())
    };
    let mut saved_step = (state.step > 0).then_some(state.step);
    let mut saved_at = Instant::now();
    while state.step < job.num_steps {
        if job.observer.stop_requested() {
            if saved_step != Some(state.step) {
                save(&state, &optimizer)?;
            }
            return Ok(TrainOutcome::Stopped { step: state.step });
        }
        let examples = job.batches.batch(state.step)?;
        let batch = Batch::new(&examples, &dims, &rotary, device)
            .map_err(|error| named_step(error, state.step + 1))?;
        let (loss, grads) = loss_and_gradients(&parameters, &dims, &batch)?;
        let lr = job.optimizer.peak_lr * job.schedule.share(state.step, job.num_steps);
        let grad_norm = optimizer.step(&grads, lr)?;
        if !(loss.is_finite() && grad_norm.is_finite()) {
            let last_checkpoint = match saved_step {
                Some(step) => format!("The last good checkpoint is {}", progress.path(step).display()),
                None => "There is no checkpoint before it".to_owned(),
            };
            return Err(Error::Diverged { step: state.step + 1, loss, grad_norm, last_checkpoint }.into());
        }
        state.step += 1;
        state.tokens += batch.num_predictions;
        state.flops += step_flops(job.model, job.vocab_size, &batch);
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
        if saved_at.elapsed().as_secs_f64() >= job.checkpoint_every_secs {
            save(&state, &optimizer)?;
            saved_step = Some(state.step);
            saved_at = Instant::now();
        }
    }

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

/// The sequences of a step as tensors.
struct Batch {
    tokens: Tokens,
    targets: Targets,
    /// Predictions, weighted or not.
    num_predictions: u64,
    /// Sum over predictions of the number of tokens each attends over.
    sum_context: u64,
}

impl Batch {
    fn new(examples: &[Example], dims: &Dims, rotary: &Rotary, device: Device) -> Result<Self> {
        let mut inputs: Vec<&[TokenId]> = Vec::with_capacity(examples.len());
        let mut kept: Vec<&Example> = Vec::with_capacity(examples.len());
        let (mut num_predictions, mut sum_context) = (0, 0);
        for (index, example) in examples.iter().enumerate() {
            check(index, example, dims)?;
            let n = example.num_predictions();
            // A single token predicts nothing.
            if n > 0 {
                inputs.push(&example.tokens[..n]);
                kept.push(example);
                num_predictions += n as u64;
                sum_context += (n * (n + 1) / 2) as u64;
            }
        }
        let tokens = Tokens::lay_out(&inputs, rotary, device)?;

        // In the order of the flat tokens, so that picking rows reads memory in order.
        let (mut rows, mut targets, mut weights) = (Vec::new(), Vec::new(), Vec::new());
        for (sequence, start, _) in tokens.layout.rows() {
            let Example { tokens, loss_weights } = kept[sequence];
            for (place, (&token, &weight)) in tokens.iter().zip(loss_weights).enumerate().skip(1) {
                if weight != 0.0 {
                    rows.push((start + place - 1) as i64);
                    targets.push(i64::from(token));
                    weights.push(weight);
                }
            }
        }
        let total: f64 = weights.iter().copied().map(f64::from).sum();
        if total <= 0.0 {
            return Err(Error::EmptyStep { step: 0, num_sequences: examples.len() });
        }
        for weight in &mut weights {
            *weight = (f64::from(*weight) / total) as f32;
        }
        let targets = Targets {
            rows_m: Tensor::f_from_slice(&rows)?.f_to_device(device)?,
            targets_m: Tensor::f_from_slice(&targets)?.f_to_device(device)?,
            weights_m: Tensor::f_from_slice(&weights)?.f_to_device(device)?,
        };
        Ok(Self { tokens, targets, num_predictions, sum_context })
    }
}

/// Whether an example can be trained on.
fn check(index: usize, example: &Example, dims: &Dims) -> Result<()> {
    let refuse = |reason: String| Err(Error::Sequence { index, reason });
    if example.loss_weights.len() != example.tokens.len() {
        let (tokens, weights) = (example.tokens.len(), example.loss_weights.len());
        return refuse(format!("has {tokens} tokens and {weights} loss weights"));
    }
    if example.num_predictions() as i64 > dims.t {
        let (n, t) = (example.tokens.len(), dims.t);
        return refuse(format!("has {n} tokens; with a context of {t} the model can train on {}", t + 1));
    }
    if let Some(token) = example.tokens.iter().find(|&&token| i64::from(token) >= dims.v) {
        return refuse(format!("holds token {token}, outside the vocabulary of {}", dims.v));
    }
    if let Some(weight) = example.loss_weights.iter().find(|weight| !(weight.is_finite() && **weight >= 0.0))
    {
        return refuse(format!("has a loss weight of {weight}"));
    }
    Ok(())
}

fn named_step(error: Error, step: u64) -> Error {
    match error {
        Error::EmptyStep { num_sequences, .. } => Error::EmptyStep { step, num_sequences },
        Error::Sequence { index, reason } => {
            Error::Sequence { index, reason: format!("of training step {step} {reason}") }
        }
        other => other,
    }
}

/// Model FLOPs of a step, by the formula of [`ModelConfig`] at the mean context of its predictions.
fn step_flops(model: &ModelConfig, vocab_size: usize, batch: &Batch) -> u64 {
    let mean_context = batch.sum_context as f64 / batch.num_predictions as f64;
    (model.train_flops_per_token(vocab_size, mean_context) * batch.num_predictions as f64).round() as u64
}

/// Loss of a batch in nats per weighted token, and the gradient of every parameter.
fn loss_and_gradients(
    parameters: &Parameters,
    dims: &Dims,
    batch: &Batch,
) -> Result<(f64, BTreeMap<String, Tensor>)> {
    let Targets { rows_m, targets_m, weights_m } = &batch.targets;
    let transformer = Transformer::new(parameters, dims)?;
    let hidden_md = transformer.hidden(&batch.tokens, None)?.f_index_select(0, rows_m)?;
    let loss = cross_entropy(&hidden_md, parameters.head(), targets_m, weights_m)?;
    // Feeds the gradient made with the loss back into the trunk, which an untied head is no part of.
    let product = hidden_md.f_mul(&loss.hidden_grad_md)?.f_sum(Kind::Float)?;
    let (names, trunk): (Vec<&str>, Vec<&Tensor>) =
        parameters.iter().filter(|(name, _)| *name != HEAD).unzip();
    let found = Tensor::f_run_backward(&[product], &trunk, false, false)?;

    let _guard = tch::no_grad_guard();
    let mut grads = BTreeMap::new();
    for (name, grad) in names.into_iter().zip(found) {
        grads.insert(name.to_owned(), grad.f_contiguous()?);
    }
    if dims.tied {
        if let Some(grad) = grads.get_mut(EMBEDDING) {
            let _same = grad.f_add_(&loss.head_grad_vd)?;
        }
    } else {
        grads.insert(HEAD.to_owned(), loss.head_grad_vd);
    }
    Ok((loss.loss.f_double_value(&[])?, grads))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use sbp_core::{Markers, RootSeed};
    use sbp_plugin::ports::{AdamW, BatchSource, LanguageModel, TrainObserver};
    use sbp_plugin::slots::schedule::Schedule;

    use super::*;
    use crate::language_model::OpenedModel;

    const MARKERS: Markers = Markers { end_of_text: 0, related: 1 };

    /// A few documents over and over, another selection at each step.
    struct Repeated;

    impl BatchSource for Repeated {
        fn batch(&mut self, step: u64) -> sbp_plugin::Result<Vec<Example>> {
            let mut stream = RootSeed(3).stream("batch", &[step]);
            let document = |which: u64| {
                let text: Vec<TokenId> =
                    (0..4 + which * 3).map(|i| 2 + ((which * 11 + i * i) % 40) as u32).collect();
                Example::document(&text, MARKERS)
            };
            Ok((0..6).map(|_| document(stream.below(4))).collect())
        }
    }

    struct Linear;

    impl Schedule for Linear {
        fn share(&self, step: u64, num_steps: u64) -> f64 {
            1.0 - step as f64 / num_steps as f64
        }
    }

    #[derive(Default)]
    struct Watch {
        stop_after: Option<u64>,
        resumed_at: Option<u64>,
        points: Vec<TrainPoint>,
    }

    impl TrainObserver for Watch {
        fn resumed(&mut self, step: u64) {
            self.resumed_at = Some(step);
        }

        fn step(&mut self, point: &TrainPoint) {
            self.points.push(*point);
        }

        fn stop_requested(&self) -> bool {
            self.points.last().is_some_and(|point| self.stop_after == Some(point.step))
        }
    }

    fn model(tied: bool) -> ModelConfig {
        ModelConfig {
            hidden_size: 32,
            num_layers: 2,
            num_heads: 4,
            num_kv_heads: 2,
            head_dim: 8,
            intermediate_size: 48,
            context_length: 32,
            tie_embeddings: tied,
            ..ModelConfig::default()
        }
    }

    /// What a test changes of a job.
    struct Setting<'a> {
        model: ModelConfig,
        start: Start<'a>,
        peak_lr: f64,
        identity: &'a str,
        checkpoint_every_secs: f64,
    }

    fn setting(tied: bool) -> Setting<'static> {
        Setting {
            model: model(tied),
            start: Start::Fresh(RootSeed(4).stream("init", &[])),
            peak_lr: 1e-2,
            identity: "job",
            checkpoint_every_secs: f64::INFINITY,
        }
    }

    fn run(setting: &Setting<'_>, folder: &Path, watch: &mut Watch) -> sbp_plugin::Result<TrainOutcome> {
        let optimizer = AdamW {
            peak_lr: setting.peak_lr,
            beta1: 0.9,
            beta2: 0.95,
            eps: 1e-8,
            weight_decay: 0.1,
            max_grad_norm: Some(1.0),
        };
        let job = TrainJob {
            model: &setting.model,
            vocab_size: 50,
            start: setting.start.clone(),
            optimizer,
            schedule: &Linear,
            num_steps: 20,
            batches: &mut Repeated,
            identity: Fingerprint::of_bytes(setting.identity.as_bytes()),
            folder,
            checkpoint_every_secs: setting.checkpoint_every_secs,
            observer: watch,
        };
        train(job, Device::Cpu)
    }

    fn weights(folder: &Path) -> Vec<u8> {
        fs::read(folder.join("checkpoint/model.safetensors")).unwrap()
    }

    #[test]
    fn loss_falls_and_everything_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let mut watch = Watch::default();
        let outcome = run(&setting(true), folder.path(), &mut watch).unwrap();
        let (first, last) = (watch.points[0], watch.points[19]);
        assert!((first.loss - 50_f64.ln()).abs() < 0.1, "a fresh model knows nothing: {}", first.loss);
        assert!(last.loss < 0.7 * first.loss, "{} after {}", last.loss, first.loss);
        assert!(watch.points.iter().all(|point| point.grad_norm > 0.0));

        let examples: Vec<Example> = (0..20).flat_map(|step| Repeated.batch(step).unwrap()).collect();
        let tokens: usize = examples.iter().map(Example::num_predictions).sum();
        let flops: f64 = examples
            .iter()
            .flat_map(|example| 1..=example.num_predictions())
            .map(|context| model(true).train_flops_per_token(50, context as f64))
            .sum();
        assert_eq!(last.tokens, tokens as u64);
        assert!((last.flops as f64 / flops - 1.0).abs() < 1e-6);
        let cost = Cost { tokens: last.tokens, flops: last.flops };
        assert_eq!(outcome, TrainOutcome::Finished { cost, final_loss: last.loss });

        // The same job again does nothing and says the same.
        let mut again = Watch::default();
        assert_eq!(run(&setting(true), folder.path(), &mut again).unwrap(), outcome);
        assert_eq!(again.points, []);
        assert!(!folder.path().join("progress").exists());
    }

    #[test]
    fn gradients_equal_those_of_plain_autograd() {
        for tied in [true, false] {
            let dims = Dims::new(&model(tied), 50).unwrap();
            let parameters = Parameters::fresh(&dims, RootSeed(4).stream("init", &[]), Device::Cpu).unwrap();
            parameters.require_grad().unwrap();
            let rotary = Rotary::new(&dims, Device::Cpu).unwrap();
            let mut examples = Repeated.batch(0).unwrap();
            // Half a document without weight, as the seed of a pair has none.
            let half = examples[0].loss_weights.len() / 2;
            examples[0].loss_weights[..half].fill(0.0);
            let batch = Batch::new(&examples, &dims, &rotary, Device::Cpu).unwrap();
            let (loss, grads) = loss_and_gradients(&parameters, &dims, &batch).unwrap();

            let transformer = Transformer::new(&parameters, &dims).unwrap();
            let (mut sum, mut total) = (Tensor::from(0.0_f32), 0.0);
            for example in &examples {
                let n = example.num_predictions();
                let tokens = Tokens::lay_out(&[&example.tokens[..n]], &rotary, Device::Cpu).unwrap();
                let logits = transformer.hidden(&tokens, None).unwrap().matmul(&parameters.head().tr());
                let targets: Vec<i64> = example.tokens[1..].iter().copied().map(i64::from).collect();
                let picked = logits.log_softmax(-1, Kind::Float).gather(
                    1,
                    &Tensor::from_slice(&targets).unsqueeze(1),
                    false,
                );
                sum -=
                    (picked.squeeze_dim(1) * Tensor::from_slice(&example.loss_weights[1..])).sum(Kind::Float);
                total += example.loss_weights.iter().sum::<f32>();
            }
            let expected = sum / f64::from(total);
            expected.backward();
            assert!((loss - expected.double_value(&[])).abs() < 1e-5);
            for (name, tensor) in parameters.iter() {
                let difference = (&grads[name] - tensor.grad()).abs().max().double_value(&[]);
                assert!(difference < 1e-5, "{name} differs by {difference}");
            }
        }
    }

    #[test]
    fn an_interrupted_job_ends_bit_by_bit_where_a_straight_one_does() {
        for tied in [true, false] {
            let straight = tempfile::tempdir().unwrap();
            let mut whole = Watch::default();
            let expected = run(&setting(tied), straight.path(), &mut whole).unwrap();

            let folder = tempfile::tempdir().unwrap();
            let mut first = Watch { stop_after: Some(7), ..Watch::default() };
            let stopped = run(&setting(tied), folder.path(), &mut first).unwrap();
            assert_eq!(stopped, TrainOutcome::Stopped { step: 7 });
            assert!(!folder.path().join("checkpoint").exists());

            // What a kill leaves: the checkpoint of a step, and pieces of the next one and of the export.
            fs::create_dir_all(folder.path().join("progress/unfinished")).unwrap();
            fs::write(folder.path().join("progress/unfinished/weights.safetensors"), b"half").unwrap();
            fs::create_dir_all(folder.path().join("checkpoint.unfinished/rest")).unwrap();

            let mut second = Watch::default();
            assert_eq!(run(&setting(tied), folder.path(), &mut second).unwrap(), expected);
            assert_eq!(second.resumed_at, Some(7));
            assert_eq!([first.points, second.points].concat(), whole.points);
            assert_eq!(weights(folder.path()), weights(straight.path()));
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        }
    }

    #[test]
    fn checkpoints_are_written_by_the_clock_and_survive_a_kill() {
        let folder = tempfile::tempdir().unwrap();
        let every_step = Setting { checkpoint_every_secs: 0.0, ..setting(true) };
        // A panic in an observer stands for a kill: no code of the trainer runs after it.
        struct Kill(u64);
        impl TrainObserver for Kill {
            fn resumed(&mut self, _: u64) {}
            fn step(&mut self, point: &TrainPoint) {
                assert!(point.step < self.0, "killed");
            }
            fn stop_requested(&self) -> bool {
                false
            }
        }
        let killed = std::panic::catch_unwind(|| {
            let job = TrainJob {
                model: &every_step.model,
                vocab_size: 50,
                start: every_step.start.clone(),
                optimizer: AdamW {
                    peak_lr: 1e-2,
                    beta1: 0.9,
                    beta2: 0.95,
                    eps: 1e-8,
                    weight_decay: 0.1,
                    max_grad_norm: Some(1.0),
                },
                schedule: &Linear,
                num_steps: 20,
                batches: &mut Repeated,
                identity: Fingerprint::of_bytes(b"job"),
                folder: folder.path(),
                checkpoint_every_secs: 0.0,
                observer: &mut Kill(12),
            };
            train(job, Device::Cpu).map_err(|error| error.to_string())
        });
        assert!(killed.is_err());
        let mut watch = Watch::default();
        run(&setting(true), folder.path(), &mut watch).unwrap();
        assert_eq!(watch.resumed_at, Some(11));
        let straight = tempfile::tempdir().unwrap();
        run(&setting(true), straight.path(), &mut Watch::default()).unwrap();
        assert_eq!(weights(folder.path()), weights(straight.path()));
    }

    #[test]
    fn another_job_in_the_same_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let other = Setting { identity: "other", ..setting(true) };
        run(&setting(true), folder.path(), &mut Watch { stop_after: Some(2), ..Watch::default() }).unwrap();
        let half_done = run(&other, folder.path(), &mut Watch::default()).unwrap_err().to_string();
        run(&setting(true), folder.path(), &mut Watch::default()).unwrap();
        let done = run(&other, folder.path(), &mut Watch::default()).unwrap_err().to_string();
        for message in [half_done, done] {
            for identity in ["job", "other"] {
                let name = Fingerprint::of_bytes(identity.as_bytes());
                assert!(message.contains(name.as_str()), "{message}");
            }
        }
    }

    #[test]
    fn training_goes_on_from_a_checkpoint_of_the_same_shape_only() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().join("base");
        run(&setting(true), &base, &mut Watch::default()).unwrap();
        let checkpoint = base.join("checkpoint");
        let start = || Start::From(&checkpoint);

        let mut watch = Watch::default();
        let tune = Setting { start: start(), identity: "tune", ..setting(true) };
        run(&tune, &folder.path().join("tune"), &mut watch).unwrap();
        assert!(watch.points[0].loss < 2.5, "starts where the base ended: {}", watch.points[0].loss);

        let wider = ModelConfig { intermediate_size: 64, ..model(true) };
        let wider = Setting { start: start(), model: wider, ..setting(true) };
        let message =
            run(&wider, &folder.path().join("wider"), &mut Watch::default()).unwrap_err().to_string();
        assert!(message.contains("same shape"), "{message}");
    }

    #[test]
    fn divergence_is_an_error_with_step_and_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let wild = Setting { peak_lr: 1e30, checkpoint_every_secs: 0.0, ..setting(true) };
        let message = run(&wild, folder.path(), &mut Watch::default()).unwrap_err().to_string();
        assert!(message.contains("diverged") && message.contains("progress/step-1"), "{message}");
        assert!(message.contains("Lower the peak learning rate"), "{message}");
    }

    #[test]
    fn what_was_trained_opens_and_predicts_its_documents() {
        let folder = tempfile::tempdir().unwrap();
        let mut watch = Watch::default();
        run(&setting(false), folder.path(), &mut watch).unwrap();
        let sequences: Vec<Vec<TokenId>> =
            Repeated.batch(0).unwrap().into_iter().map(|example| example.tokens).collect();
        let open = || OpenedModel::open(&folder.path().join("checkpoint"), Device::Cpu).unwrap();
        let found = open().log_probs(&sequences).unwrap();
        assert_eq!(found, open().log_probs(&sequences).unwrap());
        let flat: Vec<f32> = found.concat();
        let mean = -flat.iter().sum::<f32>() / flat.len() as f32;
        assert!((f64::from(mean) - watch.points[19].loss).abs() < 0.5, "{mean}");
    }

    #[test]
    fn examples_that_cannot_be_trained_on_are_named() {
        let dims = Dims::new(&model(true), 50).unwrap();
        let rotary = Rotary::new(&dims, Device::Cpu).unwrap();
        let message = |example: Example| {
            let error = Batch::new(&[example], &dims, &rotary, Device::Cpu).err().unwrap();
            named_step(error, 3).to_string()
        };
        let document = |tokens: Vec<TokenId>| Example { loss_weights: vec![0.0; tokens.len()], tokens };
        assert_eq!(
            message(document(vec![1; 34])),
            "sequence 0 of training step 3 has 34 tokens; with a context of 32 the model can train on 33"
        );
        assert_eq!(
            message(document(vec![1, 50])),
            "sequence 0 of training step 3 holds token 50, outside the vocabulary of 50"
        );
        assert_eq!(
            message(document(vec![1, 2])),
            "step 3: no prediction in its 1 sequences weighs anything in the loss"
        );
    }
}
