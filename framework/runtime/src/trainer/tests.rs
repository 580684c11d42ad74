//! Training from end to end on a tiny model.

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
    watch: &mut Watch,
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
        observer: watch,
    };
    train(job, Device::Cpu, team)
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

fn differentiation(parameters: &Parameters, dims: Dims) -> Differentiation<'_> {
    let rotary = Rotary::new(&dims, Device::Cpu).unwrap();
    let dropout = (0.0, RootSeed(1));
    let kind = Kind::Float;
    Differentiation { parameters, dims, rotary, most_tokens: None, kind, recompute: false, dropout }
}

impl Differentiation<'_> {
    /// A whole step by one process.
    fn of_step(&self, step: u64, examples: &[Example]) -> Result<StepGradients> {
        self.of_part([step, 0], examples, counts(step, examples, &self.dims)?.total_weight)
    }
}

fn tiny_parameters(tied: bool) -> (Dims, Parameters) {
    let dims = Dims::new(&tiny_model(tied), 50).unwrap();
    let parameters = Parameters::fresh(&dims, RootSeed(4).stream("init", &[]), Device::Cpu).unwrap();
    parameters.require_grad().unwrap();
    (dims, parameters)
}

#[test]
fn gradients_equal_those_of_plain_autograd() {
    for tied in [true, false] {
        let (dims, parameters) = tiny_parameters(tied);
        let mut examples = Repeated.batch(0).unwrap();
        // Half a document without weight, as the seed of a pair has none.
        let half = examples[0].loss_weights.len() / 2;
        examples[0].loss_weights[..half].fill(0.0);
        let plain = differentiation(&parameters, dims);
        let whole = plain.of_step(1, &examples).unwrap();
        let in_parts = Differentiation { most_tokens: Some(20), ..differentiation(&parameters, dims) };
        let in_parts = in_parts.of_step(1, &examples).unwrap();

        let (mut sum, mut total) = (Tensor::from(0.0_f32), 0.0);
        for example in &examples {
            let n = example.num_predictions();
            let tokens = Tokens::lay_out(&[&example.tokens[..n]], &plain.rotary, Device::Cpu).unwrap();
            let mut stream =
                Stream::new(embedded(&parameters, &tokens, &dims, Kind::Float).unwrap()).unwrap();
            for index in 0..dims.layers {
                let layer = Layer::new(&parameters, index, &dims, Kind::Float).unwrap();
                stream = layer.forward(&stream, &tokens, dims.eps, &Dropout::NONE).unwrap();
            }
            let hidden = Last::new(&parameters, &dims, Kind::Float).unwrap().forward(&stream).unwrap();
            let logits = hidden.matmul(&parameters.head().tr());
            let targets: Vec<i64> = example.tokens[1..].iter().copied().map(i64::from).collect();
            let picked = logits.log_softmax(-1, Kind::Float).gather(
                1,
                &Tensor::from_slice(&targets).unsqueeze(1),
                false,
            );
            sum -= (picked.squeeze_dim(1) * Tensor::from_slice(&example.loss_weights[1..])).sum(Kind::Float);
            total += example.loss_weights.iter().sum::<f32>();
        }
        let expected = sum / f64::from(total);
        expected.backward();
        assert!((whole.loss - expected.double_value(&[])).abs() < 1e-5);
        assert!((whole.loss - in_parts.loss).abs() < 1e-6);
        for (name, tensor) in parameters.iter() {
            for found in [&whole.of[name], &in_parts.of[name]] {
                let difference = (found - tensor.grad()).abs().max().double_value(&[]);
                assert!(difference < 1e-5, "{name} differs by {difference}");
            }
        }
    }
}

