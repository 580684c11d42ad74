//! Documents out of files with one JSON object a line, plain or compressed.

mod lines;

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use sbp_core::FingerprintBuilder;
use sbp_plugin::prelude::*;
use sbp_plugin::slots::corpus::{BadRecord, Corpus, Records};
use serde_json::{Map, Value};

use self::lines::{Line, Lines, file_name, files, open};

/// Documents from JSONL files (`.jsonl`, `.jsonl.zst`, `.jsonl.gz`), one JSON object a line.
///
/// Documents come in an order shuffled by a hash of their id, so that every beginning of the corpus is a fair sample
/// of the files and adding a document moves no other. Compressed files may consist of several frames or members, one
/// after another. A line that is no document (invalid JSON or UTF-8, no text, an id seen before, too long) is reported
/// with its file name and line number and left out; blank lines are skipped. The texts are held in memory.
///
/// Cost: one read of the file when the corpus is opened; the texts stay in memory, about their size on disk
/// (uncompressed) plus 100 bytes a document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JsonlConfig {
    /// The file that documents are taken from, or a pattern for several: `shards/*.jsonl.zst`, `data/**/part-?.jsonl`.
    pub path: RecipePath,
    /// A file of documents kept for evaluation. Without it, `heldout_share` of `path` is kept.
    ///
    /// A document of `path` with the very text of a held-out document is left out as a bad record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heldout_path: Option<RecipePath>,
    /// Share of the documents of `path` kept for evaluation, the last by the hash of their id, when there is no
    /// `heldout_path`.
    #[serde(default = "default_heldout_share")]
    #[schemars(range(min = 0.0, max = 0.9))]
    pub heldout_share: f64,
    /// The field that holds the text: a string, or a list of paragraphs. `a.b` is the field `b` of the object `a`.
    #[serde(default = "default_text_field")]
    pub text_field: String,
    /// The field that names the document, a string or a number: `id`, or with DCLM-baseline `metadata.WARC-Record-ID`. A
    /// record without it is named by its line, and by its file where there are several.
    #[serde(default = "default_id_field")]
    pub id_field: String,
    /// The field that says where the document comes from, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_field: Option<String>,
    /// A longer line is a bad record, so that a file without line ends cannot fill the memory.
    #[serde(default = "default_max_record_bytes")]
    #[schemars(range(min = 1))]
    pub max_record_bytes: usize,
}

fn default_heldout_share() -> f64 {
    0.05
}

fn default_text_field() -> String {
    "text".to_owned()
}

fn default_id_field() -> String {
    "id".to_owned()
}

fn default_max_record_bytes() -> usize {
    16 << 20
}

impl JsonlConfig {
    /// The documents of `path`, with every other option at its default.
    pub fn of(path: impl AsRef<Path>) -> Self {
        Self {
            path: RecipePath(path.as_ref().to_owned()),
            heldout_path: None,
            heldout_share: default_heldout_share(),
            text_field: default_text_field(),
            id_field: default_id_field(),
            source_field: None,
            max_record_bytes: default_max_record_bytes(),
        }
    }
}

impl Plugin<slots::Corpus> for JsonlConfig {
    const KIND: &'static str = "jsonl";
    const VERSION: u32 = 2;
    fn example() -> Self {
        Self::of("corpus.jsonl.zst")
    }
    fn build(&self, _: &BuildContext) -> Result<Box<dyn Corpus>> {
        Ok(Box::new(JsonlCorpus::open(self)?))
    }
}
register!(slots::Corpus => JsonlConfig);

/// A line of the file, and its place in the corpus.
struct Row {
    /// The hash of the id, or of the line's number where there is no document: what rows are sorted by.
    key: u64,
    file: Arc<str>,
    line: u64,
    record: std::result::Result<Document, BadRecord>,
}

/// Rows sorted by key.
struct JsonlCorpus {
    documents: Vec<Row>,
    heldout: Vec<Row>,
    fingerprint: Fingerprint,
}

