//! The ports of the tensor world, on counted bigrams.

use std::fs;
use std::path::Path;
use std::time::Instant;

use sbp_core::{Cost, Fingerprint};
use sbp_plugin::Result;
use sbp_plugin::ports::{
    EncoderOptions, LanguageModel, Precision, Runtime, RuntimeFacts, Start, TextEncoder, TopK, TrainJob,
    TrainOutcome, TrainPoint,
};
use serde::{Deserialize, Serialize};

use crate::{BigramModel, ByteEncoder, NaiveTopK};

/// A runtime without tensors: it trains in milliseconds, resumes and stops like the real one.
#[derive(Debug, Clone, Copy, Default)]
pub struct BigramRuntime {
    top_k: NaiveTopK,
}

/// What a half-done job goes on from.
#[derive(Serialize, Deserialize)]
struct Progress {
    identity: Fingerprint,
    step: u64,
    cost: Cost,
    last_loss: f64,
    model: BigramModel,
}

/// The model of a checkpoint folder.
const MODEL_FILE: &str = "bigram.json";
/// The state of a half-done job.
const PROGRESS_FILE: &str = "progress.json";

impl Runtime for BigramRuntime {
    fn facts(&self) -> RuntimeFacts {
        let library = format!("sbp-testkit bigrams {}", env!("CARGO_PKG_VERSION"));
        RuntimeFacts { library, device: "cpu".to_owned(), num_threads: 1 }
    }

    fn train(&mut self, job: TrainJob<'_>) -> Result<TrainOutcome> {
        let progress_folder = job.folder.join("progress");
        let progress_file = progress_folder.join(PROGRESS_FILE);
        let mut state = if progress_file.exists() {
            let state: Progress = read(&progress_file)?;
            if state.identity != job.identity {
                return Err(format!(
                    "{} holds a half-done job on other data, model or options ({}, not {}); remove it to begin anew",
                    progress_folder.display(),
                    state.identity.short(),
                    job.identity.short()
                )
                .into());
            }
            job.observer.resumed(state.step);
            state
        } else {
            let model = start(&job)?;
            Progress { identity: job.identity.clone(), step: 0, cost: Cost::default(), last_loss: 0.0, model }
        };
        let mut written = Instant::now();
        while state.step < job.num_steps {
            if job.observer.stop_requested() {
                write(&progress_folder, PROGRESS_FILE, &state)?;
                let (step, cost, loss) = (state.step, state.cost, state.last_loss);
                return Ok(TrainOutcome::Stopped { step, cost, loss });
            }
            if written.elapsed().as_secs_f64() >= job.checkpoint_every_secs {
                write(&progress_folder, PROGRESS_FILE, &state)?;
                written = Instant::now();
            }
            let batch = job.batches.batch(state.step)?;
            let point = step(&mut state, batch, job.num_steps)?;
            let lr = job.peak_lr * job.schedule.share(point.step - 1, job.schedule_steps);
            job.observer.step(&TrainPoint { lr, ..point });
            for name in job.keep_checkpoints.names_at(point.step) {
                write(&job.folder.join("checkpoints").join(name), MODEL_FILE, &state.model)?;
            }
        }
        publish(&state.model, job.folder)?;
        if progress_folder.exists() {
            fs::remove_dir_all(&progress_folder)?;
        }
        Ok(TrainOutcome::Finished { cost: state.cost, final_loss: state.last_loss })
    }

    fn open(&mut self, checkpoint: &Path, _: Precision) -> Result<Box<dyn LanguageModel>> {
        Ok(Box::new(read::<BigramModel>(&checkpoint.join(MODEL_FILE))?))
    }

    fn open_encoder(&mut self, folder: &Path, options: &EncoderOptions) -> Result<Box<dyn TextEncoder>> {
        Ok(Box::new(ByteEncoder::open(folder, options)?))
    }

    fn peak_flops(&mut self, _: Precision) -> Option<f64> {
        None
    }
    fn top_k(&mut self) -> &mut dyn TopK {
        &mut self.top_k
    }
}

fn start(job: &TrainJob<'_>) -> Result<BigramModel> {
    let model = match &job.start {
        Start::Fresh(rng) => return Ok(BigramModel::fresh(job.model, job.vocab_size, rng.clone())),
        Start::From(path) => read::<BigramModel>(&path.join(MODEL_FILE))?,
    };
    if model.vocab_size() != job.vocab_size || model.config() != job.model {
        return Err("the checkpoint to start from has another shape or vocabulary than this job".into());
    }
    Ok(model)
}

/// One step: measure, then count.
fn step(state: &mut Progress, batch: Vec<sbp_core::Example>, num_steps: u64) -> Result<TrainPoint> {
    let (mut loss, mut weights) = (0.0, 0.0);
    for example in &batch {
        state.model.check(&example.tokens)?;
        if example.loss_weights.len() != example.tokens.len() {
            return Err(format!(
                "a sequence has {} tokens and {} loss weights",
                example.tokens.len(),
                example.loss_weights.len()
            )
            .into());
        }
        let (own_loss, own_weights) = state.model.loss(example);
        loss += own_loss;
        weights += own_weights;
        let tokens = example.num_predictions();
        let mean_context = (tokens + 1) as f64 / 2.0;
        let per_token = state.model.config().train_flops_per_token(state.model.vocab_size(), mean_context);
        state.cost.tokens += tokens as u64;
        state.cost.flops += (tokens as f64 * per_token).round();
    }
    batch.iter().for_each(|example| state.model.learn(example));
    state.step += 1;
    state.last_loss = if weights > 0.0 { loss / weights } else { 0.0 };
    Ok(TrainPoint {
        step: state.step,
        num_steps,
        tokens: state.cost.tokens,
        flops: state.cost.flops,
        loss: state.last_loss,
        lr: 0.0,
        grad_norm: 0.0,
    })
}

