//! Documents out of text files, each file one.

use std::io::{BufRead, Read};
use std::path::Path;

use sbp_plugin::input::{InputFile, is_lost};
use sbp_plugin::prelude::*;
use sbp_plugin::slots::corpus::Corpus;

use super::reading::{
    FileCorpus, Format, Place, Reading, Record, Take, default_heldout_share, default_max_record_bytes,
    default_memory_mib, each_member,
};

/// Documents from text files, one document a file: of a folder with all its subfolders, or by a pattern.
///
/// Files may be plain, `.gz` or `.zst`, or members of `.tar`, `.tar.gz` or `.tar.zst` archives. A document is named by its
/// path from the folder, and its source is the folder that it lies in. Line ends become `\n`. Hidden files are passed
/// over. A file that is not UTF-8, is empty or too long is a bad record: where a folder holds more than texts, use a
/// pattern such as `notes/**/*.md`.
///
/// Order, held-out documents and duplicates are as with `jsonl`: by a hash of the text, so that a new file moves no other
/// document.
///
/// Cost: one read of the files when the corpus is opened, several at a time; memory for the texts, at most `memory_mib`
/// and 4 MiB a thread. A larger corpus is sorted in files of a temporary folder, which take about as much room as
/// the texts packed with zstd, and is read from there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TextConfig {
    /// Where documents are taken from: a folder, a file, a pattern such as `notes/**/*.txt`, or a list of these.
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
    /// A longer text is a bad record.
    #[serde(default = "default_max_record_bytes")]
    #[schemars(range(min = 1))]
    pub max_record_bytes: usize,
    /// Memory for documents, in MiB; what is more is sorted on disk. Changes no result.
    #[serde(default = "default_memory_mib")]
    #[schemars(range(min = 1), extend("x-identity" = false))]
    pub memory_mib: usize,
}

impl TextConfig {
    /// The documents of `path`, with every other option at its default.
    pub fn of(path: impl AsRef<Path>) -> Self {
        Self {
            path: RecipePaths::one(path),
            heldout_path: None,
            heldout_share: default_heldout_share(),
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
        FileCorpus::open(&reading, &Texts { most: self.max_record_bytes })
    }
}

impl Plugin<slots::Corpus> for TextConfig {
    const KIND: &'static str = "text";
    fn example() -> Self {
        Self::of("notes")
    }
    fn build(&self, _: &BuildContext) -> Result<Box<dyn Corpus>> {
        Ok(Box::new(self.open()?))
    }
}
register!(slots::Corpus => TextConfig);

/// Each file a record.
struct Texts {
    most: usize,
}

impl Format for Texts {
    const ENDINGS: &'static [&'static str] = &[];

    fn read(&self, file: &InputFile, take: &mut Take<'_>) -> Result<()> {
        each_member(file, &mut |name, content| {
            let record = self.text(content)?.map(|text| {
                let source = name.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
                Record { name: name.to_owned(), text, source }
            });
            take(Place { file: name, line: 1 }, record)
        })
    }
}

impl Texts {
    /// The text of a file, or what is wrong with it. What was lost on the way to an object may come the next time: it is
    /// no bad record, of which a corpus may have some.
    fn text(&self, content: &mut dyn BufRead) -> Result<std::result::Result<String, String>> {
        let mut bytes = Vec::new();
        match content.take(self.most as u64 + 1).read_to_end(&mut bytes) {
            Err(error) if is_lost(&error) => Err(error.into()),
            Err(error) => Ok(Err(format!("it cannot be read: {error}"))),
            Ok(_) => Ok(self.text_of(&bytes)),
        }
    }

    fn text_of(&self, bytes: &[u8]) -> std::result::Result<String, String> {
        if bytes.len() > self.most {
            return Err(format!("longer than max_record_bytes = {}", self.most));
        }
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let text = std::str::from_utf8(bytes)
            .map_err(|error| format!("not UTF-8 from byte {} on", error.valid_up_to() + 1))?;
        if text.trim().is_empty() {
            return Err("an empty text".to_owned());
        }
        Ok(text.replace("\r\n", "\n"))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use sbp_plugin::slots::corpus::NoDocument;

    use super::*;

    fn read(config: &TextConfig) -> (Vec<Document>, Vec<(String, String)>) {
        let corpus = config.open().expect("it opens");
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        for record in corpus.documents().expect("records") {
            match record {
                Ok(document) => good.push(document),
                Err(NoDocument::Bad(record)) => bad.push((record.file, record.reason)),
                Err(other) => panic!("{other:?}"),
            }
        }
        good.sort_by(|a, b| a.text.cmp(&b.text));
        bad.sort_unstable();
        (good, bad)
    }

    fn texts(documents: &[Document]) -> Vec<[&str; 2]> {
        documents.iter().map(|it| [it.text.as_str(), it.source.as_str()]).collect()
    }

    #[test]
    fn each_file_of_a_tree_is_a_document_or_a_bad_record() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        fs::create_dir_all(path("a/b")).expect("made");
        fs::write(path("a/one.txt"), b"\xef\xbb\xbfone\r\nline\r\n").expect("written");
        let packed = zstd::encode_all(&b"two"[..], 3).expect("packed");
        fs::write(path("a/b/two.md.zst"), &packed).expect("written");
        fs::write(path("a/b/cut.zst"), &packed[..packed.len() - 2]).expect("written");
        fs::write(path("picture.png"), b"\x89PNG\xff").expect("written");
        fs::write(path("empty.txt"), b" \n").expect("written");
        fs::write(path("long.txt"), "long ".repeat(10)).expect("written");
        fs::write(path(".hidden"), "hidden").expect("written");
        let config = TextConfig { heldout_share: 0.0, max_record_bytes: 20, ..TextConfig::of(folder.path()) };
        let (good, bad) = read(&config);
        assert_eq!(texts(&good), [["one\nline\n", "a"], ["two", "a/b"]]);
        let reasons: Vec<&str> = bad.iter().map(|(_, reason)| reason.as_str()).collect();
        let files: Vec<&str> = bad.iter().map(|(file, _)| file.as_str()).collect();
        assert_eq!(files, ["a/b/cut.zst", "empty.txt", "long.txt", "picture.png"]);
        assert!(reasons[0].starts_with("it cannot be read: "), "{reasons:?}");
        assert_eq!(
            reasons[1..],
            ["an empty text", "longer than max_record_bytes = 20", "not UTF-8 from byte 1 on"]
        );
        let pattern = TextConfig { path: RecipePaths::one(path("**/*.txt")), ..config };
        assert_eq!(texts(&read(&pattern).0), [["one\nline\n", "a"]]);
    }

    #[test]
    fn members_of_an_archive_are_documents_too() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("texts.tar.gz");
        let file = fs::File::create(&path).expect("made");
        let mut archive = tar::Builder::new(flate2::write::GzEncoder::new(file, flate2::Compression::fast()));
        for name in ["x/one.txt", "two.txt"] {
            let mut header = tar::Header::new_gnu();
            header.set_size(name.len() as u64);
            archive.append_data(&mut header, name, name.as_bytes()).expect("packed");
        }
        archive.into_inner().expect("packed").finish().expect("packed");
        let config = TextConfig { heldout_share: 0.0, ..TextConfig::of(&path) };
        assert_eq!(texts(&read(&config).0), [["two.txt", "texts.tar.gz"], ["x/one.txt", "texts.tar.gz/x"]]);
    }

    #[test]
    fn a_folder_without_files_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let error = TextConfig::of(folder.path()).open().err().expect("an error").to_string();
        assert!(error.contains("there is no file in") && error.contains("name another folder"), "{error}");
    }
}
