//! A file as its one content, or an archive (`.tar`, `.tar.gz`, `.tgz`, `.tar.zst`) as its members.

use std::io::BufRead;

use sbp_plugin::input::{InputFile, is_lost, name_uncompressed, open, uncompressed};
use sbp_plugin::prelude::*;

/// Gives the content of a file to `visit`, uncompressed, with its name; of an archive, that of each member that is a
/// file and not hidden.
pub(crate) fn each_member(
    file: &InputFile,
    visit: &mut dyn FnMut(&str, &mut dyn BufRead) -> Result<()>,
) -> Result<()> {
    let mut content = open(&file.path)?;
    if !name_uncompressed(&file.name).ends_with(".tar") {
        return visit(&file.name, &mut content);
    }
    let mut last = "its beginning".to_owned();
    let damaged = |error: std::io::Error, last: &str| -> Error {
        if is_lost(&error) {
            return error.into();
        }
        format!(
            "{} cannot be read past {last}: {error}. It is damaged, incomplete or no tar archive: fetch or pack it again",
            file.path.display()
        )
        .into()
    };
    let mut archive = tar::Archive::new(content);
    for member in archive.entries().map_err(|error| damaged(error, &last))? {
        let member = member.map_err(|error| damaged(error, &last))?;
        let path = member.path().map_err(|error| damaged(error, &last))?.to_string_lossy().into_owned();
        let is_hidden = path.rsplit('/').next().is_none_or(|name| name.starts_with('.'));
        if member.header().entry_type().is_file() && !is_hidden {
            let mut content = uncompressed(member, &path).map_err(|error| damaged(error, &path))?;
            visit(&format!("{}/{}", file.name, path.trim_start_matches("./")), &mut content)?;
        }
        last = format!("member {path}");
    }
    Ok(())
}
