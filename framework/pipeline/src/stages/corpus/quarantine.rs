//! Records that give no document, aside.

use std::path::Path;

use sbp_core::Document;
use sbp_plugin::slots::corpus::{BadRecord, NoDocument};

use crate::stages::failed;
use crate::{Error, Result, files};

/// Bad records that are listed; more are only counted.
const LISTED: usize = 10_000;

/// Counts records, and keeps the first bad ones.
#[derive(Default)]
pub(crate) struct Quarantine {
    listed: Vec<BadRecord>,
    pub(crate) bad: usize,
    pub(crate) duplicates: usize,
    good: usize,
}

impl Quarantine {
    /// The document of a record, if it has one.
    pub(crate) fn sift(
        &mut self,
        record: std::result::Result<Document, NoDocument>,
    ) -> Result<Option<Document>> {
        match record {
            Ok(document) => {
                self.good += 1;
                return Ok(Some(document));
            }
            Err(NoDocument::Duplicate) => self.duplicates += 1,
            Err(NoDocument::Bad(record)) => {
                self.bad += 1;
                if self.listed.len() < LISTED {
                    self.listed.push(record);
                }
            }
            Err(NoDocument::Failed(error)) => return Err(failed("corpus")(error.into())),
        }
        Ok(None)
    }

    /// An error when too many records are bad.
    pub(crate) fn check(&self, max_share: f64) -> Result<()> {
        let all = self.bad + self.duplicates + self.good;
        let share = self.bad as f64 / all.max(1) as f64;
        // A corpus may give records in another order than its files have them.
        match self.listed.iter().min_by_key(|record| (&record.file, record.line)) {
            Some(first) if share > max_share => Err(Error::Corpus(format!(
                "{} of {all} records cannot be read ({:.1}%, allowed are {:.1}%), such as {} line {}: {}; mend the file or raise splits.max_bad_share",
                self.bad,
                100.0 * share,
                100.0 * max_share,
                first.file,
                first.line,
                first.reason
            ))),
            _ => Ok(()),
        }
    }

    /// The bad records that were kept.
    pub(crate) fn listed(&self) -> &[BadRecord] {
        &self.listed
    }

    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        files::write_lines(&folder.join("quarantine.jsonl"), &self.listed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_records_are_counted_without_end_and_listed_up_to_one() {
        let mut quarantine = Quarantine::default();
        for line in 0..LISTED as u64 + 5 {
            let bad = BadRecord { file: "a".to_owned(), line, reason: "bad".to_owned() };
            assert_eq!(quarantine.sift(Err(bad.into())).expect("aside"), None);
        }
        assert_eq!(quarantine.sift(Err(NoDocument::Duplicate)).expect("aside"), None);
        assert!(quarantine.sift(Ok(Document::new("a", "b"))).expect("kept").is_some());
        assert_eq!((quarantine.bad, quarantine.listed.len(), quarantine.duplicates), (LISTED + 5, LISTED, 1));
        assert!(quarantine.check(0.9).expect_err("too many").to_string().contains("such as a line 0"));
        let error = quarantine.sift(Err(NoDocument::Failed("gone; put it back".to_owned())));
        assert!(error.expect_err("it ends").to_string().contains("stage corpus failed: gone; put it back"));
    }
}
