//! Our side of `cargo xtask bench generate`: continues prompts greedily and prints how fast.
//!
//! `generate_bench make FOLDER SIZE`, where SIZE is `small` or `medium`, leaves fresh weights in
//! FOLDER/checkpoint, a Hugging Face folder, so that any other program can do the same job.
//!
//! `generate_bench prompts CHECKPOINT TEXTS COUNT MOST PROMPTS_FILE` makes prompts of the first texts of a JSONL
//! file, as the objective `conditional` makes them of seed documents, each of at most MOST tokens.
//!
//! `generate_bench FOLDER PROMPTS_FILE BATCH THREADS MAX_NEW_TOKENS` opens a Hugging Face folder and continues
//! the prompts, `{"stop": token, "prompts": [[token, ...], ...]}`. Completions go beside the prompts, as
//! `completions-sbp.json`.
#![expect(clippy::print_stdout, reason = "its output is what it is for")]

use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Instant;

use sbp_core::{Example, Fingerprint, ModelConfig, RootSeed, TokenId};
use sbp_plugin::Result;
use sbp_plugin::ports::{
    BatchSource, Completion, Decoding, KeepCheckpoints, Precision, Prompt, Runtime, Start, TrainJob,
    TrainObserver, TrainPoint,
};
use sbp_plugin::slots::schedule::Schedule;
use sbp_runtime::{TorchRuntime, device, native};
use sbp_testkit::{PlainAdamW, peak_mib};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokenizers::Tokenizer;

const USAGE: &str = "usage: generate_bench make FOLDER SIZE\n       \
                     generate_bench prompts CHECKPOINT TEXTS COUNT MOST PROMPTS_FILE\n       \
                     generate_bench FOLDER PROMPTS_FILE BATCH THREADS MAX_NEW_TOKENS";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    native::tune_allocator();
    match arguments.as_slice() {
        ["make", folder, size] => make(Path::new(folder), size)?,
        ["prompts", checkpoint, texts, count, most, to] => {
            prompts(Path::new(checkpoint), Path::new(texts), count.parse()?, most.parse()?, Path::new(to))?;
        }
        [folder, prompts, batch_size, threads, max_new_tokens] => {
            let ready = device::init("cpu".parse()?, NonZeroUsize::new(threads.parse()?))?;
            let prompts = Path::new(prompts);
            let job: Job = serde_json::from_slice(&fs::read(prompts)?)?;
            let how = Decoding {
                temperature: 0.0,
                max_new_tokens: max_new_tokens.parse()?,
                stop: job.stop,
                batch_size: batch_size.parse()?,
                ..Decoding::default()
            };
            generate(&mut TorchRuntime::alone(ready), Path::new(folder), prompts, &job.prompts, &how)?;
        }
        _ => return Err(USAGE.into()),
    }
    println!("peak_mib {:.0}", peak_mib()?);
    Ok(())
}

/// The shape of a model, and its vocabulary: about 10M parameters, or those of recipes/models/110m.toml.
fn size(name: &str) -> Result<(ModelConfig, usize)> {
    let small = ModelConfig {
        hidden_size: 256,
        num_layers: 8,
        num_heads: 4,
        num_kv_heads: 2,
        head_dim: 64,
        intermediate_size: 768,
        context_length: 2048,
        // Wider than for training: else the most probable token of a fresh model with a tied head is the one
        // it has just read, whatever its layers compute, and equal completions would show nothing.
        initializer_range: 0.05,
        ..ModelConfig::default()
    };
    match name {
        "small" => Ok((small, 16_384)),
        "medium" => {
            let model = ModelConfig {
                hidden_size: 768,
                num_layers: 12,
                num_heads: 12,
                num_kv_heads: 4,
                intermediate_size: 2048,
                ..small
            };
            Ok((model, 49_152))
        }
        other => Err(format!("no size `{other}`; there are `small` and `medium`").into()),
    }
}

/// What both sides are to continue.
#[derive(Serialize, Deserialize)]
struct Job {
    stop: TokenId,
    prompts: Vec<Vec<TokenId>>,
}

