//! The runs of a project: which there are, how they stand, what they refer to in the store.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;

use serde::Serialize;

use crate::run_folder::{RunFolder, absolute};
use crate::status::{State, Status};
use crate::{Error, Result, files};

/// A run, or a sweep.
#[derive(Debug, Clone)]
pub struct Run {
    /// Its folder.
    pub folder: RunFolder,
    /// The recipe's name.
    pub recipe: String,
    /// What tells it from other runs of the recipe.
    pub id: String,
    /// How it stands.
    pub state: State,
    /// When its folder was last written to.
    pub when: SystemTime,
    /// What it says of itself.
    pub status: Option<Status>,
}

impl Run {
    /// The run of a folder.
    fn of(folder: RunFolder) -> Self {
        let name = |path: Option<&Path>| {
            path.and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned()
        };
        let status = Status::read(&folder);
        let state = match &status {
            Some(status) => status.state,
            None if folder.results().exists() => State::Finished,
            None => State::Unknown,
        };
        let written = |path: &Path| path.metadata().and_then(|about| about.modified()).ok();
        let when = written(&folder.path.join("status.json")).or_else(|| written(&folder.path));
        Self {
            recipe: name(folder.path.parent()),
            id: name(Some(&folder.path)),
            state,
            when: when.unwrap_or(SystemTime::UNIX_EPOCH),
            status,
            folder,
        }
    }

    /// As people name it: `quickstart/1de5811b`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.recipe, self.id)
    }

    /// Its own files, and the artifacts that it refers to, which other runs may share.
    ///
    /// # Errors
    /// When a folder cannot be read.
    pub fn size(&self) -> Result<Size> {
        let store = self.folder.home().join("store");
        let mut artifacts = 0;
        for (stage, fingerprint) in references(&store, &self.folder.path)? {
            artifacts += files::weigh(&store.join(stage).join(fingerprint))?.bytes;
        }
        Ok(Size { own_bytes: files::weigh(&self.folder.path)?.bytes, artifact_bytes: artifacts })
    }

    /// Removes its folder. Its artifacts stay in the store until [`crate::gc::free`] finds nobody who refers to them.
    ///
    /// # Errors
    /// When a process is at work on it, or the folder cannot be removed.
    pub fn remove(&self) -> Result<()> {
        if self.state.may_be_live() {
            let process = self.status.as_ref().map(|status| &status.process);
            let who = process.map(|it| format!("process {} on {}", it.pid, it.host)).unwrap_or_default();
            return Err(Error::Refused(format!("{} is at work ({who}); stop it first", self.name())));
        }
        fs::remove_dir_all(&self.folder.path).map_err(Error::file("remove", &self.folder.path))?;
        // The recipe's folder goes with its last run.
        if let Some(folder) = self.folder.path.parent() {
            let _ = fs::remove_dir(folder);
        }
        Ok(())
    }
}

/// What a run takes on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Size {
    /// Bytes of its own folder.
    pub own_bytes: u64,
    /// Bytes of the artifacts that it refers to.
    pub artifact_bytes: u64,
}

/// Every run below a home, the one that was last at work first.
///
/// # Errors
/// When a folder cannot be read.
pub fn runs(home: &Path) -> Result<Vec<Run>> {
    let mut runs = Vec::new();
    for recipe in files::folders_in(&home.join("runs"))? {
        runs.extend(files::folders_in(&recipe)?.into_iter().map(|path| Run::of(RunFolder { path })));
    }
    runs.sort_by_key(|run| (std::cmp::Reverse(run.when), run.name()));
    Ok(runs)
}

/// The run that is meant: its folder, `quickstart/1de5811b`, the beginning of `1de5811b`, or a recipe's name, of which the
/// latest run is taken; without any, the latest of all.
///
/// # Errors
/// When there is no such run, or more than one.
pub fn find_run(home: &Path, named: Option<&str>) -> Result<Run> {
    if let Some(path) = named.map(Path::new).filter(|path| path.join("recipe.toml").is_file()) {
        let is_run = absolute(path).ancestors().nth(2).is_some_and(|above| above.ends_with("runs"));
        if is_run {
            return Ok(Run::of(RunFolder { path: absolute(path) }));
        }
    }
    let all = runs(home)?;
    // A sweep's own folder says nothing of what is done.
    let Some(named) = named else {
        let first = all.iter().find(|run| run.status.is_some()).or(all.first());
        return first.cloned().ok_or_else(|| {
            Error::Refused(format!(
                "there are no runs in {}; go to the recipe's folder, or name the run's folder",
                home.join("runs").display()
            ))
        });
    };
    if let Some(latest) = all.iter().find(|run| run.recipe == named) {
        return Ok(latest.clone());
    }
    let found: Vec<&Run> =
        all.iter().filter(|run| run.id.starts_with(named) || run.name().starts_with(named)).collect();
    let names = |runs: &[&Run]| runs.iter().map(|run| run.name()).collect::<Vec<_>>().join(", ");
    match found.as_slice() {
        [one] => Ok((*one).clone()),
        [] => Err(Error::Refused(format!(
            "there is no run \"{named}\" in {}; `sbp runs ls` lists them",
            home.join("runs").display()
        ))),
        several => Err(Error::Refused(format!("\"{named}\" may mean {}", names(several)))),
    }
}

