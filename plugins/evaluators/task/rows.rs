//! The rows of a task's files, whatever their layout.

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use sbp_plugin::input::{self, InputFile, name_uncompressed};
use sbp_plugin::prelude::*;
use serde_json::{Map, Value};

use super::definition::Files;

/// What the names of files end with that are read, before `.gz` or `.zst`.
const ENDINGS: [&str; 5] = ["jsonl", "ndjson", "json", "csv", "parquet"];

/// One row of a file.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    /// An object of named fields; a list of cells where a CSV file has no header.
    pub(super) value: Value,
    /// Name of the file.
    pub(super) file: Arc<str>,
    /// Its place in the file, from 1, a header not counted.
    pub(super) number: usize,
}

/// What a file's name says of its layout; none where it is not one that is read.
pub(super) fn ending(name: &str) -> Option<&'static str> {
    let name = name_uncompressed(name);
    let (_, ending) = name.rsplit_once('.')?;
    ENDINGS.into_iter().find(|known| *known == ending)
}

/// The rows of some files, one file after the other.
///
/// # Errors
/// When a file cannot be read or holds no rows; the message says where and what to do.
pub(super) fn read(files: &[InputFile], layout: &Files) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for file in files {
        let path = &file.path;
        let values = match ending(&file.name) {
            Some("parquet") => parquet_rows(path)?,
            Some("csv") => csv_rows(path, layout.csv_header)?,
            Some(_) => json_rows(path, layout.rows_at.as_deref())?,
            None => {
                let endings = ENDINGS.map(|ending| format!(".{ending}")).join(", ");
                let path = path.display();
                return Err(format!(
                    "{path} is none of {endings} (plain, .gz or .zst), which are read; convert it"
                )
                .into());
            }
        };
        let name: Arc<str> = file.name.as_str().into();
        let row = |(index, value)| Row { value, file: Arc::clone(&name), number: index + 1 };
        rows.extend(values.into_iter().enumerate().map(row));
    }
    Ok(rows)
}

fn damaged(path: &Path, what: &dyn std::fmt::Display) -> Error {
    format!("{} cannot be read: {what}; mend it, or fetch it again", path.display()).into()
}

/// One value a line, or a list of them, or an object with such a list.
fn json_rows(path: &Path, rows_at: Option<&str>) -> Result<Vec<Value>> {
    let mut bytes = Vec::new();
    input::open(path)?.read_to_end(&mut bytes).map_err(|error| damaged(path, &error))?;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let values = serde_json::Deserializer::from_slice(bytes).into_iter::<Value>();
    let mut values: Vec<Value> = values.collect::<std::result::Result<_, _>>().map_err(|error| {
        let what = format!("it is no JSON, {error}");
        damaged(path, &what)
    })?;
    if let [only] = values.as_mut_slice() {
        let list = rows_at.and_then(|key| only.get_mut(key)).map(Value::take);
        match list.unwrap_or_else(|| only.take()) {
            Value::Array(rows) => return Ok(rows),
            single => *only = single,
        }
    }
    Ok(values)
}

fn csv_rows(path: &Path, header: bool) -> Result<Vec<Value>> {
    // Rows of other lengths are told by what their missing cells were needed for.
    let mut reader =
        csv::ReaderBuilder::new().has_headers(header).flexible(true).from_reader(input::open(path)?);
    let names = if header {
        reader.headers().map_err(|error| damaged(path, &error))?.clone()
    } else {
        Default::default()
    };
    let row = |record: csv::StringRecord| -> Value {
        if header {
            let cell = |(name, cell): (&str, &str)| (name.to_owned(), cell.into());
            names.iter().zip(&record).map(cell).collect::<Map<_, _>>().into()
        } else {
            record.iter().map(Value::from).collect()
        }
    };
    reader.records().map(|record| record.map(row).map_err(|error| damaged(path, &error))).collect()
}

#[cfg(feature = "parquet")]
fn parquet_rows(path: &Path) -> Result<Vec<Value>> {
    use parquet::file::reader::{FileReader as _, SerializedFileReader};

    let explain = |error: parquet::errors::ParquetError| damaged(path, &error);
    let reader = SerializedFileReader::new(input::open_raw(path)?).map_err(explain)?;
    let mut rows = Vec::new();
    for group in 0..reader.num_row_groups() {
        let group = reader.get_row_group(group).map_err(explain)?;
        for row in group.get_row_iter(None).map_err(explain)? {
            rows.push(row.map_err(explain)?.to_json_value());
        }
    }
    Ok(rows)
}

#[cfg(not(feature = "parquet"))]
fn parquet_rows(path: &Path) -> Result<Vec<Value>> {
    Err(format!("{} is Parquet; build with the feature `parquet`, or convert it to JSONL", path.display())
        .into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rows(name: &str, content: &[u8], layout: &Files) -> std::result::Result<Vec<Value>, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(name);
        std::fs::write(&path, content).expect("written");
        let rows = read(&[InputFile { path, name: name.to_owned() }], layout);
        let rows = rows.map_err(|error| error.to_string())?;
        assert!(rows.iter().enumerate().all(|(index, row)| row.number == index + 1 && &*row.file == name));
        Ok(rows.into_iter().map(|row| row.value).collect())
    }

    fn layout() -> Files {
        Files {
            folders: Vec::new(),
            items: Vec::new(),
            fewshot: Vec::new(),
            rows_at: Some("Data".to_owned()),
            csv_header: false,
        }
    }

    #[test]
    fn every_layout_gives_the_same_rows() {
        let expected = vec![json!({"q": "one\nline"}), json!({"q": "two"})];
        let lines = b"\xef\xbb\xbf{\"q\": \"one\\nline\"}\r\n\n{\"q\": \"two\"}\n";
        let packed = zstd::encode_all(&lines[..], 3).expect("packed");
        let list = b"[{\"q\": \"one\\nline\"},\n {\"q\": \"two\"}]";
        let object = b"{\"Version\": 1, \"Data\": [{\"q\": \"one\\nline\"}, {\"q\": \"two\"}]}";
        for (name, content) in [
            ("a.jsonl", &lines[..]),
            ("a.json", lines),
            ("a.jsonl.zst", &packed),
            ("a.json", list),
            ("a.json", object),
        ] {
            assert_eq!(rows(name, content, &layout()).as_ref(), Ok(&expected), "{name}");
        }
        assert_eq!(rows("a.jsonl", b"{\"q\": 1}", &layout()), Ok(vec![json!({"q": 1})]));
        let table = b"q\n\"one\nline\"\ntwo\n";
        let named = Files { csv_header: true, ..layout() };
        assert_eq!(rows("a.csv", table, &named), Ok(expected));
        let cells = vec![json!(["a \"b\"\nc, d", "1"]), json!(["last"])];
        assert_eq!(rows("a.csv", b"\"a \"\"b\"\"\nc, d\",1\r\nlast", &layout()), Ok(cells));
    }

    #[test]
    fn what_cannot_be_read_is_told_with_its_place() {
        for (name, content, told) in [
            ("a.jsonl", &b"{\"q\": 1}\n{\"q\": \n"[..], "line 3"),
            ("a.csv", b"a\n\xff\n", "line 2"),
            ("a.parquet", b"no", "cannot be read"),
            ("a.txt", b"", "is none of .jsonl"),
            ("a.zip", b"PK", "is none of .jsonl"),
        ] {
            let error = rows(name, content, &layout()).expect_err("an error");
            assert!(error.contains(told) && error.contains(name), "{error}");
        }
    }
}
