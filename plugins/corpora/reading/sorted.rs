//! Items in the order of their keys, in memory as far as they fit, the rest in sorted runs on disk.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::path::PathBuf;
use std::sync::Arc;

use sbp_plugin::prelude::*;
use tempfile::TempDir;

use super::spill::{self, Run};
use super::{Place, Record};

/// A record and its place in the corpus. The order is total, so that it does not depend on who read what when.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Item {
    /// A hash of the text, or of what is wrong where there is none.
    pub(super) key: u128,
    pub(super) found: Found,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Found {
    Document { id: DocId, source: Box<str>, text: Box<str> },
    Bad { file: Box<str>, line: u64, reason: Box<str> },
}

impl Item {
    pub(super) fn of(place: Place<'_>, outcome: std::result::Result<Record, String>) -> Self {
        match outcome {
            Ok(Record { name, text, source }) => {
                let key = hash(&[text.trim().as_bytes()]);
                // Two documents may have one name, as where every file is numbered from 0, but not one text.
                let id = DocId(hash(&[&key.to_le_bytes(), name.as_bytes()]) as u64);
                Self { key, found: Found::Document { id, source: source.into(), text: text.into() } }
            }
            Err(reason) => {
                let key = hash(&[b"bad record", &place.line.to_le_bytes(), reason.as_bytes()]);
                let found = Found::Bad { file: place.file.into(), line: place.line, reason: reason.into() };
                Self { key, found }
            }
        }
    }

    /// The memory that it takes.
    pub(super) fn bytes(&self) -> usize {
        let (one, other) = match &self.found {
            Found::Document { source, text, .. } => (source, text),
            Found::Bad { file, reason, .. } => (file, reason),
        };
        size_of::<Self>() + 16 + one.len() + other.len()
    }

    /// What it adds to the fingerprint: all that is told of it but where it was found.
    fn identity(&self) -> u128 {
        match &self.found {
            Found::Document { id, source, .. } => {
                hash(&[&self.key.to_le_bytes(), &id.0.to_le_bytes(), source.as_bytes()])
            }
            Found::Bad { .. } => hash(&[&self.key.to_le_bytes()]),
        }
    }
}

fn hash(parts: &[&[u8]]) -> u128 {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    u128::from_le_bytes(hasher.finalize().as_bytes()[..16].try_into().expect("a hash has 32 bytes"))
}

/// Which of the two halves of a corpus an item is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Documents,
    Heldout,
}

/// Takes items in any order.
pub(super) struct Sorter {
    bound: usize,
    /// Memory of the items that are held.
    bytes: usize,
    halves: [Half; 2],
    folder: Option<TempDir>,
}

/// Runs that are read at once: far fewer than the files that a process may open. When there are more, they become one.
const MOST_RUNS: usize = if cfg!(test) { 3 } else { 128 };

#[derive(Default)]
struct Half {
    items: Vec<Item>,
    runs: Vec<PathBuf>,
    /// Runs written so far, for their names.
    written: usize,
    /// The sum of all identities: the same in whatever order they come.
    sum: u128,
}

impl Sorter {
    /// Holds items of `bound` bytes at most.
    pub(super) fn new(bound: usize) -> Self {
        Self { bound, bytes: 0, halves: [Half::default(), Half::default()], folder: None }
    }

    pub(super) fn extend(&mut self, items: impl Iterator<Item = (Side, Item)>) -> Result<()> {
        for (side, item) in items {
            self.bytes += item.bytes();
            let half = &mut self.halves[side as usize];
            half.sum = half.sum.wrapping_add(item.identity());
            half.items.push(item);
            if self.bytes > self.bound {
                self.spill()?;
            }
        }
        Ok(())
    }

    /// What the items of each half come to.
    pub(super) fn sums(&self) -> [u128; 2] {
        [self.halves[0].sum, self.halves[1].sum]
    }

    fn spill(&mut self) -> Result<()> {
        let folder = match &mut self.folder {
            Some(folder) => folder,
            none => none.insert(spill::folder()?),
        };
        for (name, half) in ["documents", "heldout"].iter().zip(&mut self.halves) {
            if half.items.is_empty() {
                continue;
            }
            let mut items = std::mem::take(&mut half.items);
            items.sort_unstable();
            let path = |written: usize| folder.path().join(format!("{name}-{written}.zst"));
            spill::write(&path(half.written), items.iter().map(Ok))?;
            half.runs.push(path(half.written));
            half.written += 1;
            if half.runs.len() > MOST_RUNS {
                let runs = Sorted { items: Vec::new(), runs: std::mem::take(&mut half.runs), _folder: None };
                spill::write(&path(half.written), runs.iter()?.map(|item| item.map_err(Error::from)))?;
                for run in runs.runs {
                    // What is left over is removed with the folder.
                    let _ = std::fs::remove_file(run);
                }
                half.runs.push(path(half.written));
                half.written += 1;
            }
        }
        self.bytes = 0;
        Ok(())
    }

    /// The documents and the held-out ones.
    pub(super) fn finish(self) -> (Sorted, Sorted) {
        let folder = self.folder.map(Arc::new);
        let [documents, heldout] = self.halves.map(|half| {
            let mut items = half.items;
            items.sort_unstable();
            Sorted { items, runs: half.runs, _folder: folder.clone() }
        });
        (documents, heldout)
    }
}

/// Items in order; those on disk are removed with it.
pub(super) struct Sorted {
    items: Vec<Item>,
    runs: Vec<PathBuf>,
    _folder: Option<Arc<TempDir>>,
}

impl Sorted {
    pub(super) fn iter(&self) -> Result<Merged<'_>> {
        let mut sources: Vec<Source<'_>> = vec![Source::Memory(self.items.iter())];
        for run in &self.runs {
            sources.push(Source::Disk(Box::new(spill::open(run)?)));
        }
        let mut merged = Merged { next: BinaryHeap::new(), sources, failed: None };
        (0..merged.sources.len()).for_each(|index| merged.advance(index));
        Ok(merged)
    }
}

enum Source<'s> {
    Memory(std::slice::Iter<'s, Item>),
    Disk(Box<Run>),
}

/// The least item of several sorted sources, again and again.
pub(super) struct Merged<'s> {
    next: BinaryHeap<Reverse<(Item, usize)>>,
    sources: Vec<Source<'s>>,
    failed: Option<String>,
}

impl Merged<'_> {
    fn advance(&mut self, index: usize) {
        let item = match &mut self.sources[index] {
            Source::Memory(items) => items.next().cloned(),
            Source::Disk(run) => match run.next() {
                Ok(item) => item,
                Err(error) => {
                    self.failed = Some(error.to_string());
                    None
                }
            },
        };
        self.next.extend(item.map(|item| Reverse((item, index))));
    }
}

#[expect(clippy::missing_trait_methods, reason = "an iterator's defaults follow from `next`")]
impl Iterator for Merged<'_> {
    type Item = std::result::Result<Item, String>;
    fn next(&mut self) -> Option<Self::Item> {
        if let Some(error) = self.failed.take() {
            self.next.clear();
            return Some(Err(error));
        }
        let Reverse((item, index)) = self.next.pop()?;
        self.advance(index);
        Some(Ok(item))
    }
}
