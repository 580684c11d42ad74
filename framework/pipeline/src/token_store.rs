//! Tokenised documents in memory-mapped shards: random access by document, whatever their number.
//!
//! A shard is one file, `NAME/00000.tokens`: the width of a token in bytes and the number of documents, the length of
//! each document, then their tokens. Tokens take 2 bytes where the vocabulary fits, else 4; all numbers are
//! little-endian. Memory: 12 bytes a document; tokens are paged in as they are read.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use sbp_core::{Example, Markers, TokenId};

use crate::files;
use crate::{Error, Result};

/// Documents in a shard: the work that a kill can lose.
pub(crate) const SHARD_DOCUMENTS: usize = 8192;

/// Bytes before the lengths: width and number of documents.
const HEADER: usize = 8;

/// Documents as tokens, without markers.
#[derive(Debug, Default)]
pub(crate) struct TokenStore {
    shards: Vec<Shard>,
    /// First token of each document, counted in its shard.
    starts: Vec<u64>,
    /// Training tokens of each document: its tokens and the end marker.
    lengths: Vec<u32>,
}

#[derive(Debug)]
struct Shard {
    /// Its first document, counted over all shards.
    first: usize,
    bytes: Mmap,
    width: usize,
    /// Bytes before the tokens.
    offset: usize,
}

impl TokenStore {
    /// Opens the shards `NAME/*.tokens` of a folder, in the order of their numbers, one store after another.
    pub(crate) fn open(folder: &Path, names: &[&str]) -> Result<Self> {
        let mut store = Self::default();
        for name in names {
            for path in shard_files(&folder.join(name))? {
                let file = File::open(&path).map_err(Error::file("read", &path))?;
                #[expect(unsafe_code, reason = "artifacts are never written to after they were published")]
                // SAFETY: the file is part of a published artifact, or written whole by this process.
                let mapped = unsafe { Mmap::map(&file) }.map_err(Error::file("map", &path))?;
                store.push(mapped).map_err(|reason| files::invalid(&path, &reason))?;
            }
        }
        Ok(store)
    }

    /// Documents in a folder that is gone when they are.
    #[cfg(test)]
    pub(crate) fn of(documents: &[Vec<TokenId>]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = Writer::new(folder.path(), "x", usize::MAX).unwrap();
        documents.chunks(2).for_each(|shard| writer.shard(|| Ok(shard.to_vec())).unwrap());
        Self::open(folder.path(), &["x"]).unwrap()
    }

