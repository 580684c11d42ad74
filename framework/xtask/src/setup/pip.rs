//! Python's side of the set-up: is a torch installed, and getting wheels with pip.
//!
//! Where wheels come from is pip's own configuration; no address is written here.

use super::folder::without_build_tag;
use super::{VERSION, say};
use crate::Result;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const PYTHON: &str = "python3";

/// How long pip may be silent before a line says that it is still at work.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// The folder of the torch of the python3 on PATH, if it is of the wanted version. Does not import it.
pub(super) fn installed_torch() -> Option<PathBuf> {
    const ASK: &str = "import importlib.metadata as m, importlib.util as u\n\
                       print(m.version('torch'))\n\
                       print(u.find_spec('torch').submodule_search_locations[0])";
    let output = Command::new(PYTHON).args(["-c", ASK]).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let (version, folder) = text.trim_end().split_once('\n')?;
    (without_build_tag(version) == VERSION).then(|| PathBuf::from(folder))
}

/// Is there a pip to download `what` with?
pub(super) fn require(what: &str) -> Result<()> {
    let asked = Command::new(PYTHON).args(["-m", "pip", "--version"]).output();
    match asked {
        Ok(answer) if answer.status.success() => Ok(()),
        Ok(_) => Err(format!(
            "{PYTHON} has no pip, and {what} comes through it.\n  Install it (on Debian and Ubuntu: apt-get \
             install python3-pip)."
        )),
        Err(_) => Err(format!(
            "no {PYTHON} on PATH, and {what} comes through its pip.\n  Install it (on Debian and Ubuntu: apt-get \
             install python3 python3-pip)."
        )),
    }
}

/// Downloads one wheel and returns its path.
pub(super) fn download(requirement: &str, tags: &[&str], into: &Path) -> Result<PathBuf> {
    let io = |e: std::io::Error| format!("{}: {}", into.display(), super::cache::explain(&e));
    fs::create_dir_all(into).map_err(io)?;
    let log = into.join("pip.log");
    let output = File::options().create(true).append(true).open(&log).map_err(io)?;
    let mut command = Command::new(PYTHON);
    command
        .args(["-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--progress-bar=off"])
        .args(["--python-version", "3.12", "--implementation", "cp", "--abi", "cp312"])
        .args(tags.iter().flat_map(|tag| ["--platform", tag]))
        .arg("--dest")
        .arg(into)
        .arg(requirement)
        // pip collects there first, and the system's own is often a small one in memory.
        .env("TMPDIR", into)
        .stdin(Stdio::null())
        .stdout(output.try_clone().map_err(io)?)
        .stderr(output);
    if !run_with_heartbeat(&mut command, into, requirement)? {
        let text = fs::read_to_string(&log).unwrap_or_default();
        return Err(format!("pip could not get {requirement}.{}\n{}", remedy(&text), last_lines(&text, 12)));
    }
    let wheels = fs::read_dir(into).map_err(io)?.flatten().map(|it| it.path());
    wheels
        .into_iter()
        .find(|it| it.extension().is_some_and(|it| it == "whl"))
        .ok_or_else(|| format!("pip left no wheel of {requirement} in {}", into.display()))
}

fn run_with_heartbeat(command: &mut Command, into: &Path, requirement: &str) -> Result<bool> {
    let mut child = command.spawn().map_err(|e| format!("cannot run {PYTHON}: {e}"))?;
    let start = Instant::now();
    let mut next = HEARTBEAT;
    loop {
        if let Some(status) = child.try_wait().map_err(|e| format!("cannot wait for pip: {e}"))? {
            return Ok(status.success());
        }
        if start.elapsed() >= next {
            next += HEARTBEAT;
            let megabytes = bytes_under(into) / 1_000_000;
            let seconds = start.elapsed().as_secs();
            say(&format!("still fetching {requirement}: {megabytes} MB after {seconds} s"));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn bytes_under(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(it) if it.is_dir() => bytes_under(&entry.path()),
        Ok(it) => it.len(),
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}

/// What to do about the usual failures, by pip's words for them.
fn remedy(log: &str) -> &'static str {
    let says = |words: &[&str]| words.iter().any(|it| log.contains(it));
    if says(&["No space left on device", "Disk quota exceeded"]) {
        "\n  The disk is full (libtorch needs about 1.1 GB while it is made). Free some, or set SBP_CACHE to a folder \
         on a larger disk."
    } else if says(&["No matching distribution"]) && !says(&["(from versions: none)"]) {
        "\n  The package index that pip is configured with has other versions only (`python3 -m pip config list`). \
         Use one that has it."
    } else if says(&["no such option"]) {
        "\n  This pip is too old: upgrade it (`python3 -m pip install --upgrade pip`)."
    } else {
        "\n  Check the network and the package index in pip's configuration (`python3 -m pip config list`), then run \
         the same command again."
    }
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<_> = text.lines().collect();
    let tail = &lines[lines.len().saturating_sub(count)..];
    tail.iter().map(|it| format!("  | {it}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_come_with_their_remedy() {
        assert!(remedy("OSError: [Errno 28] No space left on device").contains("SBP_CACHE"));
        let other =
            "ERROR: Could not find a version (from versions: 2.9.0)\nERROR: No matching distribution found";
        assert!(remedy(other).contains("other versions only"));
        // What pip says when it can reach no index at all.
        let refused =
            "ERROR: Could not find a version (from versions: none)\nERROR: No matching distribution found";
        assert!(remedy(refused).contains("network"));
    }

    #[test]
    fn only_the_end_of_a_log_is_shown() {
        assert_eq!(last_lines("a\nb\nc", 2), "  | b\n  | c");
        assert_eq!(last_lines("a", 2), "  | a");
    }
}
