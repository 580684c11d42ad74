//! Whole studies on tiny models, as a user runs them: through the program.

mod bad_input;
#[cfg(target_os = "linux")]
mod clock;
mod compared;
mod daily_use;
mod evaluated;
mod faults;
mod interrupted;
mod locked;
mod memory;
mod panics;
mod reproducible;
mod resumed;
mod sweep;
mod synthesis;
mod team;
mod tutorial;
mod without_torch;

use sbp_plugins as _;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// The smoke recipe.
fn smoke() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../recipes/tiny/smoke.toml")
}

/// `sbp` with a home of its own.
fn sbp(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sbp-under-test"));
    command.args(arguments).env("SBP_HOME", home);
    command
}

/// `sbp run` on a recipe, everything it makes under `home`.
fn sbp_run(recipe: &Path, home: &Path, extra: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sbp-under-test"));
    command
        .arg("run")
        .arg(recipe)
        .args(extra)
        .args(["--json", "--set", "execution.num_threads=1"])
        .env("SBP_HOME", home);
    command
}

/// What `--json` printed.
fn answer(output: &Output) -> Value {
    let stdout = String::from_utf8_lossy(&output.stdout);
    let line = stdout.lines().last().unwrap_or_default();
    serde_json::from_str(line).unwrap_or_else(|_| {
        panic!(
            "no JSON in the end; status {:?}\n{stdout}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        )
    })
}

/// `results.json` without what may differ between runs of one recipe.
fn comparable_results(output: &Output) -> Value {
    let answer = answer(output);
    let path = answer["results"]
        .as_str()
        .unwrap_or_else(|| panic!("no results: {answer}\n{}", String::from_utf8_lossy(&output.stderr)));
    let mut results: Value =
        serde_json::from_str(&std::fs::read_to_string(path).expect("results.json is there"))
            .expect("it is JSON");
    let object = results.as_object_mut().expect("an object");
    object.remove("provenance");
    object.remove("timing");
    results
}
