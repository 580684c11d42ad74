//! `cargo xtask bench generate`: our greedy decoding beside that of transformers: same weights, same prompts.

use super::contestant::{median, run};
use super::entry::{self, Entry};
use crate::Result;
use crate::setup::{peers, repository_root};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const PEER: &str = include_str!("generate_peer.py");

/// Prompts that we decode side by side.
const BATCH: usize = 64;

/// Those that the peer may decode at once: it is compared at the best of these.
const PEER_BATCHES: [usize; 4] = [8, 32, 64, 128];

/// Ratio of speed that is wanted.
const WANTED: f64 = 3.0;

/// Fewest and most tokens of a prompt.
const LENGTHS: (u64, u64) = (16, 256);

/// What the models' context of 2,048 tokens leaves beside the longest prompt.
const ROOM: usize = 1792;

const HELP: &str = "\
usage: cargo xtask bench generate [OPTION VALUE]...

  --size small|medium  which model of fresh weights decodes: about 10M parameters or 110M (small, then medium)
  --checkpoint FOLDER  a tuned synthesizer of a study instead: the folder `checkpoint` of its artifact
  --texts FILE         JSONL of seed documents for it
  --prompts N          how many prompts, of 16 to 256 random tokens without --texts (256)
  --max-new-tokens N   most tokens after a prompt, up to 1792 (128)
  --rounds N           how often every contestant runs (2)
  --threads N          threads of each (one for each core)
  --quick              16 prompts, 16 new tokens, one round: shows that it runs

We decode 64 prompts side by side. transformers tries several batch sizes in the first round and goes on
with the best. It prints tables and writes target/bench/generate.json.";

struct Settings {
    sizes: Vec<String>,
    /// A checkpoint and the texts that it is to continue, instead.
    study: (Option<PathBuf>, Option<PathBuf>),
    prompts: usize,
    max_new_tokens: usize,
    rounds: usize,
    threads: usize,
}

fn settings(args: &[String]) -> Result<Settings> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut settings = Settings {
        sizes: vec!["small".to_owned(), "medium".to_owned()],
        study: (None, None),
        prompts: 256,
        max_new_tokens: 128,
        rounds: 2,
        threads: cores,
    };
    let mut args = args.iter();
    while let Some(option) = args.next() {
        if option == "--quick" {
            (settings.prompts, settings.max_new_tokens, settings.rounds) = (16, 16, 1);
            continue;
        }
        let value = args.next().ok_or_else(|| format!("{option} needs a value\n\n{HELP}"))?;
        let number = |most: usize| {
            let number: Option<usize> = value.parse().ok().filter(|it| (1..=most).contains(it));
            number.ok_or_else(|| format!("{option} {value}: no number, or out of range\n\n{HELP}"))
        };
        // The programs run in the repository, whatever folder this was typed in.
        let path = || fs::canonicalize(value).map_err(|e| format!("{option} {value}: {e}")).map(Some);
        match (option.as_str(), value.as_str()) {
            ("--checkpoint", _) => settings.study.0 = path()?,
            ("--texts", _) => settings.study.1 = path()?,
            ("--size", "small" | "medium") => settings.sizes = vec![value.clone()],
            ("--prompts", _) => settings.prompts = number(usize::MAX)?,
            ("--max-new-tokens", _) => settings.max_new_tokens = number(ROOM)?,
            ("--rounds", _) => settings.rounds = number(usize::MAX)?,
            ("--threads", _) => settings.threads = number(usize::MAX)?,
            _ => return Err(format!("no option {option} {value}\n\n{HELP}")),
        }
    }
    match settings.study {
        (Some(_), Some(_)) => settings.sizes = vec!["checkpoint".to_owned()],
        (None, None) => {}
        _ => return Err(format!("--checkpoint and --texts go together\n\n{HELP}")),
    }
    Ok(settings)
}

/// Tokens after each prompt.
type Completions = Vec<Vec<u32>>;

/// Who takes part, at one batch size, and what came of its runs.
struct Contestant {
    name: &'static str,
    batch_size: usize,
    tokens_per_second: Vec<f64>,
    peak_mib: Vec<f64>,
    /// Of its last run.
    completions: Completions,
}

impl Contestant {
    fn new(name: &'static str, batch_size: usize) -> Self {
        Self { name, batch_size, tokens_per_second: vec![], peak_mib: vec![], completions: vec![] }
    }

