//! The Python that benchmarks and parity tests compare with: PyTorch and transformers in an environment of their own.

use super::{VERSION, cache, pip, say};
use crate::Result;
use std::path::PathBuf;
use std::process::Command;

const TRANSFORMERS: &str = "5.23.0";

/// A python3 with the peers: `$SBP_PEER_PYTHON` if set, else one made with pip, once per user.
pub(crate) fn peers() -> Result<PathBuf> {
    if let Some(python) = std::env::var_os("SBP_PEER_PYTHON").map(PathBuf::from) {
        return check(&python).map(|()| python);
    }
    let key = format!("peers-torch-{VERSION}-transformers-{TRANSFORMERS}");
    let folder = cache::publish_once(&cache::folder()?, &key, |staging| {
        pip::require("what is compared with")?;
        say(&format!(
            "fetching torch {VERSION} and transformers {TRANSFORMERS} (some GB, once per user) with pip"
        ));
        let folder = staging.join("peers");
        let python = folder.join("bin/python");
        succeed(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
        let (torch, transformers) = (format!("torch=={VERSION}"), format!("transformers=={TRANSFORMERS}"));
        succeed(Command::new(&python).args([
            "-m",
            "pip",
            "install",
            "--quiet",
            &torch,
            &transformers,
            "numpy",
        ]))?;
        check(&python)?;
        Ok(folder)
    })?;
    Ok(folder.join("bin/python"))
}

fn check(python: &PathBuf) -> Result<()> {
    let ask = "import numpy, torch, transformers; print(torch.__version__)";
    let output = Command::new(python).args(["-c", ask]).output();
    let output = output.map_err(|e| format!("cannot run {}: {e}", python.display()))?;
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if version.split('+').next() == Some(VERSION) {
        return Ok(());
    }
    Err(format!(
        "{} has not what is compared with: wanted are torch {VERSION}, transformers and numpy; torch is \
         {version:?}.\n  Unset SBP_PEER_PYTHON to have them fetched.\n{}",
        python.display(),
        String::from_utf8_lossy(&output.stderr)
    ))
}

fn succeed(command: &mut Command) -> Result<()> {
    let status = command.status().map_err(|e| format!("cannot run {command:?}: {e}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} failed; the reason stands above")) }
}
