//! Interrupted runs: killed at any moment or stopped on request, the same command comes to the same numbers.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use sbp_core::RootSeed;

use super::{answer, comparable_results, sbp_run, smoke};

/// Often enough that a kill loses little, and that kills fall into the writing of checkpoints.
const OFTEN: [&str; 2] = ["--set", "execution.checkpoint_every_secs=0.02"];

#[test]
fn ten_kills_change_nothing() {
    let (straight, killed) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let started = Instant::now();
    let expected =
        comparable_results(&sbp_run(&smoke(), straight.path(), &OFTEN).output().expect("it starts"));
    let whole = started.elapsed();

    let mut moments = RootSeed(std::process::id().into()).stream("kills", &[]);
    let mut kills = 0;
    for _ in 0..10 {
        // Within what is left of the run, on average; a run that ends before its kill was resumed to its end.
        let patience = whole.mul_f64(0.05 + 0.25 * moments.uniform());
        let mut child = sbp_run(&smoke(), killed.path(), &OFTEN)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let deadline = Instant::now() + patience;
        let ended = loop {
            if child.try_wait().expect("it can be waited for").is_some() {
                break true;
            }
            if Instant::now() >= deadline {
                break false;
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        if !ended {
            child.kill().expect("it can be killed");
            child.wait().expect("it can be waited for");
            kills += 1;
        }
    }
    assert!(kills > 0, "every attempt ended before its kill");
    let resumed = comparable_results(&sbp_run(&smoke(), killed.path(), &OFTEN).output().expect("it starts"));
    assert_eq!(resumed, expected);
}

#[cfg(unix)]
#[test]
fn a_first_interrupt_stops_with_75_and_the_same_command_goes_on() {
    let home = tempfile::tempdir().expect("a folder");
    // Long enough to be caught in the act.
    let long = ["--set", "budget.duration={ passes = 400 }"];
    let mut child = sbp_run(&smoke(), home.path(), &long)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let train = home.path().join("store/train");
    let deadline = Instant::now() + Duration::from_secs(120);
    // Before its first step a job has nothing to keep.
    while !has_stepped(&train) {
        assert!(Instant::now() < deadline && child.try_wait().expect("it can be waited for").is_none());
        std::thread::sleep(Duration::from_millis(10));
    }
    let pid = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().expect("kill runs").success());
    let output = child.wait_with_output().expect("it can be waited for");
    assert_eq!(output.status.code(), Some(75));
    let answer = answer(&output);
    assert_eq!(answer["exit"], 75);
    assert!(
        answer["run_dir"].as_str().is_some_and(|run| Path::new(run).join("events.jsonl").exists()),
        "{answer}"
    );
    assert!(
        jobs_in(&train).iter().any(|job| job.join("progress").exists()),
        "no checkpoint was left to go on from"
    );
}

/// The unfinished training jobs of a store.
#[cfg(unix)]
fn jobs_in(train: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(train).into_iter().flatten().filter_map(Result::ok);
    entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|it| it == "partial"))
        .collect()
}

/// Whether a job has logged a step.
#[cfg(unix)]
fn has_stepped(train: &Path) -> bool {
    jobs_in(train).iter().any(|job| job.join("metrics.jsonl").metadata().is_ok_and(|log| log.len() > 0))
}
