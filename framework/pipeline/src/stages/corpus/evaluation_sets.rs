//! Evaluation sets from files: every text in them must stay out of what is trained on.

use std::io::Read as _;
use std::path::Path;

use parquet::file::reader::{FileReader as _, SerializedFileReader};
use sbp_core::{Fingerprint, FingerprintBuilder};
use sbp_plugin::input::{self, InputFile, name_uncompressed};
use sbp_recipe::SplitsSection;
use serde_json::{Value, json};

use crate::leakage::LeakageGuard;
use crate::{Error, Result};

/// What a folder of evaluation sets is searched for.
const ENDINGS: [&str; 11] = [
    ".jsonl",
    ".jsonl.gz",
    ".jsonl.zst",
    ".json",
    ".json.gz",
    ".ndjson",
    ".csv",
    ".csv.gz",
    ".tsv",
    ".txt",
    ".parquet",
];

/// The sets that a recipe names.
#[derive(Clone)]
pub(crate) struct EvaluationSets(Vec<EvaluationSet>);

#[derive(Clone)]
struct EvaluationSet {
    name: String,
    texts: Vec<String>,
    fingerprint: Fingerprint,
}

impl EvaluationSets {
    /// Reads every text of `splits.evaluation_sets`.
    pub(crate) fn read(splits: &SplitsSection) -> Result<Self> {
        let sets = splits.evaluation_sets.iter().map(|(name, paths)| {
            let fail =
                |error: sbp_plugin::Error| Error::Corpus(format!("splits.evaluation_sets.{name}: {error}"));
            let mut texts = Vec::new();
            for file in paths.files(&ENDINGS).map_err(fail)? {
                texts_of(&file, &mut texts).map_err(fail)?;
            }
            if texts.is_empty() {
                return Err(fail("its files hold no text; name others, or leave the set out".into()));
            }
            let mut fingerprint = FingerprintBuilder::default();
            texts.iter().for_each(|text| fingerprint.push(text.as_bytes()));
            Ok(EvaluationSet { name: name.clone(), texts, fingerprint: fingerprint.finish() })
        });
        Ok(Self(sets.collect::<Result<_>>()?))
    }

    pub(crate) fn guard(&self, guard: &mut LeakageGuard) {
        for set in &self.0 {
            guard.guard(&set.name, set.texts.iter().map(String::as_str));
        }
    }

    /// What the sets hold, by name.
    pub(crate) fn identity(&self) -> Value {
        self.0
            .iter()
            .map(|set| (set.name.clone(), json!(set.fingerprint)))
            .collect::<serde_json::Map<_, _>>()
            .into()
    }
}

/// Adds every text of a file: every string in JSON and Parquet, every cell of a table, every other file's lines.
fn texts_of(file: &InputFile, texts: &mut Vec<String>) -> sbp_plugin::Result<()> {
    if file.name.ends_with(".parquet") {
        return rows_of(&file.path, texts);
    }
    let mut bytes = Vec::new();
    let damaged = |what: String| -> sbp_plugin::Error {
        format!("{} cannot be read: {what}; mend it, or fetch it again", file.path.display()).into()
    };
    input::open(&file.path)?.read_to_end(&mut bytes).map_err(|error| damaged(error.to_string()))?;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = 1 + bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
        damaged(format!("line {line} is not UTF-8"))
    })?;
    match name_uncompressed(&file.name).rsplit('.').next() {
        Some("jsonl" | "ndjson" | "json") => {
            for value in serde_json::Deserializer::from_str(text).into_iter::<Value>() {
                strings_in(value.map_err(|error| damaged(format!("it is no JSON, {error}")))?, texts);
            }
        }
        Some("csv") => cells_of(text, b',', texts).map_err(damaged)?,
        Some("tsv") => cells_of(text, b'\t', texts).map_err(damaged)?,
        _ => texts.extend(text.lines().map(str::to_owned)),
    }
    Ok(())
}

fn rows_of(path: &Path, texts: &mut Vec<String>) -> sbp_plugin::Result<()> {
    let explain = |error: parquet::errors::ParquetError| -> sbp_plugin::Error {
        format!("{} cannot be read: {error}; it is damaged or no Parquet file", path.display()).into()
    };
    let reader = SerializedFileReader::new(input::open_raw(path)?).map_err(explain)?;
    for group in 0..reader.num_row_groups() {
        let group = reader.get_row_group(group).map_err(explain)?;
        for row in group.get_row_iter(None).map_err(explain)? {
            strings_in(row.map_err(explain)?.to_json_value(), texts);
        }
    }
    Ok(())
}

