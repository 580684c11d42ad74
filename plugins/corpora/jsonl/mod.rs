//! Documents out of files with one JSON object a line, plain, compressed or in archives.

mod lines;

use std::io::BufRead;
use std::path::Path;

use sbp_plugin::input::{InputFile, is_lost, name_uncompressed};
use sbp_plugin::prelude::*;
use sbp_plugin::slots::corpus::Corpus;
use serde_json::Value;

use self::lines::{Line, Lines};
use super::reading::{
    Fields, FileCorpus, Format, Layout, Place, Reading, Record, Take, default_heldout_share,
    default_max_record_bytes, default_memory_mib, each_member,
};

/// Documents from JSONL files, one JSON object a line: plain, `.gz` or `.zst`, or such files in `.tar`, `.tar.gz` or
/// `.tar.zst` archives.
///
/// So it reads what `lm_dataformat` writes: `.jsonl.zst`, `.jsonl.zst.tar`, `.json.gz`; a line may also be a bare string,
/// and a text a list of paragraphs. (`.txt` and archives of texts are for the kind `text`; `.zip` is not read.) Compressed
/// files may consist of several frames or members, one after another.
///
/// Documents come in an order shuffled by a hash of their text, which also decides what is held out. So every beginning of
/// the corpus is a fair sample of the files, and a new file moves no other document. Of documents with the same text only
/// the first by id is taken; the others are counted as duplicates. A line that is no document (invalid JSON or UTF-8, no
/// text, too long) is reported with its file name and line number and left out; blank lines are skipped.
///
/// Cost: one read of the files when the corpus is opened, several at a time; memory for the texts, at most `memory_mib`
/// and 4 MiB a thread. A larger corpus is sorted in files of a temporary folder, which take about as much room as
/// the texts packed with zstd, and is read from there. The texts of a `heldout_path` take 16 bytes each beside that.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JsonlConfig {
    /// Where documents are taken from: a file, a folder, a pattern such as `shards/*.jsonl.zst` or `data/**/part-?.jsonl`,
    /// or a list of these.
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
    /// The fields of a public corpus; the options below name others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layout: Option<Layout>,
    /// The field that holds the text, a string or a list of paragraphs: by default `text`. `a.b` is the field `b` of the
    /// object `a`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text_field: Option<String>,
    /// The field that names the document, a string or a number: by default what `layout` says, or `id`. Two documents
    /// may have the same name, as in files that are each numbered from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id_field: Option<String>,
    /// The field that says where the document comes from: by default what `layout` says, or none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_field: Option<String>,
    /// A longer line is a bad record, so that a file without line ends cannot fill the memory.
    #[serde(default = "default_max_record_bytes")]
    #[schemars(range(min = 1))]
    pub max_record_bytes: usize,
    /// Memory for documents, in MiB; what is more is sorted on disk. Changes no result.
    #[serde(default = "default_memory_mib")]
    #[schemars(range(min = 1), extend("x-identity" = false))]
    pub memory_mib: usize,
}

impl JsonlConfig {
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
            max_record_bytes: default_max_record_bytes(),
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
        FileCorpus::open(&reading, &JsonLines { fields, most: self.max_record_bytes })
    }
}

impl Plugin<slots::Corpus> for JsonlConfig {
    const KIND: &'static str = "jsonl";
    const VERSION: u32 = 3;
    fn example() -> Self {
        Self::of("corpus.jsonl.zst")
    }
    fn build(&self, _: &BuildContext) -> Result<Box<dyn Corpus>> {
        Ok(Box::new(self.open()?))
    }
}
register!(slots::Corpus => JsonlConfig);

/// Each line a record.
struct JsonLines {
    fields: Fields,
    most: usize,
}

impl Format for JsonLines {
    const ENDINGS: &'static [&'static str] = &[
        ".jsonl",
        ".jsonl.gz",
        ".jsonl.zst",
        ".json",
        ".json.gz",
        ".json.zst",
        ".ndjson",
        ".ndjson.gz",
        ".ndjson.zst",
        ".tar",
        ".tar.gz",
        ".tgz",
        ".tar.zst",
    ];

    fn read(&self, file: &InputFile, take: &mut Take<'_>) -> Result<()> {
        each_member(file, &mut |name, content| {
            let is_member = name != file.name;
            if is_member
                && ![".jsonl", ".json", ".ndjson"].iter().any(|it| name_uncompressed(name).ends_with(it))
            {
                let reason = "a member of the archive that is no .jsonl, .json or .ndjson file".to_owned();
                return take(Place { file: name, line: 1 }, Err(reason));
            }
            // A member is told after the path of its archive.
            let member = name.strip_prefix(&file.name).unwrap_or_default();
            self.read_lines(&format!("{}{member}", file.path.display()), name, content, take)
        })
    }
}

