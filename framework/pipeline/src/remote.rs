//! The remote store: a folder in a bucket with the layout of the store, that machines share artifacts through.
//!
//! `DONE` is written last, so that what has it is whole; all the same every file is checked against it on its way here.
//! The remote store is a help and no more: where it fails, that is told once, and the run goes on without it. What it
//! did not get then it gets from the next run that reuses the artifact.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::path::{Component, Path};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use rayon::prelude::*;
use sbp_core::Fingerprint;
use sbp_plugin::objects::{Bucket, is_lost};

use crate::store::{Artifact, DONE, Done, FileSeal, Manifest, Store};
use crate::{Error, Result, files};

/// Bytes that are taken from a stream at once.
const BUFFER: usize = 1 << 18;

/// A store in a bucket. Opened when it is first needed.
#[derive(Debug, Clone)]
pub(crate) struct Remote {
    url: String,
    bucket: Arc<OnceLock<Bucket>>,
    given_up: Arc<AtomicBool>,
}

/// What came of looking for an artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fetched {
    /// All of it is here.
    Whole,
    /// It is there, and not as it was made.
    Damaged,
    /// It is not there, or nobody can tell.
    Absent,
}

/// Why an artifact could not be fetched.
enum Failed {
    /// It is not as it was made.
    Damaged(String),
    /// The bucket, or the way to it.
    Bucket(sbp_plugin::Error),
    /// This machine's disk.
    Here(Error),
}

impl From<sbp_plugin::Error> for Failed {
    fn from(error: sbp_plugin::Error) -> Self {
        Self::Bucket(error)
    }
}

impl Remote {
    /// The remote store at a URL.
    pub(crate) fn at(url: &str) -> Self {
        let shared = (Arc::default(), Arc::default());
        Self { url: url.to_owned(), bucket: shared.0, given_up: shared.1 }
    }

    /// Copies an artifact to the folder `to`, each file checked.
    ///
    /// # Errors
    /// When the folder cannot be written to.
    pub(crate) fn fetch(
        &self,
        stage: &str,
        fingerprint: &Fingerprint,
        to: &Path,
        warn: &mut dyn FnMut(String),
    ) -> Result<Fetched> {
        let Some(bucket) = self.bucket(warn) else { return Ok(Fetched::Absent) };
        let outcome = copy_here(bucket, stage, fingerprint, to);
        if !matches!(outcome, Ok(Fetched::Whole)) {
            let _ = fs::remove_dir_all(to);
        }
        match outcome {
            Ok(fetched) => Ok(fetched),
            Err(Failed::Damaged(reason)) => {
                let place = bucket.url(&format!("{stage}/{fingerprint}"));
                warn(format!("{place} is damaged ({reason}); {stage} is made anew and replaces it"));
                Ok(Fetched::Damaged)
            }
            Err(Failed::Bucket(error)) => {
                self.give_up(&error, warn);
                Ok(Fetched::Absent)
            }
            Err(Failed::Here(error)) => Err(error),
        }
    }

    /// Copies an artifact to the bucket if that does not have it, or in any case if `replace`.
    pub(crate) fn send(&self, stage: &str, artifact: &Artifact, replace: bool, warn: &mut dyn FnMut(String)) {
        let Some(bucket) = self.bucket(warn) else { return };
        if let Err(error) = copy_there(bucket, stage, artifact, replace) {
            self.give_up(&error, warn);
        }
    }

    fn bucket(&self, warn: &mut dyn FnMut(String)) -> Option<&Bucket> {
        if self.given_up.load(Ordering::Relaxed) {
            return None;
        }
        if self.bucket.get().is_none() {
            match Bucket::open(&self.url) {
                Ok(bucket) => drop(self.bucket.set(bucket)),
                Err(error) => self.give_up(&error, warn),
            }
        }
        self.bucket.get()
    }

    fn give_up(&self, error: &sbp_plugin::Error, warn: &mut dyn FnMut(String)) {
        self.given_up.store(true, Ordering::Relaxed);
        warn(format!(
            "remote store: {error}. The run goes on without it; what {} lacks is copied there when it is run again",
            self.url
        ));
    }
}