fn strings_in(value: Value, texts: &mut Vec<String>) {
    match value {
        Value::String(text) => texts.push(text),
        Value::Array(values) => values.into_iter().for_each(|value| strings_in(value, texts)),
        Value::Object(object) => object.into_iter().for_each(|(_, value)| strings_in(value, texts)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The cells of a table as RFC 4180 has it: a cell in quotes may hold separators, line ends and doubled quotes.
fn cells_of(text: &str, separator: u8, texts: &mut Vec<String>) -> std::result::Result<(), String> {
    // A row more than there is: it is within the last cell if the quote of that is never closed, which the reader lets pass.
    const LAST_ROW: &str = "end";
    let rest = format!("\n{LAST_ROW}");
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(separator)
        .has_headers(false)
        .flexible(true)
        .from_reader(text.as_bytes().chain(rest.as_bytes()));
    for row in reader.records() {
        texts.extend(row.map_err(|error| error.to_string())?.iter().map(str::to_owned));
    }
    match texts.pop() {
        Some(cell) if cell != LAST_ROW => {
            let line_ends = |text: &str| text.matches('\n').count();
            let line = 1 + line_ends(text) + line_ends(&rest) - line_ends(&cell);
            Err(format!("the quote opened in line {line} is not closed"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(name: &str, content: &[u8]) -> std::result::Result<Vec<String>, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(name);
        std::fs::write(&path, content).expect("written");
        let mut texts = Vec::new();
        texts_of(&InputFile { path, name: name.to_owned() }, &mut texts)
            .map_err(|error| error.to_string())?;
        texts.retain(|text| !text.is_empty());
        Ok(texts)
    }

    #[test]
    fn every_string_of_a_file_is_found_whatever_its_layout() {
        let lines = b"\xef\xbb\xbf{\"q\": \"one?\", \"choices\": {\"text\": [\"a\", \"b\"]}, \"n\": 3}\r\n\n\"two\"\n";
        let expected = ["one?", "a", "b", "two"];
        let sorted = |mut texts: Vec<String>| {
            texts.sort();
            texts
        };
        assert_eq!(
            sorted(texts("a.jsonl", lines).expect("texts")),
            sorted(expected.map(str::to_owned).into())
        );
        assert_eq!(
            texts("a.json", b"[{\"q\": \"one?\"},\n {\"q\": \"two\"}]").expect("texts"),
            ["one?", "two"]
        );
        assert_eq!(
            texts("a.csv", b"\"one, \"\"1\"\"\nmore\",b,4\r\nlast,,C").expect("texts"),
            ["one, \"1\"\nmore", "b", "4", "last", "C"]
        );
        assert_eq!(texts("a.csv", b"a,\"end\"\nend\n").expect("texts"), ["a", "end", "end"]);
        assert_eq!(texts("a.csv", b"").expect("texts"), [""; 0]);
        assert_eq!(texts("a.tsv", b"one, 1\ttwo\n").expect("texts"), ["one, 1", "two"]);
        assert_eq!(texts("a.txt", b"one line\r\nanother\n").expect("texts"), ["one line", "another"]);
        let packed = zstd::encode_all(&b"\"one\""[..], 3).expect("packed");
        assert_eq!(texts("a.jsonl.zst", &packed).expect("texts"), ["one"]);
    }

    #[test]
    fn what_cannot_be_read_is_told_with_its_line() {
        for (name, content, told) in [
            ("a.jsonl", &b"{\"q\": 1}\n{\"q\": \n"[..], "line 3"),
            ("a.csv", b"a\n\"b\n", "the quote opened in line 2 is not closed"),
            ("a.csv", b"a\n\n\"b\n\",c,\"d\"\"\n\ne", "the quote opened in line 4 is not closed"),
            ("a.txt", b"a\n\xff", "line 2 is not UTF-8"),
            ("a.parquet", b"no", "no Parquet file"),
            ("a.zip", b"PK", "unpack it"),
        ] {
            let error = texts(name, content).expect_err("an error");
            assert!(error.contains(told) && error.contains(name), "{error}");
        }
    }
}
