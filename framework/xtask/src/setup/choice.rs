//! Which libtorch to use: the user's, the one in use, an installed torch, or our own out of the wheel.

use super::{VERSION, folder};
use crate::Result;
use std::env;
use std::path::{Path, PathBuf};

/// What the order of choice looks at.
pub(super) struct Surroundings {
    /// `$LIBTORCH`, if the user set it.
    pub(super) variable: Option<PathBuf>,
    /// Where `.libtorch` leads, if anywhere.
    pub(super) linked: Option<PathBuf>,
}

impl Surroundings {
    pub(super) fn look(link: &Path) -> Result<Self> {
        // Cargo itself sets the variable to the link, by .cargo/config.toml: that is no wish of the user.
        let variable = env::var_os("LIBTORCH").map(PathBuf::from).filter(|it| !is_link(it, link));
        let variable = variable
            .map(|it| it.canonicalize().map_err(|e| format!("LIBTORCH is {}: {e}", it.display())))
            .transpose()?;
        Ok(Self { variable, linked: link.canonicalize().ok() })
    }
}

fn is_link(variable: &Path, link: &Path) -> bool {
    let parent = |path: &Path| path.parent().and_then(|it| it.canonicalize().ok());
    variable == link || (variable.file_name() == link.file_name() && parent(variable) == parent(link))
}

#[derive(Debug, PartialEq)]
pub(super) enum Choice {
    /// A whole libtorch of the wanted version.
    Ready(PathBuf),
    /// Our own, to be made if it is not there yet.
    Cache,
}

/// `installed` asks python and costs a tenth of a second, so it is asked last.
pub(super) fn choose(around: &Surroundings, installed: impl FnOnce() -> Option<PathBuf>) -> Result<Choice> {
    if let Some(folder) = &around.variable {
        let check = folder::check(folder);
        return match check {
            Ok(()) => Ok(Choice::Ready(folder.clone())),
            Err(why) => Err(format!(
                "LIBTORCH is {}, but {why}.\n  Unset LIBTORCH to have libtorch {VERSION} fetched, or set it to one \
                 of that version.",
                folder.display()
            )),
        };
    }
    let whole = |folder: &PathBuf| folder::check(folder).is_ok();
    let ready = around.linked.clone().filter(whole).or_else(|| installed().filter(whole));
    Ok(ready.map_or(Choice::Cache, Choice::Ready))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setup::folder::tests::fake;

    fn around(variable: Option<&Path>, linked: Option<&Path>) -> Surroundings {
        Surroundings { variable: variable.map(Path::to_path_buf), linked: linked.map(Path::to_path_buf) }
    }

    #[test]
    fn the_variable_goes_before_the_link_before_python_before_the_cache() {
        let dir = tempfile::tempdir().unwrap();
        let [mine, linked, python] = ["mine", "linked", "python"].map(|name| {
            fake(&dir.path().join(name), VERSION);
            dir.path().join(name)
        });
        let ask = |variable, link, installed: Option<&PathBuf>| {
            choose(&around(variable, link), || installed.cloned()).unwrap()
        };
        assert_eq!(ask(Some(&mine), Some(&linked), Some(&python)), Choice::Ready(mine.clone()));
        assert_eq!(ask(None, Some(&linked), Some(&python)), Choice::Ready(linked.clone()));
        assert_eq!(ask(None, None, Some(&python)), Choice::Ready(python.clone()));
        assert_eq!(ask(None, None, None), Choice::Cache);
    }

    #[test]
    fn a_variable_of_another_version_is_an_error_and_an_installed_one_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        fake(dir.path(), "2.9.1");
        let error = choose(&around(Some(dir.path()), None), || None).unwrap_err();
        assert!(error.contains("2.9.1") && error.contains("Unset LIBTORCH"), "{error}");
        let passed_over = choose(&around(None, None), || Some(dir.path().to_path_buf()));
        assert_eq!(passed_over.unwrap(), Choice::Cache);
    }

    #[test]
    fn a_broken_folder_behind_the_link_is_chosen_anew() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(choose(&around(None, Some(dir.path())), || None).unwrap(), Choice::Cache);
    }

    #[test]
    fn the_value_that_cargo_sets_is_not_the_users() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join(".libtorch");
        assert!(is_link(&dir.path().join(".").join(".libtorch"), &link));
        assert!(!is_link(&dir.path().join("torch"), &link));
    }
}
