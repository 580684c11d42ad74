//! Runs, as they are named from the folder one is in.

use std::path::{Path, PathBuf};

use sbp_pipeline::{Run, find_run, home_of};

use crate::commands::run::home_from_env;
use crate::exit::Failure;

/// Where the runs of the project lie that this folder belongs to.
pub(crate) fn home() -> PathBuf {
    home_of(Path::new("recipe.toml"), home_from_env())
}

/// The run that is meant; the latest where none is named.
pub(crate) fn run(named: Option<&str>) -> Result<Run, Failure> {
    Ok(find_run(&home(), named)?)
}
