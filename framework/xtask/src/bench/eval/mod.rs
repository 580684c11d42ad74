//! `cargo xtask bench eval`: `sbp eval` beside lm-evaluation-harness: same checkpoint, same items, answer by answer.

mod agreement;
mod samples;
mod settings;

use super::contestant::{self, median};
use super::entry::{self, Entry};
use crate::Result;
use crate::setup::{peers, repository_root};
use agreement::Agreement;
use serde_json::Value;
use settings::{HELP, Settings, Task, settings};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

const PEER: &str = include_str!("../eval_peer.py");

const PEER_NAME: &str = "lm_eval";

/// Batch sizes that the peer tries: it is compared at the best of these.
const PEER_BATCHES: &str = "16,32,64";

/// Ratio of speed that is wanted.
const WANTED: f64 = 1.5;

/// Log-likelihoods may differ by rounding only, in nats.
const TOLERANCE: f64 = 1e-3;

/// What every run of a comparison needs.
struct Job<'a> {
    settings: &'a Settings,
    task: Task,
    ours: &'a Path,
    python: &'a Path,
    script: PathBuf,
    checkpoint: &'a Path,
}

/// What came of a task.
struct Row {
    task: Task,
    agreement: Agreement,
    /// Seconds of scoring, by round.
    ours: Vec<f64>,
    peer: Vec<f64>,
    /// Whether our program told its seconds; else they are those of the process, less those of one that asks one item.
    is_told: bool,
    batch_size: f64,
}

/// Runs the comparison and prints its table.
pub(crate) fn eval(args: &[String]) -> Result<ExitCode> {
    if args.first().is_some_and(|it| it == "--help") {
        eprintln!("{HELP}");
        return Ok(ExitCode::SUCCESS);
    }
    let settings = settings(args)?;
    let ours = build()?;
    let python = peers(&["accelerate", "datasets", "lm_eval", "transformers"])?;
    let names: Vec<&str> = settings.tasks.iter().map(|task| task.name).collect();
    let mut checkpoint = settings.checkpoint.clone();
    let mut rows: Vec<Row> = Vec::new();
    let outcome = entry::of_cases("eval", &names, |_, folder| {
        let task = settings.tasks[rows.len()];
        let script = folder.join("eval_peer.py");
        fs::write(&script, PEER).map_err(|e| format!("cannot write {}: {e}", script.display()))?;
        if checkpoint.is_none() {
            checkpoint = Some(made(&python, &script, &settings)?);
        }
        let checkpoint = checkpoint.as_deref().expect("was made above");
        let job = Job { settings: &settings, task, ours: &ours, python: &python, script, checkpoint };
        rows.push(compare(&job, folder)?);
        let mut entries = entries(&rows[rows.len() - 1]);
        if rows.len() == settings.tasks.len() && rows.len() > 1 {
            let all = |seconds: fn(&Row) -> f64| rows.iter().map(seconds).sum::<f64>();
            entries.push(time("all", all(Row::our_seconds), all(Row::peer_seconds)));
        }
        Ok(entries)
    });
    // Also where a later task failed.
    if !rows.is_empty() {
        eprintln!("{}", table(settings.rounds, settings.threads, &rows));
    }
    outcome
}

fn build() -> Result<PathBuf> {
    let arguments = ["build", "--release", "--package", "sbp-engine", "--bins"];
    Ok(crate::cargo::executable_of(&arguments, "sbp-engine")?.into())
}

/// The model that is asked where none is named, made if it is not there yet.
fn made(python: &Path, script: &Path, settings: &Settings) -> Result<PathBuf> {
    let folder = repository_root().join("target/bench");
    let checkpoint = folder.join("eval-checkpoint");
    if !checkpoint.is_dir() {
        eprintln!("making {}", checkpoint.display());
        fs::create_dir_all(&folder).map_err(|e| format!("cannot create {}: {e}", folder.display()))?;
        let mut command = Command::new(python);
        contestant::run(command.arg(script).arg("make").arg(&checkpoint).arg(&settings.data))?;
    }
    Ok(checkpoint)
}