fn copy_here(
    bucket: &Bucket,
    stage: &str,
    fingerprint: &Fingerprint,
    to: &Path,
) -> std::result::Result<Fetched, Failed> {
    let name = |file: &str| format!("{stage}/{fingerprint}/{file}");
    let Some(text) = bucket.bytes(&name(DONE))? else { return Ok(Fetched::Absent) };
    let done: Done = serde_json::from_slice(&text)
        .map_err(|error| Failed::Damaged(format!("its {DONE} is not readable: {error}")))?;
    if let Some(outside) = done.files.keys().find(|file| !is_inside(file)) {
        return Err(Failed::Damaged(format!("{outside} lies outside of it")));
    }
    if to.exists() {
        fs::remove_dir_all(to).map_err(Error::file("remove", to)).map_err(Failed::Here)?;
    }
    files::create_folder(to).map_err(Failed::Here)?;
    each(&done.files, |file, seal| copy_file_here(bucket, &name(file), file, seal, &to.join(file)))?;
    // The hashes say that it is what was made, this what it was made from.
    let manifest = Manifest::read(to).map_err(|error| Failed::Damaged(error.to_string()))?;
    if Store::fingerprint(&manifest.stage, &manifest.inputs) != *fingerprint {
        return Err(Failed::Damaged("it was made from something else".to_owned()));
    }
    files::write_whole(&to.join(DONE), &text).map_err(Failed::Here)?;
    Ok(Fetched::Whole)
}

/// Whether a file's name leads into its artifact.
fn is_inside(name: &str) -> bool {
    !name.is_empty() && Path::new(name).components().all(|part| matches!(part, Component::Normal(_)))
}

fn copy_file_here(
    bucket: &Bucket,
    name: &str,
    file: &str,
    seal: &FileSeal,
    to: &Path,
) -> std::result::Result<(), Failed> {
    let Some(mut content) = bucket.read(name)? else {
        return Err(Failed::Damaged(format!("{file} is missing")));
    };
    let here = |action: &'static str| {
        move |error: io::Error| match is_lost(&error) {
            true => Failed::Bucket(error.into()),
            false => Failed::Here(Error::file(action, to)(error)),
        }
    };
    files::create_folder(to.parent().unwrap_or(to)).map_err(Failed::Here)?;
    let mut copy = File::create(to).map_err(here("create"))?;
    let mut hasher = blake3::Hasher::new();
    let (mut buffer, mut bytes) = (vec![0; BUFFER], 0);
    loop {
        let count = content.read(&mut buffer).map_err(here("fetch"))?;
        if count == 0 {
            break;
        }
        bytes += count as u64;
        hasher.update(&buffer[..count]);
        copy.write_all(&buffer[..count]).map_err(here("write"))?;
    }
    copy.sync_all().map_err(here("write"))?;
    if bytes != seal.bytes {
        return Err(Failed::Damaged(format!("{file} has {bytes} bytes instead of {}", seal.bytes)));
    }
    if hasher.finalize().to_hex().as_str() != seal.blake3 {
        return Err(Failed::Damaged(format!("{file} has other content than when it was made")));
    }
    Ok(())
}

fn copy_there(bucket: &Bucket, stage: &str, artifact: &Artifact, replace: bool) -> sbp_plugin::Result<()> {
    let name = |file: &str| format!("{stage}/{}/{file}", artifact.fingerprint);
    if !replace && bucket.has(&name(DONE))? {
        return Ok(());
    }
    let text = fs::read(artifact.file(DONE))?;
    let done: Done = serde_json::from_slice(&text)?;
    each(&done.files, |file, _| bucket.upload(&artifact.file(file), &name(file)))?;
    bucket.write(&name(DONE), text)
}

