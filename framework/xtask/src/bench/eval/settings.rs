//! What to compare, on what, and how often.

use crate::Result;
use crate::setup::repository_root;
use std::fs;
use std::path::{Path, PathBuf};

/// A task that both sides know.
#[derive(Clone, Copy)]
pub(super) struct Task {
    pub(super) name: &'static str,
    /// Where its items lie in the folder of data: one file, or for mmlu a folder with `dev/`, and `test/` or `val/`.
    pub(super) path: &'static str,
    /// Solved examples before each item. They are the first ones: those that the harness draws at random are of its
    /// own generator.
    pub(super) num_fewshot: usize,
}

const fn task(name: &'static str, path: &'static str) -> Task {
    Task { name, path, num_fewshot: 0 }
}

pub(super) const TASKS: [Task; 11] = [
    task("arc_easy", "ARC-Easy/validation.jsonl"),
    task("arc_challenge", "ARC-Challenge/validation.jsonl"),
    task("sciq", "sciq/validation.jsonl"),
    task("winogrande", "winogrande_xl/validation.jsonl"),
    task("piqa", "piqa/validation.jsonl"),
    task("openbookqa", "openbookqa/validation.jsonl"),
    task("hellaswag", "hellaswag/validation.jsonl"),
    task("lambada_openai", "lambada_openai/test.jsonl"),
    task("webqs", "webqs/val.jsonl"),
    task("triviaqa", "triviaqa/validation.jsonl"),
    Task { name: "mmlu", path: "mmlu", num_fewshot: 5 },
];

/// Items of a task in a quick run.
const QUICK: usize = 40;

pub(super) const HELP: &str = "\
usage: cargo xtask bench eval [OPTION VALUE]...

  --tasks A,B,C     which tasks (all that there is data for)
  --data FOLDER     the tasks' files ($SBP_EVAL_DATA, else ../shared/data/eval beside the repository)
  --checkpoint DIR  Hugging Face folder of the model (30M random parameters, made once)
  --limit N         only the first N items of each task (all)
  --rounds N        how often every contestant runs (2)
  --threads N       threads of each (one for each core)
  --quick           40 items of each task, one round: shows that it runs

Tasks: arc_easy, arc_challenge, sciq, winogrande, piqa, openbookqa, hellaswag, lambada_openai, webqs, triviaqa,
mmlu (five examples before each item; the others none). The harness tries several batch sizes on a few items in
the first round and goes on with the best. It prints a table and writes target/bench/eval.json.";

/// What was asked for.
pub(super) struct Settings {
    pub(super) tasks: Vec<Task>,
    pub(super) data: PathBuf,
    pub(super) checkpoint: Option<PathBuf>,
    /// The first items of each task that are asked; all without.
    pub(super) limit: Option<usize>,
    pub(super) rounds: usize,
    pub(super) threads: usize,
}

/// Reads the options.
pub(super) fn settings(args: &[String]) -> Result<Settings> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let (mut named, mut data) = (None, std::env::var_os("SBP_EVAL_DATA").map(PathBuf::from));
    let mut settings = Settings {
        tasks: Vec::new(),
        data: PathBuf::new(),
        checkpoint: None,
        limit: None,
        rounds: 2,
        threads: cores,
    };
    let mut args = args.iter();
    while let Some(option) = args.next() {
        if option == "--quick" {
            (settings.rounds, settings.limit) = (1, Some(QUICK));
            continue;
        }
        let value = args.next().ok_or_else(|| format!("{option} needs a value\n\n{HELP}"))?;
        let number = || {
            let number = value.parse().ok().filter(|&it| it > 0);
            number.ok_or_else(|| format!("{option} {value}: no number\n\n{HELP}"))
        };
        match option.as_str() {
            "--tasks" => named = Some(value.split(',').map(of_name).collect::<Result<Vec<_>>>()?),
            "--data" => data = Some(value.into()),
            // The programs run in the repository, whatever folder this was typed in.
            "--checkpoint" => {
                let path = fs::canonicalize(value).map_err(|e| format!("{option} {value}: {e}"))?;
                settings.checkpoint = Some(path);
            }
            "--limit" => settings.limit = Some(number()?),
            "--rounds" => settings.rounds = number()?,
            "--threads" => settings.threads = number()?,
            _ => return Err(format!("no option {option} {value}\n\n{HELP}")),
        }
    }
    let data = data.unwrap_or_else(|| repository_root().join("../shared/data/eval"));
    settings.data = fs::canonicalize(&data).map_err(|e| format!("{}: {e}\n{}", data.display(), wanted()))?;
    settings.tasks = available(&settings.data, named)?;
    Ok(settings)
}

