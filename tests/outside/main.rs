//! Programs outside the repository. Plugins: what `sbp plugins new` writes compiles, keeps the contract of its slot and
//! runs, for every slot; and the commands in `docs/writing-a-plugin.md` do what it says. What reads a report: in `report.rs`;
//! what reads trackers: in `trackers.rs`; buckets: in `objects.rs`; what starts processes: in `launchers.rs`.

#[cfg(target_os = "linux")]
mod launchers;
mod objects;
mod report;
mod trackers;

use sbp_plugins as _;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sbp_plugin::reference::cards;

/// The retriever of `docs/writing-a-plugin.md`.
const OF_THE_GUIDE: &str = "near_enough";

#[test]
fn a_new_plugin_of_every_slot_builds_keeps_its_contract_and_runs() {
    // Always the same folder, so that what cargo builds of it replaces what it built before.
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("outside");
    let _ = fs::remove_dir_all(&folder);
    let guide = fs::read_to_string(root().join("docs/writing-a-plugin.md")).expect("the guide is there");

    // As if in a checkout beside which the crate is written.
    let checkout = folder.join("sbp");
    fs::create_dir_all(&checkout).expect("it can be made");
    let new = commands(&guide, "cargo sbp plugins new ");
    assert_eq!(new.len(), 1, "the guide begins one plugin");
    sbp_new(&checkout, &new[0]);
    let mut crates = vec![OF_THE_GUIDE.to_owned()];
    for slot in slots().into_iter().filter(|slot| *slot != "retriever") {
        let name = format!("my_{slot}");
        sbp_new(&folder, &[slot.to_owned(), name.clone()]);
        crates.push(name);
    }
    join_into_workspace(&folder, &crates);

    // Library tests only: tests of other kinds would link every program first.
    cargo(&folder, &["test", "--lib"]);
    cargo(&folder, &["build", "--bins"]);
    let try_out = |name: &String| {
        let readme = fs::read_to_string(folder.join(name).join("README.md")).expect("it has a README");
        let mut wanted = commands(&readme, "cargo run -- ");
        assert!(wanted.iter().any(|arguments| arguments[0] == "run"), "{name} shows how to run it");
        if name == OF_THE_GUIDE {
            assert!(guide.contains("cargo test --lib"));
            wanted.extend(commands(&guide, "cargo run -- "));
        }
        for arguments in wanted {
            run(&folder.join(name), name, &arguments);
        }
    };
    // Each takes one thread.
    let at_once = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for some in crates.chunks(crates.len().div_ceil(at_once)) {
            scope.spawn(move || some.iter().for_each(try_out));
        }
    });
}

#[test]
fn what_cannot_be_written_is_refused_with_a_remedy() {
    let folder = tempfile::tempdir().expect("a folder");
    let refused = |arguments: &[&str]| {
        let output = sbp(folder.path()).args(["plugins", "new"]).args(arguments).output().expect("it starts");
        assert!(!output.status.success(), "{arguments:?} was not refused");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(refused(&["retreiver", "near"]).contains("did you mean `retriever`?"));
    assert!(refused(&["retriever", "Near-by"]).contains("such as `my_neighbors`"));
    assert!(refused(&["retriever", "near", "--sbp", "."]).contains("no checkout of sbp"));
    fs::create_dir(folder.path().join("near")).expect("it can be made");
    assert!(refused(&["retriever", "near"]).contains("--into"));
    assert_eq!(fs::read_dir(folder.path()).expect("it is there").count(), 1, "something was written");
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn slots() -> Vec<&'static str> {
    let mut slots: Vec<_> = cards().iter().map(|card| card.slot).collect();
    slots.dedup();
    slots
}

fn sbp(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sbp-under-test"));
    command.current_dir(folder);
    command
}

fn sbp_new(folder: &Path, arguments: &[String]) {
    succeed(sbp(folder).args(["plugins", "new"]).args(arguments));
}

/// What follows `start` in the lines of shell commands that begin so, in words, without remarks.
fn commands(markdown: &str, start: &str) -> Vec<Vec<String>> {
    let lines = markdown.lines().filter_map(|line| line.strip_prefix(start));
    let code = lines.map(|line| line.split('#').next().unwrap_or_default());
    code.map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
}

/// One workspace with the profiles and versions of this repository, so that dependencies are built once for all
/// crates, and not again for what this repository has built already.
fn join_into_workspace(folder: &Path, crates: &[String]) {
    let ours = fs::read_to_string(root().join("Cargo.toml")).expect("a workspace");
    let profiles = &ours[ours.find("[profile.dev]").expect("profiles come last")..];
    let mut manifest = format!("[workspace]\nresolver = \"3\"\nmembers = {crates:?}\n\n{profiles}");
    // Ours are dependencies there, and built anew: quickly, for the little that they have to do.
    for krate in ["cli", "core", "pipeline", "plugin", "plugins", "recipe", "runtime", "testkit"] {
        manifest.push_str(&format!("\n[profile.dev.package.sbp-{krate}]\nopt-level = 0\n"));
    }
    fs::write(folder.join("Cargo.toml"), manifest).expect("it can be written");
    fs::copy(root().join("Cargo.lock"), folder.join("Cargo.lock")).expect("it can be copied");
    for name in crates {
        let path = folder.join(name).join("Cargo.toml");
        let text = fs::read_to_string(&path).expect("it was written");
        let alone = text.find("[profile").expect("profiles come last");
        fs::write(&path, text[..alone].replace("[workspace]\n", "")).expect("it can be written");
    }
}

/// The folder of programs that cargo built this test's into: `target/debug`.
fn programs() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_sbp-under-test")).parent().expect("a program has a folder")
}

fn cargo(folder: &Path, arguments: &[&str]) {
    let target = programs().parent().expect("target/debug has a parent");
    let release = programs().ends_with("release").then_some("--release");
    let mut command = Command::new(env!("CARGO"));
    // What cargo says of this test, build scripts would take for a change, and be run again with all that depends on them.
    for (name, _) in std::env::vars_os() {
        if ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|of| name.to_string_lossy().starts_with(of)) {
            command.env_remove(name);
        }
    }
    succeed(
        command
            .args(arguments)
            .args(["--workspace", "--offline", "--quiet"])
            .args(release)
            .current_dir(folder)
            .env_remove("RUSTC_WORKSPACE_WRAPPER")
            .env("CARGO_TARGET_DIR", target),
    );
}

/// Does what `cargo run -- ARGUMENTS` does in the crate's folder.
fn run(folder: &Path, name: &str, arguments: &[String]) {
    let mut command = Command::new(programs().join(format!("sbp-{}", name.replace('_', "-"))));
    command.args(arguments).current_dir(folder).env("SBP_HOME", folder.join("runs"));
    if arguments[0] == "run" {
        command.args(["--set", "execution.num_threads=1"]);
    }
    let said = succeed(&mut command);
    let expected = match arguments[0].as_str() {
        "run" => "compute match: MATCHED",
        "validate" => "is a valid recipe",
        _ => name,
    };
    assert!(said.contains(expected), "{name} {arguments:?} does not say {expected:?}:\n{said}");
}

fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed\n{said}\n{told}");
    said
}
