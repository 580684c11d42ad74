//! The files that a path or a pattern names, and their lines, uncompressed.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use sbp_plugin::prelude::*;

/// The file of this name, or the files that it is a pattern for.
pub(super) fn files(path: &Path) -> Result<Vec<PathBuf>> {
    let text = path.to_string_lossy();
    if path.exists() || !text.contains(['*', '?', '[']) {
        return Ok(vec![path.to_owned()]);
    }
    let found = glob::glob(&text).map_err(|error| format!("{text} is no pattern for files: {error}"))?;
    let mut files = Vec::new();
    for entry in found {
        let file = entry.map_err(|error| format!("{text}: {error}; allow reading that folder"))?;
        if file.is_file() {
            files.push(file);
        }
    }
    if files.is_empty() {
        return Err(format!("no file fits {text}; patterns are relative to the recipe's folder").into());
    }
    files.sort();
    Ok(files)
}

pub(super) fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// Opens a file for reading, uncompressed by what its name ends with.
pub(super) fn open(path: &Path) -> Result<Box<dyn BufRead>> {
    let explain = |error: io::Error| -> Error {
        let remedy = match error.kind() {
            io::ErrorKind::NotFound => {
                "give the path of a .jsonl, .jsonl.zst or .jsonl.gz file in the recipe, or with --set corpus.path='\"...\"'"
            }
            io::ErrorKind::PermissionDenied => "allow reading it",
            _ => "check that it is a file that can be read",
        };
        format!("cannot open {}: {error}; {remedy}", path.display()).into()
    };
    let file = File::open(path).map_err(explain)?;
    if file.metadata().map_err(explain)?.is_dir() {
        return Err(explain(io::ErrorKind::IsADirectory.into()));
    }
    Ok(match path.extension().and_then(|extension| extension.to_str()) {
        Some("zst") => {
            let mut decoder = zstd::stream::read::Decoder::new(file).map_err(explain)?;
            // The largest window there is, for files written with `zstd --long=31`.
            decoder.window_log_max(31).map_err(explain)?;
            Box::new(BufReader::with_capacity(1 << 16, decoder))
        }
        Some("gz") => Box::new(BufReader::with_capacity(1 << 16, flate2::read::MultiGzDecoder::new(file))),
        _ => Box::new(BufReader::with_capacity(1 << 16, file)),
    })
}

pub(super) enum Line {
    Whole(Vec<u8>),
    TooLong(u64),
}

/// Lines of bounded length, hashed as they pass.
pub(super) struct Lines {
    pub(super) reader: Box<dyn BufRead>,
    pub(super) most: usize,
    pub(super) hasher: blake3::Hasher,
}

impl Lines {
    pub(super) fn next(&mut self) -> io::Result<Option<Line>> {
        let mut line = Vec::new();
        // One more for the line end and one to see that there is more.
        let len = (&mut self.reader).take(self.most as u64 + 2).read_until(b'\n', &mut line)?;
        self.hasher.update(&line);
        if len == 0 {
            return Ok(None);
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        } else if len as u64 == self.most as u64 + 2 {
            return Ok(Some(Line::TooLong(len as u64 + self.skip_line()?)));
        }
        Ok(Some(if line.len() > self.most { Line::TooLong(line.len() as u64) } else { Line::Whole(line) }))
    }

    /// Reads on to the line's end and says how much that was.
    fn skip_line(&mut self) -> io::Result<u64> {
        let mut skipped = 0;
        loop {
            let buffer = self.reader.fill_buf()?;
            let end = buffer.iter().position(|byte| *byte == b'\n');
            let len = end.map_or(buffer.len(), |end| end + 1);
            self.hasher.update(&buffer[..len]);
            self.reader.consume(len);
            // The line end is not part of the line.
            skipped += end.unwrap_or(len) as u64;
            if end.is_some() || len == 0 {
                return Ok(skipped);
            }
        }
    }
}
