//! tombi, which lints TOML as editors do: one program out of its wheel, kept in the cache beside libtorch.

use super::platform::Platform;
use super::{cache, pip, say, wheel};
use crate::Result;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

const VERSION: &str = "1.9.6";

/// The path of the program, fetched first if it is not there.
pub(crate) fn tombi() -> Result<PathBuf> {
    let platform = Platform::current()?;
    let key = format!("tombi-{VERSION}-{}", platform.name);
    let folder = cache::publish_once(&cache::folder()?, &key, |staging| {
        pip::require("tombi, which lints the recipes,")?;
        say(&format!("fetching tombi {VERSION} (9 MB, once per user) with pip"));
        let file = pip::download(&format!("tombi=={VERSION}"), platform.tags, &staging.join("wheels"))?;
        let folder = staging.join("tombi");
        let program = |path: &str| path.ends_with(".data/scripts/tombi").then(|| "tombi".to_owned());
        if wheel::extract(&file, &folder, program)? == 0 {
            return Err(format!("there is no program in the wheel of tombi {VERSION}"));
        }
        let program = folder.join("tombi");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755))
            .map_err(|e| cache::cannot("make executable", &program, &e))?;
        Ok(folder)
    })?;
    Ok(folder.join("tombi"))
}
