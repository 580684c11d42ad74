//! Documents out of Parquet files, each row one.

use std::path::Path;
use std::sync::Arc;

use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row};
use parquet::schema::types::{Type, TypePtr};
use sbp_plugin::input::{InputFile, open_raw};
use sbp_plugin::prelude::*;
use sbp_plugin::slots::corpus::Corpus;
use serde_json::{Map, Value};

use super::reading::{
    Fields, FileCorpus, Format, Layout, Place, Reading, Record, Take, default_heldout_share,
    default_memory_mib, one_of_several,
};

/// Documents from Parquet files, one document a row.
///
/// Only the columns that are asked for are read, row group by row group; they may lie in groups, as
/// `metadata.WARC-Record-ID` does. A row without a text is a bad record; a file without the column for the text is an
/// error. Pages may be packed with Snappy, gzip, LZ4 or zstd.
///
/// Order, held-out documents and duplicates are as with `jsonl`: by a hash of the text, so that a new file moves no other
/// document.
///
/// Cost: one read of those columns when the corpus is opened, several files at a time; memory for the texts, at most
/// `memory_mib` and 4 MiB a thread, and a page of each column. A larger corpus is sorted in files of a temporary folder,
/// which take about as much room as the texts packed with zstd, and is read from there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ParquetConfig {
    /// Where documents are taken from: a file, a folder, a pattern such as `data/CC-MAIN-2024-*/*.parquet`, or a list of
    /// these.
    pub path: RecipePaths,
    /// Where documents kept for evaluation are taken from. Without it, `heldout_share` of `path` is kept.
    ///
    /// A document of `path` with the very text of a held-out document is left out as a duplicate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heldout_path: Option<RecipePaths>,
    /// Share of the documents of `path` kept for evaluation, the last by the hash of their text, when there is no
    /// `heldout_path`.
    #[serde(default = "default_heldout_share")]
    #[schemars(range(min = 0.0, max = 0.9))]
    pub heldout_share: f64,
    /// The columns of a public corpus; the options below name others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layout: Option<Layout>,
    /// The column that holds the text, a string or a list of paragraphs: by default `text`. `a.b` is the field `b` of the
    /// group `a`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text_field: Option<String>,
    /// The column that names the document, a string or a number: by default what `layout` says, or `id`. Two documents
    /// may have the same name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id_field: Option<String>,
    /// The column that says where the document comes from: by default what `layout` says, or none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_field: Option<String>,
    /// Memory for documents, in MiB; what is more is sorted on disk. Changes no result.
    #[serde(default = "default_memory_mib")]
    #[schemars(range(min = 1), extend("x-identity" = false))]
    pub memory_mib: usize,
}

impl ParquetConfig {
    /// The documents of `path`, with every other option at its default.
    pub fn of(path: impl AsRef<Path>) -> Self {
        Self {
            path: RecipePaths::one(path),
            heldout_path: None,
            heldout_share: default_heldout_share(),
            layout: None,
            text_field: None,
            id_field: None,
            source_field: None,
            memory_mib: default_memory_mib(),
        }
    }

    fn open(&self) -> Result<FileCorpus> {
        let reading = Reading {
            path: &self.path,
            heldout_path: self.heldout_path.as_ref(),
            heldout_share: self.heldout_share,
            memory_mib: self.memory_mib,
        };
        let (text, id, source) = (&self.text_field, &self.id_field, &self.source_field);
        let fields = Fields::of(self.layout, text.as_deref(), id.as_deref(), source.as_deref());
        FileCorpus::open(&reading, &Rows { fields })
    }
}

impl Plugin<slots::Corpus> for ParquetConfig {
    const KIND: &'static str = "parquet";
    fn example() -> Self {
        Self { layout: Some(Layout::Fineweb), ..Self::of("000_00000.parquet") }
    }
    fn build(&self, _: &BuildContext) -> Result<Box<dyn Corpus>> {
        Ok(Box::new(self.open()?))
    }
}
register!(slots::Corpus => ParquetConfig);

/// Each row a record.
struct Rows {
    fields: Fields,
}