impl JsonlCorpus {
    fn open(config: &JsonlConfig) -> Result<Self> {
        let mut fingerprint = FingerprintBuilder::default();
        let mut documents = read_files(config, config.path.as_ref(), "", &mut fingerprint)?;
        let mut heldout = match &config.heldout_path {
            // Ids of a held-out file are kept apart, since many corpora number each of their files from 0.
            Some(path) => read_files(config, path.as_ref(), "heldout/", &mut fingerprint)?,
            None => {
                let first = ((1.0 - config.heldout_share) * 2f64.powi(64)) as u64;
                documents.extract_if(.., |row| row.record.is_ok() && row.key >= first).collect()
            }
        };
        let texts: HashSet<&str> =
            heldout.iter().filter_map(|row| row.record.as_ref().ok()).map(|d| d.text.trim()).collect();
        for row in &mut documents {
            if row.record.as_ref().is_ok_and(|document| texts.contains(document.text.trim())) {
                let reason = "its text is that of a held-out document".to_owned();
                row.record = Err(BadRecord { file: row.file.to_string(), line: row.line, reason });
            }
        }
        drop(texts);
        documents.sort_by_key(|row| row.key);
        heldout.sort_by_key(|row| row.key);
        fingerprint.push(
            serde_json::json!({
                "version": <JsonlConfig as Plugin<slots::Corpus>>::VERSION,
                "heldout_share": config.heldout_path.is_none().then_some(config.heldout_share),
                "text_field": config.text_field,
                "id_field": config.id_field,
                "source_field": config.source_field,
                "max_record_bytes": config.max_record_bytes,
            })
            .to_string()
            .as_bytes(),
        );
        Ok(Self { documents, heldout, fingerprint: fingerprint.finish() })
    }
}

impl Corpus for JsonlCorpus {
    fn documents(&self) -> Result<Records<'_>> {
        Ok(Box::new(self.documents.iter().map(|row| row.record.clone())))
    }
    fn heldout(&self) -> Result<Records<'_>> {
        Ok(Box::new(self.heldout.iter().map(|row| row.record.clone())))
    }
    fn fingerprint(&self) -> Result<Fingerprint> {
        Ok(self.fingerprint.clone())
    }
}

/// Reads every line of the files that a path or a pattern names, in the order of their names. `prefix` goes before the
/// name of each document.
fn read_files(
    config: &JsonlConfig,
    path: &Path,
    prefix: &str,
    fingerprint: &mut FingerprintBuilder,
) -> Result<Vec<Row>> {
    let files = files(path)?;
    let mut rows = Vec::new();
    let mut seen = HashSet::new();
    for file in &files {
        // Line 1 of one file is not line 1 of another.
        let of_line =
            if files.len() > 1 { format!("{prefix}{} ", file_name(file)) } else { prefix.to_owned() };
        read_file(config, file, [prefix, &of_line], &mut seen, &mut rows, fingerprint)?;
    }
    Ok(rows)
}

/// Reads every line of a file. The names of documents get the first prefix, or the second where they are lines.
fn read_file(
    config: &JsonlConfig,
    path: &Path,
    prefixes: [&str; 2],
    seen: &mut HashSet<DocId>,
    rows: &mut Vec<Row>,
    fingerprint: &mut FingerprintBuilder,
) -> Result<()> {
    let file: Arc<str> = file_name(path).into();
    let mut lines =
        Lines { reader: open(path)?, most: config.max_record_bytes, hasher: blake3::Hasher::new() };
    for number in 1.. {
        let line = lines.next().map_err(|error| {
            format!(
                "{} cannot be read past line {}: {error}. It is damaged or incomplete: fetch or write it again",
                path.display(),
                number - 1
            )
        })?;
        let parsed = match &line {
            None => break,
            Some(Line::Whole(bytes)) if bytes.iter().all(u8::is_ascii_whitespace) => continue,
            Some(Line::Whole(bytes)) => parse(config, bytes, number, prefixes),
            Some(Line::TooLong(len)) => {
                Err(format!("{len} bytes long, more than max_record_bytes = {}", config.max_record_bytes))
            }
        };
        let parsed = parsed.and_then(|document| {
            if seen.insert(document.id) { Ok(document) } else { Err("its id was seen before".to_owned()) }
        });
        let key = match &parsed {
            Ok(document) => document.id,
            Err(_) => DocId::of(&format!("{}bad record {number}", prefixes[1])),
        };
        let record = parsed.map_err(|reason| BadRecord { file: file.to_string(), line: number, reason });
        rows.push(Row { key: key.0, file: Arc::clone(&file), line: number, record });
    }
    fingerprint.push(lines.hasher.finalize().as_bytes());
    Ok(())
}