#[test]
fn layers_computed_twice_give_the_same_gradients_bit_by_bit() {
    for tied in [true, false] {
        let (dims, parameters) = tiny_parameters(tied);
        let examples = Repeated.batch(0).unwrap();
        // With dropout too: the second time drops the same.
        for share in [0.0, 0.3] {
            let gradients = |recompute| {
                let dropout = (share, RootSeed(1));
                let how = Differentiation { recompute, dropout, ..differentiation(&parameters, dims) };
                how.of_step(1, &examples).unwrap()
            };
            let (kept, twice) = (gradients(false), gradients(true));
            assert_eq!(kept.loss, twice.loss);
            assert_eq!(kept.of.len(), twice.of.len());
            for (name, grad) in &kept.of {
                assert!(grad.equal(&twice.of[name]), "{name} differs");
            }
        }
    }
}

#[test]
fn dropout_changes_a_step_and_follows_its_seed() {
    let (dims, parameters) = tiny_parameters(true);
    let examples = Repeated.batch(0).unwrap();
    let loss = |share, seed| {
        let how = Differentiation { dropout: (share, RootSeed(seed)), ..differentiation(&parameters, dims) };
        how.of_step(1, &examples).unwrap().loss
    };
    assert_eq!(loss(0.3, 1), loss(0.3, 1));
    assert_ne!(loss(0.3, 1), loss(0.3, 2));
    assert_ne!(loss(0.3, 1), loss(0.0, 1));
}

#[test]
fn bf16_is_near_f32() {
    for tied in [true, false] {
        let (dims, parameters) = tiny_parameters(tied);
        let examples = Repeated.batch(0).unwrap();
        let gradients = |kind| {
            Differentiation { kind, ..differentiation(&parameters, dims) }.of_step(1, &examples).unwrap()
        };
        let (full, half) = (gradients(Kind::Float), gradients(Kind::BFloat16));
        assert!((full.loss - half.loss).abs() < 0.02, "{} and {}", full.loss, half.loss);
        for (name, grad) in &full.of {
            assert_eq!(half.of[name].kind(), Kind::Float);
            let difference = (grad - &half.of[name]).norm().double_value(&[]) / grad.norm().double_value(&[]);
            assert!(difference < 0.05, "{name} differs by {difference} of its norm");
        }
    }
}