    /// Runs it once more, on the job that lies in the folder.
    fn run(&mut self, mut command: Command, settings: &Settings, folder: &Path) -> Result<()> {
        let checkpoint = settings.study.0.clone().unwrap_or_else(|| folder.join("checkpoint"));
        command.arg(checkpoint).arg(folder.join("prompts.json"));
        let numbers = [self.batch_size, settings.threads, settings.max_new_tokens];
        command.args(numbers.map(|it| it.to_string()));
        let outcome = run(command.current_dir(repository_root()))?;
        self.tokens_per_second.push(outcome.number("tokens_per_second")?);
        self.peak_mib.push(outcome.peak_mib);
        let path = folder.join(format!("completions-{}.json", self.name));
        let text = fs::read_to_string(&path).map_err(|e| format!("cannot read {}: {e}", path.display()))?;
        self.completions = lists(&text).ok_or_else(|| format!("{}: no lists of tokens", path.display()))?;
        Ok(())
    }

    fn speed(&self) -> f64 {
        median(self.tokens_per_second.iter().copied())
    }

    fn memory(&self) -> f64 {
        median(self.peak_mib.iter().copied())
    }
}

/// Runs the comparison and prints its tables.
pub(crate) fn generate(args: &[String]) -> Result<ExitCode> {
    if args.first().is_some_and(|it| it == "--help") {
        eprintln!("{HELP}");
        return Ok(ExitCode::SUCCESS);
    }
    let settings = settings(args)?;
    let ours = build()?;
    let python = peers(&["transformers", "torch"])?;
    entry::of_cases("generate", &settings.sizes, |size, folder| {
        compare(size, &settings, &ours, &python, folder)
    })
}

fn build() -> Result<PathBuf> {
    let arguments = ["build", "--release", "--package", "sbp-runtime", "--example", "generate_bench"];
    Ok(crate::cargo::executable_of(&arguments, "generate_bench")?.into())
}

/// Both sides in turn, as often as asked for.
fn compare(size: &str, settings: &Settings, ours: &Path, python: &Path, folder: &Path) -> Result<Vec<Entry>> {
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        fs::write(&path, text).map_err(|e| format!("cannot write {}: {e}", path.display())).map(|()| path)
    };
    let mut make = Command::new(ours);
    make.current_dir(repository_root());
    if let (Some(checkpoint), Some(texts)) = &settings.study {
        let [count, most] = [settings.prompts, LENGTHS.1 as usize].map(|it| it.to_string());
        make.arg("prompts").arg(checkpoint).arg(texts).args([count, most]).arg(folder.join("prompts.json"));
        run(&mut make)?;
    } else {
        let made = run(make.arg("make").arg(folder).arg(size))?;
        let vocab_size = made.number("vocab_size")? as u64;
        let prompts = prompts(settings.prompts, vocab_size);
        write("prompts.json", &format!("{{\"stop\": {}, \"prompts\": {prompts:?}}}", vocab_size - 1))?;
    }
    let script = write("generate_peer.py", PEER)?;

    let mut own = Contestant::new("sbp", BATCH);
    // No more than there are prompts: larger batches would be the same again.
    let mut batches = PEER_BATCHES.map(|it| it.min(settings.prompts)).to_vec();
    batches.dedup();
    let mut others: Vec<_> = batches.into_iter().map(|it| Contestant::new("transformers", it)).collect();
    for round in 1..=settings.rounds {
        eprintln!("{size}, round {round}: {}", own.name);
        own.run(Command::new(ours), settings, folder)?;
        let taking_part = if round == 1 { others.len() } else { 1 };
        for other in &mut others[..taking_part] {
            eprintln!("{size}, round {round}: {}, {} at once", other.name, other.batch_size);
            let mut command = Command::new(python);
            command.arg(&script);
            other.run(command, settings, folder)?;
        }
        if round == 1 {
            others.sort_by(|a, b| b.speed().total_cmp(&a.speed()));
        }
    }
    let best = others.first().ok_or("nobody took part")?;
    let differing = differences(&own.completions, &best.completions);
    if own.completions.len() != best.completions.len() || differing.len() == own.completions.len() {
        return Err("the comparison is void: no completion is the same".to_owned());
    }
    eprintln!("{}", table(size, settings, &own, &others, &differing));
    Ok(entries(size, &own, best, differing.len()))
}