/// Prompts as the objective `conditional` makes them.
fn prompts(checkpoint: &Path, texts: &Path, count: usize, most: usize, to: &Path) -> Result<()> {
    let tokenizer = Tokenizer::from_file(checkpoint.join("tokenizer.json"))?;
    let marker = |name: &str| {
        let id = tokenizer.token_to_id(name);
        id.ok_or_else(|| format!("the tokenizer beside the checkpoint has no {name}"))
    };
    let (stop, related) = (marker("<|endoftext|>")?, marker("<|related|>")?);
    let text = fs::read_to_string(texts)?;
    let mut prompts = Vec::new();
    for line in text.lines().take(count) {
        let document: Value = serde_json::from_str(line)?;
        let text = document["text"].as_str().ok_or("a line without `text`")?;
        let tokens = tokenizer.encode(text, false)?;
        let tokens = &tokens.get_ids()[..tokens.len().min(most.saturating_sub(2))];
        prompts.push([&[stop], tokens, &[related]].concat());
    }
    fs::write(to, serde_json::to_vec(&Job { stop, prompts })?)?;
    let config: Value = serde_json::from_slice(&fs::read(checkpoint.join("config.json"))?)?;
    println!("vocab_size {}", config["vocab_size"]);
    Ok(())
}

/// A training of no step at all, which leaves the fresh weights.
fn make(folder: &Path, name: &str) -> Result<()> {
    let (model, vocab_size) = size(name)?;
    let ready = device::init("cpu".parse()?, None)?;
    TorchRuntime::alone(ready).train(TrainJob {
        model: &model,
        vocab_size,
        start: Start::Fresh(RootSeed(2).stream("init", &[])),
        optimizer: &PlainAdamW,
        peak_lr: 0.0,
        schedule: &NoStep,
        max_grad_norm: None,
        num_steps: 0,
        schedule_steps: 0,
        batches: &mut NoStep,
        identity: Fingerprint::of_bytes(b"bench"),
        folder,
        gradient_parts: None,
        tokens_per_microbatch: None,
        recompute_activations: false,
        precision: Precision::Fp32,
        dropout: (0.0, RootSeed(1)),
        checkpoint_every_secs: f64::INFINITY,
        keep_checkpoints: &KeepCheckpoints::default(),
        observer: &mut NoStep,
    })?;
    println!("vocab_size {vocab_size}");
    println!("parameters {}", model.num_parameters(vocab_size));
    Ok(())
}

/// All that a training asks for at its steps, where there is none.
struct NoStep;

impl Schedule for NoStep {
    fn share(&self, _: u64, _: u64) -> f64 {
        1.0
    }
}

impl BatchSource for NoStep {
    fn batch(&mut self, _: u64) -> Result<Vec<Example>> {
        Err("there is no step to train".into())
    }
}

impl TrainObserver for NoStep {
    fn resumed(&mut self, _: u64) {}

    fn step(&mut self, _: &TrainPoint) {}

    fn stop_requested(&self) -> bool {
        false
    }
}

/// Continues all prompts, after a few of them to warm up.
fn generate(
    runtime: &mut TorchRuntime,
    folder: &Path,
    path: &Path,
    prompts: &[Vec<TokenId>],
    how: &Decoding,
) -> Result<()> {
    let first = |count: usize| -> Vec<Prompt> {
        let rng = |place| RootSeed(1).stream("prompt", &[place as u64]);
        let prompts = prompts.iter().take(count).enumerate();
        prompts.map(|(place, tokens)| Prompt { tokens: tokens.clone(), rng: rng(place) }).collect()
    };
    let mut model = runtime.open(folder, Precision::Fp32)?;
    model.complete(first(8), &Decoding { max_new_tokens: 2, ..*how }, &mut |_, _| Ok(()))?;

    let asked = first(prompts.len());
    let (mut num_tokens, mut completions) = (0, vec![Vec::new(); prompts.len()]);
    let mut done = |place: usize, completion: Completion| {
        num_tokens += completion.tokens.len() + usize::from(completion.finished);
        completions[place] = completion.tokens;
        Ok(())
    };
    let start = Instant::now();
    model.complete(asked, how, &mut done)?;
    let seconds = start.elapsed().as_secs_f64();
    fs::write(path.with_file_name("completions-sbp.json"), serde_json::to_vec(&completions)?)?;
    println!("seconds {seconds:.3}");
    println!("tokens {num_tokens}");
    println!("tokens_per_second {:.2}", num_tokens as f64 / seconds);
    Ok(())
}
