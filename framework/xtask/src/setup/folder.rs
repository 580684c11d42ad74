//! What a usable libtorch folder is: headers, libraries, and the wanted version.

use super::VERSION;
use std::fs;
use std::path::Path;

/// Checks the files without which nothing compiles or links; on failure, what is wrong with the folder.
pub(super) fn check(folder: &Path) -> Result<(), String> {
    let suffix = std::env::consts::DLL_SUFFIX;
    let mut needed = vec!["include/torch/csrc/api/include/torch/torch.h".to_owned()];
    needed.extend(["c10", "torch_cpu", "torch"].map(|name| format!("lib/lib{name}{suffix}")));
    if let Some(missing) = needed.iter().find(|it| !folder.join(it).is_file()) {
        return Err(format!("it has no {missing}"));
    }
    match version(folder) {
        Some(found) if found == VERSION => Ok(()),
        Some(found) => Err(format!("it is libtorch {found}, and {VERSION} is wanted")),
        None => Err("it does not say its version (neither build-version nor version.h)".to_owned()),
    }
}

/// From `build-version`, as libtorch archives and our cache have it, or from the header, as wheels do.
fn version(folder: &Path) -> Option<String> {
    if let Ok(text) = fs::read_to_string(folder.join("build-version")) {
        return Some(without_build_tag(text.trim()));
    }
    let header = fs::read_to_string(folder.join("include/torch/headeronly/version.h"))
        .or_else(|_| fs::read_to_string(folder.join("include/torch/csrc/api/include/torch/version.h")))
        .ok()?;
    let number = |part: &str| {
        let line =
            header.lines().find_map(|it| it.strip_prefix("#define TORCH_VERSION_")?.strip_prefix(part));
        line.and_then(|it| it.trim().parse::<u32>().ok())
    };
    Some(format!("{}.{}.{}", number("MAJOR")?, number("MINOR")?, number("PATCH")?))
}

/// `2.11.0+cu130` is `2.11.0` built with CUDA 13.0.
pub(super) fn without_build_tag(version: &str) -> String {
    version.split('+').next().unwrap_or(version).to_owned()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A folder that passes for a libtorch of this version.
    pub(in crate::setup) fn fake(folder: &Path, version: &str) {
        let api = folder.join("include/torch/csrc/api/include/torch");
        fs::create_dir_all(&api).unwrap();
        fs::create_dir_all(folder.join("lib")).unwrap();
        fs::write(api.join("torch.h"), "").unwrap();
        for name in ["c10", "torch_cpu", "torch"] {
            let file = format!("lib/lib{name}{}", std::env::consts::DLL_SUFFIX);
            fs::write(folder.join(file), "").unwrap();
        }
        fs::write(folder.join("build-version"), version).unwrap();
    }

    #[test]
    fn the_version_comes_from_either_place() {
        let dir = tempfile::tempdir().unwrap();
        fake(dir.path(), "2.11.0+cu130\n");
        assert_eq!(check(dir.path()), Ok(()));
        fs::remove_file(dir.path().join("build-version")).unwrap();
        assert!(check(dir.path()).unwrap_err().contains("does not say its version"));
        let header =
            "#define TORCH_VERSION_MAJOR 2\n#define TORCH_VERSION_MINOR 10\n#define TORCH_VERSION_PATCH 1\n";
        fs::write(dir.path().join("include/torch/csrc/api/include/torch/version.h"), header).unwrap();
        assert!(check(dir.path()).unwrap_err().contains("libtorch 2.10.1"));
    }

    #[test]
    fn a_missing_library_is_named() {
        let dir = tempfile::tempdir().unwrap();
        fake(dir.path(), VERSION);
        let library = format!("lib/libtorch_cpu{}", std::env::consts::DLL_SUFFIX);
        fs::remove_file(dir.path().join(&library)).unwrap();
        assert_eq!(check(dir.path()), Err(format!("it has no {library}")));
    }
}