fn of_name(name: &str) -> Result<Task> {
    let found = TASKS.into_iter().find(|task| task.name == name);
    found.ok_or_else(|| format!("no task {name}\n\n{HELP}"))
}

/// The tasks that were named, or else all that there is data for.
fn available(data: &Path, named: Option<Vec<Task>>) -> Result<Vec<Task>> {
    let has = |task: &Task| data.join(task.path).exists();
    let Some(named) = named else {
        let (tasks, others): (Vec<Task>, Vec<Task>) = TASKS.into_iter().partition(has);
        if tasks.is_empty() {
            return Err(format!("{} has no data of any task\n{}", data.display(), wanted()));
        }
        for task in others {
            eprintln!("left out: {}, since there is no {}", task.name, data.join(task.path).display());
        }
        return Ok(tasks);
    };
    match named.iter().find(|task| !has(task)) {
        Some(task) => Err(format!("there is no {}\n{}", data.join(task.path).display(), wanted())),
        None => Ok(named),
    }
}

/// Which files to put where.
fn wanted() -> String {
    let files: Vec<String> = TASKS.iter().map(|task| format!("  {:<15} {}", task.name, task.path)).collect();
    format!(
        "Put the tasks' files into one folder and name it with --data or SBP_EVAL_DATA; those of absent tasks may be \
         left out.\nJSON lines have the fields of the hub's data sets; mmlu is a folder with dev/SUBJECT_dev.csv and \
         test/SUBJECT_test.csv or val/SUBJECT_val.csv.\n{}",
        files.join("\n")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(tasks: &[Task]) -> Vec<&'static str> {
        tasks.iter().map(|task| task.name).collect()
    }

    #[test]
    fn without_names_all_tasks_that_have_data_are_taken() {
        let dir = tempfile::tempdir().unwrap();
        let none = available(dir.path(), None).err().unwrap();
        assert!(none.contains("no data") && none.contains("sciq/validation.jsonl"), "{none}");
        for path in ["sciq", "mmlu"] {
            fs::create_dir(dir.path().join(path)).unwrap();
        }
        fs::write(dir.path().join("sciq/validation.jsonl"), "").unwrap();
        assert_eq!(names(&available(dir.path(), None).unwrap()), ["sciq", "mmlu"]);
        let named = Some(vec![of_name("mmlu").unwrap(), of_name("piqa").unwrap()]);
        let missing = available(dir.path(), named).err().unwrap();
        assert!(missing.contains("piqa/validation.jsonl"), "{missing}");
    }

    #[test]
    fn options_are_read_and_wrong_ones_are_named() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("mmlu")).unwrap();
        let data = dir.path().to_string_lossy().into_owned();
        let read = |words: &[&str]| {
            let words = ["--data", data.as_str()].into_iter().chain(words.iter().copied()).map(str::to_owned);
            settings(&words.collect::<Vec<_>>())
        };
        let quick = read(&["--quick", "--threads", "3"]).ok().unwrap();
        assert_eq!((quick.rounds, quick.threads, names(&quick.tasks)), (1, 3, vec!["mmlu"]));
        assert_eq!((quick.limit, read(&["--limit", "7"]).ok().unwrap().limit), (Some(40), Some(7)));
        assert_eq!(read(&[]).ok().unwrap().limit, None);
        for wrong in [["--limit", "0"], ["--tasks", "boolq"], ["--speed", "9"]] {
            let why = read(&wrong).err().unwrap();
            assert!(why.contains(wrong[1]) && why.contains("usage:"), "{why}");
        }
    }
}