/// Both sides in turn, as often as asked for; their answers are those of the last round.
fn compare(job: &Job<'_>, folder: &Path) -> Result<Row> {
    let (mut ours, mut peer, mut is_told) = (Vec::new(), Vec::new(), true);
    let (own_folder, peer_folder) = (|round| folder.join(format!("sbp-{round}")), folder.join(PEER_NAME));
    fs::create_dir(&peer_folder).map_err(|e| format!("cannot create {}: {e}", peer_folder.display()))?;
    let mut batches = PEER_BATCHES.to_owned();
    for round in 1..=job.settings.rounds {
        eprintln!("{}, round {round}: sbp", job.task.name);
        let (process, told) = run_ours(job, job.settings.limit, &own_folder(round))?;
        is_told &= told.is_some();
        ours.push(match told {
            Some(seconds) => seconds,
            None => process - run_ours(job, Some(1), &folder.join(format!("start-{round}")))?.0,
        });
        eprintln!("{}, round {round}: {PEER_NAME}", job.task.name);
        let found = run_peer(job, &batches, &peer_folder)?;
        peer.push(found.number("seconds")?);
        batches = found.number("batch_size")?.to_string();
    }
    let own_side = samples::read(&own_folder(job.settings.rounds), job.task.name)?;
    let peer_side = samples::read(&peer_folder, job.task.name)?;
    let agreement = Agreement::of(&own_side, &peer_side);
    eprint!("{}", agreement.differences());
    if agreement.num_items == 0 {
        return Err(format!(
            "the comparison of {} is void: no item has the same name and number",
            job.task.name
        ));
    }
    let batch_size = batches.parse().unwrap_or(f64::NAN);
    Ok(Row { task: job.task, agreement, ours, peer, is_told, batch_size })
}

/// Seconds of the whole process, and those of scoring if it tells them.
fn run_ours(job: &Job<'_>, limit: Option<usize>, output: &Path) -> Result<(f64, Option<f64>)> {
    let mut command = Command::new(job.ours);
    command.current_dir(repository_root()).args(["eval", "--device", "cpu", "--json"]);
    command.arg("--checkpoint").arg(job.checkpoint).arg("--output").arg(output);
    // The very file, so that no other of the same folder is taken for the task's.
    command.arg("--data").arg(job.settings.data.join(job.task.path));
    command.args(["--tasks", job.task.name, "--num-fewshot", &job.task.num_fewshot.to_string()]);
    if let Some(limit) = limit {
        command.arg("--limit").arg(limit.to_string());
    }
    for variable in ["OMP_NUM_THREADS", "RAYON_NUM_THREADS"] {
        command.env(variable, job.settings.threads.to_string());
    }
    let start = Instant::now();
    let outcome = command.output().map_err(|e| format!("cannot run {command:?}: {e}"))?;
    let process = start.elapsed().as_secs_f64();
    if !outcome.status.success() {
        let why = String::from_utf8_lossy(&outcome.stderr);
        return Err(format!("{command:?} failed with {}:\n{why}", outcome.status));
    }
    Ok((process, seconds(&String::from_utf8_lossy(&outcome.stdout))))
}

/// `seconds` of the JSON object that ends what a program prints.
fn seconds(printed: &str) -> Option<f64> {
    let start = printed.rfind("\n{").map_or(0, |at| at + 1);
    serde_json::from_str::<Value>(&printed[start..]).ok()?["seconds"].as_f64()
}

fn run_peer(job: &Job<'_>, batches: &str, folder: &Path) -> Result<contestant::Outcome> {
    let mut command = Command::new(job.python);
    command.current_dir(repository_root()).arg(&job.script).arg("score").arg(job.checkpoint).arg(folder);
    command.arg(job.task.name).arg(job.settings.data.join(job.task.path));
    let limit = job.settings.limit.unwrap_or(0);
    command.args([job.task.num_fewshot, limit, job.settings.threads].map(|it| it.to_string()));
    command.arg(batches).env("OMP_NUM_THREADS", job.settings.threads.to_string());
    contestant::run(&mut command)
}

impl Row {
    fn our_seconds(&self) -> f64 {
        median(self.ours.iter().copied())
    }

    fn peer_seconds(&self) -> f64 {
        median(self.peer.iter().copied())
    }
}

fn time(case: &str, ours: f64, peer: f64) -> Entry {
    let (metric, unit, ratio) = ("time", "s", peer / ours);
    Entry {
        case: case.to_owned(),
        metric,
        unit,
        ours,
        peer,
        peer_name: PEER_NAME,
        ratio,
        target: Some(WANTED),
    }
}

