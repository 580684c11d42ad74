//! Every registered plugin keeps the contract of its slot. A new plugin is tested here without a line added.

use std::fmt::Write as _;
use std::path::Path;

use sbp_plugin::{Selected, Slot, entries, slots};
use sbp_plugins as _;
use sbp_testkit::contract;

/// Every plugin of a slot, selected with its example options.
fn selected<S: Slot>() -> Vec<Selected<S>> {
    contract::slot::<S>();
    entries::<S>().into_iter().map(contract::plugin).collect()
}

#[test]
fn arms() {
    selected().iter().for_each(contract::arm);
}

#[test]
fn corpora() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("corpus.jsonl");
    let lines = (0..300).fold(String::new(), |mut lines, n| {
        // Every tenth line is no document, which must not matter.
        let _ = if n % 10 == 9 {
            writeln!(lines, "{{\"id\": {n}, \"text\": ")
        } else {
            writeln!(lines, "{{\"id\": {n}, \"text\": \"This is document {n} of 300.\"}}")
        };
        lines
    });
    std::fs::write(&path, lines).unwrap();
    selected().iter().for_each(|selected| contract::corpus(&at(selected, &path)));
}

/// An example names a file that only its reader has: this gives it one.
fn at<S: Slot>(selected: &Selected<S>, path: &Path) -> Selected<S> {
    let mut options = serde_json::to_value(selected).unwrap();
    if options.get("path").is_some() {
        options["path"] = path.to_str().unwrap().into();
    }
    serde_json::from_value(options).unwrap()
}

#[test]
fn document_filters() {
    selected().iter().for_each(contract::document_filter);
}

#[test]
fn embedders() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.json"), "{}").unwrap();
    selected().iter().for_each(|selected| contract::embedder(&at(selected, folder.path())));
}

#[test]
fn evaluators() {
    selected().iter().for_each(contract::evaluator);
}

#[test]
fn mixers() {
    selected().iter().for_each(contract::mixer);
}

#[test]
fn objectives() {
    selected().iter().for_each(contract::objective);
}

#[test]
fn optimizers() {
    selected().iter().for_each(contract::optimizer);
}

#[test]
fn pair_filters() {
    selected().iter().for_each(contract::pair_filter);
}

#[test]
fn retrievers() {
    selected().iter().for_each(contract::retriever);
}

#[test]
fn schedules() {
    selected().iter().for_each(contract::schedule);
}

#[test]
fn synthesizers() {
    selected().iter().for_each(contract::synthesizer);
}

#[test]
fn trackers() {
    selected().iter().for_each(contract::tracker);
}
