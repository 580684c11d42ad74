//! Calling cargo: the verbs that come after set-up.

use crate::Result;
use crate::setup::repository_root;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// A build that is over sooner says nothing.
const QUIET: Duration = Duration::from_millis(1500);

fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // What cargo says of xtask, build scripts would take for a change, and be run again with all that depends on them.
    for (name, _) in std::env::vars_os() {
        if ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|of| name.to_string_lossy().starts_with(of)) {
            command.env_remove(name);
        }
    }
    command
}

/// Runs a step in the repository root under a heading; its exit code, if it failed.
fn step(heading: &str, command: &mut Command) -> Result<Option<ExitCode>> {
    eprintln!("== {heading}");
    let status = command
        .current_dir(repository_root())
        .status()
        .map_err(|e| format!("cannot run cargo: {e}.\n  Is the Rust tool chain on PATH?"))?;
    if status.success() {
        return Ok(None);
    }
    eprintln!("== failed: {heading}");
    Ok(Some(status.code().and_then(|it| u8::try_from(it).ok()).map_or(ExitCode::FAILURE, ExitCode::from)))
}

/// Formatting, lints, tests, and last what may have to be fetched: the recipes as editors see them.
pub(crate) fn test(args: &[String]) -> Result<ExitCode> {
    let mut fmt = cargo();
    fmt.args(["fmt", "--all", "--check"]);
    let mut test = cargo();
    linting(&mut test)?.args(["test", "--workspace"]).args(args);
    for (heading, command) in [("formatting", &mut fmt), ("lints and tests", &mut test)] {
        if let Some(code) = step(heading, command)? {
            return Ok(code);
        }
    }
    crate::editor::lint_recipes()?;
    Ok(ExitCode::SUCCESS)
}

/// Has clippy compile our own code, as `cargo clippy` has it check it, with warnings as errors. A check of its own would go through
/// all dependencies once more.
fn linting(command: &mut Command) -> Result<&mut Command> {
    let output = Command::new("rustc").args(["--print", "sysroot"]).output();
    let output = output.map_err(|e| format!("cannot run rustc: {e}.\n  Is the Rust tool chain on PATH?"))?;
    let driver = Path::new(String::from_utf8_lossy(&output.stdout).trim()).join("bin/clippy-driver");
    if !driver.exists() {
        return Err(format!("{} is not there; `rustup component add clippy` brings it", driver.display()));
    }
    // The form in which `cargo clippy` passes its arguments on.
    Ok(command.env("RUSTC_WORKSPACE_WRAPPER", driver).env("CLIPPY_ARGS", "-Dwarnings__CLIPPY_HACKERY__"))
}

