//! `.libtorch` at the repository root: the one place where the build learns which libtorch was chosen.

use crate::Result;
use std::fs;
use std::path::Path;
use std::time::SystemTime;

/// Points `link` at `libtorch`, atomically; true if an older link led elsewhere.
pub(super) fn publish(link: &Path, libtorch: &Path) -> Result<bool> {
    let before = fs::read_link(link).ok();
    if before.as_deref() == Some(libtorch) || link.canonicalize().is_ok_and(|it| it == libtorch) {
        return Ok(false);
    }
    let failed = |e: std::io::Error| format!("cannot make the link {}: {e}", link.display());
    if before.is_none() && link.exists() {
        return Err(format!("{} is in the way: it should be a link; remove it", link.display()));
    }
    // A link cannot be overwritten, but a new one can be renamed onto it.
    let fresh = link.with_file_name(format!(".libtorch.{}", std::process::id()));
    let _ = fs::remove_file(&fresh);
    std::os::unix::fs::symlink(libtorch, &fresh).map_err(failed)?;
    fs::rename(&fresh, link).map_err(failed)?;
    Ok(before.is_some())
}

/// Makes cargo write the new folder into the next binaries: it watches the link's name, not where it leads.
#[expect(clippy::disallowed_methods, reason = "cargo compares it with the clock that dates its own files")]
pub(super) fn outdate_run_path(root: &Path) {
    if let Ok(script) = fs::File::options().append(true).open(root.join("framework/runtime/build.rs")) {
        let _ = script.set_modified(SystemTime::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_link_is_made_kept_and_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let [first, second, link] = ["first", "second", ".libtorch"].map(|it| root.join(it));
        fs::create_dir(&first).unwrap();
        fs::create_dir(&second).unwrap();
        assert_eq!(publish(&link, &first), Ok(false));
        assert_eq!(publish(&link, &first), Ok(false));
        assert_eq!(publish(&link, &second), Ok(true));
        assert_eq!(fs::read_link(&link).unwrap(), second);
        assert_eq!(fs::read_dir(&root).unwrap().count(), 3, "no temporary link is left");
    }

    #[test]
    fn a_link_that_leads_nowhere_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join(".libtorch");
        std::os::unix::fs::symlink(dir.path().join("gone"), &link).unwrap();
        assert_eq!(publish(&link, dir.path()), Ok(true));
        assert!(link.is_dir());
    }

    #[test]
    fn a_folder_in_its_place_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join(".libtorch");
        fs::create_dir(&link).unwrap();
        assert!(publish(&link, Path::new("/elsewhere")).unwrap_err().contains("in the way"));
    }
}