    fn push(&mut self, bytes: Mmap) -> std::result::Result<(), &'static str> {
        const CUT: &str = "it is shorter than its header says";
        let number = |at: usize| -> std::result::Result<u32, &'static str> {
            let bytes = bytes.get(at..at + 4).ok_or(CUT)?;
            Ok(u32::from_le_bytes(bytes.try_into().map_err(|_| CUT)?))
        };
        let (width, documents) = (number(0)? as usize, number(4)? as usize);
        if width != 2 && width != 4 {
            return Err("its tokens are neither 2 nor 4 bytes wide");
        }
        let first = self.lengths.len();
        let mut tokens = 0;
        for document in 0..documents {
            let length = number(HEADER + 4 * document)?;
            self.starts.push(tokens);
            self.lengths.push(length.checked_add(1).ok_or("a document in it is too long")?);
            tokens += u64::from(length);
        }
        let offset = HEADER + 4 * documents;
        if bytes.len() as u64 != offset as u64 + tokens * width as u64 {
            return Err("its length is not what its documents add up to");
        }
        self.shards.push(Shard { first, bytes, width, offset });
        Ok(())
    }

    /// The tokens of a document.
    pub(crate) fn document(&self, index: usize) -> Vec<TokenId> {
        let length = self.lengths[index] as usize - 1;
        self.tokens(index, 0, length).collect()
    }

    /// Tokens `from..to` of a document.
    fn tokens(&self, index: usize, from: usize, to: usize) -> impl Iterator<Item = TokenId> + '_ {
        let shard = &self.shards[self.shards.partition_point(|shard| shard.first <= index) - 1];
        let start = self.starts[index] as usize;
        let at = |token: usize| shard.offset + (start + token) * shard.width;
        // A narrow token is its low bytes.
        shard.bytes[at(from)..at(to)]
            .chunks_exact(shard.width)
            .map(|bytes| bytes.iter().rev().fold(0, |token, byte| (token << 8) | TokenId::from(*byte)))
    }

    /// Training tokens of each document.
    pub(crate) fn lengths(&self) -> &[u32] {
        &self.lengths
    }

    /// Training tokens of all documents.
    pub(crate) fn num_training_tokens(&self) -> u64 {
        self.lengths.iter().map(|&length| u64::from(length)).sum()
    }

    /// Mean number of tokens that a token attends over, itself included, when documents are cut at `context`.
    pub(crate) fn mean_context(&self, context: usize) -> f64 {
        let (mut sum, mut count) = (0.0, 0.0);
        for &length in &self.lengths {
            let (whole, rest) = (u64::from(length) / context as u64, u64::from(length) % context as u64);
            let triangle = |n: f64| n * (n + 1.0) / 2.0;
            sum += whole as f64 * triangle(context as f64) + triangle(rest as f64);
            count += f64::from(length);
        }
        if count == 0.0 { 0.0 } else { sum / count }
    }

    /// Predictions `from..to` of a document: prediction i is of its i-th token, the last of the end marker.
    pub(crate) fn piece(&self, index: usize, from: usize, to: usize, markers: Markers) -> Example {
        let length = self.lengths[index] as usize - 1;
        let mut tokens = Vec::with_capacity(to - from + 1);
        // The token before the first prediction.
        if from == 0 {
            tokens.push(markers.end_of_text);
        }
        tokens.extend(self.tokens(index, from.saturating_sub(1), to.min(length)));
        if to > length {
            tokens.push(markers.end_of_text);
        }
        let mut loss_weights = vec![1.0; tokens.len()];
        loss_weights[0] = 0.0;
        Example { tokens, loss_weights }
    }
}

/// Writes documents into shards, each whole; shards that an earlier attempt left are kept.
pub(crate) struct Writer {
    folder: PathBuf,
    width: usize,
    next: usize,
}

impl Writer {
    /// Shards `NAME/*.tokens` in a folder, for tokens below `vocab_size`.
    pub(crate) fn new(folder: &Path, name: &str, vocab_size: usize) -> Result<Self> {
        let folder = folder.join(name);
        files::create_folder(&folder)?;
        Ok(Self { folder, width: token_bytes(vocab_size), next: 0 })
    }

    /// The next shard, made of at most [`SHARD_DOCUMENTS`] documents; `make` is not called if it is there.
    pub(crate) fn shard(&mut self, make: impl FnOnce() -> Result<Vec<Vec<TokenId>>>) -> Result<()> {
        let path = self.folder.join(format!("{:05}.tokens", self.next));
        self.next += 1;
        if path.exists() {
            return Ok(());
        }
        files::write_whole(&path, &encode(&make()?, self.width))
    }
}

/// Bytes of a token below `vocab_size`.
pub(crate) fn token_bytes(vocab_size: usize) -> usize {
    if vocab_size <= 1 << 16 { 2 } else { 4 }
}

fn encode(documents: &[Vec<TokenId>], width: usize) -> Vec<u8> {
    let tokens: usize = documents.iter().map(Vec::len).sum();
    let mut bytes = Vec::with_capacity(HEADER + 4 * documents.len() + tokens * width);
    bytes.extend((width as u32).to_le_bytes());
    bytes.extend((documents.len() as u32).to_le_bytes());
    bytes.extend(documents.iter().flat_map(|document| (document.len() as u32).to_le_bytes()));
    for token in documents.iter().flatten() {
        bytes.extend_from_slice(&token.to_le_bytes()[..width]);
    }
    bytes
}

