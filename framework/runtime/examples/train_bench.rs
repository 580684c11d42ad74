//! Our side of `cargo xtask bench train`, and both of `bench scale`: trains a model and prints what each step took. Several
//! processes, started as a launcher starts them, train it together; the first prints.
//!
//! `train_bench SIZE FOLDER STEPS THREADS DEVICE fp32|bf16`, where SIZE is `small`, `large`, `1b` or `3b`. The first call
//! writes the initial weights, as a Hugging Face folder, and all batches into FOLDER, so that any other trainer can do the
//! same job.
#![expect(clippy::print_stdout, reason = "its output is what it is for")]

use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Instant;

use sbp_core::{Example, Fingerprint, ModelConfig, RootSeed, TokenId};
use sbp_plugin::Result;
use sbp_plugin::engine::Engine as _;
use sbp_plugin::ports::{
    BatchSource, KeepCheckpoints, Precision, Runtime, Start, TrainJob, TrainObserver, TrainPoint,
};
use sbp_plugin::slots::schedule::Schedule;
use sbp_runtime::{Torch, TorchRuntime, device, native};
use sbp_testkit::{PlainAdamW, peak_mib};

/// A model and the shape of its batches: `rows` sequences of `length` predictions a step.
struct Size {
    model: ModelConfig,
    vocab_size: usize,
    rows: usize,
    length: usize,
}

fn size(name: &str) -> Result<Size> {
    match name {
        "small" => Ok(Size { model: ModelConfig::default(), vocab_size: 2048, rows: 16, length: 128 }),
        "large" => {
            let model = ModelConfig {
                hidden_size: 384,
                num_layers: 8,
                num_heads: 6,
                num_kv_heads: 6,
                head_dim: 64,
                intermediate_size: 1024,
                ..ModelConfig::default()
            };
            Ok(Size { model, vocab_size: 32_768, rows: 8, length: 256 })
        }
        // The shapes of recipes/models/1b.toml and 3b.toml.
        "1b" => {
            Ok(Size { model: billion(2048, 16, 32, 64, 8192), vocab_size: 49_152, rows: 8, length: 2048 })
        }
        "3b" => {
            Ok(Size { model: billion(3072, 26, 24, 128, 8064), vocab_size: 49_152, rows: 4, length: 2048 })
        }
        other => Err(format!("no size `{other}`; there are `small`, `large`, `1b` and `3b`").into()),
    }
}

fn billion(width: usize, layers: usize, heads: usize, head_dim: usize, intermediate: usize) -> ModelConfig {
    ModelConfig {
        hidden_size: width,
        num_layers: layers,
        num_heads: heads,
        num_kv_heads: 8,
        head_dim,
        intermediate_size: intermediate,
        context_length: 4096,
        rope_theta: 500_000.0,
        ..ModelConfig::default()
    }
}

/// The batches of a file: little-endian tokens, one more a row than its predictions.
struct Batches {
    tokens: Vec<TokenId>,
    rows: usize,
    length: usize,
}

impl Batches {
    /// Squared uniform numbers, so that some tokens are frequent and there is something to learn.
    fn write(path: &Path, size: &Size, num_steps: u64) -> Result<()> {
        let mut stream = RootSeed(1).stream("batches", &[]);
        let count = num_steps as usize * size.rows * (size.length + 1);
        let bytes: Vec<u8> = (0..count)
            .flat_map(|_| ((stream.uniform().powi(2) * size.vocab_size as f64) as TokenId).to_le_bytes())
            .collect();
        Ok(fs::write(path, bytes)?)
    }

    fn read(path: &Path, size: &Size) -> Result<Self> {
        let bytes = fs::read(path)?;
        let tokens = bytes.as_chunks().0.iter().map(|&four| TokenId::from_le_bytes(four)).collect();
        Ok(Self { tokens, rows: size.rows, length: size.length })
    }
}

impl BatchSource for Batches {
    fn batch(&mut self, step: u64) -> Result<Vec<Example>> {
        let width = self.length + 1;
        let start = step as usize * self.rows * width;
        let rows = self.tokens[start..start + self.rows * width].chunks(width);
        Ok(rows.map(|row| Example { tokens: row.to_vec(), loss_weights: vec![1.0; width] }).collect())
    }
}

