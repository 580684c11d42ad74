//! A system's clock that jumps: a run measures time by another, and what it makes does not depend on either.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{comparable_results, sbp, sbp_run, smoke};

/// In place of the system's: another day at every look, some years ahead and some behind.
const JUMPING: &str = r#"
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *time) {
  static _Atomic long looks;
  int result = syscall(SYS_clock_gettime, clock, time);
  if (clock == CLOCK_REALTIME) {
    long look = looks++;
    time->tv_sec += (look % 2 ? 1 : -1) * (look % 7 + 1) * 365L * 86400;
  }
  return result;
}
"#;

/// The clock as a library to load before others.
fn jumping(folder: &Path) -> PathBuf {
    let (source, library) = (folder.join("clock.c"), folder.join("clock.so"));
    std::fs::write(&source, JUMPING).expect("written");
    let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    let status = Command::new(compiler).args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).status();
    assert!(status.expect("a C compiler").success());
    library
}

/// Whether a run says that it began at another time than it did.
fn is_told_wrong(home: &Path) -> bool {
    let pattern = format!("{}/**/status.json", home.display());
    let path = glob::glob(&pattern).expect("a pattern").next().expect("a run").expect("readable");
    let status: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&path).expect("read")).expect("JSON");
    let written = path.metadata().and_then(|it| it.modified()).expect("a time");
    let now = written.duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs();
    status["began"].as_u64().expect("a time").abs_diff(now) > 180 * 86_400
}

#[test]
fn where_the_clock_jumps_a_run_stops_and_goes_on_and_nothing_is_lost() {
    let (home, elsewhere) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let clock = jumping(elsewhere.path());
    let expected = comparable_results(&sbp_run(&smoke(), elsewhere.path(), &[]).output().expect("it starts"));

    let jumps = |mut command: Command| command.env("LD_PRELOAD", &clock).output().expect("it starts");
    let said = |output: &std::process::Output| String::from_utf8_lossy(&output.stderr).into_owned();
    // Longer than a run takes, whatever the clock says.
    let whole = jumps(sbp_run(&smoke(), home.path(), &["--stop-after", "1h"]));
    assert_eq!(whole.status.code(), Some(0), "{}", said(&whole));
    assert_eq!(comparable_results(&whole), expected);
    assert!(is_told_wrong(home.path()), "the clock did not jump");
    let again = jumps(sbp_run(&smoke(), home.path(), &[]));
    assert!(!said(&again).contains("done in"), "made again:\n{}", said(&again));
    assert_eq!(comparable_results(&again), expected);

    let stopped = tempfile::tempdir().expect("a folder");
    let first = jumps(sbp_run(&smoke(), stopped.path(), &["--stop-after", "0s"]));
    assert_eq!(first.status.code(), Some(75), "{}", said(&first));
    let rest = jumps(sbp_run(&smoke(), stopped.path(), &[]));
    assert_eq!(comparable_results(&rest), expected);

    // What a run refers to is kept however old it seems.
    for arguments in [&["runs", "ls"][..], &["status"], &["gc", "--older-than", "1h", "--yes"]] {
        let output = jumps(sbp(home.path(), arguments));
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", said(&output));
    }
    let kept = sbp_run(&smoke(), home.path(), &[]).output().expect("it starts");
    assert!(!said(&kept).contains("done in"), "made again:\n{}", said(&kept));
}