/// Does something with every file, several at a time: of small ones most of the time is waiting.
fn each<E: Send>(
    files: &BTreeMap<String, FileSeal>,
    work: impl Fn(&str, &FileSeal) -> std::result::Result<(), E> + Sync,
) -> std::result::Result<(), E> {
    files.par_iter().try_for_each(|(file, seal)| work(file, seal))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::store::Origin;

    impl Remote {
        fn of(bucket: Bucket) -> Self {
            let remote = Self::at("s3://bucket/store");
            remote.bucket.set(bucket).expect("it is new");
            remote
        }
    }

    /// Stores of several machines with one remote store.
    struct Machine {
        folder: tempfile::TempDir,
        store: Store,
    }

    impl Machine {
        fn new(bucket: &Bucket) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let store = Store::new(folder.path()).with_remote(Some(Remote::of(bucket.clone())));
            Self { folder, store }
        }

        fn make(&self, text: &str) -> (String, Origin, Vec<String>) {
            let mut warnings = Vec::new();
            let made =
                self.store.make("demo", &json!({"x": 1.5}), &mut |it| warnings.push(it), &mut |folder| {
                    files::create_folder(&folder.join("deep/er"))?;
                    files::write_whole(&folder.join("deep/er/more"), b"more")?;
                    files::write_whole(&folder.join("data"), text.as_bytes())
                });
            let (artifact, origin) = made.unwrap();
            assert_eq!(fs::read_to_string(artifact.file("deep/er/more")).unwrap(), "more");
            (fs::read_to_string(artifact.file("data")).unwrap(), origin, warnings)
        }

        /// What lies in the folder of the stage, but for locks.
        fn left(&self) -> usize {
            files::folders_in(&self.folder.path().join("demo")).unwrap().len()
        }
    }

    fn place(file: &str) -> String {
        format!("demo/{}/{file}", Store::fingerprint("demo", &json!({"x": 1.5})))
    }

    #[test]
    fn what_one_machine_made_another_fetches() {
        let bucket = Bucket::in_memory("s3://bucket/store");
        let (first, second) = (Machine::new(&bucket), Machine::new(&bucket));
        assert_eq!(first.make("one"), ("one".into(), Origin::Made, vec![]));
        assert!(bucket.has(&place(DONE)).unwrap());
        // What the second had begun is of no use any more.
        let partial = second.store.place("demo", &json!({"x": 1.5})).path.with_extension("partial");
        files::create_folder(&partial).unwrap();
        assert_eq!(second.make("two"), ("one".into(), Origin::Fetched, vec![]));
        assert_eq!(second.make("two"), ("one".into(), Origin::Reused, vec![]));
        assert_eq!(second.left(), 1);
    }

    #[test]
    fn a_remote_store_is_filled_by_what_is_reused() {
        let machine = Machine::new(&Bucket::in_memory("s3://bucket/old"));
        machine.make("one");
        let bucket = Bucket::in_memory("s3://bucket/store");
        let store = machine.store.clone().with_remote(Some(Remote::of(bucket.clone())));
        let machine = Machine { store, ..machine };
        assert_eq!(machine.make("two"), ("one".into(), Origin::Reused, vec![]));
        assert_eq!(Machine::new(&bucket).make("three"), ("one".into(), Origin::Fetched, vec![]));
    }

    #[test]
    fn what_has_no_done_is_not_there() {
        let bucket = Bucket::in_memory("s3://bucket/store");
        bucket.write(&place("data"), b"half".to_vec()).unwrap();
        assert_eq!(Machine::new(&bucket).make("one"), ("one".into(), Origin::Made, vec![]));
        assert_eq!(Machine::new(&bucket).make("two"), ("one".into(), Origin::Fetched, vec![]));
    }

    #[test]
    fn what_is_damaged_is_told_made_anew_and_replaced() {
        let done = |text: &str| text.as_bytes().to_vec();
        let outside = r#"{"files": {"../../x": {"bytes": 1, "blake3": ""}}}"#;
        let missing = r#"{"files": {"gone": {"bytes": 1, "blake3": ""}}}"#;
        for (file, content, told) in [
            ("data", b"onf".to_vec(), "data has other content than when it was made"),
            ("data", b"o".to_vec(), "data has 1 bytes instead of 3"),
            (DONE, done("{"), "its DONE is not readable"),
            (DONE, done(outside), "../../x lies outside of it"),
            (DONE, done(missing), "gone is missing"),
            (DONE, done(r#"{"files": {}}"#), "manifest.json"),
        ] {
            let bucket = Bucket::in_memory("s3://bucket/store");
            Machine::new(&bucket).make("one");
            bucket.write(&place(file), content).unwrap();
            let second = Machine::new(&bucket);
            let (data, origin, warnings) = second.make("two");
            assert_eq!((data.as_str(), origin, second.left()), ("two", Origin::Made, 1));
            assert!(
                warnings[0].contains("s3://bucket/store/demo/") && warnings[0].contains(told),
                "{warnings:?}"
            );
            assert_eq!(Machine::new(&bucket).make("three"), ("two".into(), Origin::Fetched, vec![]));
        }
    }

    #[test]
    fn what_was_made_from_something_else_is_not_taken() {
        let bucket = Bucket::in_memory("s3://bucket/store");
        let first = Machine::new(&bucket);
        first.make("one");
        let (other, _) = first
            .store
            .make("demo", &json!({"x": 2}), &mut |_| {}, &mut |folder| {
                files::write_whole(&folder.join("data"), b"other")
            })
            .unwrap();
        for file in ["data", "manifest.json", DONE] {
            bucket.upload(&other.file(file), &place(file)).unwrap();
        }
        let (data, origin, warnings) = Machine::new(&bucket).make("two");
        assert_eq!((data.as_str(), origin), ("two", Origin::Made));
        assert!(warnings[0].contains("made from something else"), "{warnings:?}");
    }

    #[test]
    fn a_remote_store_that_fails_is_told_once_and_fails_no_run() {
        let folder = tempfile::tempdir().unwrap();
        // A URL that no client can be set up for.
        let store = Store::new(folder.path()).with_remote(Some(Remote::at("az://a.b/c")));
        let mut warnings = Vec::new();
        for x in [1, 2] {
            let made = store.make("demo", &json!(x), &mut |it| warnings.push(it), &mut |_| Ok(()));
            assert_eq!(made.unwrap().1, Origin::Made);
        }
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(
            warnings[0].contains("az://a.b") && warnings[0].contains("goes on without it"),
            "{warnings:?}"
        );
    }
}
