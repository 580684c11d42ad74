//! `sbp status`: what a run is doing, or how it ended, from what its folder says.

use std::fmt::Write as _;
use std::time::Duration;

use console::Term;
use sbp_pipeline::{DoneStage, Run, State, Status, UnderWay};
use serde_json::json;

use crate::args::StatusArgs;
use crate::exit::{Done, Failure};
use crate::here;
use crate::say::say;
use crate::screen::people;
use crate::words;

/// Time between two looks.
const EVERY: Duration = Duration::from_secs(1);

/// Prints how the run stands, once or until it ends.
pub(crate) fn run(args: &StatusArgs) -> Result<Done, Failure> {
    let run = here::run(args.run.as_deref())?;
    match (args.watch, args.json) {
        (false, false) => say(text(&run)),
        (false, true) => say(answer(&run)),
        (true, json) => watch(run, json)?,
    }
    Ok(Done::Fully)
}

/// Looks again and again. On a terminal the text is redrawn; elsewhere every stage is a line once it is done.
fn watch(first: Run, as_json: bool) -> Result<(), Failure> {
    let path = first.folder.path.clone();
    let terminal = Some(Term::stdout()).filter(|terminal| terminal.is_term() && !as_json);
    let (mut run, mut drawn, mut told, mut last) = (first, 0, 0, String::new());
    loop {
        let is_over = !run.state.may_be_live();
        if let Some(terminal) = &terminal {
            let lines = fitting(&text(&run), terminal.size());
            // A terminal that cannot be drawn on is no reason to end.
            let _ = terminal.clear_last_lines(drawn);
            lines.iter().for_each(say);
            drawn = lines.len();
        } else if as_json {
            let now = answer(&run).to_string();
            if now != last {
                say(&now);
                last = now;
            }
        } else {
            let stages = run.status.as_ref().map_or(&[][..], |status| &status.stages);
            stages.iter().skip(told).for_each(|stage| say(done(stage)));
            told = stages.len();
            if is_over {
                say(text(&run));
            }
        }
        if is_over {
            return Ok(());
        }
        std::thread::sleep(EVERY);
        run = here::run(path.to_str())?;
    }
}

/// What of a text fits onto a terminal of so many rows and columns: its end, every line cut.
fn fitting(text: &str, (rows, columns): (u16, u16)) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let first = lines.len().saturating_sub(usize::from(rows).saturating_sub(1));
    let cut = |line: &&str| line.chars().take(usize::from(columns).saturating_sub(1)).collect();
    lines[first..].iter().map(cut).collect()
}

fn answer(run: &Run) -> serde_json::Value {
    json!({
        "run": run.name(),
        "run_dir": run.folder.path,
        "state": run.state,
        "results": Some(run.folder.results()).filter(|results| results.exists()),
        "status": run.status,
    })
}

fn text(run: &Run) -> String {
    let mut text = format!("{}  {}", run.name(), run.state.name());
    let Some(status) = &run.status else {
        let _ = write!(text, "\nfolder   {}", run.folder.path.display());
        return text;
    };
    let _ = writeln!(text, "{}", circumstances(status));
    for stage in &status.stages {
        let _ = writeln!(text, "{}", done(stage));
    }
    if let Some(stage) = &status.under_way {
        let _ = writeln!(text, "{}", under_way(stage));
    }
    if let Some(bytes) = status.peak_memory_bytes {
        let _ = writeln!(text, "memory   {} at most", words::size(bytes));
    }
    let _ = writeln!(text, "folder   {}", run.folder.path.display());
    let _ = write!(text, "{}", next(run, status));
    text
}

/// How long, and who.
fn circumstances(status: &Status) -> String {
    let elapsed = people(status.elapsed());
    match status.state {
        State::Running => format!(" for {elapsed}, process {}", status.process.pid),
        State::Elsewhere => {
            format!(", on {}, last heard of {}", status.process.host, words::ago(status.age()))
        }
        _ => format!(" after {elapsed}, {}", words::ago(status.age())),
    }
}