/// Random prompts without the last token of the vocabulary, which ends a completion.
fn prompts(count: usize, vocab_size: u64) -> Vec<Vec<u64>> {
    let mut state = 1_u64;
    // SplitMix64 (Steele et al. 2014).
    let mut below = |bound: u64| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)) % bound
    };
    let (fewest, most) = LENGTHS;
    let mut prompt = || {
        let length = fewest + below(most - fewest + 1);
        (0..length).map(|_| below(vocab_size - 1)).collect()
    };
    (0..count).map(|_| prompt()).collect()
}

/// Reads a JSON list of lists of tokens.
fn lists(text: &str) -> Option<Completions> {
    let text: String = text.split_whitespace().collect();
    let inside = text.strip_prefix("[[")?.strip_suffix("]]")?;
    let list = |text: &str| match text {
        "" => Some(Vec::new()),
        _ => text.split(',').map(|token| token.parse().ok()).collect(),
    };
    inside.split("],[").map(list).collect()
}

/// The prompts whose completions differ, each with the place of the first token that does.
fn differences(own: &[Vec<u32>], other: &[Vec<u32>]) -> Vec<(usize, usize)> {
    let pairs = own.iter().zip(other).enumerate().filter(|(_, (a, b))| a != b);
    pairs.map(|(prompt, (a, b))| (prompt, a.iter().zip(b).take_while(|(a, b)| a == b).count())).collect()
}

/// What a program may read of the comparison.
fn entries(size: &str, own: &Contestant, best: &Contestant, num_differing: usize) -> Vec<Entry> {
    let entry = |metric, unit, ours, peer, ratio, target| Entry {
        case: size.to_owned(),
        metric,
        unit,
        ours,
        peer,
        peer_name: best.name,
        ratio,
        target,
    };
    let identical = 1.0 - num_differing as f64 / own.completions.len() as f64;
    let (speed, memory) = (own.speed() / best.speed(), best.memory() / own.memory());
    vec![
        entry("speed", "tokens/s", own.speed(), best.speed(), speed, Some(WANTED)),
        entry("peak_memory", "MiB", own.memory(), best.memory(), memory, None),
        entry("identical_completions", "share", identical, 1.0, identical, None),
    ]
}

/// Markdown: speed, memory, and both as ratios to ours; the peer's best batch size stands first. Then,
/// whether both said the same.
fn table(
    size: &str,
    settings: &Settings,
    own: &Contestant,
    others: &[Contestant],
    differing: &[(usize, usize)],
) -> String {
    let mut text = format!(
        "\n{size}: {} prompts, up to {} new tokens, {} rounds, {} threads\n\n\
         | program | batch size | tokens/s | sbp is faster by | peak MiB | sbp's share of it |\n\
         |---|---|---|---|---|---|\n",
        settings.prompts, settings.max_new_tokens, settings.rounds, settings.threads,
    );
    for contestant in std::iter::once(own).chain(others) {
        text.push_str(&format!(
            "| {} | {} | {:.0} | {:.2}x | {:.0} | {:.2} |\n",
            contestant.name,
            contestant.batch_size,
            contestant.speed(),
            own.speed() / contestant.speed(),
            contestant.memory(),
            own.memory() / contestant.memory(),
        ));
    }
    let identical = settings.prompts - differing.len();
    text.push_str(&format!(
        "\n{identical} of {} completions ({:.1}%) are the same token for token.\n",
        settings.prompts,
        100.0 * identical as f64 / settings.prompts as f64,
    ));
    if !differing.is_empty() {
        let places: Vec<String> = differing.iter().map(|(prompt, at)| format!("{prompt} at {at}")).collect();
        text.push_str(&format!("The others, prompt by first token that differs: {}.\n", places.join(", ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_are_read_back_as_they_were_written() {
        let prompts = prompts(50, 100);
        let read = lists(&format!("{prompts:?}")).unwrap();
        assert_eq!(read.len(), 50);
        assert!(read.iter().all(|prompt| (16..=256).contains(&prompt.len())));
        assert!(read.iter().flatten().all(|token| *token < 99));
        assert_eq!(lists("[[1,2],[],[3]]\n"), Some(vec![vec![1, 2], vec![], vec![3]]));
        assert_eq!(lists("[[1, x]]"), None);
    }

    #[test]
    fn a_difference_is_placed_at_its_first_token() {
        let own = vec![vec![1, 2, 3], vec![4, 5], vec![6]];
        let other = vec![vec![1, 2, 3], vec![4, 6], vec![6, 7]];
        assert_eq!(differences(&own, &other), [(1, 1), (2, 1)]);
    }
}
