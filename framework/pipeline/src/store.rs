//! The artifact store: `<root>/<stage>/<fingerprint>/`, each folder whole or absent.
//!
//! A stage works in `<fingerprint>.partial/`, which later attempts go on from; when it is done, the hashes of its
//! files are written to `DONE` and the folder is given its name by one rename. What has no valid `DONE` is never
//! read. A lock for each artifact lets two runs share a store. Checking an artifact costs one read of its files.
//! A [`Remote`] behind it is asked for what is not here, and given what is.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use sbp_core::Fingerprint;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::remote::{Fetched, Remote};
use crate::{Error, Result, files};

/// Name of the file that makes a folder an artifact.
pub(crate) const DONE: &str = "DONE";

/// Name of the file that says what an artifact was made from.
const MANIFEST: &str = "manifest.json";

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A folder of artifacts.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
    remote: Option<Remote>,
}

/// One stage's result.
#[derive(Debug, Clone)]
pub(crate) struct Artifact {
    pub(crate) path: PathBuf,
    pub(crate) fingerprint: Fingerprint,
}

/// How an artifact came to be at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    Reused,
    /// It came from the remote store.
    Fetched,
    Made,
}

/// What an artifact was made from: everything that its fingerprint covers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) stage: String,
    /// Version of the program; empty in artifacts that do not say.
    #[serde(default)]
    pub(crate) sbp: String,
    pub(crate) inputs: Value,
}

impl Manifest {
    /// That of an artifact which this program would make.
    pub(crate) fn of(stage: &str, inputs: &Value) -> Self {
        Self { stage: stage.to_owned(), sbp: VERSION.to_owned(), inputs: inputs.clone() }
    }

