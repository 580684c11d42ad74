//! What the store holds that no run refers to, and how it is freed.
//!
//! A run folder links to every artifact of its run, from before the artifact is made. What no run folder links to is of
//! use to nobody but as a gift to a run to come. Whoever makes an artifact holds its lock, so that only what can be locked
//! is freed; and who refers to it is asked once more while the lock is held.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::Serialize;

use crate::runs::references;
use crate::store::lock_of;
use crate::{Error, Result, files};

/// Locks that are held at once: each is an open file.
const LOCKS: usize = 100;

/// What may be freed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Choice {
    /// Only what was last written to before this.
    pub before: Option<SystemTime>,
    /// Also what stopped or killed runs would go on from.
    pub half_made: bool,
}

/// Why something is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Waste {
    /// An artifact that no run refers to.
    Unused,
    /// What is left of a stage that was not made to its end.
    HalfMade,
    /// An artifact that was damaged, and made anew.
    Damaged,
    /// What is left of freeing that was not done to its end.
    HalfFreed,
}

/// Something in the store that is of no use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unneeded {
    /// The stage that made it.
    pub stage: String,
    /// The artifact that it is, was or was to become.
    pub fingerprint: String,
    /// Why it is of no use.
    pub why: Waste,
    /// Its bytes.
    pub bytes: u64,
    /// Its folder.
    pub path: PathBuf,
}

/// What was freed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Freed {
    /// What is gone.
    pub freed: Vec<Unneeded>,
    /// What a run was found to be at work on, or to refer to, when it came to it.
    pub kept: Vec<Unneeded>,
}

/// What the store below `home` holds that is of no use. Changes nothing.
///
/// # Errors
/// When a folder or a link cannot be read.
pub fn unneeded(home: &Path, choice: &Choice) -> Result<Vec<Unneeded>> {
    let referred = referred(home)?;
    let mut found = Vec::new();
    for stage in files::folders_in(&home.join("store"))? {
        for path in files::folders_in(&stage)? {
            let Some((fingerprint, why)) = Waste::of(&path) else { continue };
            let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let weight = files::weigh(&path)?;
            let it = Unneeded { stage: name(&stage), fingerprint, why, bytes: weight.bytes, path };
            let is_old = choice.before.is_none_or(|before| weight.newest < before);
            if is_old && choice.allows(&it, &referred) {
                found.push(it);
            }
        }
    }
    Ok(found)
}

/// Frees what [`unneeded`] finds, but for what a run is at work on.
///
/// # Errors
/// When a folder cannot be read or removed; what was freed before stays freed.
pub fn free(home: &Path, choice: &Choice) -> Result<Freed> {
    let mut outcome = Freed::default();
    for some in unneeded(home, choice)?.chunks(LOCKS) {
        let mut held: Vec<(&Unneeded, File)> = Vec::new();
        for it in some {
            let lock = lock_of(it.path.parent().unwrap_or(home), &it.fingerprint)?;
            match lock.try_lock() {
                Ok(()) => held.push((it, lock)),
                Err(_) => outcome.kept.push(it.clone()),
            }
        }
        // A run links before it locks: from here on whoever wants one of these waits, and makes it anew.
        let referred = referred(home)?;
        for (it, _lock) in held {
            if choice.allows(it, &referred) {
                remove(it)?;
                outcome.freed.push(it.clone());
            } else {
                outcome.kept.push(it.clone());
            }
        }
    }
    Ok(outcome)
}

impl Choice {
    fn allows(&self, it: &Unneeded, referred: &BTreeSet<(String, String)>) -> bool {
        match it.why {
            Waste::Damaged | Waste::HalfFreed => true,
            Waste::HalfMade if self.half_made => true,
            Waste::Unused | Waste::HalfMade => {
                !referred.contains(&(it.stage.clone(), it.fingerprint.clone()))
            }
        }
    }
}

impl Waste {
    /// What a folder of the store may turn out to be, and the artifact it belongs to. None for what is not the store's.
    fn of(path: &Path) -> Option<(String, Self)> {
        let name = path.file_name()?.to_str()?;
        let (fingerprint, kind) = name.split_once('.').unwrap_or((name, ""));
        let is_fingerprint =
            fingerprint.len() == 32 && fingerprint.bytes().all(|byte| byte.is_ascii_hexdigit());
        let why = match kind {
            "" => Self::Unused,
            "partial" | "fetched" => Self::HalfMade,
            "freed" => Self::HalfFreed,
            damaged if damaged.starts_with("damaged-") => Self::Damaged,
            _ => return None,
        };
        is_fingerprint.then(|| (fingerprint.to_owned(), why))
    }
}

fn referred(home: &Path) -> Result<BTreeSet<(String, String)>> {
    references(&home.join("store"), &home.join("runs"))
}