struct Constant;

impl Schedule for Constant {
    fn share(&self, _: u64, _: u64) -> f64 {
        1.0
    }
}

/// Prints the loss and the seconds of every step.
struct Clock {
    from: Instant,
    prints: bool,
}

impl TrainObserver for Clock {
    fn resumed(&mut self, _: u64) {}

    fn step(&mut self, point: &TrainPoint) {
        if self.prints {
            println!("step {} {:.6} {:.6}", point.step, point.loss, self.from.elapsed().as_secs_f64());
        }
        self.from = Instant::now();
    }

    fn stop_requested(&self) -> bool {
        false
    }
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, folder, num_steps, threads, device, precision] = arguments.as_slice() else {
        return Err("usage: train_bench SIZE FOLDER STEPS THREADS DEVICE fp32|bf16".into());
    };
    let precision = if precision == "bf16" { Precision::Bf16 } else { Precision::Fp32 };
    let (size, folder, num_steps) = (size(name)?, Path::new(folder), num_steps.parse()?);
    native::tune_allocator();
    let ready = device::init(device.parse()?, NonZeroUsize::new(threads.parse()?))?;
    let team = Torch.join("bench")?;
    let mut runtime = TorchRuntime::new(ready, team.clone());

    let (start, batches) = (folder.join("start"), folder.join("batches.bin"));
    let is_new = !batches.exists();
    team.meet()?;
    if is_new {
        // No step at all leaves the fresh weights.
        let fresh = Start::Fresh(RootSeed(2).stream("init", &[]));
        train(&mut runtime, &size, fresh, precision, 0, &batches, &start)?;
    }
    if is_new && team.is_leader() {
        fs::write(folder.join("shape.json"), format!("[{}, {}]", size.rows, size.length))?;
        Batches::write(&batches, &size, num_steps)?;
    }
    let own = team.is_leader().then(|| format!("trained-{}", std::process::id()).into_bytes());
    let trained = folder.join(String::from_utf8(team.hear(own)?)?);
    let initial = start.join("checkpoint");
    train(&mut runtime, &size, Start::From(initial.clone()), precision, num_steps, &batches, &trained)?;
    if !team.is_leader() {
        return Ok(());
    }
    fs::remove_dir_all(trained)?;
    println!("tokens_per_step {}", size.rows * size.length);
    println!("parameters {}", size.model.num_parameters(size.vocab_size));
    let mean_context = (size.length + 1) as f64 / 2.0;
    println!("flops_per_token {:.0}", size.model.train_flops_per_token(size.vocab_size, mean_context));
    println!("peak_mib {:.0}", peak_mib()?);
    println!("product_flops {:.0}", runtime.peak_flops(precision).unwrap_or(f64::NAN));
    Ok(())
}

fn train(
    runtime: &mut TorchRuntime,
    size: &Size,
    start: Start,
    precision: Precision,
    num_steps: u64,
    batches: &Path,
    folder: &Path,
) -> Result<()> {
    let prints = runtime.team().is_leader();
    let mut batches = if num_steps == 0 {
        Batches { tokens: Vec::new(), rows: 0, length: 0 }
    } else {
        Batches::read(batches, size)?
    };
    runtime.train(TrainJob {
        model: &size.model,
        vocab_size: size.vocab_size,
        start,
        optimizer: &PlainAdamW,
        // Low enough that no spike of the loss amplifies rounding until the comparison means nothing.
        peak_lr: 3e-4,
        schedule: &Constant,
        max_grad_norm: Some(1.0),
        num_steps,
        schedule_steps: num_steps,
        batches: &mut batches,
        identity: Fingerprint::of_bytes(b"bench"),
        folder,
        gradient_parts: None,
        tokens_per_microbatch: None,
        recompute_activations: false,
        precision,
        dropout: (0.0, RootSeed(1)),
        checkpoint_every_secs: f64::INFINITY,
        keep_checkpoints: &KeepCheckpoints::default(),
        observer: &mut Clock { from: Instant::now(), prints },
    })?;
    Ok(())
}
