//! Tokens per second of training, scoring and decoding with a small model.
//!
//! `cargo run --release -p sbp-runtime --example throughput [steps] [threads] [folder]`; the trained checkpoint
//! stays in the folder, if one is given. On a machine that others use as well, set GOMP_SPINCOUNT=1000: threads
//! that wait for a sibling without a processor otherwise burn the processor it needs.
#![expect(clippy::print_stdout, reason = "its output is what it is for")]

use std::path::Path;
use std::time::Instant;

use sbp_core::{Example, Fingerprint, Markers, ModelConfig, RootSeed, TokenId};
use sbp_plugin::ports::{
    AdamW, BatchSource, Decoding, LanguageModel, Precision, Prompt, Runtime, Start, TrainJob, TrainObserver,
    TrainPoint,
};
use sbp_plugin::slots::schedule::Schedule;
use sbp_runtime::{TorchRuntime, device, native};

const VOCAB: usize = 2048;
const STEP_TOKENS: usize = 4096;
const MARKERS: Markers = Markers { end_of_text: 0, related: 1 };

/// Documents of 40 to 100 random tokens.
struct Random;

fn document(index: u64) -> Vec<TokenId> {
    let mut stream = RootSeed(1).stream("document", &[index]);
    let length = 40 + stream.below(61);
    // Squared, so that some tokens are frequent and there is something to learn.
    (0..length).map(|_| 2 + (stream.uniform().powi(2) * (VOCAB - 2) as f64) as TokenId).collect()
}

impl BatchSource for Random {
    fn batch(&mut self, step: u64) -> sbp_plugin::Result<Vec<Example>> {
        let mut examples = Vec::new();
        let mut tokens = 0;
        while tokens < STEP_TOKENS {
            let example = Example::document(&document(step * 1000 + examples.len() as u64), MARKERS);
            tokens += example.num_predictions();
            examples.push(example);
        }
        Ok(examples)
    }
}

struct Constant;

impl Schedule for Constant {
    fn share(&self, _: u64, _: u64) -> f64 {
        1.0
    }
}

/// Times of steps, each with the tokens consumed until then.
struct Clock {
    start: Instant,
    points: Vec<(f64, u64)>,
}

impl TrainObserver for Clock {
    fn resumed(&mut self, _: u64) {}

    fn step(&mut self, point: &TrainPoint) {
        self.points.push((self.start.elapsed().as_secs_f64(), point.tokens));
    }

    fn stop_requested(&self) -> bool {
        false
    }
}

fn main() -> sbp_plugin::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let num_steps = arguments.next().map_or(Ok(60), |text| text.parse())?;
    let threads = arguments.next().map(|text| text.parse()).transpose()?;
    let scratch = std::env::temp_dir().join(format!("sbp-throughput-{}", std::process::id()));
    let kept = arguments.next();
    let folder = kept.as_ref().map_or(scratch.as_path(), Path::new);

    let tuned = native::tune_allocator();
    let ready = device::init(device::Device::Auto, threads)?;
    println!("{ready:?}, allocator tuned: {tuned}");
    let mut runtime = TorchRuntime::new(ready);
    let model = ModelConfig::default();

    let mut clock = Clock { start: Instant::now(), points: Vec::new() };
    runtime.train(TrainJob {
        model: &model,
        vocab_size: VOCAB,
        start: Start::Fresh(RootSeed(2).stream("init", &[])),
        optimizer: AdamW {
            peak_lr: 1e-3,
            beta1: 0.9,
            beta2: 0.95,
            eps: 1e-8,
            weight_decay: 0.1,
            max_grad_norm: Some(1.0),
        },
        schedule: &Constant,
        num_steps,
        batches: &mut Random,
        identity: Fingerprint::of_bytes(b"throughput"),
        folder,
        tokens_per_microbatch: None,
        recompute_activations: false,
        precision: Precision::Fp32,
        dropout: (0.0, RootSeed(1)),
        checkpoint_every_secs: f64::INFINITY,
        observer: &mut clock,
    })?;
    report_training(&clock);

    let mut opened = runtime.open(&folder.join("checkpoint"))?;
    let sequences: Vec<Vec<TokenId>> = (0..500).map(document).collect();
    let start = Instant::now();
    opened.log_probs(&sequences)?;
    let seconds = start.elapsed().as_secs_f64();
    println!("scoring: {:.0} tokens/s", opened.take_cost().tokens as f64 / seconds);

    for batch_size in [64, 256] {
        for top_p in [1.0, 0.95] {
            generate(opened.as_mut(), batch_size, top_p)?;
        }
    }
    if kept.is_none() {
        std::fs::remove_dir_all(&scratch)?;
    }
    Ok(())
}

/// The median and the best step, since a busy machine slows some of them down.
fn report_training(clock: &Clock) {
    let mut rates: Vec<f64> = clock
        .points
        .windows(2)
        .skip(3)
        .map(|pair| (pair[1].1 - pair[0].1) as f64 / (pair[1].0 - pair[0].0))
        .collect();
    rates.sort_by(f64::total_cmp);
    if let (Some(best), Some((seconds, tokens))) = (rates.last(), clock.points.last()) {
        let median = rates[rates.len() / 2];
        let mean = *tokens as f64 / seconds;
        println!(
            "training: {mean:.0} tokens/s in all, {median:.0} in the median step, {best:.0} in the best"
        );
    }
}

/// Prompts of 64 tokens, continued for 64.
fn generate(opened: &mut dyn LanguageModel, batch_size: usize, top_p: f64) -> sbp_plugin::Result<()> {
    let prompts = (0..2 * batch_size as u64)
        .map(|index| {
            let mut tokens = document(index);
            tokens.resize(64, 5);
            Prompt { tokens, rng: RootSeed(3).stream("prompt", &[index]) }
        })
        .collect();
    let how = Decoding { temperature: 0.9, top_p, max_new_tokens: 64, stop: MARKERS.end_of_text, batch_size };
    let start = Instant::now();
    let completions = opened.complete(prompts, &how)?;
    let seconds = start.elapsed().as_secs_f64();
    let emitted: usize = completions.iter().map(|it| it.tokens.len() + usize::from(it.finished)).sum();
    println!("decoding {batch_size} rows, top_p {top_p}: {:.0} new tokens/s", emitted as f64 / seconds);
    Ok(())
}