/// What a program may read of a task. The ratio of what should be the same is the share that is.
fn entries(row: &Row) -> Vec<Entry> {
    let it = &row.agreement;
    let same = |metric, ours, peer, ratio| Entry {
        case: row.task.name.to_owned(),
        metric,
        unit: "share",
        ours,
        peer,
        peer_name: PEER_NAME,
        ratio,
        target: Some(1.0),
    };
    let mut entries = vec![time(row.task.name, row.our_seconds(), row.peer_seconds())];
    if !it.nats.is_empty() {
        entries.push(Entry {
            unit: "nats",
            peer_name: "most that is allowed",
            ..same("log_likelihood_difference", it.largest(), TOLERANCE, TOLERANCE / it.largest())
        });
    }
    let tallies = [
        ("identical_prompts", &it.prompts),
        ("identical_greedy", &it.greedy),
        ("identical_texts", &it.texts),
    ];
    for (metric, tally) in tallies {
        if tally.total() > 0 {
            entries.push(same(metric, tally.share(), 1.0, tally.share()));
        }
    }
    for metric in &it.metrics {
        let share = if metric.is_same() { metric.items.share() } else { 0.0 };
        entries.push(same(metric.name, metric.ours, metric.peer, share));
    }
    entries
}

/// Markdown: a line for each task, with both sides' scores where they differ.
fn table(rounds: usize, threads: usize, rows: &[Row]) -> String {
    let told = if rows.iter().all(|row| row.is_told) {
        "as the program tells them"
    } else {
        "those of the process, less those of one that asks a single item"
    };
    let mut text = format!(
        "\n{rounds} rounds, {threads} threads. Our seconds of scoring are {told}.\n\n\
         | task | items | same prompts | log-likelihoods: most, mean | same greedy | same texts | acc | acc_norm | \
         exact_match | sbp, s | lm_eval, s (batch) | sbp is faster by |\n|{}\n",
        "---|".repeat(12),
    );
    for row in rows {
        let it = &row.agreement;
        let tally = |tally: &agreement::Tally| match tally.total() {
            0 => String::new(),
            total => format!("{} of {total}", tally.num_same),
        };
        let nats = if it.nats.is_empty() {
            String::new()
        } else {
            format!("{:.1e}, {:.1e}", it.largest(), it.mean())
        };
        let scores = samples::METRICS.map(|name| {
            let found = it.metrics.iter().find(|metric| metric.name == name);
            found.map_or_else(String::new, |metric| {
                let (ours, peer) = (metric.ours, metric.peer);
                if metric.is_same() { format!("{ours:.4}") } else { format!("**{ours:.4}, {peer:.4}**") }
            })
        });
        text.push_str(&format!(
            "| {} | {} | {} | {nats} | {} | {} | {} | {:.2} | {:.2} ({}) | {:.2}x |\n",
            row.task.name,
            it.num_items,
            tally(&it.prompts),
            tally(&it.greedy),
            tally(&it.texts),
            scores.join(" | "),
            row.our_seconds(),
            row.peer_seconds(),
            row.batch_size,
            row.peer_seconds() / row.our_seconds(),
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use agreement::{Metric, Tally};

    #[test]
    fn seconds_are_those_of_the_last_object() {
        assert_eq!(seconds("{\"seconds\": 2.5}\n"), Some(2.5));
        assert_eq!(
            seconds("a line\n{\"seconds\": 9}\n{\n  \"inner\": {\"seconds\": 7},\n  \"seconds\": 3\n}\n"),
            Some(3.0)
        );
        assert_eq!(seconds("{\"results\": {}}"), None);
        assert_eq!(seconds("nothing"), None);
    }

    fn row() -> Row {
        let share =
            |num_same, num_differing| Tally { num_same, differing: vec![String::new(); num_differing] };
        let agreement = Agreement {
            num_items: 4,
            prompts: share(4, 0),
            nats: vec![1e-5, 3e-5],
            greedy: share(8, 0),
            metrics: vec![
                Metric { name: "acc", ours: 0.5, peer: 0.5, items: share(4, 0) },
                Metric { name: "acc_norm", ours: 0.25, peer: 0.5, items: share(3, 1) },
            ],
            ..Agreement::default()
        };
        let task = settings::TASKS[0];
        Row { task, agreement, ours: vec![2.0, 4.0], peer: vec![6.0], is_told: true, batch_size: 32.0 }
    }

    #[test]
    fn what_differs_misses_its_target() {
        let entries = entries(&row());
        let found: Vec<_> = entries.iter().map(|it| (it.metric, it.ratio >= it.target.unwrap())).collect();
        assert_eq!(
            found,
            [
                ("time", true),
                ("log_likelihood_difference", true),
                ("identical_prompts", true),
                ("identical_greedy", true),
                ("acc", true),
                ("acc_norm", false)
            ]
        );
    }

    #[test]
    fn a_row_shows_both_scores_where_they_differ() {
        let line = "| arc_easy | 4 | 4 of 4 | 3.0e-5, 2.0e-5 | 8 of 8 |  | 0.5000 | **0.2500, 0.5000** |  | 3.00 | 6.00 (32) | 2.00x |";
        assert_eq!(table(2, 2, &[row()]).lines().last(), Some(line));
    }
}
