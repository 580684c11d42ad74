//! Interrupted runs: killed at any moment or stopped on request, the same command comes to the same numbers.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use sbp_core::RootSeed;

use super::{answer, comparable_results, sbp, sbp_run, smoke};

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

/// Long enough to be caught in the act.
const LONG: [&str; 2] = ["--set", "budget.duration={ passes = 400 }"];

#[cfg(unix)]
#[test]
fn a_first_interrupt_stops_with_75_and_the_same_command_goes_on() {
    for signal in ["-INT", "-TERM"] {
        let home = tempfile::tempdir().expect("a folder");
        let mut child = sbp_run(&smoke(), home.path(), &LONG)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let train = home.path().join("store/train");
        // Before its first step a job has nothing to keep.
        wait(&mut child, || has_stepped(&train));
        send(signal, &child);
        let output = child.wait_with_output().expect("it can be waited for");
        assert_eq!(output.status.code(), Some(75), "{signal}");
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
        let stopped = status(home.path());
        assert_eq!(stopped["state"], "stopped");
        assert!(stopped["status"]["message"].as_str().is_some_and(|it| it.contains("train")), "{stopped}");
    }
}

#[cfg(unix)]
#[test]
fn a_second_signal_ends_a_run_at_once() {
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let home = tempfile::tempdir().expect("a folder");
        // A step takes long enough for both signals, and there is no safe point inside it.
        let steps = [
            "training.tokens_per_step=131072",
            "budget.duration={ steps = 1 }",
            "base.duration={ steps = 9 }",
        ];
        let sets: Vec<&str> = steps.iter().flat_map(|set| ["--set", set]).collect();
        let mut child = sbp_run(&smoke(), home.path(), &sets)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let base = home.path().join("store/base");
        wait(&mut child, || has_stepped(&base));
        send("-INT", &child);
        std::thread::sleep(Duration::from_millis(20));
        send(signal, &child);
        let ended = child.wait().expect("it can be waited for");
        assert_eq!(ended.code(), Some(code), "{signal}");
        assert_eq!(status(home.path())["state"], "dead");
    }
}

#[test]
fn a_run_whose_time_is_over_stops_as_if_it_were_asked_to() {
    let home = tempfile::tempdir().expect("a folder");
    let output = sbp_run(&smoke(), home.path(), &["--stop-after", "1ms"]).output().expect("it starts");
    assert_eq!(output.status.code(), Some(75));
    assert_eq!(answer(&output)["exit"], 75);
    assert_eq!(status(home.path())["state"], "stopped");
    let refused = sbp_run(&smoke(), home.path(), &["--stop-after", "soon"]).output().expect("it starts");
    assert_eq!(refused.status.code(), Some(2));
}

#[cfg(unix)]
#[test]
fn a_run_tells_what_it_does_and_a_killed_one_is_found_dead() {
    let home = tempfile::tempdir().expect("a folder");
    let mut child = sbp_run(&smoke(), home.path(), &LONG)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let mut seen = serde_json::Value::Null;
    wait(&mut child, || {
        seen = if home.path().join("runs").exists() { status(home.path()) } else { serde_json::Value::Null };
        let stage = &seen["status"]["under_way"];
        stage["stage"].as_str().is_some_and(|it| it.starts_with("train"))
            && stage["done"].as_u64().is_some_and(|it| it > 0)
    });
    assert_eq!(seen["state"], "running");
    assert_eq!(seen["status"]["process"]["pid"], child.id());
    let stage = &seen["status"]["under_way"];
    assert!(stage["done"].as_u64() <= stage["total"].as_u64() && stage["unit"] == "steps", "{stage}");
    assert!(stage["loss"].is_f64(), "{stage}");
    let stages = seen["status"]["stages"].as_array().expect("a list");
    assert!(stages.iter().any(|it| it["stage"] == "corpus" && it["reused"] == false), "{stages:?}");

    // Nobody takes a run away from under its process.
    let refused = sbp(home.path(), &["runs", "rm", "smoke"]).output().expect("it starts");
    assert_eq!(refused.status.code(), Some(1));
    let freed = sbp(home.path(), &["gc", "--yes", "--half-made", "--json"]).output().expect("it starts");
    assert_eq!(answer(&freed)["unneeded"], serde_json::json!([]));

    child.kill().expect("it can be killed");
    child.wait().expect("it can be waited for");
    assert_eq!(status(home.path())["state"], "dead");
    let said = sbp(home.path(), &["status", "smoke"]).output().expect("it starts");
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.contains("dead after") && said.contains("the same command goes on"), "{said}");
    // It ends at once, since the run does.
    let watched = sbp(home.path(), &["status", "--watch"]).output().expect("it starts");
    assert_eq!(watched.status.code(), Some(0));

    // What it would go on from is kept until that is not wanted.
    let partial = || jobs_in(&home.path().join("store/train")).len();
    let gc = |extra: &[&str]| {
        let output = sbp(home.path(), &[&["gc", "--json"], extra].concat()).output().expect("it starts");
        answer(&output)["unneeded"].as_array().expect("a list").len()
    };
    assert_eq!((gc(&["--yes"]), partial()), (0, 1));
    assert_eq!((gc(&["--half-made"]), partial()), (1, 1));
    assert_eq!((gc(&["--half-made", "--yes"]), partial()), (1, 0));
}

/// `sbp status --json` of the latest run.
fn status(home: &Path) -> serde_json::Value {
    answer(&sbp(home, &["status", "--json"]).output().expect("it starts"))
}

/// Waits until something is so, while the child runs.
#[cfg(unix)]
fn wait(child: &mut std::process::Child, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !is_so() {
        assert!(Instant::now() < deadline && child.try_wait().expect("it can be waited for").is_none());
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[cfg(unix)]
fn send(signal: &str, child: &std::process::Child) {
    let pid = child.id().to_string();
    assert!(std::process::Command::new("kill").args([signal, &pid]).status().expect("kill runs").success());
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
