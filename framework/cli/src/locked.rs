//! `--lock` and `--locked`: the file beside a recipe that says what it meant.

use std::path::{Path, PathBuf};

use sbp_pipeline::Lock;
use sbp_recipe::Plan;

use crate::exit::Failure;

/// Writes the lock of a recipe; gives its path.
pub(crate) fn write(recipe: &Path, plans: &[Plan]) -> Result<PathBuf, Failure> {
    let path = Lock::path_of(recipe);
    Lock::of(plans)?.write(&path)?;
    Ok(path)
}

/// Refuses a recipe that does not mean what it meant when it was locked.
pub(crate) fn check(recipe: &Path, plans: &[Plan]) -> Result<(), Failure> {
    let path = Lock::path_of(recipe);
    if !path.exists() {
        return Err(Failure::Locked(format!(
            "there is no {}; `sbp plan {} --lock` writes it",
            path.display(),
            recipe.display()
        )));
    }
    let differences = Lock::read(&path)?.differences(&Lock::of(plans)?);
    if differences.is_empty() {
        return Ok(());
    }
    Err(Failure::Locked(format!(
        "the recipe is not as {} has it:\n  {}\nundo the change, or lock anew with `sbp plan {} --lock`",
        path.display(),
        differences.join("\n  "),
        recipe.display()
    )))
}
