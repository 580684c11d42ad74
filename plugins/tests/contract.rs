//! Every registered plugin keeps the contract of its slot. A new plugin is tested here without a line added.

use std::fmt::Write as _;
use std::fs::File;
use std::path::Path;

use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
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
    let path = |name: &str| folder.path().join(name);
    let lines = (0..300).fold(String::new(), |mut lines, n| {
        // Every tenth line is no document, which must not matter, and every eleventh says what another does.
        let _ = match n {
            n if n % 10 == 9 => writeln!(lines, "{{\"id\": {n}, \"text\": "),
            n if n % 11 == 10 => writeln!(lines, "{{\"id\": {n}, \"text\": \"This is document 1 of 300.\"}}"),
            _ => writeln!(lines, "{{\"id\": {n}, \"text\": \"This is document {n} of 300.\"}}"),
        };
        lines
    });
    std::fs::write(path("corpus.jsonl"), lines).unwrap();
    std::fs::create_dir(path("texts")).unwrap();
    for n in 0..100 {
        let bytes = if n % 10 == 9 { vec![0xff] } else { format!("Text {} of 100.", n % 90).into_bytes() };
        std::fs::write(path("texts").join(format!("{n}.txt")), bytes).unwrap();
    }
    rows(&path("corpus.parquet"));
    for selected in selected::<slots::Corpus>() {
        let input = match selected.kind() {
            "parquet" => path("corpus.parquet"),
            "text" => path("texts"),
            _ => path("corpus.jsonl"),
        };
        contract::corpus(&at(&selected, &input));
    }
}

/// An example names a file that only its reader has: this gives it one.
fn at<S: Slot>(selected: &Selected<S>, path: &Path) -> Selected<S> {
    let mut options = serde_json::to_value(selected).unwrap();
    for option in ["path", "data"] {
        if options.get(option).is_some() {
            options[option] = path.to_str().unwrap().into();
        }
    }
    serde_json::from_value(options).unwrap()
}

/// A Parquet file with a column of texts, some of them empty.
fn rows(path: &Path) {
    let schema = parse_message_type("message schema { required binary text (UTF8); }").unwrap();
    let file = File::create(path).unwrap();
    let mut writer = SerializedFileWriter::new(file, schema.into(), WriterProperties::new().into()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    let text = |n: usize| if n % 10 == 9 { String::new() } else { format!("Row {} of 100.", n % 90) };
    let texts: Vec<ByteArray> = (0..100).map(|n| ByteArray::from(text(n).as_str())).collect();
    column.typed::<ByteArrayType>().write_batch(&texts, None, None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
}

#[test]
fn document_filters() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.json");
    std::fs::write(&path, r#"{"bias": 0.5, "weights": {"the": 0.1, "again and": -3}}"#).unwrap();
    selected().iter().for_each(|selected| contract::document_filter(&at(selected, &path)));
}

#[test]
fn embedders() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.json"), "{}").unwrap();
    selected().iter().for_each(|selected| contract::embedder(&at(selected, folder.path())));
}

#[test]
fn evaluators() {
    let folder = tempfile::tempdir().unwrap();
    evaluation_sets(folder.path());
    for selected in selected::<slots::Evaluator>() {
        let input = match selected.kind() {
            "perplexity" => folder.path().join("texts.jsonl"),
            _ => folder.path().to_owned(),
        };
        contract::evaluator(&at(&selected, &input));
    }
}

/// Two items of every task, in the layout of the Hugging Face Hub, and some texts. The answers are those that the first
/// model prefers last, so that no training makes it worse.
fn evaluation_sets(folder: &Path) {
    let choices = r#"{"text": ["a", "a longer choice"], "label": ["A", "B"]}"#;
    for (file, rows) in [
        ("texts.jsonl", [r#"{"text": "one text"}"#.to_owned(), r#"{"text": "another text"}"#.to_owned()]),
        ("ARC-Easy/test.jsonl", [0, 1].map(|n| format!(r#"{{"question": "q{n}", "choices": {choices}, "answerKey": "B"}}"#))),
        ("ARC-Easy/train.jsonl", [2, 3].map(|n| format!(r#"{{"question": "q{n}", "choices": {choices}, "answerKey": "B"}}"#))),
        ("ARC-Challenge/test.jsonl", [0, 1].map(|n| format!(r#"{{"question": "q{n}", "choices": {choices}, "answerKey": "B"}}"#))),
        ("sciq/test.jsonl", [0, 1].map(|n| format!(r#"{{"support": " s", "question": "q{n}", "distractor1": "a", "distractor2": "b", "distractor3": "c", "correct_answer": "long"}}"#))),
        ("winogrande_xl/validation.jsonl", [1, 2].map(|n| format!(r#"{{"sentence": "Is it _ or not?", "option1": "he", "option2": "she", "answer": "{n}"}}"#))),
        ("triviaqa/validation.jsonl", [0, 1].map(|n| format!(r#"{{"question": "q{n}", "answer": {{"aliases": ["One", "two"]}}}}"#))),
        ("webqs/test.jsonl", [0, 1].map(|n| format!(r#"{{"question": "q{n}", "answers": ["One", "two"]}}"#))),
        ("webqs/train.jsonl", [2, 3].map(|n| format!(r#"{{"question": "q{n}", "answers": ["One", "two"]}}"#))),
        ("mmlu/all/test.jsonl", [0, 1].map(|n| format!(r#"{{"question": "q{n}", "subject": "law", "choices": ["a", "b", "c", "d"], "answer": 3}}"#))),
        ("lambada_openai/test.jsonl", [0, 1].map(|n| format!(r#"{{"text": "the last word is {n}"}}"#))),
    ] {
        let path = folder.join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, rows.join("\n")).unwrap();
    }
    let example = |n| {
        format!(r#"{{"question": "e{n}", "subject": "law", "choices": ["a", "b", "c", "d"], "answer": {n}}}"#)
    };
    std::fs::write(folder.join("mmlu/all/dev.jsonl"), [0, 1, 2, 3, 0].map(example).join("\n")).unwrap();
}

#[test]
fn judges() {
    // Nobody listens there: what cannot be judged is an error.
    selected::<slots::Judge>().iter().for_each(|selected| {
        let mut options = serde_json::to_value(selected).unwrap();
        options["url"] = "http://127.0.0.1:9/v1".into();
        contract::judge(&serde_json::from_value(options).unwrap());
    });
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