impl Format for Rows {
    const ENDINGS: &'static [&'static str] = &[".parquet"];

    fn read(&self, file: &InputFile, take: &mut Take<'_>) -> Result<()> {
        let mut row = 0;
        let damaged = |error: ParquetError, row: u64| -> Error {
            format!(
                "{} cannot be read past row {row}: {error}. It is damaged, incomplete or no Parquet file: fetch or write it again",
                file.path.display()
            )
            .into()
        };
        let reader = SerializedFileReader::new(open_raw(&file.path)?).map_err(|error| damaged(error, row))?;
        let columns = self.columns(reader.metadata().file_metadata().schema(), file)?;
        for group in 0..reader.num_row_groups() {
            let group = reader.get_row_group(group).map_err(|error| damaged(error, row))?;
            let rows = group.get_row_iter(Some(columns.clone())).map_err(|error| damaged(error, row))?;
            for found in rows {
                let found = found.map_err(|error| damaged(error, row))?;
                row += 1;
                take(Place { file: &file.name, line: row }, self.record(&found))?;
            }
        }
        Ok(())
    }
}

impl Rows {
    /// The part of a file's schema that is read.
    fn columns(&self, schema: &Type, file: &InputFile) -> Result<Type> {
        let text = self.fields.text.as_str();
        if part(schema, &[text])?.is_empty() {
            let names = schema.get_fields().iter().map(|field| field.name());
            return Err(format!(
                "{} has no column `{text}`; there is {}; name the right one in text_field",
                file.path.display(),
                one_of_several(names)
            )
            .into());
        }
        let mut paths = vec![text];
        paths.extend(self.fields.id.as_deref());
        paths.extend(self.fields.source.as_deref());
        Ok(Type::group_type_builder(schema.name()).with_fields(part(schema, &paths)?).build()?)
    }

    fn record(&self, row: &Row) -> std::result::Result<Record, String> {
        let mut object = Map::new();
        for (name, field) in row.get_column_iter() {
            let value = match field {
                // Some writers do not say that a column is text.
                Field::Bytes(bytes) => {
                    std::str::from_utf8(bytes.data()).map(Value::from).map_err(|error| {
                        format!("`{name}` is not UTF-8 from byte {} on", error.valid_up_to() + 1)
                    })?
                }
                other => other.to_json_value(),
            };
            object.insert(name.clone(), value);
        }
        self.fields.record(&object)
    }
}

