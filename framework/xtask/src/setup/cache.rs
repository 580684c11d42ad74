//! The per-user cache: what is fetched is made in a temporary folder there and published by one rename.
//!
//! A file lock admits one set-up at a time. It dies with its process, so any temporary folder seen by its
//! holder was left by a dead one and is removed.

use super::platform::Platform;
use super::{VERSION, folder as libtorch_folder, pip, say, stub, wheel};
use crate::Result;
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::Command;

/// `$SBP_CACHE`, else the place that the platform's convention gives to caches.
pub(super) fn folder() -> Result<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|it| !it.is_empty()).map(PathBuf::from);
    variable("SBP_CACHE")
        .or_else(|| variable("XDG_CACHE_HOME").map(|it| it.join("sbp")))
        .or_else(|| variable("HOME").map(|it| it.join(".cache/sbp")))
        .ok_or_else(|| "no folder for the cache: neither SBP_CACHE nor HOME is set".to_owned())
}

/// The libtorch of this platform in this cache, made first if it is not there.
pub(super) fn ensure(cache: &Path) -> Result<PathBuf> {
    let platform = Platform::current()?;
    let key = format!("libtorch-{VERSION}-cpu-{}", platform.name);
    publish_once(cache, &key, |staging| {
        // First what is cheap to find missing.
        let compiler = stub::compiler()?;
        let or_your_own =
            |why: String| format!("{why}\n  Or set LIBTORCH to a libtorch {VERSION} that you have.");
        pip::require("libtorch").map_err(or_your_own)?;
        say(&format!("fetching libtorch {VERSION} ({} MB, once per user) with pip", platform.megabytes));
        let wheels = staging.join("wheels");
        let libtorch = staging.join("libtorch");
        for wanted in platform.wheels {
            let file = pip::download(wanted.requirement, platform.tags, &wheels).map_err(or_your_own)?;
            say(&format!("extracting and verifying {}", wanted.requirement));
            wheel::extract(&file, &libtorch, |it| wanted.destination(it))?;
            // Freed at once: the largest wheel and its content need not lie side by side with the next.
            fs::remove_file(&file).map_err(|e| cannot("remove", &file, &e))?;
        }
        if platform.needs_stub {
            stub::build(&compiler, &libtorch.join("lib"))?;
        }
        let stamp = libtorch.join("build-version");
        fs::write(&stamp, VERSION).map_err(|e| cannot("write", &stamp, &e))?;
        libtorch_folder::check(&libtorch)
            .map_err(|why| format!("the libtorch made out of the wheels is not usable: {why}"))?;
        Ok(libtorch)
    })
}

/// Returns `cache/key`; if it is not there, `make` is given a temporary folder and says what inside it to publish.
pub(super) fn publish_once(
    cache: &Path,
    key: &str,
    make: impl FnOnce(&Path) -> Result<PathBuf>,
) -> Result<PathBuf> {
    let ready = cache.join(key);
    if ready.is_dir() {
        return Ok(ready);
    }
    fs::create_dir_all(cache).map_err(|e| cannot("create", cache, &e))?;
    let _held = lock(&cache.join(format!("{key}.lock")))?;
    if ready.is_dir() {
        return Ok(ready);
    }
    let prefix = format!("{key}.partial-");
    remove_leftovers(cache, &prefix)?;
    let staging = cache.join(format!("{prefix}{}", std::process::id()));
    fs::create_dir(&staging).map_err(|e| cannot("create", &staging, &e))?;
    let outcome = make(&staging).and_then(|whole| {
        flush(&whole);
        fs::rename(&whole, &ready).map_err(|e| cannot("create", &ready, &e))
    });
    // Failing to tidy up is no failure: the next holder of the lock will.
    let _ = fs::remove_dir_all(&staging);
    outcome.map(|()| ready)
}

fn lock(path: &Path) -> Result<File> {
    let file = File::create(path).map_err(|e| cannot("create", path, &e))?;
    let locked = match file.try_lock() {
        Err(TryLockError::WouldBlock) => {
            say("another set-up is at work on the same; waiting for it");
            file.lock()
        }
        Err(TryLockError::Error(error)) => Err(error),
        Ok(()) => Ok(()),
    };
    locked.map_err(|e| cannot("lock", path, &e))?;
    Ok(file)
}