/// A field by its name, or by its path through objects.
fn field<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    object.get(name).or_else(|| {
        let (first, rest) = name.split_once('.')?;
        field(object.get(first)?.as_object()?, rest)
    })
}

/// A text, or paragraphs as one.
fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Array(paragraphs) => {
            let paragraphs: Option<Vec<&str>> = paragraphs.iter().map(Value::as_str).collect();
            Some(paragraphs?.join("\n\n"))
        }
        _ => None,
    }
}

/// The document of one line, or what is wrong with it.
fn parse(
    config: &JsonlConfig,
    line: &[u8],
    number: u64,
    [prefix, of_line]: [&str; 2],
) -> std::result::Result<Document, String> {
    // Some editors mark a file as UTF-8 by its first three bytes.
    let line = if number == 1 { line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line) } else { line };
    let line = std::str::from_utf8(line)
        .map_err(|error| format!("not UTF-8 from byte {} on", error.valid_up_to() + 1))?;
    let object: Map<String, Value> =
        serde_json::from_str(line).map_err(|error| format!("not a JSON object: {error}"))?;
    let name = &config.text_field;
    let text = match field(&object, name).map(text_of) {
        Some(Some(text)) if text.trim().is_empty() => return Err(format!("field `{name}` is empty")),
        Some(Some(text)) => text,
        Some(None) => return Err(format!("field `{name}` is neither a string nor a list of strings")),
        None => return Err(format!("no field `{name}`")),
    };
    let id = match field(&object, &config.id_field) {
        Some(Value::String(id)) => DocId::of(&format!("{prefix}{id}")),
        Some(Value::Number(id)) => DocId::of(&format!("{prefix}{id}")),
        // Not by the file's name: a file that is moved stays the same corpus.
        None | Some(Value::Null) => DocId::of(&format!("{of_line}line {number}")),
        Some(_) => return Err(format!("field `{}` is neither a string nor a number", config.id_field)),
    };
    let source = match config.source_field.as_ref().and_then(|name| field(&object, name)) {
        Some(Value::String(source)) => source.clone(),
        None | Some(Value::Null) => String::new(),
        Some(other) => other.to_string(),
    };
    Ok(Document { id, text, source })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    fn write(name: &str, bytes: &[u8]) -> (tempfile::TempDir, JsonlConfig) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let config = JsonlConfig { heldout_share: 0.0, ..JsonlConfig::of(path) };
        (folder, config)
    }

    fn lines(count: usize) -> String {
        (0..count).map(|n| format!("{{\"id\": \"d{n}\", \"text\": \"document {n}\"}}\n")).collect()
    }

    fn read(config: &JsonlConfig) -> (Vec<Document>, Vec<BadRecord>) {
        let corpus = JsonlCorpus::open(config).unwrap();
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        for record in corpus.documents().unwrap() {
            match record {
                Ok(document) => good.push(document),
                Err(record) => bad.push(record),
            }
        }
        bad.sort_by_key(|record| record.line);
        (good, bad)
    }

    fn error(config: &JsonlConfig) -> String {
        JsonlCorpus::open(config).err().expect("an error").to_string()
    }

    #[test]
    fn a_pattern_takes_all_its_files_and_names_lines_by_file() {
        let folder = tempfile::tempdir().unwrap();
        for (name, lines) in [
            ("b.jsonl", "{\"text\": \"b1\"}\n{\"id\": 7, \"text\": \"b2\"}\n"),
            ("a.jsonl", "{\"text\": \"a1\"}\nbad\n{\"id\": 7, \"text\": \"a2\"}\n"),
            ("notes.txt", "not taken"),
        ] {
            std::fs::write(folder.path().join(name), lines).unwrap();
        }
        let config = JsonlConfig { heldout_share: 0.0, ..JsonlConfig::of(folder.path().join("*.jsonl")) };
        let (good, bad) = read(&config);
        let mut texts: Vec<&str> = good.iter().map(|document| document.text.as_str()).collect();
        texts.sort_unstable();
        // The second document with id 7, in the order of the files' names, is a bad record.
        assert_eq!(texts, ["a1", "a2", "b1"]);
        let found: Vec<_> = bad.iter().map(|it| (it.file.as_str(), it.line)).collect();
        assert_eq!(found, [("a.jsonl", 2), ("b.jsonl", 2)]);
        let message = error(&JsonlConfig::of(folder.path().join("*.zst")));
        assert!(message.contains("no file fits") && message.contains("*.zst"), "{message}");
    }

    #[test]
    fn fields_may_lie_in_objects_and_texts_be_paragraphs() {
        let lines = "{\"text\": [\"one\", \"two\"], \"metadata\": {\"WARC-Record-ID\": \"x\", \"site\": \"s\"}}\n\
                     {\"text\": [1], \"metadata\": {\"WARC-Record-ID\": \"y\"}}\n";
        let (_folder, config) = write("dclm.jsonl", lines.as_bytes());
        let config = JsonlConfig {
            id_field: "metadata.WARC-Record-ID".to_owned(),
            source_field: Some("metadata.site".to_owned()),
            ..config
        };
        let (good, bad) = read(&config);
        let expected = Document { id: DocId::of("x"), text: "one\n\ntwo".to_owned(), source: "s".to_owned() };
        assert_eq!(good, [expected]);
        assert_eq!(bad[0].reason, "field `text` is neither a string nor a list of strings");
    }

    #[test]
    fn every_kind_of_bad_line_is_named_and_none_ends_the_file() {
        let mut bytes =
            b"\xef\xbb\xbf{\"text\": \"first\"}\r\n\nnot json\n{\"text\": 3}\n{\"body\": \"x\"}\n".to_vec();
        bytes.extend(b"{\"text\": \"  \"}\n{\"text\": \"\xff\"}\n[1]\n");
        bytes.extend(
            b"{\"id\": 7, \"text\": \"a\"}\n{\"id\": 7, \"text\": \"b\"}\n{\"id\": [], \"text\": \"c\"}\n",
        );
        bytes.extend(format!("{{\"text\": \"{}\"}}\n", "long ".repeat(20)).bytes());
        bytes.extend(b"{\"text\": \"last\"}");
        let (_folder, config) = write("bad.jsonl", &bytes);
        let (good, bad) = read(&JsonlConfig { max_record_bytes: 60, ..config });
        let mut texts: Vec<&str> = good.iter().map(|d| d.text.as_str()).collect();
        texts.sort_unstable();
        assert_eq!(texts, ["a", "first", "last"]);
        let found: Vec<_> = bad.iter().map(|b| (b.line, b.reason.as_str())).collect();
        assert!(bad.iter().all(|b| b.file == "bad.jsonl"));
        assert!(found[0].1.starts_with("not a JSON object: "), "{found:?}");
        assert_eq!(found[0].0, 3);
        assert_eq!(found[1], (4, "field `text` is neither a string nor a list of strings"));
        assert_eq!(found[2], (5, "no field `text`"));
        assert_eq!(found[3], (6, "field `text` is empty"));
        assert_eq!(found[4], (7, "not UTF-8 from byte 11 on"));
        assert_eq!(found[5].0, 8);
        assert_eq!(found[6], (10, "its id was seen before"));
        assert_eq!(found[7], (11, "field `id` is neither a string nor a number"));
        assert_eq!(found[8], (12, "112 bytes long, more than max_record_bytes = 60"));
        assert_eq!(found.len(), 9);
    }

    #[test]
    fn compressed_files_of_several_frames_read_like_plain_ones() {
        let text = lines(100);
        let (first, second) = text.as_bytes().split_at(1234);
        let mut zst = zstd::encode_all(first, 3).unwrap();
        zst.extend(zstd::encode_all(second, 3).unwrap());
        let gzip = |bytes: &[u8]| {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        };
        let gz = [gzip(first), gzip(second)].concat();
        let (_a, plain) = write("c.jsonl", text.as_bytes());
        let (_b, zst) = write("c.jsonl.zst", &zst);
        let (_c, gz) = write("d.jsonl.gz", &gz);
        let expected = read(&plain);
        assert_eq!((expected.0.len(), expected.1.len()), (100, 0));
        assert_eq!(read(&zst), expected);
        assert_eq!(read(&gz), expected);
        let fingerprint = |config| JsonlCorpus::open(config).unwrap().fingerprint().unwrap();
        assert_eq!(fingerprint(&plain), fingerprint(&zst));
        assert_ne!(fingerprint(&plain), fingerprint(&JsonlConfig { heldout_share: 0.5, ..plain.clone() }));
    }

    #[test]
    fn a_damaged_archive_and_a_missing_file_are_errors_that_say_what_to_do() {
        let zst = zstd::encode_all(lines(5000).as_bytes(), 3).unwrap();
        let (_folder, config) = write("cut.jsonl.zst", &zst[..zst.len() / 2]);
        assert!(error(&config).contains("damaged or incomplete"), "{}", error(&config));
        let error = error(&JsonlConfig::of("/nowhere/at-all.jsonl"));
        assert!(error.contains("/nowhere/at-all.jsonl") && error.contains("give the path"), "{error}");
    }

    #[test]
    fn held_out_documents_are_a_fixed_share_and_not_among_the_others() {
        let (_folder, config) = write("c.jsonl", lines(1000).as_bytes());
        let corpus = JsonlCorpus::open(&JsonlConfig { heldout_share: 0.2, ..config }).unwrap();
        let ids = |records: Records<'_>| records.map(|r| r.unwrap().id).collect::<HashSet<_>>();
        let (pool, heldout) = (ids(corpus.documents().unwrap()), ids(corpus.heldout().unwrap()));
        assert!(pool.is_disjoint(&heldout));
        assert_eq!(pool.len() + heldout.len(), 1000);
        assert!((150..250).contains(&heldout.len()), "{}", heldout.len());
    }

    #[test]
    fn the_text_of_a_held_out_file_is_barred_from_the_pool() {
        let (folder, config) = write("c.jsonl", lines(10).as_bytes());
        let heldout = folder.path().join("validation.jsonl");
        std::fs::write(
            &heldout,
            "{\"id\": \"d0\", \"text\": \"new\"}\n{\"id\": \"x\", \"text\": \"document 4\"}\n",
        )
        .unwrap();
        let config = JsonlConfig { heldout_path: Some(RecipePath(heldout)), ..config };
        let (good, bad) = read(&config);
        assert_eq!(good.len(), 9);
        assert_eq!((bad[0].line, bad[0].reason.as_str()), (5, "its text is that of a held-out document"));
        let corpus = JsonlCorpus::open(&config).unwrap();
        let heldout: Vec<_> = corpus.heldout().unwrap().map(|r| r.unwrap()).collect();
        assert_eq!(heldout.len(), 2);
        assert!(heldout.iter().all(|d| good.iter().all(|g| g.id != d.id)));
    }

    proptest! {
        #[test]
        fn a_new_document_moves_no_other(count in 1usize..40, at in 0usize..40) {
            let text = lines(count);
            let mut rows: Vec<&str> = text.lines().collect();
            let before = read(&write("a.jsonl", text.as_bytes()).1).0;
            rows.insert(at.min(count), "{\"id\": \"new\", \"text\": \"new\"}");
            let mut after = read(&write("b.jsonl", rows.join("\n").as_bytes()).1).0;
            after.retain(|document| document.text != "new");
            prop_assert_eq!(before, after);
        }

        #[test]
        fn any_bytes_are_read_to_their_end(bytes in prop::collection::vec(any::<u8>(), 0..300), most in 1usize..50) {
            let (_folder, config) = write("any.jsonl", &bytes);
            let (good, bad) = read(&JsonlConfig { max_record_bytes: most, ..config });
            let lines = bytes.split(|byte| *byte == b'\n').filter(|l| !l.iter().all(u8::is_ascii_whitespace));
            prop_assert!(good.len() + bad.len() >= lines.clone().filter(|l| l.len() <= most).count());
        }
    }
}
