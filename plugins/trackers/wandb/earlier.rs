//! What offline runs on disk already hold of a W&B run.

use std::fs;
use std::path::{Path, PathBuf};

use prost::Message as _;

use super::log::Records;
use super::records::{History, Kind, Record};
use crate::trackers::logged::Logged;

/// How far a W&B run has come, over all its offline runs.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Earlier {
    /// How many offline runs there are.
    pub(super) num_parts: usize,
    /// Rows of its history.
    pub(super) num_rows: i64,
    pub(super) logged: Logged,
    /// Seconds that it has run.
    pub(super) runtime: f64,
    /// When the latest offline run began, in seconds since 1970.
    pub(super) begun: i64,
    /// How the latest offline run ended, if it did.
    pub(super) exit_code: Option<i32>,
}

impl Earlier {
    /// Reads the offline runs of a W&B run in a folder.
    pub(super) fn read(folder: &Path, id: &str) -> Self {
        let mut earlier = Self::default();
        for part in parts(folder, id) {
            // One that cannot be read counts as empty: what it held may be logged again, and W&B takes the first.
            let bytes = fs::read(part.join(format!("run-{id}.wandb"))).unwrap_or_default();
            earlier.num_parts += 1;
            earlier.exit_code = None;
            for record in Records::of(&bytes).filter_map(|record| Record::decode(&record[..]).ok()) {
                earlier.note(&record);
            }
        }
        earlier
    }

    fn note(&mut self, record: &Record) {
        match &record.kind {
            Some(Kind::Run(run)) => {
                let begun = run.start_time.as_ref().map_or(0, |time| time.seconds);
                self.begun = self.begun.max(begun);
            }
            Some(Kind::Exit(exit)) => self.exit_code = Some(exit.exit_code),
            Some(Kind::History(row)) => self.note_row(row),
            _ => (),
        }
    }

    fn note_row(&mut self, row: &History) {
        self.num_rows = self.num_rows.max(row.step.as_ref().map_or(0, |step| step.num) + 1);
        let number = |name: &str| {
            let item = row.item.iter().find(|item| item.nested_key == [name])?;
            item.value_json.parse::<f64>().ok()
        };
        self.runtime = self.runtime.max(number("_runtime").unwrap_or(0.0));
        let Some(step) = number("step") else { return };
        for item in &row.item {
            self.logged.note(&item.nested_key.join("."), step as u64);
        }
    }
}

/// The offline runs of a W&B run, oldest first: the time they began is in their names.
fn parts(folder: &Path, id: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut parts: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.strip_prefix("offline-run-").and_then(|name| name.strip_suffix(id)).is_some()
        })
        .collect();
    parts.sort();
    parts
}
