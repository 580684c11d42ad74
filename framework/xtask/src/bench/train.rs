//! `cargo xtask bench train`: our trainer beside PyTorch's, on the same weights, batches and optimizer.

use super::contestant::{Outcome, median, run};
use super::entry::Entry;
use crate::Result;
use crate::setup::{peers, repository_root};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const PEER: &str = include_str!("train_peer.py");

/// Losses of two contestants may differ by rounding only; else they did not do the same job.
fn tolerance(precision: &str) -> f64 {
    if precision == "bf16" { 2e-2 } else { 1e-3 }
}

/// Ratios of speed that are wanted on a CPU: size, peer, at least.
const WANTED: [(&str, &str, f64); 6] = [
    ("small", EAGER, 1.3),
    ("large", EAGER, 1.8),
    ("small", TUNED_EAGER, 1.15),
    ("large", TUNED_EAGER, 1.15),
    ("small", COMPILED, 1.0),
    ("large", COMPILED, 1.0),
];

/// Ratio of peak memory that is wanted of eager PyTorch at the larger size.
const WANTED_MEMORY: f64 = 2.0;

const EAGER: &str = "PyTorch eager";
const TUNED_EAGER: &str = "PyTorch eager, tuned allocator";
const COMPILED: &str = "torch.compile";

/// glibc keeps freed memory instead of giving every large tensor back, and asks for huge pages.
const TUNED: (&str, &str) = (
    "GLIBC_TUNABLES",
    "glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=4294967296:glibc.malloc.trim_threshold=4294967296:\
     glibc.malloc.top_pad=268435456",
);

const HELP: &str = "\
usage: cargo xtask bench train [OPTION VALUE]...

  --size small|large|1b|3b  which model to train (small, then large)
  --steps N                 optimizer steps of a process (small 60, others 50)
  --rounds N                how often every contestant runs (3)
  --threads N               threads of each (one for each core)
  --compile yes|no          whether torch.compile takes part; it warms up for minutes (yes)
  --device cpu|cuda|cuda:N  where (cpu)
  --precision fp32|bf16     what products are computed in (fp32)
  --quick                   10 steps, one round, without torch.compile: shows that it runs

It prints tables and writes target/bench/train.json.";

struct Settings {
    sizes: Vec<String>,
    device: String,
    precision: String,
    steps: Option<usize>,
    rounds: usize,
    threads: usize,
    compile: bool,
}

fn settings(args: &[String]) -> Result<Settings> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut settings = Settings {
        sizes: vec!["small".to_owned(), "large".to_owned()],
        device: "cpu".to_owned(),
        precision: "fp32".to_owned(),
        steps: None,
        rounds: 3,
        threads: cores,
        compile: true,
    };
    let mut args = args.iter();
    while let Some(option) = args.next() {
        if option == "--quick" {
            (settings.steps, settings.rounds, settings.compile) = (Some(10), 1, false);
            continue;
        }
        let value = args.next().ok_or_else(|| format!("{option} needs a value\n\n{HELP}"))?;
        let number = || {
            value
                .parse()
                .ok()
                .filter(|&it| it > 0)
                .ok_or_else(|| format!("{option} {value}: no number\n\n{HELP}"))
        };
        match (option.as_str(), value.as_str()) {
            ("--size", "small" | "large" | "1b" | "3b") => settings.sizes = vec![value.clone()],
            ("--device", _) => settings.device.clone_from(value),
            ("--precision", "fp32" | "bf16") => settings.precision.clone_from(value),
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
    let python = peers(&["numpy", "transformers"])?;
    super::entry::of_cases("train", &settings.sizes, |size, folder| {
        compare(size, &settings, &ours, &python, folder)
    })
}

fn build() -> Result<PathBuf> {
    let arguments = ["build", "--release", "--package", "sbp-runtime", "--example", "train_bench"];
    let path = crate::cargo::executable_of(&arguments, "train_bench")?;
    Ok(path.into())
}

fn compare(size: &str, settings: &Settings, ours: &Path, python: &Path, folder: &Path) -> Result<Vec<Entry>> {
    let steps = settings.steps.unwrap_or(if size == "small" { 60 } else { 50 }).to_string();
    let threads = settings.threads.to_string();
    let script = folder.join("train_peer.py");
    fs::write(&script, PEER).map_err(|e| format!("cannot write {}: {e}", script.display()))?;

    let names = ["sbp", EAGER, TUNED_EAGER, COMPILED];
    let how = [steps.as_str(), &threads, &settings.device, &settings.precision];
    let taking_part = if settings.compile { 4 } else { 3 };
    let mut contestants: Vec<Contestant> =
        names[..taking_part].iter().map(|name| Contestant { name, outcomes: Vec::new() }).collect();
    for round in 1..=settings.rounds {
        for contestant in &mut contestants {
            eprintln!("{size}, round {round}: {}", contestant.name);
            let mut command;
            if contestant.name == "sbp" {
                command = Command::new(ours);
                command.arg(size).arg(folder).args(how);
            } else {
                command = Command::new(python);
                command.arg(&script).arg(folder).args(how);
                command.arg(if contestant.name == COMPILED { "compile" } else { "eager" });
            }
            if contestant.name == TUNED_EAGER {
                command.env(TUNED.0, TUNED.1);
            }
            contestant.outcomes.push(run(command.current_dir(repository_root()))?);
        }
    }
    same_job(&contestants, tolerance(&settings.precision))?;
    eprintln!("{}", table(size, settings, &contestants)?);
    entries(size, settings, &contestants)
}

/// What a program may read of the comparison.
fn entries(size: &str, settings: &Settings, contestants: &[Contestant]) -> Result<Vec<Entry>> {
    let (ours, peers) = contestants.split_first().ok_or("nobody took part")?;
    let tokens = ours.outcomes[0].number("tokens_per_step")?;
    let on_cpu = settings.device == "cpu";
    let case = if on_cpu { size.to_owned() } else { format!("{size} {}", settings.device) };
    let mut entries = Vec::new();
    for peer in peers {
        let (own, other) = (ours.tokens_per_second(tokens), peer.tokens_per_second(tokens));
        let wanted = WANTED.iter().find(|(of, name, _)| on_cpu && *of == size && *name == peer.name);
        entries.push(Entry {
            case: case.clone(),
            metric: "speed",
            unit: "tokens/s",
            ours: own,
            peer: other,
            peer_name: peer.name,
            ratio: own / other,
            target: wanted.map(|(.., at_least)| *at_least),
        });
        let is_wanted = on_cpu && size == "large" && peer.name == EAGER;
        entries.push(Entry {
            case: case.clone(),
            metric: "peak_memory",
            unit: "MiB",
            ours: ours.peak_mib(),
            peer: peer.peak_mib(),
            peer_name: peer.name,
            ratio: peer.peak_mib() / ours.peak_mib(),
            target: is_wanted.then_some(WANTED_MEMORY),
        });
    }
    Ok(entries)
}

/// Whether every contestant saw the losses that the first one saw.
fn same_job(contestants: &[Contestant], tolerance: f64) -> Result<()> {
    let expected = &contestants[0].outcomes[0].losses;
    if expected.is_empty() {
        return Err("the comparison is void: there is no loss".to_owned());
    }
    for contestant in contestants {
        for outcome in &contestant.outcomes {
            let pairs = outcome.losses.iter().zip(expected).take(50);
            let worst = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            if outcome.losses.len() != expected.len() || worst.is_nan() || worst > tolerance {
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
