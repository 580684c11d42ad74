//! What corpora that read files have in common: a kind says what the records of one file are, and the rest is here.
//!
//! A document's place in the corpus follows from a hash of its text, and so does whether it is held out. So it does not
//! matter how documents are divided among files, in which order files are read and by how many threads, and a new file
//! moves no other document. Records with the same text meet in this order: the first by id is the document, the others
//! are duplicates of it.

mod archive;
mod fields;
mod sorted;
mod spill;

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;
use sbp_core::FingerprintBuilder;
use sbp_plugin::input::InputFile;
use sbp_plugin::prelude::*;
use sbp_plugin::slots::corpus::{BadRecord, Corpus, NoDocument, Records};

pub(super) use self::archive::each_member;
pub(super) use self::fields::Layout;
pub(super) use self::fields::{Fields, Record, one_of_several};
use self::sorted::{Found, Item, Side, Sorted, Sorter};

/// Bytes of records that a file gathers before it hands them on, at most.
const BATCH: usize = 4 << 20;

pub(super) fn default_heldout_share() -> f64 {
    0.05
}

pub(super) fn default_memory_mib() -> usize {
    1024
}

pub(super) fn default_max_record_bytes() -> usize {
    16 << 20
}

/// Where the records of a corpus are, and how they are divided.
pub(super) struct Reading<'c> {
    pub(super) path: &'c RecipePaths,
    pub(super) heldout_path: Option<&'c RecipePaths>,
    pub(super) heldout_share: f64,
    pub(super) memory_mib: usize,
}

/// Where in the corpus a record is.
#[derive(Clone, Copy)]
pub(super) struct Place<'p> {
    pub(super) file: &'p str,
    pub(super) line: u64,
}

/// Takes the records of a file one by one: a document's, or what is wrong with it.
pub(super) type Take<'t> = dyn FnMut(Place<'_>, std::result::Result<Record, String>) -> Result<()> + 't;

/// What the records of one file are.
pub(super) trait Format: Sync {
    /// What the names of files end with that are taken from a folder; all, if there are none.
    const ENDINGS: &'static [&'static str];

    /// Gives every record of a file to `take`.
    fn read(&self, file: &InputFile, take: &mut Take<'_>) -> Result<()>;
}

/// The documents of some files, in the order of their texts' hashes.
pub(super) struct FileCorpus {
    documents: Sorted,
    heldout: Sorted,
    /// Keys of the texts in a held-out file, which are not given among the documents.
    barred: HashSet<u128>,
    fingerprint: Fingerprint,
}

impl FileCorpus {
    pub(super) fn open<F: Format>(reading: &Reading<'_>, format: &F) -> Result<Self> {
        Self::open_within(reading, format, reading.memory_mib.saturating_mul(1 << 20))
    }

    /// Opens with a bound on memory in bytes.
    fn open_within<F: Format>(reading: &Reading<'_>, format: &F, bound: usize) -> Result<Self> {
        let sorter = Mutex::new(Sorter::new(bound));
        match reading.heldout_path {
            Some(path) => {
                read_files(path, format, &sorter, bound, &|_| Side::Heldout)?;
                read_files(reading.path, format, &sorter, bound, &|_| Side::Documents)?;
            }
            None => {
                let first = ((1.0 - reading.heldout_share) * 2f64.powi(64)) as u64;
                let side =
                    |key: u128| if (key >> 64) as u64 >= first { Side::Heldout } else { Side::Documents };
                read_files(reading.path, format, &sorter, bound, &side)?;
            }
        }
        let sorter = sorter.into_inner().map_err(|_| "a thread that read files panicked")?;
        let mut fingerprint = FingerprintBuilder::default();
        sorter.sums().iter().for_each(|sum| fingerprint.push(&sum.to_le_bytes()));
        let (documents, heldout) = sorter.finish();
        let mut barred = HashSet::new();
        if reading.heldout_path.is_some() {
            for item in heldout.iter()? {
                let item = item?;
                if matches!(item.found, Found::Document { .. }) {
                    barred.insert(item.key);
                }
            }
        }
        Ok(Self { documents, heldout, barred, fingerprint: fingerprint.finish() })
    }
}

impl Corpus for FileCorpus {
    fn documents(&self) -> Result<Records<'_>> {
        records(&self.documents, &self.barred)
    }
    fn heldout(&self) -> Result<Records<'_>> {
        static NONE: std::sync::LazyLock<HashSet<u128>> = std::sync::LazyLock::new(HashSet::new);
        records(&self.heldout, &NONE)
    }
    fn fingerprint(&self) -> Result<Fingerprint> {
        Ok(self.fingerprint.clone())
    }
}