/// An artifact loses its name first: half of one is never read.
fn remove(it: &Unneeded) -> Result<()> {
    let path = match it.why {
        Waste::Unused => {
            let aside = it.path.with_extension("freed");
            fs::rename(&it.path, &aside).map_err(Error::file("rename", &it.path))?;
            aside
        }
        _ => it.path.clone(),
    };
    fs::remove_dir_all(&path).map_err(Error::file("remove", &path))
}

#[cfg(all(test, unix))]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    /// An artifact, or what else a folder of the store may be.
    #[derive(Debug, Clone)]
    struct Folder {
        stage: &'static str,
        kind: &'static str,
        /// By how many runs it is referred to, one of them through an arm.
        runs: usize,
        is_held: bool,
    }

    fn folder() -> impl Strategy<Value = Folder> {
        let stage = prop::sample::select(vec!["corpus", "train"]);
        let kind = prop::sample::select(vec!["", ".partial", ".damaged-1", ".freed"]);
        (stage, kind, 0_usize..3, any::<bool>()).prop_map(|(stage, kind, runs, is_held)| Folder {
            stage,
            kind,
            runs,
            is_held,
        })
    }

    fn link(home: &Path, at: &str, target: &str) {
        let at = home.join("runs").join(at);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(target, at).unwrap();
    }

    fn put(home: &Path, index: usize, folder: &Folder) -> (String, PathBuf) {
        let fingerprint = format!("{index:032x}");
        let stage = home.join("store").join(folder.stage);
        let path = stage.join(format!("{fingerprint}{}", folder.kind));
        fs::create_dir_all(path.join("checkpoint")).unwrap();
        fs::write(path.join("checkpoint/weights"), [0; 7]).unwrap();
        let target = format!("store/{}/{fingerprint}", folder.stage);
        if folder.runs > 0 {
            link(home, &format!("demo/0000000a/stages/{index}"), &format!("../../../../{target}"));
        }
        if folder.runs > 1 {
            let at = format!("demo/0000000b/arms/a/seed-1/{index}");
            link(home, &at, &format!("../../../../../../{target}/checkpoint"));
        }
        (fingerprint, path)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_is_referred_to_or_held_stays_and_nothing_else(
            folders in prop::collection::vec(folder(), 0..12),
            half_made in any::<bool>(),
        ) {
            let place = tempfile::tempdir().unwrap();
            let home = place.path();
            let mut locks = Vec::new();
            let mut expected = Vec::new();
            for (index, folder) in folders.iter().enumerate() {
                let (fingerprint, path) = put(home, index, folder);
                if folder.is_held {
                    let lock = lock_of(path.parent().unwrap(), &fingerprint).unwrap();
                    lock.lock().unwrap();
                    locks.push(lock);
                }
                let is_needed = match folder.kind {
                    "" => folder.runs > 0,
                    ".partial" => folder.runs > 0 && !half_made,
                    _ => false,
                };
                expected.push((path, is_needed, is_needed || folder.is_held));
            }
            // What is not the store's own is none of its business.
            let foreign = home.join("store/train/notes");
            fs::create_dir_all(&foreign).unwrap();

            let choice = Choice { before: None, half_made };
            let told: Vec<PathBuf> = unneeded(home, &choice).unwrap().into_iter().map(|it| it.path).collect();
            for (path, is_needed, _) in &expected {
                prop_assert_eq!(!told.contains(path), *is_needed);
            }
            let outcome = free(home, &choice).unwrap();
            for (path, _, stays) in &expected {
                prop_assert_eq!(path.exists(), *stays, "{}", path.display());
            }
            prop_assert_eq!(outcome.freed.len() + outcome.kept.len(), told.len());
            prop_assert!(outcome.freed.iter().all(|it| it.bytes == 7));
            prop_assert!(foreign.exists());
        }
    }

    #[test]
    fn what_was_written_lately_stays_where_that_is_asked() {
        let place = tempfile::tempdir().unwrap();
        let unused = Folder { stage: "train", kind: "", runs: 0, is_held: false };
        let (_, path) = put(place.path(), 1, &unused);
        let written = path.join("checkpoint/weights").metadata().unwrap().modified().unwrap();
        let before = |before| Choice { before: Some(before), half_made: false };
        assert_eq!(unneeded(place.path(), &before(written)).unwrap(), []);
        let day = Duration::from_secs(86_400);
        assert_eq!(unneeded(place.path(), &before(written + day)).unwrap().len(), 1);
    }

    #[test]
    fn a_reference_that_comes_in_between_keeps_it() {
        let unused = Unneeded {
            stage: "train".to_owned(),
            fingerprint: "1".repeat(32),
            why: Waste::Unused,
            bytes: 0,
            path: PathBuf::new(),
        };
        let referred = BTreeSet::from([("train".to_owned(), "1".repeat(32))]);
        assert!(!Choice::default().allows(&unused, &referred));
        assert!(Choice::default().allows(&unused, &BTreeSet::new()));
    }
}
