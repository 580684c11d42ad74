//! `cargo xtask bench scale`: one training by one process, and by several with as many threads in all.

use super::contestant::{Outcome, median, read};
use super::entry::Entry;
use crate::Result;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

const HELP: &str = "\
usage: cargo xtask bench scale [OPTION VALUE]...

  --size small|large   which model to train (small, then large)
  --processes N        processes with one thread each, beside one process with N threads (2)
  --steps N            optimizer steps of a training (30)
  --rounds N           how often every contestant runs (3)
  --quick              10 steps, one round: shows that it runs

It prints tables and writes target/bench/scale.json. The processes talk over the loopback.";

/// Losses of the same training may differ by rounding only.
const TOLERANCE: f64 = 1e-3;

struct Settings {
    sizes: Vec<String>,
    processes: usize,
    steps: usize,
    rounds: usize,
}

fn settings(args: &[String]) -> Result<Settings> {
    let sizes = vec!["small".to_owned(), "large".to_owned()];
    let mut settings = Settings { sizes, processes: 2, steps: 30, rounds: 3 };
    let mut args = args.iter();
    while let Some(option) = args.next() {
        if option == "--quick" {
            (settings.steps, settings.rounds) = (10, 1);
            continue;
        }
        let value = args.next().ok_or_else(|| format!("{option} needs a value\n\n{HELP}"))?;
        let number = || {
            let number = value.parse().ok().filter(|&it| it > 0);
            number.ok_or_else(|| format!("{option} {value}: no number\n\n{HELP}"))
        };
        match (option.as_str(), value.as_str()) {
            ("--size", "small" | "large") => settings.sizes = vec![value.clone()],
            ("--processes", _) => settings.processes = number()?,
            ("--steps", _) => settings.steps = number()?,
            ("--rounds", _) => settings.rounds = number()?,
            _ => return Err(format!("no option {option} {value}\n\n{HELP}")),
        }
    }
    Ok(settings)
}

/// Runs the comparison and prints its tables.
pub(crate) fn scale(args: &[String]) -> Result<ExitCode> {
    if args.first().is_some_and(|it| it == "--help") {
        eprintln!("{HELP}");
        return Ok(ExitCode::SUCCESS);
    }
    let settings = settings(args)?;
    let arguments = ["build", "--release", "--package", "sbp-runtime", "--example", "train_bench"];
    let program = PathBuf::from(crate::cargo::executable_of(&arguments, "train_bench")?);
    super::entry::of_cases("scale", &settings.sizes, |size, folder| {
        compare(size, &settings, &program, folder)
    })
}

/// How a training is shared out: processes, and threads of each.
type Shape = [usize; 2];

fn compare(size: &str, settings: &Settings, program: &Path, folder: &Path) -> Result<Vec<Entry>> {
    let shapes: [Shape; 3] = [[1, 1], [1, settings.processes], [settings.processes, 1]];
    let mut outcomes: [Vec<Outcome>; 3] = Default::default();
    for round in 1..=settings.rounds {
        for (shape, outcomes) in shapes.iter().zip(&mut outcomes) {
            eprintln!("{size}, round {round}: {}", name(*shape));
            outcomes.push(run(program, size, folder, settings.steps, *shape)?);
        }
    }
    let [one, threads, processes] = &outcomes;
    let worst = |a: &[Outcome], b: &[Outcome]| {
        a[0].losses.iter().zip(&b[0].losses).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
    };
    let difference = worst(threads, processes);
    if difference > TOLERANCE {
        return Err(format!("the comparison of {size} is void: losses differ by {difference:.2e}"));
    }
    let speed = |outcomes: &[Outcome]| -> Result<f64> {
        let tokens = outcomes[0].number("tokens_per_step")?;
        Ok(tokens / median(outcomes.iter().map(Outcome::step_seconds)))
    };
    eprintln!("\n{size}: median of {} rounds; losses differ by {difference:.1e}", settings.rounds);
    eprintln!("{:<28} {:>10} {:>14}", "", "tokens/s", "MiB of rank 0");
    for (shape, outcomes) in shapes.iter().zip(&outcomes) {
        let mib = median(outcomes.iter().map(|it| it.peak_mib));
        eprintln!("{:<28} {:>10.0} {:>14.0}", name(*shape), speed(outcomes)?, mib);
    }
    let entry = |peer_name: &'static str, peer: f64| -> Result<Entry> {
        let ours = speed(processes)?;
        let (metric, unit) = ("speed", "tokens/s");
        Ok(Entry {
            case: size.to_owned(),
            metric,
            unit,
            ours,
            peer,
            peer_name,
            ratio: ours / peer,
            target: None,
        })
    };
    let entries = vec![entry("as many threads", speed(threads)?)?, entry("one thread", speed(one)?)?];
    eprintln!(
        "efficiency: {:.2} of one process with as many threads, {:.2} times one thread\n",
        entries[0].ratio, entries[1].ratio
    );
    Ok(entries)
}

fn name([processes, threads]: Shape) -> String {
    let s = |n: usize| if n == 1 { "" } else { "s" };
    format!("{processes} process{} x {threads} thread{}", if processes == 1 { "" } else { "es" }, s(threads))
}

/// A training by so many processes; what the first printed.
fn run(
    program: &Path,
    size: &str,
    folder: &Path,
    steps: usize,
    [processes, threads]: Shape,
) -> Result<Outcome> {
    let listener = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr());
    let port = listener.map_err(|e| format!("no port on the loopback: {e}"))?.port();
    let start = |rank: usize| {
        let mut command = Command::new(program);
        command.arg(size).arg(folder).arg(steps.to_string()).arg(threads.to_string()).args(["cpu", "fp32"]);
        command.env("OMP_NUM_THREADS", threads.to_string()).env("GOMP_SPINCOUNT", "1000");
        if processes > 1 {
            command.env("RANK", rank.to_string()).env("WORLD_SIZE", processes.to_string());
            command.env("MASTER_ADDR", "127.0.0.1").env("MASTER_PORT", port.to_string());
        }
        command.stdout(Stdio::piped()).spawn().map_err(|e| format!("cannot run {command:?}: {e}"))
    };
    let children: Vec<Child> = (0..processes).map(start).collect::<Result<_>>()?;
    let mut printed = Vec::new();
    for (rank, child) in children.into_iter().enumerate() {
        let output = child.wait_with_output().map_err(|e| format!("process {rank}: {e}"))?;
        if !output.status.success() {
            return Err(format!("process {rank} of {processes} failed with {}", output.status));
        }
        printed.push(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    read(&printed[0]).ok_or_else(|| "the first process printed no result".to_owned())
}
