//! Set-up: a libtorch of the wanted version, with `.libtorch` at the repository root pointing at it.
//!
//! Milliseconds when it is there; else one download, once per user. Everything after (plain `cargo build`,
//! the binaries) reads the link, through `.cargo/config.toml`, and needs no variable.

mod cache;
mod choice;
mod folder;
mod link;
mod peers;
mod pip;
mod platform;
mod stub;
mod tombi;
mod wheel;

use crate::Result;
use std::path::{Path, PathBuf};

pub(crate) use peers::peers;
pub(crate) use tombi::tombi;

/// The libtorch that the pinned tch is generated for.
pub(crate) const VERSION: &str = "2.11.0";

/// Makes sure of libtorch and of the link to it; returns the folder.
pub(crate) fn run() -> Result<PathBuf> {
    let root = repository_root();
    let link = root.join(".libtorch");
    let found = choice::choose(&choice::Surroundings::look(&link)?, pip::installed_torch)?;
    let libtorch = match found {
        choice::Choice::Ready(folder) => folder,
        choice::Choice::Cache => cache::ensure(&cache::folder()?)?,
    };
    if link::publish(&link, &libtorch)? {
        link::outdate_run_path(&root);
    }
    Ok(libtorch)
}

/// The clone this was started in, which need not be the one that compiled this binary.
pub(crate) fn repository_root() -> PathBuf {
    let here = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&here).ancestors().nth(2).expect("this crate lies two folders below the root").to_path_buf()
}

/// One line of progress.
pub(crate) fn say(line: &str) {
    eprintln!("set-up: {line}");
}
