//! Files written whole or not at all.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Error, Result};

/// Writes a file under a temporary name, makes sure it is on the disk, and gives it its name.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    let temporary = path.with_file_name(name);
    let write = || {
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    write().map_err(Error::file("write", path))
}

pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let mut text = serde_json::to_string_pretty(value).map_err(|error| invalid(path, &error))?;
    text.push('\n');
    write_whole(path, text.as_bytes())
}

pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = fs::read_to_string(path).map_err(Error::file("read", path))?;
    serde_json::from_str(&text).map_err(|error| invalid(path, &error))
}

pub(crate) fn write_lines<T: Serialize>(path: &Path, items: impl IntoIterator<Item = T>) -> Result<()> {
    let mut text = Vec::new();
    for item in items {
        serde_json::to_writer(&mut text, &item).map_err(|error| invalid(path, &error))?;
        text.push(b'\n');
    }
    write_whole(path, &text)
}

/// Writes lines as they come, for more of them than memory should hold. The file counts once it is finished.
pub(crate) struct LineWriter {
    path: PathBuf,
    file: BufWriter<File>,
}

impl LineWriter {
    pub(crate) fn create(path: &Path) -> Result<Self> {
        let file = File::create(path).map_err(Error::file("create", path))?;
        Ok(Self { path: path.to_owned(), file: BufWriter::new(file) })
    }

    pub(crate) fn write(&mut self, item: &impl Serialize) -> Result<()> {
        let line = serde_json::to_string(item).map_err(|error| invalid(&self.path, &error))?;
        writeln!(self.file, "{line}").map_err(Error::file("write", &self.path))
    }

    /// Makes sure that all of it is on the disk.
    pub(crate) fn finish(self) -> Result<()> {
        let file = self.file.into_inner().map_err(std::io::IntoInnerError::into_error);
        file.and_then(|file| file.sync_all()).map_err(Error::file("write", &self.path))
    }
}

pub(crate) fn read_lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    lines(path)?.collect()
}

/// The items of a file, one at a time.
pub(crate) fn lines<T: DeserializeOwned>(path: &Path) -> Result<impl Iterator<Item = Result<T>> + use<T>> {
    let file = File::open(path).map_err(Error::file("read", path))?;
    let path = path.to_owned();
    Ok(BufReader::new(file).lines().map(move |line| {
        let line = line.map_err(Error::file("read", &path))?;
        serde_json::from_str(&line).map_err(|error| invalid(&path, &error))
    }))
}

/// The folders in one, sorted; none where it is not there.
pub(crate) fn folders_in(path: &Path) -> Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::file("read", path)(error)),
    };
    let paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<std::io::Result<Vec<_>>>();
    let mut folders: Vec<PathBuf> = paths.map_err(Error::file("read", path))?;
    folders.retain(|path| path.is_dir());
    folders.sort();
    Ok(folders)
}

/// What a folder or a file takes, and when it was last written to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weight {
    pub(crate) bytes: u64,
    pub(crate) newest: SystemTime,
}

/// Weighs a folder with everything below it, links not followed. What is not there weighs nothing.
pub(crate) fn weigh(path: &Path) -> Result<Weight> {
    let mut weight = Weight { bytes: 0, newest: SystemTime::UNIX_EPOCH };
    let mut open = vec![path.to_owned()];
    while let Some(path) = open.pop() {
        let about = match path.symlink_metadata() {
            // A run at work removes files of its own.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            about => about.map_err(Error::file("read", &path))?,
        };
        weight.newest = weight.newest.max(about.modified().map_err(Error::file("read", &path))?);
        if about.is_dir() {
            for entry in fs::read_dir(&path).map_err(Error::file("read", &path))? {
                open.push(entry.map_err(Error::file("read", &path))?.path());
            }
        } else {
            weight.bytes += about.len();
        }
    }
    Ok(weight)
}

pub(crate) fn create_folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(Error::file("create", path))
}

pub(crate) fn invalid(path: &Path, error: &dyn std::fmt::Display) -> Error {
    Error::Damaged { path: path.to_owned(), reason: error.to_string() }
}