    pub(crate) fn read(artifact: &Path) -> Result<Self> {
        files::read_json(&artifact.join(MANIFEST))
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Done {
    pub(crate) files: BTreeMap<String, FileSeal>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct FileSeal {
    pub(crate) bytes: u64,
    pub(crate) blake3: String,
}

impl Store {
    /// A store in `root`, which is created when first written to.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), remote: None }
    }

    pub(crate) fn with_remote(self, remote: Option<Remote>) -> Self {
        Self { remote, ..self }
    }

    /// The store's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The fingerprint of a stage with these inputs.
    pub(crate) fn fingerprint(stage: &str, inputs: &Value) -> Fingerprint {
        // The version stands for the code of the stages themselves; plugins bring versions of their own.
        Fingerprint::of_value(&json!({"stage": stage, "inputs": inputs, "sbp": VERSION}))
    }

    /// Where the artifact of `stage` for `inputs` lies, or would.
    pub(crate) fn place(&self, stage: &str, inputs: &Value) -> Artifact {
        let fingerprint = Self::fingerprint(stage, inputs);
        Artifact { path: self.root.join(stage).join(fingerprint.as_str()), fingerprint }
    }

    /// The artifact of `stage` for `inputs`: the stored one if it is whole, else the remote one, else made by `make` in the
    /// folder it is given, which holds whatever an interrupted attempt left there. `warn` hears of anything unusual.
    pub(crate) fn make(
        &self,
        stage: &'static str,
        inputs: &Value,
        warn: &mut dyn FnMut(String),
        make: &mut dyn FnMut(&Path) -> Result<()>,
    ) -> Result<(Artifact, Origin)> {
        let artifact = self.place(stage, inputs);
        let Artifact { path, fingerprint } = artifact.clone();
        let folder = self.root.join(stage);
        files::create_folder(&folder)?;
        let lock = lock_of(&folder, fingerprint.as_str())?;
        if lock.try_lock().is_err() {
            warn(format!("another run is making {stage} {}; waiting for it", fingerprint.short()));
            lock.lock().map_err(Error::file("lock", &path))?;
        }
        if path.exists() {
            match verify(&path) {
                Ok(()) => {
                    self.send(&artifact, stage, false, warn);
                    return Ok((artifact, Origin::Reused));
                }
                Err(reason) => {
                    let aside = set_aside(&path)?;
                    warn(format!(
                        "{stage} {} is damaged ({reason}); kept as {} and made anew",
                        fingerprint.short(),
                        aside.display()
                    ));
                }
            }
        }
        let partial = folder.join(format!("{fingerprint}.partial"));
        let fetched = self.fetch(&artifact, stage, warn)?;
        if fetched == Fetched::Whole {
            // Nobody goes on from there any more.
            let _ = fs::remove_dir_all(&partial);
            return Ok((artifact, Origin::Fetched));
        }
        files::create_folder(&partial)?;
        make(&partial)?;
        files::write_json(&partial.join(MANIFEST), &Manifest::of(stage, inputs))?;
        files::write_json(&partial.join(DONE), &Done { files: seal(&partial)? })?;
        publish(&partial, &path)?;
        self.send(&artifact, stage, fetched == Fetched::Damaged, warn);
        Ok((artifact, Origin::Made))
    }

    /// Puts the remote store's artifact where it belongs, if it has it whole.
    fn fetch(&self, artifact: &Artifact, stage: &str, warn: &mut dyn FnMut(String)) -> Result<Fetched> {
        let Some(remote) = &self.remote else { return Ok(Fetched::Absent) };
        let beside = artifact.path.with_extension("fetched");
        let fetched = remote.fetch(stage, &artifact.fingerprint, &beside, warn)?;
        if fetched == Fetched::Whole {
            publish(&beside, &artifact.path)?;
        }
        Ok(fetched)
    }

    /// Gives the artifact to the remote store, in the place of what that has if `replace`.
    fn send(&self, artifact: &Artifact, stage: &str, replace: bool, warn: &mut dyn FnMut(String)) {
        if let Some(remote) = &self.remote {
            remote.send(stage, artifact, replace, warn);
        }
    }
}

impl Artifact {
    /// Whether it was made to its end. Its files are not looked at.
    pub(crate) fn is_made(&self) -> bool {
        self.file(DONE).exists()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

/// The lock of an artifact in a stage's folder. It stays there for good: one that is removed while somebody waits for it
/// would let two in.
pub(crate) fn lock_of(folder: &Path, fingerprint: &str) -> Result<File> {
    let path = folder.join(format!("{fingerprint}.lock"));
    File::create(&path).map_err(Error::file("create", &path))
}

/// Copies the files below `part` of an artifact into a folder, each checked against what it was when the artifact was
/// published. Gives their names and hashes.
pub(crate) fn copy_part(artifact: &Path, part: &str, to: &Path) -> Result<BTreeMap<String, String>> {
    let done: Done = files::read_json(&artifact.join(DONE))?;
    let mut copied = BTreeMap::new();
    for (name, sealed) in done.files {
        let Some(inside) = name.strip_prefix(part).and_then(|rest| rest.strip_prefix('/')) else { continue };
        let (from, copy) = (artifact.join(&name), to.join(inside));
        files::create_folder(copy.parent().unwrap_or(to))?;
        fs::copy(&from, &copy).map_err(Error::file("copy", &from))?;
        if seal_file(&copy).map_err(Error::file("read", &copy))? != sealed {
            return Err(files::invalid(&from, &"it has other content than when it was made"));
        }
        copied.insert(inside.to_owned(), sealed.blake3);
    }
    Ok(copied)
}

/// Gives a whole folder the name of its artifact.
fn publish(whole: &Path, path: &Path) -> Result<()> {
    fs::rename(whole, path).map_err(Error::file("publish", path))?;
    sync_folder(path.parent().unwrap_or(path));
    Ok(())
}

/// Makes a rename durable where the system lets folders be synced; where it does not, nothing is lost but time.
fn sync_folder(folder: &Path) {
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
}

fn set_aside(path: &Path) -> Result<PathBuf> {
    let mut number = 1;
    loop {
        let aside = path.with_extension(format!("damaged-{number}"));
        if !aside.exists() {
            fs::rename(path, &aside).map_err(Error::file("set aside", path))?;
            return Ok(aside);
        }
        number += 1;
    }
}

fn seal(folder: &Path) -> Result<BTreeMap<String, FileSeal>> {
    let mut seals = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(current) = open.pop() {
        for entry in fs::read_dir(&current).map_err(Error::file("read", &current))? {
            let path = entry.map_err(Error::file("read", &current))?.path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap_or(&path).to_string_lossy().into_owned();
                if name != DONE {
                    let seal = seal_file(&path).map_err(Error::file("read", &path))?;
                    seals.insert(name, seal);
                }
            }
        }
    }
    Ok(seals)
}

fn seal_file(path: &Path) -> std::io::Result<FileSeal> {
    let mut hasher = blake3::Hasher::new();
    let bytes = std::io::copy(&mut File::open(path)?, &mut hasher)?;
    Ok(FileSeal { bytes, blake3: hasher.finalize().to_hex().to_string() })
}

/// Whether every file of an artifact is what it was when the artifact was published.
fn verify(path: &Path) -> std::result::Result<(), String> {
    let text = fs::read_to_string(path.join(DONE)).map_err(|_| "it was never finished".to_owned())?;
    let done: Done =
        serde_json::from_str(&text).map_err(|error| format!("its {DONE} is not readable: {error}"))?;
    for (name, sealed) in &done.files {
        match seal_file(&path.join(name)) {
            Err(error) => return Err(format!("{name}: {error}")),
            Ok(found) if found.bytes != sealed.bytes => {
                return Err(format!("{name} has {} bytes instead of {}", found.bytes, sealed.bytes));
            }
            Ok(found) if found != *sealed => {
                return Err(format!("{name} has other content than when it was made"));
            }
            Ok(_) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn make(store: &Store, text: &str) -> (String, Origin, Vec<String>) {
        let mut warnings = Vec::new();
        let (artifact, origin) = store
            .make("demo", &json!({"x": 1}), &mut |warning| warnings.push(warning), &mut |folder| {
                files::write_whole(&folder.join("data"), text.as_bytes())
            })
            .unwrap();
        (fs::read_to_string(artifact.file("data")).unwrap(), origin, warnings)
    }

    #[test]
    fn what_is_there_is_reused() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path());
        assert_eq!(make(&store, "one"), ("one".into(), Origin::Made, vec![]));
        assert_eq!(make(&store, "two"), ("one".into(), Origin::Reused, vec![]));
    }

    #[test]
    fn a_flipped_byte_is_named_and_the_stage_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path());
        make(&store, "one");
        let fingerprint = Store::fingerprint("demo", &json!({"x": 1}));
        fs::write(folder.path().join("demo").join(fingerprint.as_str()).join("data"), "onf").unwrap();
        let (data, origin, warnings) = make(&store, "two");
        assert_eq!((data.as_str(), origin), ("two", Origin::Made));
        assert!(warnings[0].contains("data has other content"), "{warnings:?}");
    }

    #[test]
    fn a_stage_that_failed_is_not_there_but_its_partial_work_is() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path());
        let mut attempts = 0;
        let mut attempt = |folder: &Path| {
            attempts += 1;
            if attempts == 1 {
                files::write_whole(&folder.join("half"), b"x")?;
                return Err(Error::Stopped { stage: "demo".into() });
            }
            assert!(folder.join("half").exists());
            Ok(())
        };
        assert!(store.make("demo", &json!(1), &mut |_| {}, &mut attempt).is_err());
        assert!(!folder.path().join("demo").join(Store::fingerprint("demo", &json!(1)).as_str()).exists());
        assert_eq!(store.make("demo", &json!(1), &mut |_| {}, &mut attempt).unwrap().1, Origin::Made);
    }
}