fn shard_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).map_err(Error::file("read", folder))?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<std::io::Result<Vec<_>>>();
    let mut paths = paths.map_err(Error::file("read", folder))?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "tokens"));
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MARKERS: Markers = Markers { end_of_text: 0, related: 1 };

    #[test]
    fn pieces_of_a_document_predict_every_token_once() {
        let store = TokenStore::of(&[vec![8], vec![5, 6, 7], vec![]]);
        assert_eq!(store.piece(1, 0, 4, MARKERS), Example::document(&[5, 6, 7], MARKERS));
        assert_eq!(store.piece(1, 0, 2, MARKERS).tokens, [0, 5, 6]);
        assert_eq!(store.piece(1, 2, 4, MARKERS).tokens, [6, 7, 0]);
        assert_eq!(store.piece(1, 3, 4, MARKERS).tokens, [7, 0]);
        assert_eq!(store.piece(2, 0, 1, MARKERS).tokens, [0, 0]);
    }

    proptest! {
        // Every case syncs its files to the disk.
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn survives_the_disk_in_shards_of_either_width(
            shards in prop::collection::vec(prop::collection::vec(prop::collection::vec(0u32..70_000, 0..5), 1..4), 0..4),
            narrow in any::<bool>(),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let most = if narrow { 1 << 16 } else { 70_000 };
            let shards: Vec<Vec<Vec<TokenId>>> = shards
                .into_iter()
                .map(|shard| shard.into_iter().map(|it| it.into_iter().map(|t| t % most).collect()).collect())
                .collect();
            let mut writer = Writer::new(folder.path(), "x", most as usize).unwrap();
            for shard in &shards {
                writer.shard(|| Ok(shard.clone())).unwrap();
            }
            let store = TokenStore::open(folder.path(), &["x"]).unwrap();
            let documents: Vec<Vec<TokenId>> = shards.concat();
            prop_assert_eq!(store.lengths().len(), documents.len());
            for (index, document) in documents.iter().enumerate() {
                prop_assert_eq!(&store.document(index), document);
                prop_assert_eq!(store.lengths()[index] as usize, document.len() + 1);
            }
            let twice = TokenStore::open(folder.path(), &["x", "x"]).unwrap();
            prop_assert_eq!(twice.lengths().len(), 2 * documents.len());
            if let Some(last) = documents.last() {
                prop_assert_eq!(&twice.document(2 * documents.len() - 1), last);
            }
        }
    }

    #[test]
    fn what_an_earlier_attempt_left_is_kept_and_narrow_tokens_take_two_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = Writer::new(folder.path(), "x", 100).unwrap();
        writer.shard(|| Ok(vec![vec![5, 6], vec![7]])).unwrap();
        assert_eq!(fs::metadata(folder.path().join("x/00000.tokens")).unwrap().len(), 8 + 2 * 4 + 3 * 2);
        let mut again = Writer::new(folder.path(), "x", 100).unwrap();
        again.shard(|| panic!("it is there already")).unwrap();
        again.shard(|| Ok(vec![vec![9]])).unwrap();
        assert_eq!(TokenStore::open(folder.path(), &["x"]).unwrap().document(2), [9]);
    }

    #[test]
    fn a_cut_shard_is_damaged_and_named() {
        let folder = tempfile::tempdir().unwrap();
        Writer::new(folder.path(), "x", 100).unwrap().shard(|| Ok(vec![vec![5, 6], vec![7]])).unwrap();
        let path = folder.path().join("x/00000.tokens");
        let whole = fs::read(&path).unwrap();
        for len in 1..whole.len() {
            fs::write(&path, &whole[..len]).unwrap();
            let error = TokenStore::open(folder.path(), &["x"]).unwrap_err();
            assert!(error.to_string().contains("00000.tokens"), "{error}");
        }
    }

    #[test]
    fn mean_context_by_hand() {
        // 3 predictions attend over 1, 2, 3 tokens; cut at 2 they attend over 1, 2, 1.
        let store = TokenStore::of(&[vec![5, 6]]);
        assert_eq!(store.mean_context(8), 2.0);
        assert!((store.mean_context(2) - 4.0 / 3.0).abs() < 1e-12);
    }
}