#[test]
fn an_interrupted_job_ends_bit_by_bit_where_a_straight_one_does() {
    for (tied, dropout, optimizer, stops) in [
        (true, 0.0, Tested::AdamW, vec![7]),
        (false, 0.0, Tested::Muon, vec![7]),
        (true, 0.2, Tested::AdamW, (1..20).collect::<Vec<_>>()),
    ] {
        let straight = tempfile::tempdir().unwrap();
        let mut whole = Watch::default();
        let setting = Setting { dropout, optimizer, ..setting(tied) };
        let expected = run(&setting, straight.path(), &mut whole).unwrap();

        let folder = tempfile::tempdir().unwrap();
        let mut points = Vec::new();
        for (attempt, &step) in stops.iter().enumerate() {
            let mut watch = Watch { stop_after: Some(step), ..Watch::default() };
            let stopped = run(&setting, folder.path(), &mut watch).unwrap();
            assert!(matches!(stopped, TrainOutcome::Stopped { step: at, .. } if at == step));
            assert_eq!(watch.resumed_at, (attempt > 0).then(|| stops[attempt - 1]));
            assert!(!folder.path().join("checkpoint").exists());
            points.extend(watch.points);

            // What a kill leaves: the checkpoint of a step, and pieces of the next one and of the export.
            fs::create_dir_all(folder.path().join("progress/unfinished")).unwrap();
            fs::write(folder.path().join("progress/unfinished/model.safetensors"), b"half").unwrap();
            fs::create_dir_all(folder.path().join("checkpoint.unfinished/rest")).unwrap();
        }
        let mut last = Watch::default();
        assert_eq!(run(&setting, folder.path(), &mut last).unwrap(), expected);
        assert_eq!(last.resumed_at, stops.last().copied());
        points.extend(last.points);
        assert_eq!(points, whole.points);
        assert_eq!(weights(folder.path()), weights(straight.path()));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}

#[test]
fn a_job_goes_on_with_another_batch_split() {
    let (straight, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut whole = Watch::default();
    run(&setting(true), straight.path(), &mut whole).unwrap();
    run(&setting(true), folder.path(), &mut Watch { stop_after: Some(7), ..Watch::default() }).unwrap();
    let in_parts = Setting { tokens_per_microbatch: Some(16), ..setting(true) };
    let mut rest = Watch::default();
    run(&in_parts, folder.path(), &mut rest).unwrap();
    assert_eq!(rest.resumed_at, Some(7));
    for (found, expected) in rest.points.iter().zip(&whole.points[7..]) {
        assert_eq!((found.step, found.tokens, found.flops), (expected.step, expected.tokens, expected.flops));
        assert!((found.loss - expected.loss).abs() < 1e-3, "{found:?}, {expected:?}");
    }
}

#[test]
fn checkpoints_are_written_by_the_clock_and_survive_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let every_step = Setting { checkpoint_every_secs: 0.0, ..setting(true) };
    // A panic in an observer stands for a kill; a checkpoint on its way to the disk is brought there.
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
            optimizer: &Tested::AdamW,
            peak_lr: 1e-2,
            max_grad_norm: Some(1.0),
            schedule: &Linear,
            num_steps: 20,
            schedule_steps: 20,
            batches: &mut Repeated,
            identity: Fingerprint::of_bytes(b"job"),
            folder: folder.path(),
            gradient_parts: None,
            tokens_per_microbatch: None,
            recompute_activations: false,
            precision: Precision::Fp32,
            dropout: (0.0, RootSeed(1)),
            checkpoint_every_secs: 0.0,
            keep_checkpoints: &KeepCheckpoints::default(),
            observer: &mut Kill(12),
        };
        train(job, Device::Cpu, &Solo::default()).map_err(|error| error.to_string())
    });
    assert!(killed.is_err());
    let mut watch = Watch::default();
    run(&setting(true), folder.path(), &mut watch).unwrap();
    assert!(watch.resumed_at.is_some_and(|step| (1..12).contains(&step)), "{:?}", watch.resumed_at);
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
    let start = || Start::From(checkpoint.clone());

    let mut watch = Watch::default();
    let tune = Setting { start: start(), identity: "tune", ..setting(true) };
    run(&tune, &folder.path().join("tune"), &mut watch).unwrap();
    assert!(watch.points[0].loss < 2.5, "starts where the base ended: {}", watch.points[0].loss);

    let wider = ModelConfig { intermediate_size: 64, ..tiny_model(true) };
    let wider = Setting { start: start(), model: wider, ..setting(true) };
    let message = run(&wider, &folder.path().join("wider"), &mut Watch::default()).unwrap_err().to_string();
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

#[test]
fn kept_checkpoints_stay_and_open_as_models() {
    let folder = tempfile::tempdir().unwrap();
    let named = [("warm".to_owned(), 3), ("never".to_owned(), 99)].into();
    let keep_checkpoints = KeepCheckpoints { every_steps: Some(8), named };
    let setting = Setting { keep_checkpoints, ..setting(true) };
    let mut watch = Watch { stop_after: Some(9), ..Watch::default() };
    run(&setting, folder.path(), &mut watch).unwrap();
    let mut rest = Watch::default();
    run(&setting, folder.path(), &mut rest).unwrap();

    let kept = folder.path().join("checkpoints");
    let mut names: Vec<String> =
        fs::read_dir(&kept).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["step-000008", "step-000016", "warm"]);
    // The loss of the next step is that of the model kept before it.
    for (name, step) in [("warm", 3), ("step-000008", 8), ("step-000016", 16)] {
        let mut model = OpenedModel::open(&kept.join(name), Precision::Fp32, Device::Cpu).unwrap();
        let examples = Repeated.batch(step).unwrap();
        let (mut sum, mut total) = (0.0, 0.0);
        for example in &examples {
            let found = model.log_probs(std::slice::from_ref(&example.tokens)).unwrap().remove(0);
            let weights = &example.loss_weights[1..];
            sum -= found.iter().zip(weights).map(|(a, b)| f64::from(a * b)).sum::<f64>();
            total += weights.iter().copied().map(f64::from).sum::<f64>();
        }
        let points: Vec<&TrainPoint> = watch.points.iter().chain(&rest.points).collect();
        let loss = points.iter().find(|point| point.step == step + 1).unwrap().loss;
        assert!((sum / total - loss).abs() < 1e-5, "{name}: {} and {loss}", sum / total);
    }
}