/// Sorted items as documents; those whose text came just before, or is barred, as duplicates.
fn records<'s>(sorted: &'s Sorted, barred: &'s HashSet<u128>) -> Result<Records<'s>> {
    let mut last = None;
    Ok(Box::new(sorted.iter()?.map(move |item| {
        let Item { key, found } = item.map_err(NoDocument::Failed)?;
        match found {
            Found::Document { id, source, text } => {
                if last.replace(key) == Some(key) || barred.contains(&key) {
                    return Err(NoDocument::Duplicate);
                }
                Ok(Document { id, text: text.into(), source: source.into() })
            }
            Found::Bad { file, line, reason } => {
                Err(BadRecord { file: file.into(), line, reason: reason.into() }.into())
            }
        }
    })))
}

/// Reads files side by side. Of several that cannot be read, the first by path is the one that is told.
fn read_files<F: Format>(
    paths: &RecipePaths,
    format: &F,
    sorter: &Mutex<Sorter>,
    bound: usize,
    side: &(dyn Fn(u128) -> Side + Sync),
) -> Result<()> {
    let files = paths.files(F::ENDINGS)?;
    let failed_at = AtomicUsize::new(usize::MAX);
    let read = |(index, file): (usize, &InputFile)| -> Result<()> {
        if index > failed_at.load(Ordering::Relaxed) {
            return Ok(());
        }
        let outcome = read_file(file, format, sorter, bound, side);
        if outcome.is_err() {
            failed_at.fetch_min(index, Ordering::Relaxed);
        }
        outcome
    };
    let outcomes: Vec<Result<()>> = files.par_iter().enumerate().map(read).collect();
    outcomes.into_iter().collect()
}