/// The tests beside PyTorch, transformers and others, on a Python that has them.
pub(crate) fn parity(python: &Path, args: &[String]) -> Result<ExitCode> {
    let of = |package: &str| {
        let mut command = cargo();
        command.args(["test", "--package", package]).env("SBP_PEER_PYTHON", python);
        command
    };
    let mut logits = of("sbp-runtime");
    logits.args(["--lib", "parity::", "--", "--include-ignored"]).args(args);
    let mut checkpoints = of("sbp-tests");
    checkpoints.args(["--test", "parity", "--", "--include-ignored"]).args(args);
    let mut outside = of("sbp-tests");
    outside.args(["--test", "outside"]).args(args);
    for (heading, command) in [
        ("logits of models, both ways", &mut logits),
        ("checkpoints of a study", &mut checkpoints),
        ("launchers, trackers and buckets", &mut outside),
    ] {
        if let Some(code) = step(heading, command)? {
            return Ok(code);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether generated files are written or only compared.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Generate {
    Write,
    Check,
}

/// The test that compares the generated files is also what writes them, so that the two cannot differ.
pub(crate) fn generate(mode: Generate) -> Result<ExitCode> {
    let mut command = cargo();
    command.args(["test", "--package", "sbp-tests", "--test", "house", "generated_files_are_current"]);
    let heading = match mode {
        Generate::Write => {
            command.env("SBP_GENERATE", "write");
            "writing the generated files"
        }
        Generate::Check => "comparing the generated files",
    };
    Ok(step(heading, &mut command)?.unwrap_or(ExitCode::SUCCESS))
}

/// Builds `sbp` with its engine and turns into it, so that its signals and exit code are its own.
pub(crate) fn build_and_become_sbp(args: &[String]) -> Result<ExitCode> {
    let mut build = vec!["build", "--release", "--package", "sbp-cli", "--package", "sbp-engine", "--bins"];
    // Both programs know the same plugins.
    let features = std::env::var("SBP_FEATURES").unwrap_or_default();
    if !features.is_empty() {
        build.extend(["--features", &features]);
    }
    let binary = executable_of(&build, "sbp")?;
    let error = Command::new(&binary).args(args).exec();
    Err(format!("cannot run {binary}: {error}"))
}

/// Builds with these arguments, quietly if it is quick; the path of the executable of this name.
pub(crate) fn executable_of(args: &[&str], name: &str) -> Result<String> {
    let mut build = cargo();
    build
        .args(args)
        // Tells where the binaries went, whatever the target folder is called.
        .arg("--message-format=json-render-diagnostics")
        .arg("--manifest-path")
        .arg(repository_root().join("Cargo.toml"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if io::IsTerminal::is_terminal(&io::stderr()) {
        // Its bar and colours, although it does not see our terminal.
        build.env("CARGO_TERM_PROGRESS_WHEN", "always").env("CARGO_TERM_PROGRESS_WIDTH", "80");
        build.env("CARGO_TERM_COLOR", "always");
    }
    let mut child = build.spawn().map_err(|e| format!("cannot run cargo: {e}"))?;
    let messages = child.stderr.take().expect("was piped");
    let speaker = std::thread::spawn(move || hold_back(messages));
    let mut binary = None;
    for line in BufReader::new(child.stdout.take().expect("was piped")).lines() {
        let line = line.map_err(|e| format!("cannot read from cargo: {e}"))?;
        binary = executable(&line, name).or(binary);
    }
    let status = child.wait().map_err(|e| format!("cannot wait for cargo: {e}"))?;
    let held_back = speaker.join().unwrap_or_default();
    if !status.success() {
        let _ = io::stderr().write_all(&held_back);
        return Err(format!("{name} could not be built; the reason stands above"));
    }
    binary.ok_or_else(|| format!("cargo built {name} but did not say where"))
}

/// Passes cargo's messages on once they have gone on for longer than `QUIET`; returns them if never.
fn hold_back(mut messages: impl Read + Send + 'static) -> Vec<u8> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = messages.read(&mut buffer) {
            if sender.send(buffer[..length].to_vec()).is_err() {
                break;
            }
        }
    });
    let deadline = std::time::Instant::now() + QUIET;
    let mut held = Vec::new();
    loop {
        match receiver.recv_timeout(deadline.saturating_duration_since(std::time::Instant::now())) {
            Ok(bytes) => held.extend(bytes),
            Err(mpsc::RecvTimeoutError::Disconnected) => return held,
            Err(mpsc::RecvTimeoutError::Timeout) => break,
        }
    }
    eprintln!("building in release mode (minutes the first time, because of the bindings to libtorch)");
    let _ = io::stderr().write_all(&held);
    for bytes in receiver {
        let _ = io::stderr().write_all(&bytes);
    }
    Vec::new()
}

/// The path in one of cargo's JSON messages, if it is about the executable of this name.
fn executable(message: &str, name: &str) -> Option<String> {
    let (_, rest) = message.split_once("\"executable\":\"")?;
    let mut path = String::new();
    let mut chars = rest.chars();
    loop {
        match chars.next()? {
            '"' => return Path::new(&path).ends_with(name).then_some(path),
            '\\' => path.push(chars.next()?),
            other => path.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_binary_is_read_from_cargos_messages() {
        let message = r#"{"reason":"compiler-artifact","executable":"/a b/\"c\"/sbp","fresh":true}"#;
        assert_eq!(executable(message, "sbp").as_deref(), Some("/a b/\"c\"/sbp"));
        assert_eq!(executable(&message.replace("/sbp", "/sbp-engine"), "sbp"), None);
        assert_eq!(executable(r#"{"reason":"compiler-artifact","executable":null}"#, "sbp"), None);
    }

    #[test]
    fn a_quick_build_says_nothing() {
        assert_eq!(hold_back(&b"Finished"[..]), b"Finished");
    }
}
