//! Rows in shards, each written whole, so that an attempt that was ended loses at most one.

use std::fs;
use std::path::{Path, PathBuf};

use sbp_core::{Cost, Document};
use sbp_plugin::slots::embedder::Embeddings;

use crate::{Error, Result, files};

/// Embeds the documents that begin at a place.
type EmbedShard<'a> = dyn FnMut(usize, &[Document]) -> Result<(Embeddings, Cost)> + 'a;

/// The documents of a corpus, `size` a shard. Shards that are in `folder` already are used again.
pub(super) struct Shards<'a> {
    pub(super) folder: &'a Path,
    pub(super) documents: &'a [Document],
    pub(super) size: usize,
}

impl Shards<'_> {
    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.documents.len().div_ceil(self.size)
    }

    fn shard(&self, number: usize) -> (usize, &[Document], PathBuf) {
        let first = number * self.size;
        let documents = &self.documents[first..self.documents.len().min(first + self.size)];
        let path = shards_of(self.folder).join(format!("{first:09}-{}.rows", documents.len()));
        (first, documents, path)
    }

    /// Rows of a shard and what they cost, embedded if they are not there.
    pub(super) fn embed(
        &self,
        number: usize,
        embed_shard: &mut EmbedShard<'_>,
    ) -> Result<(Embeddings, Cost)> {
        let (first, documents, path) = self.shard(number);
        if let Some(shard) = read(&path, documents.len())? {
            return Ok(shard);
        }
        files::create_folder(&shards_of(self.folder))?;
        let shard = embed_shard(first, documents)?;
        write(&path, &shard.0, shard.1)?;
        Ok(shard)
    }

    /// Rows of all documents and what they cost.
    pub(super) fn all(&self, embed_shard: &mut EmbedShard<'_>) -> Result<(Embeddings, Cost)> {
        let mut all = Embeddings { dim: 1, rows: Vec::new() };
        let mut total = Cost::default();
        for number in 0..self.count() {
            let (embeddings, cost) = self.embed(number, embed_shard)?;
            if !all.is_empty() && embeddings.dim != all.dim {
                let reason = format!("rows of {} numbers after rows of {}", embeddings.dim, all.dim);
                return Err(files::invalid(&self.shard(number).2, &reason));
            }
            all.dim = embeddings.dim;
            all.rows.extend(embeddings.rows);
            total.add(cost);
        }
        Ok((all, total))
    }
}

/// Removes the shards, once their rows are elsewhere.
pub(super) fn remove(folder: &Path) -> Result<()> {
    let shards = shards_of(folder);
    fs::remove_dir_all(&shards).map_err(Error::file("remove", &shards))
}

fn shards_of(folder: &Path) -> PathBuf {
    folder.join("shards")
}

/// Length of a row, tokens and FLOPs, then the rows; all little-endian.
fn write(path: &Path, embeddings: &Embeddings, cost: Cost) -> Result<()> {
    let mut bytes = Vec::with_capacity(HEADER + embeddings.rows.len() * size_of::<f32>());
    for number in [embeddings.dim as u64, cost.tokens, cost.flops.to_bits()] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend(embeddings.rows.iter().flat_map(|number| number.to_le_bytes()));
    files::write_whole(path, &bytes)
}

/// Bytes before the rows.
const HEADER: usize = 24;

/// A shard of an earlier attempt; none where there is none, or not one of as many documents.
fn read(path: &Path, documents: usize) -> Result<Option<(Embeddings, Cost)>> {
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(Error::file("read", path))?,
    };
    let Some((header, rows)) = bytes.split_at_checked(HEADER) else { return Ok(None) };
    let number = |index| u64::from_le_bytes(header.as_chunks::<8>().0[index]);
    let (rows, rest) = rows.as_chunks::<4>();
    let rows: Vec<f32> = rows.iter().map(|&number| f32::from_le_bytes(number)).collect();
    let dim = number(0) as usize;
    if dim == 0 || !rest.is_empty() || dim.checked_mul(documents) != Some(rows.len()) {
        return Ok(None);
    }
    Ok(Some((Embeddings { dim, rows }, Cost { tokens: number(1), flops: f64::from_bits(number(2)) })))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn documents() -> Vec<Document> {
        (0..10).map(|n| Document::new(&n.to_string(), "x".repeat(n))).collect()
    }

    /// A row for each document, and which shards had to be embedded, up to a stop.
    fn run(folder: &Path, size: usize, stop_at: usize) -> (Result<(Embeddings, Cost)>, Vec<usize>) {
        let mut embedded = Vec::new();
        let documents = documents();
        let shards = Shards { folder, documents: &documents, size };
        let outcome = shards.all(&mut |first, documents| {
            if first >= stop_at {
                return Err(Error::Stopped { stage: "embed".to_owned() });
            }
            embedded.push(first);
            let rows = documents.iter().flat_map(|document| [document.text.len() as f32, 0.5]).collect();
            Ok((Embeddings { dim: 2, rows }, Cost { tokens: documents.len() as u64, flops: 7.0 }))
        });
        (outcome, embedded)
    }

    #[test]
    fn what_was_embedded_is_not_embedded_again() {
        let (straight, stopped) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (whole, all) = run(straight.path(), 3, usize::MAX);
        assert_eq!(all, [0, 3, 6, 9]);
        let (outcome, before) = run(stopped.path(), 3, 6);
        assert!(matches!(outcome, Err(Error::Stopped { .. })) && before == [0, 3]);
        let (resumed, after) = run(stopped.path(), 3, usize::MAX);
        assert_eq!(after, [6, 9]);
        assert_eq!(resumed.unwrap(), whole.unwrap());
        remove(stopped.path()).unwrap();
        assert_eq!(fs::read_dir(stopped.path()).unwrap().count(), 0);
    }

    #[test]
    fn the_size_of_a_shard_does_not_matter() {
        let rows = |size| run(tempfile::tempdir().unwrap().path(), size, usize::MAX).0.unwrap().0;
        assert_eq!(rows(3), rows(1));
        assert_eq!(rows(3), rows(100));
    }

    #[test]
    fn a_shard_that_is_not_whole_is_embedded_again() {
        let folder = tempfile::tempdir().unwrap();
        run(folder.path(), 3, usize::MAX).0.unwrap();
        let path = folder.path().join("shards/000000003-3.rows");
        for length in [0, 10, 24, 47] {
            fs::File::options().write(true).open(&path).unwrap().set_len(length).unwrap();
            assert_eq!(run(folder.path(), 3, usize::MAX).1, [3], "cut to {length} bytes");
        }
        // Shards of another size are of other documents.
        assert_eq!(run(folder.path(), 4, usize::MAX).1, [0, 4, 8]);
    }
}