/// A job of several processes: what they saw, and the bytes of the model.
fn team_of(size: usize, setting: &Setting<'_>, stop_after: Option<u64>, folder: &Path) -> Vec<Watch> {
    ThreadTeam::run(size, |team| {
        tch::set_num_threads(1);
        let mut watch = Watch { stop_after, ..Watch::default() };
        run_as(team.as_ref(), setting, folder, &mut watch).unwrap();
        watch
    })
}

#[test]
fn processes_train_as_one_does() {
    for (optimizer, tied) in [(Tested::AdamW, true), (Tested::AdamW, false), (Tested::Muon, false)] {
        let setting = Setting { optimizer, ..setting(tied) };
        let alone = tempfile::tempdir().unwrap();
        let [one] = <[Watch; 1]>::try_from(team_of(1, &setting, None, alone.path())).ok().unwrap();
        for size in [2, 3] {
            let folder = tempfile::tempdir().unwrap();
            let watches = team_of(size, &setting, None, folder.path());
            for watch in &watches {
                assert_eq!(watch.points, watches[0].points, "processes see the same");
            }
            for (found, expected) in watches[0].points.iter().zip(&one.points) {
                assert_eq!(
                    (found.tokens, found.flops, found.lr),
                    (expected.tokens, expected.flops, expected.lr)
                );
                assert!((found.loss - expected.loss).abs() < 1e-3, "{found:?}, {expected:?}");
            }
        }
    }
}

#[test]
fn with_parts_in_a_fixed_order_any_number_of_processes_trains_the_same_bits() {
    for optimizer in [Tested::AdamW, Tested::Muon] {
        let setting = Setting { optimizer, gradient_parts: Some(4), dropout: 0.1, ..setting(false) };
        let trained = |size| {
            let folder = tempfile::tempdir().unwrap();
            let watches = team_of(size, &setting, None, folder.path());
            (weights(folder.path()), watches[0].points.clone())
        };
        let one = trained(1);
        assert_eq!(trained(2), one);
        assert_eq!(trained(4), one);
    }
}

#[test]
fn a_job_goes_on_with_another_number_of_processes() {
    let setting = Setting { gradient_parts: Some(4), ..setting(true) };
    let straight = tempfile::tempdir().unwrap();
    team_of(1, &setting, None, straight.path());
    let folder = tempfile::tempdir().unwrap();
    for (size, stop_after) in [(4, Some(5)), (1, Some(9)), (2, Some(14)), (4, None)] {
        let watches = team_of(size, &setting, stop_after, folder.path());
        assert!(watches.iter().all(|watch| watch.resumed_at == watches[0].resumed_at));
    }
    assert_eq!(weights(folder.path()), weights(straight.path()));
}

#[test]
fn parts_that_cannot_be_shared_out_are_refused() {
    let setting = Setting { gradient_parts: Some(4), ..setting(true) };
    let folder = tempfile::tempdir().unwrap();
    let refused = ThreadTeam::run(3, |team| {
        run_as(team.as_ref(), &setting, folder.path(), &mut Watch::default()).unwrap_err().to_string()
    });
    assert!(
        refused[2].contains("gradient_parts is 4") && refused[2].contains("3 processes"),
        "{}",
        refused[2]
    );
}