/// Puts the finished model in place, whole or not at all.
fn publish(model: &BigramModel, folder: &Path) -> Result<()> {
    let (unfinished, finished) = (folder.join("checkpoint.part"), folder.join("checkpoint"));
    for leftover in [&unfinished, &finished] {
        if leftover.exists() {
            fs::remove_dir_all(leftover)?;
        }
    }
    write(&unfinished, MODEL_FILE, model)?;
    fs::rename(unfinished, finished)?;
    Ok(())
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
    let bytes = fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    serde_json::from_slice(&bytes)
        .map_err(|error| format!("{} is not of this runtime: {error}", path.display()).into())
}

fn write(folder: &Path, file: &str, value: &impl Serialize) -> Result<()> {
    fs::create_dir_all(folder)?;
    let unfinished = folder.join(format!("{file}.part"));
    fs::write(&unfinished, serde_json::to_vec(value)?)?;
    fs::rename(unfinished, folder.join(file))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use sbp_core::{Example, ModelConfig, RootSeed};
    use sbp_plugin::ports::{BatchSource, KeepCheckpoints, TrainObserver};
    use sbp_plugin::slots::schedule::Schedule;

    use super::*;
    use crate::ByteTokenizer;

    struct Flat;
    impl Schedule for Flat {
        fn share(&self, _: u64, _: u64) -> f64 {
            1.0
        }
    }

    struct Batches;
    impl BatchSource for Batches {
        fn batch(&mut self, step: u64) -> Result<Vec<Example>> {
            Ok((0..4).map(|n| ByteTokenizer.document(&format!("step {step} of {n}"))).collect())
        }
    }

    #[derive(Default)]
    struct Watch {
        points: Vec<TrainPoint>,
        resumed: Vec<u64>,
        stop_after: Option<usize>,
    }
    impl TrainObserver for Watch {
        fn resumed(&mut self, step: u64) {
            self.resumed.push(step);
        }
        fn step(&mut self, point: &TrainPoint) {
            self.points.push(*point);
        }
        fn stop_requested(&self) -> bool {
            self.stop_after.is_some_and(|steps| self.points.len() >= steps)
        }
    }

    fn train(folder: &Path, identity: &str, start: Start, watch: &mut Watch) -> Result<TrainOutcome> {
        BigramRuntime::default().train(TrainJob {
            model: &ModelConfig::default(),
            vocab_size: 258,
            start,
            optimizer: &crate::PlainAdamW,
            peak_lr: 1e-3,
            schedule: &Flat,
            max_grad_norm: None,
            num_steps: 10,
            schedule_steps: 10,
            batches: &mut Batches,
            identity: Fingerprint::of_bytes(identity.as_bytes()),
            folder,
            gradient_parts: None,
            tokens_per_microbatch: None,
            recompute_activations: false,
            precision: Precision::Fp32,
            dropout: (0.0, RootSeed(1)),
            checkpoint_every_secs: 1e9,
            keep_checkpoints: &KeepCheckpoints::default(),
            observer: watch,
        })
    }

    fn fresh() -> Start {
        Start::Fresh(RootSeed(1).stream("init", &[]))
    }

    fn checkpoint(folder: &Path) -> Vec<u8> {
        fs::read(folder.join("checkpoint").join(MODEL_FILE)).unwrap()
    }

    #[test]
    fn a_stopped_job_goes_on_to_the_same_end() {
        let (straight, stopped) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut watch = Watch::default();
        let whole = train(straight.path(), "job", fresh(), &mut watch).unwrap();

        let mut first = Watch { stop_after: Some(4), ..Watch::default() };
        let outcome = train(stopped.path(), "job", fresh(), &mut first).unwrap();
        assert!(matches!(outcome, TrainOutcome::Stopped { step: 4, .. }));
        assert!(!stopped.path().join("checkpoint").exists());
        assert!(train(stopped.path(), "other job", fresh(), &mut Watch::default()).is_err());

        let mut second = Watch::default();
        assert_eq!(train(stopped.path(), "job", fresh(), &mut second).unwrap(), whole);
        assert_eq!(second.resumed, [4]);
        assert_eq!([first.points, second.points].concat(), watch.points);
        assert_eq!(checkpoint(stopped.path()), checkpoint(straight.path()));
        assert!(!stopped.path().join("progress").exists());
    }

    #[test]
    fn loss_falls_and_training_can_start_from_a_checkpoint() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut watch = Watch::default();
        train(first.path(), "job", fresh(), &mut watch).unwrap();
        assert!(watch.points[9].loss < watch.points[0].loss / 2.0);
        let mut further = Watch::default();
        let start = first.path().join("checkpoint");
        train(second.path(), "job", Start::From(start.clone()), &mut further).unwrap();
        assert!(further.points[0].loss < watch.points[0].loss / 2.0);
        assert_eq!(BigramRuntime::default().open(&start, Precision::Fp32).unwrap().context_length(), 256);
        assert!(BigramRuntime::default().open(second.path(), Precision::Fp32).is_err());
    }

    #[test]
    fn another_seed_gives_another_model() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        train(one.path(), "job", fresh(), &mut Watch::default()).unwrap();
        train(two.path(), "job", Start::Fresh(RootSeed(2).stream("init", &[])), &mut Watch::default())
            .unwrap();
        assert_ne!(checkpoint(one.path()), checkpoint(two.path()));
    }
}
