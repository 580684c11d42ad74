//! Draws on the disk: each as a line as soon as it ends, and in shards of many once these are whole.
//!
//! While a shard is made its draws are appended to `draws/000000.part` in whatever order they end, by other processes than the
//! leader to `draws/000000.part-<rank>`; a line that a kill cut short is taken off again. A whole shard is
//! `draws/000000.jsonl`, in the order of its requests.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use sbp_core::{Cost, DocId, SyntheticDocument};
use sbp_plugin::slots::document_filter::Verdict;
use serde::{Deserialize, Serialize};

use crate::{Error, Result, files};

/// One draw with its verdict, a line of a shard.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    #[serde(flatten)]
    pub(crate) document: SyntheticDocument,
    pub(crate) verdict: Verdict,
    /// Training tokens of the text; of the last that is kept, those that the budget had room for.
    pub(crate) training_tokens: u32,
    pub(crate) cost: Cost,
}

impl Record {
    /// Training tokens that it gives.
    pub(crate) fn kept_tokens(&self) -> u64 {
        if self.verdict.is_keep() { u64::from(self.training_tokens) } else { 0 }
    }
}

/// Counts of draws.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Tally {
    pub(super) drawn: usize,
    pub(super) dropped: usize,
    /// Training tokens of those that are kept.
    pub(super) tokens: u64,
    pub(super) cost: Cost,
}

impl Tally {
    pub(super) fn add(&mut self, record: &Record) {
        self.drawn += 1;
        self.dropped += usize::from(!record.verdict.is_keep());
        self.tokens += record.kept_tokens();
        self.cost.add(record.cost);
    }
}

/// A shard under way.
pub(super) struct Shard {
    part: PathBuf,
    file: File,
    /// Draws that are there, by seed document and draw.
    records: BTreeMap<(DocId, u32), Record>,
    tally: Tally,
}

impl Shard {
    /// Whether a shard is whole.
    pub(super) fn is_whole(folder: &Path, number: usize) -> bool {
        whole(folder, number).exists()
    }

    /// The draws of a whole shard.
    pub(super) fn read_whole(folder: &Path, number: usize) -> Result<Vec<Record>> {
        files::read_lines(&whole(folder, number))
    }

    /// Opens a shard with what an earlier attempt left, of whatever processes.
    pub(super) fn open(folder: &Path, number: usize) -> Result<Self> {
        let mut shard = Self::open_file(folder.join(format!("{number:06}.part")))?;
        shard.add_others(folder, number)?;
        Ok(shard)
    }

    /// Opens what a process other than the leader adds to a shard.
    pub(super) fn open_beside(folder: &Path, number: usize, rank: usize) -> Result<Self> {
        Self::open_file(folder.join(format!("{number:06}.part-{rank}")))
    }

    /// Takes in what other processes added.
    fn add_others(&mut self, folder: &Path, number: usize) -> Result<()> {
        for path in others(folder, number)? {
            for (place, record) in Self::open_file(path)?.records {
                if !self.records.contains_key(&place) {
                    self.tally.add(&record);
                    self.records.insert(place, record);
                }
            }
        }
        Ok(())
    }

    fn open_file(part: PathBuf) -> Result<Self> {
        let left = if part.exists() {
            std::fs::read(&part).map_err(Error::file("read", &part))?
        } else {
            Vec::new()
        };
        let (mut records, mut tally) = (BTreeMap::new(), Tally::default());
        let mut whole = 0;
        for line in left.split_inclusive(|byte| *byte == b'\n') {
            let record: Option<Record> = serde_json::from_slice(line).ok();
            let Some(record) = record.filter(|_| line.ends_with(b"\n")) else { break };
            tally.add(&record);
            records.insert((record.document.seed, record.document.draw), record);
            whole += line.len() as u64;
        }
        let file = OpenOptions::new().create(true).append(true).open(&part);
        let file = file.map_err(Error::file("open", &part))?;
        file.set_len(whole).map_err(Error::file("shorten", &part))?;
        Ok(Self { part, file, records, tally })
    }

    /// Whether a draw is there.
    pub(super) fn has(&self, place: (DocId, u32)) -> bool {
        self.records.contains_key(&place)
    }

    /// Counts of the draws that are there.
    pub(super) fn tally(&self) -> Tally {
        self.tally
    }

    /// Adds a draw.
    pub(super) fn add(&mut self, record: Record) -> Result<()> {
        let mut line = serde_json::to_vec(&record).map_err(|error| files::invalid(&self.part, &error))?;
        line.push(b'\n');
        self.file.write_all(&line).map_err(Error::file("write", &self.part))?;
        self.tally.add(&record);
        self.records.insert((record.document.seed, record.document.draw), record);
        Ok(())
    }