fn remove_leftovers(cache: &Path, prefix: &str) -> Result<()> {
    let entries = fs::read_dir(cache).map_err(|e| cannot("read", cache, &e))?;
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            say("removing what an interrupted set-up left");
            fs::remove_dir_all(entry.path()).map_err(|e| cannot("remove", &entry.path(), &e))?;
        }
    }
    Ok(())
}

/// Before the rename, so that after a power failure the published name never stands for unwritten content.
fn flush(folder: &Path) {
    let _ = Command::new("sync").arg("-f").arg(folder).stderr(std::process::Stdio::null()).status();
}

pub(super) fn cannot(verb: &str, path: &Path, error: &io::Error) -> String {
    format!("cannot {verb} {}: {}", path.display(), explain(error))
}

/// The system's words, with the remedy where there is one.
pub(super) fn explain(error: &io::Error) -> String {
    let remedy = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            "\n  libtorch needs about 1.1 GB while it is made, and half of it after. Free some, or set SBP_CACHE to a \
             folder on a larger disk."
        }
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            "\n  Set SBP_CACHE to a folder that you may write to."
        }
        ErrorKind::Unsupported => "\n  Set SBP_CACHE to a folder on a local disk.",
        _ => "",
    };
    format!("{error}{remedy}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes `staging/whole/file`.
    fn made(staging: &Path) -> Result<PathBuf> {
        let whole = staging.join("whole");
        fs::create_dir(&whole).unwrap();
        fs::write(whole.join("file"), "content").unwrap();
        Ok(whole)
    }

    fn names(cache: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(cache).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_whole_one_is_published_and_then_reused() {
        let dir = tempfile::tempdir().unwrap();
        let ready = publish_once(dir.path(), "key", made).unwrap();
        assert_eq!(fs::read_to_string(ready.join("file")).unwrap(), "content");
        assert_eq!(names(dir.path()), ["key", "key.lock"]);
        let again = publish_once(dir.path(), "key", |_| panic!("made twice"));
        assert_eq!(again.unwrap(), ready);
    }

    #[test]
    fn a_failed_one_is_never_published() {
        let dir = tempfile::tempdir().unwrap();
        let failed = publish_once(dir.path(), "key", |staging| {
            made(staging)?;
            Err("network".to_owned())
        });
        assert_eq!(failed.unwrap_err(), "network");
        assert_eq!(names(dir.path()), ["key.lock"]);
    }

    #[test]
    fn a_damaged_wheel_is_never_published() {
        let dir = tempfile::tempdir().unwrap();
        let damaged = wheel::tests::tiny_wheel(dir.path(), b"librarY", b"library");
        let cache = dir.path().join("cache");
        let failed = publish_once(&cache, "key", |staging| {
            wheel::extract(&damaged, &staging.join("whole"), |it| Some(it.to_owned()))?;
            Ok(staging.join("whole"))
        });
        assert!(failed.unwrap_err().contains("not what RECORD says"));
        assert_eq!(names(&cache), ["key.lock"]);
    }

    #[test]
    fn what_a_killed_one_left_is_removed_and_not_taken_for_whole() {
        let dir = tempfile::tempdir().unwrap();
        let left = dir.path().join("key.partial-1/whole");
        fs::create_dir_all(&left).unwrap();
        fs::write(left.join("file"), "half").unwrap();
        let ready = publish_once(dir.path(), "key", made).unwrap();
        assert_eq!(fs::read_to_string(ready.join("file")).unwrap(), "content");
        assert_eq!(names(dir.path()), ["key", "key.lock"]);
    }

    #[test]
    fn of_two_at_once_one_makes_and_both_get_it() {
        let dir = tempfile::tempdir().unwrap();
        let makers = std::sync::atomic::AtomicUsize::new(0);
        let set_up = || {
            publish_once(dir.path(), "key", |staging| {
                makers.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                std::thread::sleep(std::time::Duration::from_millis(50));
                made(staging)
            })
        };
        std::thread::scope(|scope| {
            let other = scope.spawn(set_up);
            assert_eq!(set_up(), other.join().unwrap());
        });
        assert_eq!(makers.into_inner(), 1);
        assert_eq!(names(dir.path()), ["key", "key.lock"]);
    }

    #[test]
    fn a_full_disk_comes_with_its_remedy() {
        assert!(explain(&ErrorKind::StorageFull.into()).contains("SBP_CACHE"));
    }
}
