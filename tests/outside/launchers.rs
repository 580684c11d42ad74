//! PyTorch's own launcher starts a run, restarts it when a process of it dies, and the run comes to the same results.
//!
//! `SBP_PEER_PYTHON` names a Python with the package `torch` (2.11.0 was run).

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A Python that can import torch; none, and a line that says so, where there is no such.
#[expect(clippy::print_stderr, reason = "a test that looks at nothing says so")]
fn python() -> Option<PathBuf> {
    let python = std::env::var_os("SBP_PEER_PYTHON").map(PathBuf::from);
    let has_it = |python: &PathBuf| {
        let answer = Command::new(python).args(["-c", "import torch.distributed.run"]).output();
        answer.is_ok_and(|output| output.status.success())
    };
    let python = python.filter(has_it);
    if python.is_none() {
        eprintln!("skipped: SBP_PEER_PYTHON names no Python with the package torch");
    }
    python
}

/// torchrun with two processes of `sbp run` on the smoke recipe.
fn torchrun(python: &Path, home: &Path, restarts: u32) -> Command {
    let mut command = Command::new(python);
    command
        .args(["-m", "torch.distributed.run", "--standalone", "--no-python", "--nproc-per-node", "2"])
        .args(["--max-restarts", &restarts.to_string()])
        .arg(env!("CARGO_BIN_EXE_sbp-under-test"))
        .arg("run")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../recipes/tiny/smoke.toml"))
        .args(["--json", "--set", "execution.num_threads=1", "--set", "training.gradient_parts=2"])
        .args(["--set", "execution.checkpoint_every_secs=0.02"])
        .env("SBP_HOME", home)
        .env("SBP_TEAM_TIMEOUT", "10")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// `results.json` without what may differ between runs of one recipe.
fn results(output: &Output) -> Value {
    let stdout = String::from_utf8_lossy(&output.stdout);
    let answer = stdout.lines().rev().find_map(|line| serde_json::from_str::<Value>(line).ok());
    let answer = answer.unwrap_or_else(|| panic!("{stdout}\n{}", String::from_utf8_lossy(&output.stderr)));
    let path = answer["results"].as_str().unwrap_or_else(|| panic!("no results: {answer}"));
    let text = std::fs::read_to_string(path).expect("results.json is there");
    let mut results: Value = serde_json::from_str(&text).expect("it is JSON");
    for varying in ["provenance", "timing"] {
        results.as_object_mut().expect("an object").remove(varying);
    }
    results
}

#[test]
fn torchrun_starts_a_run_and_restarts_it() {
    let Some(python) = python() else { return };
    let [straight, killed] = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    let output = torchrun(&python, straight.path(), 0).output().expect("it starts");
    let expected = results(&output);

    let child = torchrun(&python, killed.path(), 2).spawn().expect("it starts");
    let victim = worker(child.id(), killed.path());
    let killing = Command::new("kill").args(["-KILL", &victim.to_string()]).status();
    assert!(killing.expect("kill runs").success());
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() || output.status.code() == Some(3), "{said}");
    assert_eq!(results(&output), expected, "{said}");
}

/// The last process that a launcher started, once a job of the run has a checkpoint.
fn worker(launcher: u32, home: &Path) -> u32 {
    let pattern = format!("{}/store/*/*.partial/progress/step-*/state.json", home.display());
    let began = Instant::now();
    while glob::glob(&pattern).expect("a pattern").next().is_none() {
        assert!(began.elapsed() < Duration::from_secs(120), "no step was made");
        std::thread::sleep(Duration::from_millis(2));
    }
    let children = std::fs::read_to_string(format!("/proc/{launcher}/task/{launcher}/children"));
    let children = children.expect("Linux tells the children of a process");
    let last = children.split_whitespace().next_back().and_then(|child| child.parse().ok());
    last.expect("the launcher has children")
}
