//! Draws on the disk: each as a line as soon as it ends, and in shards of many once these are whole.
//!
//! While a shard is made its draws are appended to `draws/000000.part` in whatever order they end; a line that a kill cut
//! short is taken off again. A whole shard is `draws/000000.jsonl`, in the order of its requests.

use std::collections::HashMap;
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
    whole: PathBuf,
    file: File,
    /// Draws that are there, by seed document and draw.
    records: HashMap<(DocId, u32), Record>,
    tally: Tally,
}

impl Shard {
    /// The draws of a whole shard, if it is one.
    pub(super) fn read_whole(folder: &Path, number: usize) -> Result<Option<Vec<Record>>> {
        let path = folder.join(format!("{number:06}.jsonl"));
        if path.exists() { files::read_lines(&path).map(Some) } else { Ok(None) }
    }

    /// Opens a shard with what an earlier attempt left.
    pub(super) fn open(folder: &Path, number: usize) -> Result<Self> {
        let part = folder.join(format!("{number:06}.part"));
        let left = if part.exists() {
            std::fs::read(&part).map_err(Error::file("read", &part))?
        } else {
            Vec::new()
        };
        let (mut records, mut tally) = (HashMap::new(), Tally::default());
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
        Ok(Self { whole: folder.join(format!("{number:06}.jsonl")), part, file, records, tally })
    }

    /// Whether a draw is there.
    pub(super) fn has(&self, seed: DocId, draw: u32) -> bool {
        self.records.contains_key(&(seed, draw))
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

    /// The draws in the order they were asked for, all of which must be there; keeps no more than `room` training tokens of
    /// them, and makes the shard whole.
    pub(super) fn finish(mut self, order: &[(DocId, u32)], room: u64) -> Result<Vec<Record>> {
        let records = order.iter().filter_map(|place| self.records.remove(place));
        let mut records: Vec<Record> = records.collect();
        debug_assert_eq!(records.len(), order.len(), "a draw is missing");
        keep_no_more_than(room, &mut records);
        files::write_lines(&self.whole, &records)?;
        std::fs::remove_file(&self.part).map_err(Error::file("remove", &self.part))?;
        Ok(records)
    }
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
                if !shard.has(seed, draw) {
                    shard.add(record(seed.0, draw)).unwrap();
                }
            }
            assert!(Shard::read_whole(folder.path(), 0).unwrap().is_none());
            let finished = shard.finish(&order, 1000).unwrap();
            let found: Vec<_> = finished.iter().map(|it| (it.document.seed, it.document.draw)).collect();
            assert_eq!(found, order);
            assert_eq!(Shard::read_whole(folder.path(), 0).unwrap(), Some(finished));
            assert!(!part.exists());
            std::fs::remove_file(folder.path().join("000000.jsonl")).unwrap();
        }
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
