//! The program `sbp`: what it does without its engine, and how it turns into it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// `sbp` alone in a folder.
fn alone() -> TempDir {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    fs::hard_link(env!("CARGO_BIN_EXE_sbp"), folder.path().join("sbp")).expect("on the same disk");
    folder
}

/// `sbp` beside an engine that tells how it was started.
fn with_engine() -> TempDir {
    let folder = alone();
    let engine = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/engine.sh");
    symlink(engine, folder.path().join("sbp-engine")).expect("a link can be made");
    folder
}

fn sbp(folder: &TempDir, arguments: &[&str]) -> Command {
    let mut command = Command::new(folder.path().join("sbp"));
    command.args(arguments).current_dir(folder).env_remove("GOMP_SPINCOUNT").env_remove("OMP_WAIT_POLICY");
    command
}

fn output(folder: &TempDir, arguments: &[&str]) -> Output {
    sbp(folder, arguments).output().expect("it starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn quickstart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../recipes/quickstart.toml")
}

#[test]
fn a_recipe_is_checked_without_the_engine() {
    let folder = alone();
    let recipe = quickstart();
    let recipe = recipe.to_str().expect("a path in UTF-8");
    let valid = output(&folder, &["validate", recipe]);
    assert_eq!(valid.status.code(), Some(0), "{}", text(&valid.stderr));
    assert_eq!(text(&valid.stdout), format!("{recipe} is a valid recipe\n"));

    let invalid = output(&folder, &["validate", recipe, "--json", "--set", "retriever.kind=exakt"]);
    assert_eq!(invalid.status.code(), Some(78));
    let answer: serde_json::Value = serde_json::from_slice(&invalid.stdout).expect("JSON");
    assert_eq!(answer["valid"], false);
    assert!(answer["problems"][0].to_string().contains("exakt"), "{answer}");
}

#[test]
fn what_needs_no_tensors_needs_no_engine() {
    let folder = alone();
    let recipe = quickstart();
    let recipe = recipe.to_str().expect("a path in UTF-8");
    for (arguments, part) in [
        (&["plan", recipe][..], "oracle"),
        (&["plugins", "ls"], "tfidf"),
        (&["schema"], "\"$schema\""),
        (&["run", "--help"], "Usage: sbp run"),
    ] {
        let output = output(&folder, arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}\n{}", text(&output.stderr));
        assert!(text(&output.stdout).contains(part), "{arguments:?}\n{}", text(&output.stdout));
    }
    assert_eq!(output(&folder, &["run"]).status.code(), Some(2));
}

#[test]
fn it_turns_into_its_engine_to_compute() {
    let folder = with_engine();
    for arguments in [&["run", "a recipe.toml", "--device", "cpu"][..], &["doctor", "--json"]] {
        let child = sbp(&folder, arguments).stdout(Stdio::piped()).spawn().expect("it starts");
        let process = child.id();
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(output.status.code(), Some(42));
        let spins = if cfg!(target_os = "linux") { "1000" } else { "unset" };
        let expected = format!("process {process}, spins {spins}, arguments {}\n", arguments.join(" "));
        assert_eq!(text(&output.stdout), expected);
    }
}

#[test]
fn a_users_own_setting_for_waiting_threads_is_left_alone() {
    let folder = with_engine();
    for (name, value, spins) in [("GOMP_SPINCOUNT", "7", "7"), ("OMP_WAIT_POLICY", "active", "unset")] {
        let output = sbp(&folder, &["doctor"]).env(name, value).output().expect("it starts");
        let said = text(&output.stdout);
        assert!(said.contains(&format!("spins {spins},")), "{name}: {said}");
    }
}

#[test]
fn a_missing_engine_is_named_with_the_remedy() {
    let folder = alone();
    let output = output(&folder, &["doctor"]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    let path = folder.path().canonicalize().expect("it is there").join("sbp-engine");
    assert!(said.contains(path.to_str().expect("a path in UTF-8")), "{said}");
    assert!(said.contains("cargo xtask sbp"), "{said}");
}

/// That the same question finds libtorch where it is linked is tested in `framework/engine/tests/`.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[test]
fn it_is_not_linked_to_libtorch() {
    let output = Command::new(env!("CARGO_BIN_EXE_sbp"))
        // Makes the loader list the libraries, and run nothing.
        .env("LD_TRACE_LOADED_OBJECTS", "1")
        .output()
        .expect("it starts");
    let libraries = text(&output.stdout);
    assert!(libraries.contains("libc.so"), "{libraries}");
    assert!(!libraries.contains("torch") && !libraries.contains("libc10"), "{libraries}");
}
