//! Training from end to end on a tiny model.

mod gradients;
mod resumed;
mod teams;

use std::fs;

use sbp_core::{Example, Markers, RootSeed, TokenId};
use sbp_plugin::ports::{BatchSource, KeepCheckpoints, LanguageModel, Precision, TrainObserver};
use sbp_plugin::slots::schedule::Schedule;
use sbp_plugin::team::Solo;
use sbp_testkit::ThreadTeam;
use tch::{Kind, Tensor};

use super::batch::counts;
use super::gradients::StepGradients;
use super::*;
use crate::language_model::OpenedModel;
use crate::model::Tokens;
use crate::model::dims::tiny_model;
use crate::model::dropout::Dropout;
use crate::model::transformer::{Last, Layer, Stream, embedded};
use crate::optim::tests::Tested;

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

/// What a test changes of a job.
struct Setting<'a> {
    model: ModelConfig,
    start: Start,
    optimizer: Tested,
    peak_lr: f64,
    identity: &'a str,
    gradient_parts: Option<usize>,
    tokens_per_microbatch: Option<usize>,
    dropout: f64,
    checkpoint_every_secs: f64,
    keep_checkpoints: KeepCheckpoints,
}

fn setting(tied: bool) -> Setting<'static> {
    Setting {
        model: tiny_model(tied),
        start: Start::Fresh(RootSeed(4).stream("init", &[])),
        optimizer: Tested::AdamW,
        peak_lr: 1e-2,
        identity: "job",
        gradient_parts: None,
        tokens_per_microbatch: None,
        dropout: 0.0,
        checkpoint_every_secs: f64::INFINITY,
        keep_checkpoints: KeepCheckpoints::default(),
    }
}

fn run(setting: &Setting<'_>, folder: &Path, watch: &mut Watch) -> sbp_plugin::Result<TrainOutcome> {
    run_as(&Solo::default(), setting, folder, watch)
}

fn run_as(
    team: &dyn Team,
    setting: &Setting<'_>,
    folder: &Path,
    observer: &mut dyn TrainObserver,
) -> sbp_plugin::Result<TrainOutcome> {
    let job = TrainJob {
        model: &setting.model,
        vocab_size: 50,
        start: setting.start.clone(),
        optimizer: &setting.optimizer,
        peak_lr: setting.peak_lr,
        schedule: &Linear,
        max_grad_norm: Some(1.0),
        num_steps: 20,
        schedule_steps: 20,
        batches: &mut Repeated,
        identity: Fingerprint::of_bytes(setting.identity.as_bytes()),
        folder,
        gradient_parts: setting.gradient_parts,
        tokens_per_microbatch: setting.tokens_per_microbatch,
        recompute_activations: false,
        precision: Precision::Fp32,
        dropout: (setting.dropout, RootSeed(1)),
        checkpoint_every_secs: setting.checkpoint_every_secs,
        keep_checkpoints: &setting.keep_checkpoints,
        observer,
    };
    train(job, Device::Cpu, team)
}

fn weights(folder: &Path) -> Vec<u8> {
    fs::read(folder.join("checkpoint/model.safetensors")).unwrap()
}

fn differentiation(parameters: &Parameters, dims: Dims) -> Differentiation<'_> {
    let rotary = Rotary::new(&dims, Device::Cpu).unwrap();
    let dropout = (0.0, RootSeed(1));
    let kind = Kind::Float;
    let groups = groups(parameters, dims.layers);
    Differentiation { parameters, groups, dims, rotary, most_tokens: None, kind, recompute: false, dropout }
}

impl Differentiation<'_> {
    /// A whole step by one process.
    fn of_step(&self, step: u64, examples: &[Example]) -> Result<StepGradients> {
        let total_weight = counts(step, examples, &self.dims)?.total_weight;
        StepGradients::of(|ready| self.of_parts(step, &[(0, examples)], total_weight, ready))
    }
}

fn tiny_parameters(tied: bool) -> (Dims, Parameters) {
    let dims = Dims::new(&tiny_model(tied), 50).unwrap();
    let parameters = Parameters::fresh(&dims, RootSeed(4).stream("init", &[]), Device::Cpu).unwrap();
    parameters.require_grad().unwrap();
    (dims, parameters)
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
        .map(|context| tiny_model(true).train_flops_per_token(50, context as f64))
        .sum();
    assert_eq!(last.tokens, tokens as u64);
    assert!((last.flops / flops - 1.0).abs() < 1e-6);
    let cost = Cost { tokens: last.tokens, flops: last.flops };
    assert_eq!(outcome, TrainOutcome::Finished { cost, final_loss: last.loss });

    // The same job again does nothing and says the same.
    let mut again = Watch::default();
    assert_eq!(run(&setting(true), folder.path(), &mut again).unwrap(), outcome);
    assert_eq!(again.points, []);
    assert!(!folder.path().join("progress").exists());
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
    let open = || OpenedModel::open(&folder.path().join("checkpoint"), Precision::Fp32, Device::Cpu).unwrap();
    let found = open().log_probs(&sequences).unwrap();
    assert_eq!(found, open().log_probs(&sequences).unwrap());
    let flat: Vec<f32> = found.concat();
    let mean = -flat.iter().sum::<f32>() / flat.len() as f32;
    assert!((f64::from(mean) - watch.points[19].loss).abs() < 0.5, "{mean}");
}

#[test]
fn examples_that_cannot_be_trained_on_are_named() {
    let dims = Dims::new(&tiny_model(true), 50).unwrap();
    let message = |example: Example| counts(3, &[example], &dims).unwrap_err().to_string();
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

#[test]
fn with_a_base_width_a_step_changes_logits_alike_at_every_width() {
    let logit_change = |width: usize, mup_base_width| {
        let model = ModelConfig {
            hidden_size: width,
            num_heads: width / 8,
            num_kv_heads: width / 8,
            intermediate_size: 2 * width,
            mup_base_width,
            ..tiny_model(false)
        };
        let folder = tempfile::tempdir().unwrap();
        let logits = |steps: u64| {
            let dims = Dims::new(&model, 50).unwrap();
            let parameters = Parameters::fresh(&dims, RootSeed(4).stream("init", &[]), Device::Cpu).unwrap();
            parameters.require_grad().unwrap();
            let mut optimizer = Optimizer::new(&Tested::AdamW, None, &parameters, &dims, &|_| true).unwrap();
            let how = differentiation(&parameters, dims);
            for step in 0..steps {
                let gradients = how.of_step(step + 1, &Repeated.batch(step).unwrap()).unwrap();
                optimizer.step(&gradients.of, 1.0, 1e-2).unwrap();
            }
            hub::export(folder.path(), &model, 50, &parameters).unwrap();
            let mut opened = OpenedModel::open(folder.path(), Precision::Fp32, Device::Cpu).unwrap();
            let sequences: Vec<Vec<TokenId>> = (2..50).map(|token| vec![5, 9, token]).collect();
            opened
                .log_probs(&sequences)
                .unwrap()
                .into_iter()
                .map(|found| f64::from(found[1]))
                .collect::<Vec<_>>()
        };
        let (before, after) = (logits(0), logits(3));
        let squares = before.iter().zip(&after).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
        (squares / before.len() as f64).sqrt()
    };
    let growth = |base| logit_change(256, base) / logit_change(32, base);
    let (scaled, plain) = (growth(Some(32)), growth(None));
    assert!((0.5..2.0).contains(&scaled), "eight times the width changes logits {scaled} times as much");
    assert!(plain > 2.0 * scaled, "{plain} without, {scaled} with");
}
