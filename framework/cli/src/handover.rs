//! Turning into another program: same process, so that its signals and exit code are its own.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use crate::exit::Failure;
use crate::threads;

/// Turns into the program of this name in the folder of this one; comes back only when that fails.
pub(crate) fn to_sibling(name: &str) -> Failure {
    let path = match std::env::current_exe() {
        Ok(path) => path.with_file_name(name),
        Err(error) => return Failure::Other(format!("cannot tell where this program lies: {error}")),
    };
    let error = to(&path);
    Failure::Other(format!(
        "cannot start {}, which does what needs libtorch: {error}\n  \
         `cargo xtask sbp` builds it, as does `cargo build --release -p sbp-engine`; keep it in the folder of this program",
        path.display()
    ))
}

/// Starts this program once more with the setting for its threads in place, if it is not; goes on without where
/// that is not possible.
pub(crate) fn for_threads() {
    if !threads::are_set()
        && let Ok(path) = std::env::current_exe()
    {
        // Comes back only when it fails, and then nothing is lost but speed.
        let _ = to(&path);
    }
}

/// The same arguments, and the same name in messages.
fn to(path: &Path) -> io::Error {
    let mut arguments = std::env::args_os();
    let mut program = Command::new(path);
    program.arg0(arguments.next().unwrap_or_default()).args(arguments);
    threads::set(&mut program);
    program.exec()
}