impl JsonLines {
    fn read_lines(
        &self,
        path: &str,
        name: &str,
        content: &mut dyn BufRead,
        take: &mut Take<'_>,
    ) -> Result<()> {
        let mut lines = Lines { reader: content, most: self.most };
        for number in 1.. {
            let line = lines.next().map_err(|error| -> Error {
                if is_lost(&error) {
                    return error.into();
                }
                format!(
                    "{path} cannot be read past line {}: {error}. It is damaged or incomplete: fetch or write it again",
                    number - 1
                )
                .into()
            })?;
            let record = match &line {
                None => break,
                Some(Line::Whole(bytes)) if bytes.iter().all(u8::is_ascii_whitespace) => continue,
                Some(Line::Whole(bytes)) => self.parse(bytes, number == 1),
                Some(Line::TooLong(len)) => {
                    Err(format!("{len} bytes long, more than max_record_bytes = {}", self.most))
                }
            };
            take(Place { file: name, line: number }, record)?;
        }
        Ok(())
    }

    /// The record of one line, or what is wrong with it.
    fn parse(&self, line: &[u8], is_first: bool) -> std::result::Result<Record, String> {
        // Some editors mark a file as UTF-8 by its first three bytes.
        let line = if is_first { line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line) } else { line };
        let line = std::str::from_utf8(line)
            .map_err(|error| format!("not UTF-8 from byte {} on", error.valid_up_to() + 1))?;
        match serde_json::from_str(line) {
            Ok(Value::Object(object)) => self.fields.record(&object),
            Ok(Value::String(text)) if text.trim().is_empty() => Err("an empty text".to_owned()),
            Ok(Value::String(text)) => Ok(Record { name: String::new(), text, source: String::new() }),
            Ok(_) => Err("neither a JSON object nor a text".to_owned()),
            Err(error) => Err(format!("not a JSON object: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::io::Write;

    use proptest::prelude::*;
    use sbp_plugin::slots::corpus::{BadRecord, NoDocument, Records};

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
        let corpus = config.open().unwrap();
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        for record in corpus.documents().unwrap() {
            match record {
                Ok(document) => good.push(document),
                Err(NoDocument::Bad(record)) => bad.push(record),
                Err(other) => panic!("{other:?}"),
            }
        }
        bad.sort_by_key(|record| record.line);
        (good, bad)
    }

    fn error(config: &JsonlConfig) -> String {
        config.open().err().expect("an error").to_string()
    }

    #[test]
    fn a_pattern_takes_all_its_files_and_names_bad_lines_by_file() {
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
        // Two documents may have one name.
        assert_eq!(texts, ["a1", "a2", "b1", "b2"]);
        assert_eq!(good.iter().map(|document| document.id).collect::<HashSet<_>>().len(), 4);
        let found: Vec<_> = bad.iter().map(|it| (it.file.as_str(), it.line)).collect();
        assert_eq!(found, [("a.jsonl", 2)]);
        let message = error(&JsonlConfig::of(folder.path().join("*.zst")));
        assert!(message.contains("no file fits") && message.contains("*.zst"), "{message}");
    }

    #[test]
    fn fields_may_lie_in_objects_and_texts_be_paragraphs() {
        let lines = "{\"text\": [\"one\", \"two\"], \"metadata\": {\"WARC-Record-ID\": \"x\", \"site\": \"s\"}}\n\
                     {\"text\": [1], \"metadata\": {\"WARC-Record-ID\": \"y\"}}\n";
        let (_folder, config) = write("dclm.jsonl", lines.as_bytes());
        let config = JsonlConfig {
            id_field: Some("metadata.WARC-Record-ID".to_owned()),
            source_field: Some("metadata.site".to_owned()),
            ..config
        };
        let (good, bad) = read(&config);
        assert_eq!((good[0].text.as_str(), good[0].source.as_str()), ("one\n\ntwo", "s"));
        assert_eq!(bad[0].reason, "field `text` is neither a string nor a list of strings");
    }

    #[test]
    fn every_kind_of_bad_line_is_named_and_none_ends_the_file() {
        let mut bytes =
            b"\xef\xbb\xbf{\"text\": \"first\"}\r\n\nnot json\n{\"text\": 3}\n{\"body\": \"x\"}\n".to_vec();
        bytes.extend(b"{\"text\": \"  \"}\n{\"text\": \"\xff\"}\n[1]\n\"bare\"\n");
        bytes.extend(
            b"{\"id\": 7, \"text\": \"a\"}\n{\"id\": 7, \"text\": \"b\"}\n{\"id\": [], \"text\": \"c\"}\n",
        );
        bytes.extend(format!("{{\"text\": \"{}\"}}\n", "long ".repeat(20)).bytes());
        bytes.extend(b"{\"text\": \"last\"}");
        let (_folder, config) = write("bad.jsonl", &bytes);
        let (good, bad) = read(&JsonlConfig { max_record_bytes: 60, ..config });
        let mut texts: Vec<&str> = good.iter().map(|d| d.text.as_str()).collect();
        texts.sort_unstable();
        assert_eq!(texts, ["a", "b", "bare", "first", "last"]);
        let found: Vec<_> = bad.iter().map(|b| (b.line, b.reason.as_str())).collect();
        assert!(bad.iter().all(|b| b.file == "bad.jsonl"));
        assert!(found[0].1.starts_with("not a JSON object: "), "{found:?}");
        assert_eq!(found[0].0, 3);
        assert_eq!(found[1], (4, "field `text` is neither a string nor a list of strings"));
        assert_eq!(found[2], (5, "no field `text`; there is `body`"));
        assert_eq!(found[3], (6, "field `text` is empty"));
        assert_eq!(found[4], (7, "not UTF-8 from byte 11 on"));
        assert_eq!(found[5], (8, "neither a JSON object nor a text"));
        assert_eq!(found[6], (12, "field `id` is neither a string nor a number"));
        assert_eq!(found[7], (13, "112 bytes long, more than max_record_bytes = 60"));
        assert_eq!(found.len(), 8);
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
        let fingerprint = |config: &JsonlConfig| config.open().unwrap().fingerprint().unwrap();
        assert_eq!(fingerprint(&plain), fingerprint(&zst));
        assert_ne!(fingerprint(&plain), fingerprint(&JsonlConfig { heldout_share: 0.5, ..plain.clone() }));
    }

    #[test]
    fn a_damaged_archive_and_a_missing_file_are_errors_that_say_what_to_do() {
        let zst = zstd::encode_all(lines(5000).as_bytes(), 3).unwrap();
        let (_folder, config) = write("cut.jsonl.zst", &zst[..zst.len() / 2]);
        assert!(error(&config).contains("cut.jsonl.zst cannot be read past line"), "{}", error(&config));
        assert!(error(&config).contains("damaged or incomplete"), "{}", error(&config));
        let error = error(&JsonlConfig::of("/nowhere/at-all.jsonl"));
        assert!(error.contains("/nowhere/at-all.jsonl") && error.contains("give the path"), "{error}");
    }

    #[test]
    fn held_out_documents_are_a_fixed_share_and_not_among_the_others() {
        let (_folder, config) = write("c.jsonl", lines(1000).as_bytes());
        let corpus = JsonlConfig { heldout_share: 0.2, ..config }.open().unwrap();
        let ids = |records: Records<'_>| records.map(|r| r.unwrap().id).collect::<HashSet<_>>();
        let (pool, heldout) = (ids(corpus.documents().unwrap()), ids(corpus.heldout().unwrap()));
        assert!(pool.is_disjoint(&heldout));
        assert_eq!(pool.len() + heldout.len(), 1000);
        assert!((150..250).contains(&heldout.len()), "{}", heldout.len());
    }

    #[test]
    fn archives_are_read_through_and_the_names_of_their_members_told() {
        let jsonl = |name: &str| format!("{{\"text\": \"text of {name}\"}}\nbad line of {name}\n");
        let members: Vec<(&str, Vec<u8>)> = vec![
            ("2005-06.jsonl.zst", zstd::encode_all(jsonl("a").as_bytes(), 3).unwrap()),
            ("b/2005-07.jsonl", jsonl("b").into_bytes()),
            ("b/._2005-07.jsonl", b"of no interest".to_vec()),
            ("README.md", b"Read me.".to_vec()),
        ];
        let mut archive = tar::Builder::new(Vec::new());
        for (name, content) in members {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            archive.append_data(&mut header, name, content.as_slice()).unwrap();
        }
        let tar = archive.into_inner().unwrap();
        let packed = zstd::encode_all(tar.as_slice(), 3).unwrap();
        let (_a, plain) = write("o.jsonl.zst.tar", &tar);
        let (_b, zst) = write("o.tar.zst", &packed);
        for (config, name) in [(&plain, "o.jsonl.zst.tar"), (&zst, "o.tar.zst")] {
            let (good, bad) = read(config);
            let texts: HashSet<&str> = good.iter().map(|document| document.text.as_str()).collect();
            assert_eq!(texts, HashSet::from(["text of a", "text of b"]));
            let mut places: Vec<_> = bad.iter().map(|it| (it.file.clone(), it.line)).collect();
            places.sort_unstable();
            let at = |member: &str, line| (format!("{name}/{member}"), line);
            assert_eq!(places, [at("2005-06.jsonl.zst", 2), at("README.md", 1), at("b/2005-07.jsonl", 2)]);
        }
        let (_c, cut) = write("cut.tar", &tar[..1100]);
        assert!(error(&cut).contains("damaged"), "{}", error(&cut));
        let (_d, other) = write("other.tar", &[b'x'; 2000]);
        assert!(error(&other).contains("no tar archive"), "{}", error(&other));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_to_their_end(bytes in prop::collection::vec(any::<u8>(), 0..300), most in 1usize..50) {
            let (_folder, config) = write("any.jsonl", &bytes);
            let corpus = JsonlConfig { max_record_bytes: most, ..config }.open().unwrap();
            let records = corpus.documents().unwrap().count();
            let lines = bytes.split(|byte| *byte == b'\n').filter(|l| !l.iter().all(u8::is_ascii_whitespace));
            prop_assert!(records >= lines.clone().filter(|l| l.len() <= most).count());
        }
    }
}
