//! `cargo xtask bench train`: our trainer beside PyTorch's, on the same weights, batches and optimizer.

use super::contestant::{Outcome, median, run};
use crate::Result;
use crate::setup::{peers, repository_root};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const PEER: &str = include_str!("train_peer.py");

/// Losses of two contestants may differ by rounding only; else they did not do the same job.
const TOLERANCE: f64 = 1e-3;

/// glibc keeps freed memory instead of giving every large tensor back, and asks for huge pages.
const TUNED: (&str, &str) = (
    "GLIBC_TUNABLES",
    "glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=4294967296:glibc.malloc.trim_threshold=4294967296:\
     glibc.malloc.top_pad=268435456",
);

const HELP: &str = "\
usage: cargo xtask bench train [OPTION VALUE]...

  --size small|large|both   which model to train (both)
  --steps N                 optimizer steps of a process (small 60, large 12)
  --rounds N                how often every contestant runs (3)
  --threads N               threads of each (one for each core)
  --compile yes|no          whether torch.compile takes part; it warms up for minutes (yes)";

struct Settings {
    sizes: Vec<&'static str>,
    steps: Option<usize>,
    rounds: usize,
    threads: usize,
    compile: bool,
}

fn settings(args: &[String]) -> Result<Settings> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut settings =
        Settings { sizes: vec!["small", "large"], steps: None, rounds: 3, threads: cores, compile: true };
    let mut args = args.iter();
    while let Some(option) = args.next() {
        let value = args.next().ok_or_else(|| format!("{option} needs a value\n\n{HELP}"))?;
        let number = || {
            value
                .parse()
                .ok()
                .filter(|&it| it > 0)
                .ok_or_else(|| format!("{option} {value}: no number\n\n{HELP}"))
        };
        match (option.as_str(), value.as_str()) {
            ("--size", "small") => settings.sizes = vec!["small"],
            ("--size", "large") => settings.sizes = vec!["large"],
            ("--size", "both") => {}
            ("--steps", _) => settings.steps = Some(number()?),
            ("--rounds", _) => settings.rounds = number()?,
            ("--threads", _) => settings.threads = number()?,
            ("--compile", "yes") => {}
            ("--compile", "no") => settings.compile = false,
            _ => return Err(format!("no option {option} {value}\n\n{HELP}")),
        }
    }
    Ok(settings)
}

/// Who takes part: a name for the table, and its runs so far.
struct Contestant {
    name: &'static str,
    outcomes: Vec<Outcome>,
}

impl Contestant {
    fn tokens_per_second(&self, tokens_per_step: f64) -> f64 {
        tokens_per_step / median(self.outcomes.iter().map(Outcome::step_seconds))
    }

    fn peak_mib(&self) -> f64 {
        median(self.outcomes.iter().map(|it| it.peak_mib))
    }
}

/// Runs the comparison and prints its tables.
pub(crate) fn train(args: &[String]) -> Result<ExitCode> {
    if args.first().is_some_and(|it| it == "--help") {
        eprintln!("{HELP}");
        return Ok(ExitCode::SUCCESS);
    }
    let settings = settings(args)?;
    let ours = build()?;
    let python = peers()?;
    let folder = std::env::temp_dir().join(format!("sbp-bench-{}", std::process::id()));
    let outcome = settings.sizes.iter().try_for_each(|size| {
        let folder = folder.join(size);
        fs::create_dir_all(&folder).map_err(|e| format!("cannot create {}: {e}", folder.display()))?;
        compare(size, &settings, &ours, &python, &folder)
    });
    // Failing to tidy up a temporary folder is no failure.
    let _ = fs::remove_dir_all(&folder);
    outcome.map(|()| ExitCode::SUCCESS)
}

fn build() -> Result<PathBuf> {
    let arguments = ["build", "--release", "--package", "sbp-runtime", "--example", "train_bench"];
    let path = crate::cargo::executable_of(&arguments, "train_bench")?;
    Ok(path.into())
}

