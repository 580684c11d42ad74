//! Runs of items in temporary files, compressed.

use std::borrow::Borrow;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use sbp_plugin::prelude::*;
use tempfile::TempDir;

use super::sorted::{Found, Item};

const DOCUMENT: u8 = 0;
const BAD: u8 = 1;

/// A folder that is removed when it is dropped.
pub(super) fn folder() -> Result<TempDir> {
    tempfile::Builder::new()
        .prefix("sbp-corpus-")
        .tempdir()
        .map_err(|error| explain("make a folder in", &std::env::temp_dir(), &error))
}

fn explain(action: &str, path: &Path, error: &io::Error) -> Error {
    format!(
        "cannot {action} {}: {error}; the corpus is larger than memory_mib and is sorted there: free space, let TMPDIR name another folder, or raise memory_mib",
        path.display()
    )
    .into()
}

/// Writes items that are sorted.
pub(super) fn write<I: Borrow<Item>>(path: &Path, items: impl Iterator<Item = Result<I>>) -> Result<()> {
    let fail = |error: io::Error| explain("write", path, &error);
    let file = BufWriter::new(File::create(path).map_err(fail)?);
    let mut file = zstd::Encoder::new(file, 1).map_err(fail)?;
    for item in items {
        write_item(&mut file, item?.borrow()).map_err(fail)?;
    }
    file.finish().and_then(|mut file| file.flush()).map_err(fail)
}

fn write_item(file: &mut impl Write, item: &Item) -> io::Result<()> {
    file.write_all(&item.key.to_le_bytes())?;
    let (tag, number, texts) = match &item.found {
        Found::Document { id, source, text } => (DOCUMENT, id.0, [source, text]),
        Found::Bad { file, line, reason } => (BAD, *line, [file, reason]),
    };
    file.write_all(&[tag])?;
    file.write_all(&number.to_le_bytes())?;
    for text in texts {
        file.write_all(&(text.len() as u64).to_le_bytes())?;
        file.write_all(text.as_bytes())?;
    }
    Ok(())
}

/// Opens a run to be read from its beginning.
pub(super) fn open(path: &Path) -> Result<Run> {
    let open = || zstd::Decoder::new(File::open(path)?);
    let reader = BufReader::new(open().map_err(|error| explain("read", path, &error))?);
    Ok(Run { path: path.to_owned(), reader })
}

/// A run that is being read.
pub(super) struct Run {
    path: PathBuf,
    reader: BufReader<zstd::Decoder<'static, BufReader<File>>>,
}

impl Run {
    pub(super) fn next(&mut self) -> Result<Option<Item>> {
        self.read().map_err(|error| explain("read", &self.path, &error))
    }

    fn read(&mut self) -> io::Result<Option<Item>> {
        let mut key = [0; 16];
        if self.reader.read(&mut key[..1])? == 0 {
            return Ok(None);
        }
        self.reader.read_exact(&mut key[1..])?;
        let mut tag = [0];
        self.reader.read_exact(&mut tag)?;
        let number = self.number()?;
        let (one, other) = (self.text()?, self.text()?);
        let found = match tag {
            [DOCUMENT] => Found::Document { id: DocId(number), source: one, text: other },
            _ => Found::Bad { file: one, line: number, reason: other },
        };
        Ok(Some(Item { key: u128::from_le_bytes(key), found }))
    }

    fn number(&mut self) -> io::Result<u64> {
        let mut bytes = [0; 8];
        self.reader.read_exact(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn text(&mut self) -> io::Result<Box<str>> {
        let len = self.number()?;
        let mut text = String::new();
        if self.reader.by_ref().take(len).read_to_string(&mut text)? as u64 != len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(text.into())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Place, Record};
    use super::*;

    #[test]
    fn items_come_back_and_a_damaged_run_is_an_error_that_says_what_to_do() {
        let place = Place { file: "a.jsonl", line: 7 };
        let record = Record { name: "n".to_owned(), text: "Zürich".to_owned(), source: "s".to_owned() };
        let items = [Item::of(place, Ok(record)), Item::of(place, Err("no text".to_owned()))];
        let folder = folder().expect("a folder");
        let path = folder.path().join("run.zst");
        write(&path, items.iter().map(Ok)).expect("written");
        let mut run = open(&path).expect("opened");
        for item in &items {
            assert_eq!(run.next().expect("read").as_ref(), Some(item));
        }
        assert_eq!(run.next().expect("read"), None);

        let bytes = std::fs::read(&path).expect("read");
        std::fs::write(&path, &bytes[..bytes.len() - 6]).expect("written");
        let mut run = open(&path).expect("opened");
        let error =
            std::iter::repeat_with(|| run.next()).find_map(std::result::Result::err).expect("an error");
        assert!(error.to_string().contains("raise memory_mib"), "{error}");
    }
}