fn done(stage: &DoneStage) -> String {
    let how = match (stage.reused, Duration::try_from_secs_f64(stage.secs)) {
        (true, _) => "reused".to_owned(),
        (false, Ok(took)) => format!("done in {}", people(took)),
        (false, Err(_)) => "done".to_owned(),
    };
    format!("  {:<28} {how}", stage.stage)
}

fn under_way(stage: &UnderWay) -> String {
    let how = if stage.total == 0 { "begun".to_owned() } else { words::under_way(stage) };
    format!("  {:<28} {how}", stage.stage)
}

/// What can be done about it, or read.
fn next(run: &Run, status: &Status) -> String {
    let message = status.message.as_deref().unwrap_or_default();
    match run.state {
        State::Finished => format!("table    {}", run.folder.path.join("report/table.md").display()),
        State::Failed => format!("error    {message}"),
        State::Stopped => message.to_owned(),
        State::Dead => format!(
            "its process ({}) is gone without a word; the same command goes on from the last safe point",
            status.process.pid
        ),
        State::Running | State::Elsewhere | State::Unknown => {
            format!("log      {}", run.folder.path.join("events.jsonl").display())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use sbp_pipeline::{Process, RunFolder};

    use super::*;

    fn run_in(state: State) -> Run {
        let process = Process { pid: 42, host: "here".to_owned(), started: None };
        let stage = |stage: &str, secs, reused| DoneStage { stage: stage.to_owned(), secs, reused };
        let under_way = UnderWay {
            stage: "train sbp seed 1".to_owned(),
            done: 5,
            total: 10,
            unit: "steps".to_owned(),
            loss: Some(2.0),
            dropped: None,
            tokens_per_sec: Some(1000.0),
            mfu: None,
            secs_left: Some(80.0),
            memory: None,
        };
        let status = Status {
            recipe: "demo".to_owned(),
            plan: "1".repeat(32),
            arms: vec!["sbp".to_owned()],
            seeds: vec![1],
            state,
            message: Some("stopped in stage train".to_owned()),
            process,
            began: 1_000,
            updated: 1_250,
            under_way: (state != State::Finished).then_some(under_way),
            stages: vec![stage("corpus", 0.0, true), stage("base seed 1", 24.0, false)],
            peak_memory_bytes: Some(1 << 30),
        };
        Run {
            folder: RunFolder { path: "runs/demo/11111111".into() },
            recipe: "demo".to_owned(),
            id: "11111111".to_owned(),
            state,
            when: SystemTime::UNIX_EPOCH,
            status: Some(status),
        }
    }

    #[test]
    fn every_state_says_what_it_is_and_what_to_do() {
        for (state, first, last) in [
            (State::Finished, "finished after 4 min 10 s", "table    runs/demo/11111111/report/table.md"),
            (State::Stopped, "stopped after 4 min 10 s", "stopped in stage train"),
            (State::Failed, "failed after 4 min 10 s", "error    stopped in stage train"),
            (State::Dead, "dead after 4 min 10 s", "its process (42) is gone without a word"),
            (State::Running, "running for", "log      runs/demo/11111111/events.jsonl"),
            (
                State::Elsewhere,
                "elsewhere, on here, last heard of",
                "log      runs/demo/11111111/events.jsonl",
            ),
        ] {
            let text = text(&run_in(state));
            assert!(text.starts_with(&format!("demo/11111111  {first}")), "{text}");
            assert!(text.lines().last().is_some_and(|line| line.starts_with(last)), "{text}");
            assert!(text.contains("\n  corpus                       reused\n"), "{text}");
            assert!(text.contains("\n  base seed 1                  done in 24 s\n"), "{text}");
            assert!(text.contains("memory   1.0 GiB at most"), "{text}");
            let line =
                "  train sbp seed 1             5/10 steps  loss 2.000  1000 tokens/s  1 min 20 s left";
            assert_eq!(text.contains(line), state != State::Finished, "{text}");
        }
    }

    #[test]
    fn a_small_terminal_shows_the_end() {
        assert_eq!(fitting("one\ntwo\nthree", (3, 4)), ["two", "thr"]);
        assert_eq!(fitting("one\ntwo", (24, 80)), ["one", "two"]);
    }
}
