//! The folder of a run, and where runs and the store lie.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sbp_core::Fingerprint;
use sbp_recipe::Plan;

use crate::files;
use crate::store::Artifact;
use crate::watch::Reporter;
use crate::{Error, Result};

/// Where the store and the runs of a recipe lie: `$SBP_HOME`, which the caller passes as `from_env`, else `.sbp`
/// beside the project the recipe belongs to (the nearest folder above it that has a `.git` or a `.sbp`), else
/// beside the recipe.
pub fn home_of(recipe: &Path, from_env: Option<PathBuf>) -> PathBuf {
    if let Some(home) = from_env {
        return home;
    }
    let recipe = recipe.canonicalize().unwrap_or_else(|_| absolute(recipe));
    let folder = recipe.parent().unwrap_or(Path::new("."));
    let project = folder.ancestors().find(|above| above.join(".git").exists() || above.join(".sbp").exists());
    project.unwrap_or(folder).join(".sbp")
}

/// `runs/<recipe-name>/<short-id>/`: what one plan's execution leaves for people and scripts.
#[derive(Debug, Clone)]
pub struct RunFolder {
    /// The folder itself.
    pub path: PathBuf,
}

impl RunFolder {
    /// The run folder of a plan.
    pub fn of(home: &Path, plan: &Plan) -> Self {
        Self { path: home.join("runs").join(&plan.recipe.recipe.name).join(plan.id.short()) }
    }

    /// The folder of a sweep, beside those of its points.
    pub fn of_sweep(home: &Path, plans: &[Plan]) -> Self {
        let name = plans.first().map_or("", |first| &first.recipe.recipe.name);
        Self { path: home.join("runs").join(name).join(format!("sweep-{}", sweep_id(plans).short())) }
    }

    /// Where the store and the runs lie that it belongs to.
    pub fn home(&self) -> &Path {
        self.path.ancestors().nth(3).unwrap_or(Path::new("."))
    }

    /// The way from this folder to another.
    pub(crate) fn to(&self, other: &Self) -> PathBuf {
        relative(&self.path, &other.path)
    }

    /// `report/results.json`.
    pub fn results(&self) -> PathBuf {
        self.path.join("report/results.json")
    }

    /// `events.jsonl`.
    pub(crate) fn events(&self) -> PathBuf {
        self.path.join("events.jsonl")
    }

    pub(crate) fn begin(&self, plan: &Plan) -> Result<()> {
        files::create_folder(&self.path.join("stages"))?;
        files::create_folder(&self.path.join("report"))?;
        files::write_whole(&self.path.join("recipe.toml"), plan.written.as_bytes())?;
        files::write_whole(&self.path.join("recipe.resolved.toml"), plan.resolved_toml().as_bytes())
    }

    /// Waits until no other process is at work in this folder, and keeps others out for as long as what it gives lives.
    ///
    /// # Errors
    /// When the wait was ended on request, or the folder cannot be locked.
    pub(crate) fn alone(&self, reporter: &mut dyn Reporter) -> Result<File> {
        let path = self.path.with_extension("lock");
        files::create_folder(path.parent().unwrap_or(&self.path))?;
        let lock = File::create(&path).map_err(Error::file("create", &path))?;
        let mut has_told = false;
        while lock.try_lock().is_err() {
            if !has_told {
                reporter.warn("another process is at this very run; waiting for it, to reuse what it makes");
                has_told = true;
            }
            if reporter.stop_requested() {
                return Err(Error::Stopped { stage: "waiting".to_owned() });
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(lock)
    }

    /// Links an artifact as the stage of this label, relative, so that a folder moved with its store still works.
    pub(crate) fn link_stage(&self, label: &str, artifact: &Artifact) -> Result<()> {
        self.link(&self.stage(label), &artifact.path)
    }

    /// `stages/<label>`, which leads to the stage's artifact.
    pub(crate) fn stage(&self, label: &str) -> PathBuf {
        self.path.join("stages").join(label.replace(' ', "-"))
    }

    /// `arms/<arm>/seed-<seed>`.
    pub(crate) fn arm(&self, arm: &str, seed: u64) -> PathBuf {
        self.path.join("arms").join(arm).join(format!("seed-{seed}"))
    }

    /// Links a folder or file of an artifact into `arms/<arm>/seed-<seed>/<name>`.
    pub(crate) fn link_arm(&self, arm: &str, seed: u64, name: &str, target: &Path) -> Result<()> {
        let folder = self.arm(arm, seed);
        files::create_folder(&folder)?;
        self.link(&folder.join(name), target)
    }

    fn link(&self, link: &Path, target: &Path) -> Result<()> {
        let folder = link.parent().unwrap_or(&self.path);
        let relative = relative(folder, target);
        if std::fs::read_link(link).is_ok_and(|present| present == relative) {
            return Ok(());
        }
        let _ = std::fs::remove_file(link);
        symlink(&relative, link).map_err(Error::file("link", link))
    }
}

/// Identity of a sweep: of its points, in order.
pub(crate) fn sweep_id(plans: &[Plan]) -> Fingerprint {
    Fingerprint::of_value(&plans.iter().map(|plan| &plan.id).collect::<Vec<_>>())
}

#[cfg(unix)]
fn symlink(target: &Path, link: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

#[cfg(not(unix))]
fn symlink(target: &Path, link: &Path) -> std::io::Result<()> {
    std::fs::write(link, target.to_string_lossy().as_bytes())
}

/// `target` as seen from `folder`, with `..` where they part.
fn relative(folder: &Path, target: &Path) -> PathBuf {
    let (folder, target) = (absolute(folder), absolute(target));
    let common = folder.components().zip(target.components()).take_while(|(a, b)| a == b).count();
    let up = folder.components().skip(common).map(|_| "..");
    up.map(PathBuf::from)
        .chain(target.components().skip(common).map(|part| PathBuf::from(part.as_os_str())))
        .collect()
}

/// A path from the root, its links not followed.
pub(crate) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_paths_go_up_and_down() {
        assert_eq!(relative(Path::new("/a/b/c"), Path::new("/a/d/e")), PathBuf::from("../../d/e"));
    }
}