    /// Makes the shard whole: the draws in the order they were asked for, all of which must be there, by this process or others;
    /// no more than `room` training tokens of them are kept.
    pub(super) fn finish(
        mut self,
        folder: &Path,
        number: usize,
        order: &[(DocId, u32)],
        room: u64,
    ) -> Result<()> {
        self.add_others(folder, number)?;
        let records = order.iter().filter_map(|place| self.records.remove(place));
        let mut records: Vec<Record> = records.collect();
        debug_assert_eq!(records.len(), order.len(), "a draw is missing");
        keep_no_more_than(room, &mut records);
        files::write_lines(&whole(folder, number), &records)?;
        for part in others(folder, number)?.iter().chain([&self.part]) {
            std::fs::remove_file(part).map_err(Error::file("remove", part))?;
        }
        Ok(())
    }
}

fn whole(folder: &Path, number: usize) -> PathBuf {
    folder.join(format!("{number:06}.jsonl"))
}

/// What processes other than the leader added to a shard.
fn others(folder: &Path, number: usize) -> Result<Vec<PathBuf>> {
    let beginning = format!("{number:06}.part-");
    let mut others = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(Error::file("read", folder))? {
        let entry = entry.map_err(Error::file("read", folder))?;
        if entry.file_name().to_string_lossy().starts_with(&beginning) {
            others.push(entry.path());
        }
    }
    others.sort();
    Ok(others)
}

/// Keeps draws until they have `room` training tokens: what goes beyond is cut off the one that gets there, and those after
/// it are dropped.
fn keep_no_more_than(mut room: u64, records: &mut [Record]) {
    for record in records.iter_mut().filter(|record| record.verdict.is_keep()) {
        if room == 0 {
            record.verdict = Verdict::drop("beyond_budget");
        }
        // Never more than it had, so that it still fits.
        record.training_tokens = room.min(u64::from(record.training_tokens)) as u32;
        room -= record.kept_tokens();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(seed: u64, draw: u32) -> Record {
        let document = SyntheticDocument {
            seed: DocId(seed),
            draw,
            text: format!("text {seed} {draw}\nwith a second line"),
            num_tokens: 9,
            log_prob: -1.5,
            finished: true,
        };
        Record { document, verdict: Verdict::Keep, training_tokens: 10, cost: Cost { tokens: 3, flops: 4.0 } }
    }

    #[test]
    fn a_shard_goes_on_where_it_was_cut() {
        let folder = tempfile::tempdir().unwrap();
        let order = [(DocId(1), 0), (DocId(2), 0), (DocId(1), 1)];
        let mut shard = Shard::open(folder.path(), 0).unwrap();
        shard.add(record(1, 1)).unwrap();
        shard.add(record(1, 0)).unwrap();
        drop(shard);
        let part = folder.path().join("000000.part");
        let whole = std::fs::read(&part).unwrap();
        let first = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        // Wherever it was cut, what stood before the cut is there, and the rest can be added.
        for cut in 0..=whole.len() {
            std::fs::write(&part, &whole[..cut]).unwrap();
            let mut shard = Shard::open(folder.path(), 0).unwrap();
            assert_eq!(shard.records.len(), usize::from(cut >= first) + usize::from(cut >= whole.len()));
            for (seed, draw) in order {
                if !shard.has((seed, draw)) {
                    shard.add(record(seed.0, draw)).unwrap();
                }
            }
            assert!(!Shard::is_whole(folder.path(), 0));
            shard.finish(folder.path(), 0, &order, 1000).unwrap();
            assert_eq!(places(folder.path()), order);
            assert!(!part.exists());
            std::fs::remove_file(folder.path().join("000000.jsonl")).unwrap();
        }
    }

    fn places(folder: &Path) -> Vec<(DocId, u32)> {
        let whole = Shard::read_whole(folder, 0).unwrap();
        whole.iter().map(|it| (it.document.seed, it.document.draw)).collect()
    }

    #[test]
    fn processes_add_to_one_shard_and_what_they_left_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let order = [(DocId(1), 0), (DocId(2), 0), (DocId(3), 0), (DocId(4), 0)];
        for (rank, seed) in [(1, 3), (5, 1)] {
            Shard::open_beside(folder.path(), 0, rank).unwrap().add(record(seed, 0)).unwrap();
        }
        let mut leader = Shard::open(folder.path(), 0).unwrap();
        assert_eq!(order.map(|place| leader.has(place)), [true, false, true, false]);
        leader.add(record(4, 0)).unwrap();
        Shard::open_beside(folder.path(), 0, 1).unwrap().add(record(2, 0)).unwrap();
        leader.finish(folder.path(), 0, &order, 1000).unwrap();
        assert_eq!(places(folder.path()), order);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_budget_is_met_to_the_token() {
        for room in 0..=35 {
            let mut records: Vec<Record> = (0..4).map(|seed| record(seed, 0)).collect();
            records[1].verdict = Verdict::drop("too_short");
            keep_no_more_than(room, &mut records);
            assert_eq!(records.iter().map(Record::kept_tokens).sum::<u64>(), room.min(30), "room {room}");
            assert_eq!(records[1].verdict, Verdict::drop("too_short"));
            assert_eq!(records[3].verdict.is_keep(), room > 20);
        }
    }
}