fn read_file<F: Format>(
    file: &InputFile,
    format: &F,
    sorter: &Mutex<Sorter>,
    bound: usize,
    side: &(dyn Fn(u128) -> Side + Sync),
) -> Result<()> {
    let hand_on = |batch: &mut Vec<(Side, Item)>| -> Result<()> {
        let mut sorter = sorter.lock().map_err(|_| "another thread that read files panicked")?;
        sorter.extend(batch.drain(..))
    };
    let most = BATCH.min(bound / 8);
    let (mut batch, mut bytes) = (Vec::new(), 0);
    format.read(file, &mut |place, outcome| {
        let item = Item::of(place, outcome);
        bytes += item.bytes();
        let side = match &item.found {
            Found::Document { .. } => side(item.key),
            Found::Bad { .. } => side(0),
        };
        batch.push((side, item));
        if bytes > most {
            bytes = 0;
            hand_on(&mut batch)?;
        }
        Ok(())
    })?;
    hand_on(&mut batch)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use proptest::prelude::*;

    use super::*;

    /// Each line a document: its name, its text.
    struct Lines;

    impl Format for Lines {
        const ENDINGS: &'static [&'static str] = &[".lines"];
        fn read(&self, file: &InputFile, take: &mut Take<'_>) -> Result<()> {
            let text = std::fs::read_to_string(&file.path)?;
            for (index, line) in text.lines().enumerate() {
                let place = Place { file: &file.name, line: index as u64 + 1 };
                let record = line.split_once(' ').ok_or_else(|| "no space".to_owned());
                take(
                    place,
                    record.map(|(name, text)| Record {
                        name: name.to_owned(),
                        text: text.to_owned(),
                        source: String::new(),
                    }),
                )?;
            }
            Ok(())
        }
    }

    fn folder_of(files: &[String]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for (index, text) in files.iter().enumerate() {
            std::fs::write(folder.path().join(format!("{index:03}.lines")), text).expect("written");
        }
        folder
    }

    fn open(files: &[String], heldout_share: f64, bound: usize) -> FileCorpus {
        let folder = folder_of(files);
        let path = RecipePaths::one(folder.path());
        let reading = Reading { path: &path, heldout_path: None, heldout_share, memory_mib: 1 };
        FileCorpus::open_within(&reading, &Lines, bound).expect("it opens")
    }

    type Given = Vec<std::result::Result<Document, NoDocument>>;

    fn all(corpus: &FileCorpus) -> [Given; 2] {
        [corpus.documents().expect("records").collect(), corpus.heldout().expect("records").collect()]
    }

    fn documents(given: &Given) -> Vec<&Document> {
        given.iter().filter_map(|record| record.as_ref().ok()).collect()
    }

    #[test]
    fn of_equal_texts_the_first_by_id_stays_and_the_others_are_counted() {
        let files = ["a same\nb other\n".to_owned(), "c same\nd  same \nd  same \nbad\n".to_owned()];
        let corpus = open(&files, 0.0, 1 << 20);
        let [given, heldout] = all(&corpus);
        let kept = documents(&given);
        assert_eq!((given.len(), kept.len(), heldout.len()), (6, 2, 0));
        assert_eq!(given.iter().filter(|it| **it == Err(NoDocument::Duplicate)).count(), 3);
        let bad = BadRecord { file: "001.lines".to_owned(), line: 4, reason: "no space".to_owned() };
        assert!(given.contains(&Err(bad.into())));
        // However the files are cut, the same one stays.
        let together = open(&[files.concat()], 0.0, 1 << 20);
        assert_eq!(documents(&all(&together)[0]), kept);
        assert_eq!(
            open(&["a same\nb other\n".to_owned()], 0.0, 1 << 20).fingerprint().expect("one"),
            open(&["b other\n".to_owned(), "a same\n".to_owned()], 0.0, 1 << 20).fingerprint().expect("one"),
        );
        assert_ne!(together.fingerprint().expect("one"), open(&files, 0.5, 9).fingerprint().expect("one"));
    }

    #[test]
    fn the_texts_of_a_heldout_file_are_no_documents() {
        let folder = folder_of(&["a one\nb two\n".to_owned(), "a two\nc three\n".to_owned()]);
        let path = RecipePaths::one(folder.path().join("000.lines"));
        let heldout = RecipePaths::one(folder.path().join("001.lines"));
        let reading =
            Reading { path: &path, heldout_path: Some(&heldout), heldout_share: 0.0, memory_mib: 1 };
        let corpus = FileCorpus::open(&reading, &Lines).expect("it opens");
        let [given, held] = all(&corpus);
        assert_eq!(documents(&given).iter().map(|it| it.text.as_str()).collect::<Vec<_>>(), ["one"]);
        assert!(given.contains(&Err(NoDocument::Duplicate)));
        assert_eq!(documents(&held).len(), 2);
    }

    #[test]
    fn the_first_file_that_fails_is_told() {
        let folder = folder_of(&vec!["a a\n".to_owned(); 8]);
        for bad in ["002.lines", "005.lines"] {
            std::fs::write(folder.path().join(bad), [0xff]).expect("written");
        }
        struct Named;
        impl Format for Named {
            const ENDINGS: &'static [&'static str] = &[];
            fn read(&self, file: &InputFile, take: &mut Take<'_>) -> Result<()> {
                Lines.read(file, take).map_err(|error| format!("{}: {error}", file.name).into())
            }
        }
        let path = RecipePaths::one(folder.path());
        let reading = Reading { path: &path, heldout_path: None, heldout_share: 0.0, memory_mib: 1 };
        let error = FileCorpus::open(&reading, &Named).err().expect("an error").to_string();
        assert!(error.starts_with("002.lines"), "{error}");
    }

    fn lines(texts: &[u8]) -> String {
        texts.iter().fold(String::new(), |mut lines, text| {
            let _ = writeln!(lines, "n{} text {}", text % 3, text / 2);
            lines
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn a_new_file_moves_no_other_document(
            old in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..5),
            new in prop::collection::vec(any::<u8>(), 0..40),
            at in 0usize..5,
        ) {
            let mut files: Vec<String> = old.iter().map(|texts| lines(texts)).collect();
            let before = all(&open(&files, 0.3, 1 << 20));
            files.insert(at.min(files.len()), lines(&new));
            let after = all(&open(&files, 0.3, 1 << 20));
            for (before, after) in before.iter().zip(&after) {
                let texts: Vec<&str> = documents(before).iter().map(|it| it.text.as_str()).collect();
                let still: Vec<&str> = documents(after).iter().map(|it| it.text.as_str())
                    .filter(|text| texts.contains(text)).collect();
                prop_assert_eq!(still, texts);
            }
        }

        #[test]
        fn a_corpus_larger_than_its_memory_is_the_same(
            files in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 1..5),
            bound in 8usize..4000,
        ) {
            let files: Vec<String> = files.iter().map(|texts| lines(texts) + "bad\n").collect();
            let (small, large) = (open(&files, 0.3, bound), open(&files, 0.3, 1 << 30));
            prop_assert_eq!(all(&small), all(&large));
            prop_assert_eq!(all(&small), all(&small));
            prop_assert_eq!(small.fingerprint().unwrap(), large.fingerprint().unwrap());
        }
    }
}