fn compare(size: &str, settings: &Settings, ours: &Path, python: &Path, folder: &Path) -> Result<()> {
    let steps = settings.steps.unwrap_or(if size == "small" { 60 } else { 12 }).to_string();
    let threads = settings.threads.to_string();
    let script = folder.join("train_peer.py");
    fs::write(&script, PEER).map_err(|e| format!("cannot write {}: {e}", script.display()))?;

    let names = ["sbp", "PyTorch eager", "PyTorch eager, tuned allocator", "torch.compile"];
    let taking_part = if settings.compile { 4 } else { 3 };
    let mut contestants: Vec<Contestant> =
        names[..taking_part].iter().map(|name| Contestant { name, outcomes: Vec::new() }).collect();
    for round in 1..=settings.rounds {
        for contestant in &mut contestants {
            eprintln!("{size}, round {round}: {}", contestant.name);
            let mut command;
            if contestant.name == "sbp" {
                command = Command::new(ours);
                command.arg(size).arg(folder).args([&steps, &threads]);
            } else {
                command = Command::new(python);
                command.arg(&script).arg(folder).args([&steps, &threads]);
                command.arg(if contestant.name == "torch.compile" { "compile" } else { "eager" });
            }
            if contestant.name.ends_with("tuned allocator") {
                command.env(TUNED.0, TUNED.1);
            }
            contestant.outcomes.push(run(command.current_dir(repository_root()))?);
        }
    }
    same_job(&contestants)?;
    eprintln!("{}", table(size, settings, &contestants)?);
    Ok(())
}

/// Whether every contestant saw the losses that the first one saw.
fn same_job(contestants: &[Contestant]) -> Result<()> {
    let expected = &contestants[0].outcomes[0].losses;
    for contestant in contestants {
        for outcome in &contestant.outcomes {
            let pairs = outcome.losses.iter().zip(expected).take(50);
            let worst = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            if outcome.losses.len() != expected.len() || worst.is_nan() || worst > TOLERANCE {
                return Err(format!(
                    "the comparison is void: {} differs from {} by {worst:.6} nats in the loss of a step",
                    contestant.name, contestants[0].name
                ));
            }
        }
    }
    Ok(())
}

/// Markdown: speed, memory, and both as ratios to ours.
fn table(size: &str, settings: &Settings, contestants: &[Contestant]) -> Result<String> {
    let ours = &contestants[0];
    let first = &ours.outcomes[0];
    let (tokens, parameters) = (first.number("tokens_per_step")?, first.number("parameters")?);
    let mut text = format!(
        "\n{size}: {:.1}M parameters, {tokens} tokens a step, {} steps, {} rounds, {} threads\n\n\
         | trainer | tokens/s | sbp is faster by | peak MiB | sbp's share of it | first step, s |\n|---|---|---|---|---|---|\n",
        parameters / 1e6,
        first.losses.len(),
        settings.rounds,
        settings.threads,
    );
    // Each run beside its own product: the speed of a shared machine drifts.
    let mut shares = Vec::new();
    for outcome in &ours.outcomes {
        let rate = tokens / outcome.step_seconds();
        shares.push(rate * outcome.number("flops_per_token")? / outcome.number("product_flops")?);
    }
    for contestant in contestants {
        let rate = contestant.tokens_per_second(tokens);
        text.push_str(&format!(
            "| {} | {rate:.0} | {:.2}x | {:.0} | {:.2} | {:.1} |\n",
            contestant.name,
            ours.tokens_per_second(tokens) / rate,
            contestant.peak_mib(),
            ours.peak_mib() / contestant.peak_mib(),
            median(contestant.outcomes.iter().map(|it| it.seconds[0])),
        ));
    }
    let share = 100.0 * median(shares.into_iter());
    text.push_str(&format!(
        "\nsbp computes at {share:.0}% of the speed of a large matrix product on this machine.\n"
    ));
    Ok(text)
}
