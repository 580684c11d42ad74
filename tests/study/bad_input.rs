//! Bad corpora: a bad line is counted and quarantined with file and line, never a panic.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;

use super::{answer, sbp_run, smoke};

/// The smoke study on a JSONL file.
fn on_jsonl(folder: &Path, lines: &str, extra: &[&str]) -> Output {
    let corpus = folder.join("corpus.jsonl");
    std::fs::write(&corpus, lines).expect("it can be written");
    let recipe = folder.join("recipe.toml");
    let text = std::fs::read_to_string(smoke()).expect("the smoke recipe is there");
    let (before, after) = (text.find("[corpus]").expect("a corpus"), text.find("[splits]").expect("splits"));
    let text = format!(
        "{}[corpus]\nkind = \"jsonl\"\npath = \"corpus.jsonl\"\n\n{}",
        &text[..before],
        &text[after..]
    );
    let text = text.replace("[[evaluators]]\nkind = \"multiple_choice\"\n", "");
    std::fs::write(&recipe, text).expect("it can be written");
    sbp_run(&recipe, &folder.join("home"), extra).output().expect("it starts")
}

fn documents(count: usize) -> String {
    let mut text = String::new();
    for i in 0..count {
        let (a, b, c) = (i % 7, i * i % 11, i * 31 % 101);
        let _ = writeln!(
            text,
            r#"{{"id": "d{i}", "text": "Note {i}. The tower of row {a} stands near gate {b}; keeper {c} wrote {} on its wall and left at dawn."}}"#,
            i * 7919 % 10007
        );
    }
    text
}

#[test]
fn a_few_bad_lines_are_quarantined() {
    let folder = tempfile::tempdir().expect("a folder");
    // The pool asks for more documents than there are, so that every record is read.
    let mut lines = documents(700);
    lines.insert_str(0, "{\"id\": \"broken\", \"text\": \n{\"id\": \"no text\"}\n");
    let output = on_jsonl(folder.path(), &lines, &["--set", "splits.pretrain_documents=170"]);
    let answer = answer(&output);
    assert_eq!(answer["exit"], 0, "{}", String::from_utf8_lossy(&output.stderr));
    let run = PathBuf::from(answer["run_dir"].as_str().expect("a folder"));
    let quarantine =
        std::fs::read_to_string(run.join("stages/corpus/quarantine.jsonl")).expect("it is there");
    let mut places: Vec<(String, u64)> = quarantine
        .lines()
        .map(|line| {
            let bad: serde_json::Value = serde_json::from_str(line).expect("JSON");
            (bad["file"].as_str().expect("a name").to_owned(), bad["line"].as_u64().expect("a number"))
        })
        .collect();
    places.sort();
    assert_eq!(places, [("corpus.jsonl".to_owned(), 1), ("corpus.jsonl".to_owned(), 2)]);
}

#[test]
fn too_many_bad_lines_end_the_run_with_file_line_and_remedy() {
    let folder = tempfile::tempdir().expect("a folder");
    let lines = documents(300) + &"not json\n".repeat(100);
    let output = on_jsonl(folder.path(), &lines, &["--set", "splits.pretrain_documents=50"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    let (_, after) = said.split_once("corpus.jsonl line ").expect(&said);
    let line: usize = after.split(':').next().and_then(|line| line.parse().ok()).expect(&said);
    assert!((301..=400).contains(&line) && said.contains("splits.max_bad_share"), "{said}");
}

#[test]
fn a_missing_file_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = on_jsonl(folder.path(), "", &["--set", "corpus.path=absent.jsonl"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("absent.jsonl") && !said.contains("panicked"), "{said}");
    let answer = answer(&output);
    let run = PathBuf::from(answer["run_dir"].as_str().expect("a folder"));
    assert!(run.join("recipe.resolved.toml").exists(), "what failed can be looked at");
    assert_eq!((&answer["results"], &answer["exit"]), (&Value::Null, &Value::from(1)));
}

#[test]
fn a_wrong_recipe_exits_78() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = on_jsonl(folder.path(), "", &["--set", "model.hidden_size=0"]);
    assert_eq!(output.status.code(), Some(78));
    let answer = answer(&output);
    assert_eq!((&answer["run_dir"], &answer["exit"]), (&Value::Null, &Value::from(78)));
}