/// Stage and fingerprint of every artifact that the links below a folder lead to, made or not.
///
/// # Errors
/// When a folder or a link cannot be read: then nobody knows what is referred to.
pub(crate) fn references(store: &Path, folder: &Path) -> Result<BTreeSet<(String, String)>> {
    let store = absolute(store);
    let mut found = BTreeSet::new();
    let mut open = vec![absolute(folder)];
    while let Some(current) = open.pop() {
        let entries = match fs::read_dir(&current) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            entries => entries.map_err(Error::file("read", &current))?,
        };
        for entry in entries {
            let path = entry.map_err(Error::file("read", &current))?.path();
            let about = path.symlink_metadata().map_err(Error::file("read", &path))?;
            if about.is_dir() {
                open.push(path);
            } else if about.is_symlink() {
                let target = fs::read_link(&path).map_err(Error::file("read", &path))?;
                found.extend(artifact_of(&store, &current.join(target)));
            }
        }
    }
    Ok(found)
}

/// Stage and fingerprint of the artifact that a path leads into.
fn artifact_of(store: &Path, path: &Path) -> Option<(String, String)> {
    let path = without_dots(path);
    let mut parts = path.strip_prefix(store).ok()?.components();
    let mut next = || parts.next().map(|part| part.as_os_str().to_string_lossy().into_owned());
    Some((next()?, next()?))
}

/// A path with its `..` worked out. The target may not be there, so that the system cannot be asked.
fn without_dots(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(plain.pop()),
            Component::CurDir => {}
            part => plain.push(part),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::tests::example;

    fn run(home: &Path, name: &str, state: Option<State>) -> RunFolder {
        let folder = RunFolder { path: home.join("runs").join(name) };
        files::create_folder(&folder.path.join("stages")).unwrap();
        files::write_whole(&folder.path.join("recipe.toml"), b"").unwrap();
        if let Some(state) = state {
            files::write_json(&folder.path.join("status.json"), &example(state)).unwrap();
        }
        folder
    }

    #[test]
    fn a_run_is_found_by_any_name_it_has() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path();
        assert!(find_run(home, None).unwrap_err().to_string().contains("there are no runs"));
        run(home, "demo/aaaa1111", Some(State::Finished));
        let path = run(home, "demo/aabb2222", Some(State::Stopped)).path;
        run(home, "other/cccc3333", None);
        for name in ["demo/aabb2222", "aab", path.to_str().unwrap()] {
            assert_eq!(find_run(home, Some(name)).unwrap().id, "aabb2222", "{name}");
        }
        assert_eq!(find_run(home, Some("other")).unwrap().state, State::Unknown);
        assert_eq!(find_run(home, Some("demo")).unwrap().recipe, "demo");
        let several = find_run(home, Some("aa")).unwrap_err().to_string();
        assert!(several.contains("demo/aaaa1111") && several.contains("demo/aabb2222"), "{several}");
        assert!(find_run(home, Some("zz")).unwrap_err().to_string().contains("sbp runs ls"));
        assert_eq!(runs(home).unwrap().len(), 3);
    }

    #[test]
    fn only_a_run_that_nobody_works_on_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path();
        run(home, "demo/aaaa1111", Some(State::Running));
        let live = find_run(home, Some("aaaa1111")).unwrap();
        assert!(live.remove().unwrap_err().to_string().contains("stop it first"));
        assert!(live.folder.path.exists());
        run(home, "demo/aaaa1111", Some(State::Stopped));
        find_run(home, Some("aaaa1111")).unwrap().remove().unwrap();
        assert_eq!(runs(home).unwrap().len(), 0);
        assert!(!home.join("runs/demo").exists());
    }

    #[cfg(unix)]
    #[test]
    fn references_are_found_wherever_they_lead_into_the_store() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path();
        let run = run(home, "demo/aaaa1111", None).path;
        let link = |at: &str, target: &str| {
            let at = run.join(at);
            fs::create_dir_all(at.parent().unwrap()).unwrap();
            std::os::unix::fs::symlink(target, at).unwrap();
        };
        // The first is not made yet.
        link("stages/base", "../../../../store/base/11");
        link("arms/sbp/seed-1/hf", "../../../../../../store/train/22/checkpoint");
        link("elsewhere", "/etc/hosts");
        let found: Vec<_> =
            references(&home.join("store"), &home.join("runs")).unwrap().into_iter().collect();
        let pair = |stage: &str, fingerprint: &str| (stage.to_owned(), fingerprint.to_owned());
        assert_eq!(found, [pair("base", "11"), pair("train", "22")]);
    }
}