/// The fields of a group that are named, or hold what is named.
fn part(group: &Type, paths: &[&str]) -> Result<Vec<TypePtr>> {
    let mut fields = Vec::new();
    for field in group.get_fields() {
        if paths.contains(&field.name()) {
            fields.push(Arc::clone(field));
            continue;
        }
        let prefix = format!("{}.", field.name());
        let below: Vec<&str> = paths.iter().filter_map(|path| path.strip_prefix(prefix.as_str())).collect();
        if below.is_empty() || !field.is_group() {
            continue;
        }
        let children = part(field, &below)?;
        if !children.is_empty() {
            let info = field.get_basic_info();
            let group = Type::group_type_builder(field.name())
                .with_repetition(info.repetition())
                .with_converted_type(info.converted_type())
                .with_logical_type(info.logical_type_ref().cloned())
                .with_fields(children);
            fields.push(Arc::new(group.build()?));
        }
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use parquet::basic::Compression;
    use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
    use parquet::file::properties::WriterProperties;
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;
    use sbp_plugin::slots::corpus::NoDocument;

    use super::*;

    /// The columns of DCLM-baseline that matter here, some rows in each of two row groups.
    const SCHEMA: &str = "message schema {
        optional binary text (UTF8);
        optional binary url (UTF8);
        optional int64 previous_word_count;
        optional group metadata { optional binary WARC-Type (UTF8); optional binary WARC-Record-ID (UTF8); }
    }";

    fn write(path: &Path, schema: &str, groups: &[Vec<&str>]) {
        let schema = Arc::new(parse_message_type(schema).expect("a schema"));
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
        let file = File::create(path).expect("made");
        let mut writer = SerializedFileWriter::new(file, schema, Arc::new(properties)).expect("a writer");
        for texts in groups {
            let mut group = writer.next_row_group().expect("a group");
            let mut place = 0;
            while let Some(mut column) = group.next_column().expect("a column") {
                let levels = vec![if place > 2 { 2 } else { 1 }; texts.len()];
                if place == 2 {
                    let counts: Vec<i64> = (0..texts.len() as i64).collect();
                    column.typed::<Int64Type>().write_batch(&counts, Some(&levels), None).expect("written");
                } else {
                    let of = |text: &&str| match place {
                        0 => ByteArray::from(*text),
                        1 => ByteArray::from(format!("https://{text}.org/x").as_str()),
                        _ => ByteArray::from(format!("{place} of {text}").as_str()),
                    };
                    let values: Vec<ByteArray> = texts.iter().map(of).collect();
                    column
                        .typed::<ByteArrayType>()
                        .write_batch(&values, Some(&levels), None)
                        .expect("written");
                }
                column.close().expect("closed");
                place += 1;
            }
            group.close().expect("closed");
        }
        writer.close().expect("closed");
    }

    fn read(config: &ParquetConfig) -> (Vec<Document>, Vec<u64>) {
        let corpus = config.open().expect("it opens");
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        for record in corpus.documents().expect("records") {
            match record {
                Ok(document) => good.push(document),
                Err(NoDocument::Bad(record)) => bad.push(record.line),
                Err(other) => panic!("{other:?}"),
            }
        }
        good.sort_by(|a, b| a.text.cmp(&b.text));
        (good, bad)
    }

    #[test]
    fn rows_of_all_groups_are_documents_and_fields_may_lie_in_groups() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("shard.parquet");
        write(&path, SCHEMA, &[vec!["one", "two"], vec!["three", " "]]);
        let config = ParquetConfig {
            layout: Some(Layout::DclmBaseline),
            heldout_share: 0.0,
            ..ParquetConfig::of(&path)
        };
        let (good, bad) = read(&config);
        let found: Vec<_> = good.iter().map(|it| (it.text.as_str(), it.source.as_str())).collect();
        assert_eq!(found, [("one", "one.org"), ("three", "three.org"), ("two", "two.org")]);
        assert_eq!(bad, [4]);
        // The name is read too: without it, ids are others.
        let unnamed = ParquetConfig { id_field: Some("none".to_owned()), ..config.clone() };
        assert_ne!(read(&unnamed).0[0].id, good[0].id);
        let other = ParquetConfig { text_field: Some("metadata.WARC-Type".to_owned()), ..config };
        assert_eq!(read(&other).0[0].text, "3 of  ");
    }

    #[test]
    fn a_column_that_is_not_said_to_be_text_is_read_as_text() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("plain.parquet");
        write(&path, "message schema { optional binary text; }", &[vec!["one"]]);
        let config = ParquetConfig { heldout_share: 0.0, ..ParquetConfig::of(&path) };
        assert_eq!(read(&config).0[0].text, "one");
    }

    #[test]
    fn what_is_no_parquet_file_or_lacks_the_text_is_told_with_a_remedy() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("shard.parquet");
        let error = |config: &ParquetConfig| config.open().err().expect("an error").to_string();
        write(&path, SCHEMA, &[vec!["one"]]);
        let config = ParquetConfig { text_field: Some("content".to_owned()), ..ParquetConfig::of(&path) };
        let told = error(&config);
        let names =
            "there is `text`, `url`, `previous_word_count`, `metadata`; name the right one in text_field";
        assert!(told.contains("has no column `content`") && told.contains(names), "{told}");
        let whole = std::fs::read(&path).expect("read");
        for bytes in [&whole[..whole.len() / 2], b"{\"text\": \"no\"}", b""] {
            std::fs::write(&path, bytes).expect("written");
            let told = error(&ParquetConfig::of(&path));
            assert!(told.contains("shard.parquet") && told.contains("no Parquet file"), "{told}");
        }
    }
}
