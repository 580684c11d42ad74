//! Resumable state of a training job: folders `progress/step-N/`, each whole or ignored, and the ones that are to be
//! kept under `checkpoints/`. Each is a Hugging Face folder, with the optimizer's state and the counts beside it.
//!
//! A checkpoint is written under another name, brought to the disk, renamed, and only then is the one before it
//! removed. Its `state.json` carries the hashes of the tensor files and one of itself, so that a damaged
//! checkpoint is passed over for an older one, or for the start.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use sbp_core::Fingerprint;
use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::checkpoint::{
    hash_of, publish_folder, read_tensors, remove_folder, start_folder, write_json, write_tensors,
};
use crate::error::{Error, Result, at};

const CONFIG: &str = "config.json";
const WEIGHTS: &str = "model.safetensors";
const OPTIMIZER: &str = "optimizer.safetensors";
const STATE: &str = "state.json";

/// Everything of a half-done job that is not a tensor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    /// Identity of the job.
    pub(crate) identity: Fingerprint,
    /// Steps done.
    pub(crate) step: u64,
    /// Training tokens consumed.
    pub(crate) tokens: u64,
    /// Model FLOPs spent.
    pub(crate) flops: f64,
    /// Loss of the last step done.
    pub(crate) loss: f64,
}

#[derive(Serialize, Deserialize)]
struct Sealed {
    state: State,
    /// blake3 of the tensor files by name.
    files: BTreeMap<String, String>,
    /// blake3 of the two entries above as compact JSON.
    seal: String,
}

fn seal(state: &State, files: &BTreeMap<String, String>) -> Result<String> {
    let text = serde_json::to_vec(&(state, files)).map_err(|error| Error::Invalid(error.to_string()))?;
    Ok(blake3::hash(&text).to_hex().to_string())
}

/// A checkpoint that was read and found whole.
pub(crate) struct Resumed {
    /// Where the job stood.
    pub(crate) state: State,
    /// Parameters by name.
    pub(crate) weights: BTreeMap<String, Tensor>,
    /// Moments by name.
    pub(crate) optimizer: BTreeMap<String, Tensor>,
}

/// The `progress/` and `checkpoints/` folders of a job.
#[derive(Clone)]
pub(crate) struct Progress {
    folder: PathBuf,
    kept: PathBuf,
    config: serde_json::Value,
}

impl Progress {
    /// Those of a job in `folder`, whose model has this `config.json`.
    pub(crate) fn new(folder: &Path, config: serde_json::Value) -> Self {
        Self { folder: folder.join("progress"), kept: folder.join("checkpoints"), config }
    }

    /// Where a checkpoint after `step` steps lies.
    pub(crate) fn path(&self, step: u64) -> PathBuf {
        self.folder.join(format!("step-{step}"))
    }

    /// Saves a checkpoint, and then removes older ones.
    pub(crate) fn save<'a>(
        &self,
        state: &State,
        weights: impl IntoIterator<Item = (String, &'a Tensor)>,
        optimizer: impl IntoIterator<Item = (String, &'a Tensor)>,
    ) -> Result<()> {
        let unfinished = self.folder.join("unfinished");
        start_folder(&unfinished)?;
        let files = BTreeMap::from([
            (WEIGHTS.to_owned(), write_tensors(&unfinished.join(WEIGHTS), weights)?.to_hex().to_string()),
            (
                OPTIMIZER.to_owned(),
                write_tensors(&unfinished.join(OPTIMIZER), optimizer)?.to_hex().to_string(),
            ),
        ]);
        let sealed = Sealed { state: state.clone(), seal: seal(state, &files)?, files };
        write_json(&unfinished.join(STATE), &sealed)?;
        write_json(&unfinished.join(CONFIG), &self.config)?;
        let path = self.path(state.step);
        // A damaged one of the same step, or it would have been resumed from.
        remove_folder(&path)?;
        publish_folder(&unfinished, &path)?;
        for (step, older) in self.checkpoints()? {
            if step != state.step {
                remove_folder(&older)?;
            }
        }
        Ok(())
    }

    /// Keeps the checkpoint after `step` steps under these names, without taking its space twice.
    pub(crate) fn keep(&self, step: u64, names: &[String]) -> Result<()> {
        for name in names {
            let (path, unfinished) = (self.kept.join(name), self.kept.join(format!("{name}.unfinished")));
            start_folder(&unfinished)?;
            for file in [CONFIG, WEIGHTS, OPTIMIZER, STATE] {
                let (from, to) = (self.path(step).join(file), unfinished.join(file));
                if fs::hard_link(&from, &to).is_err() {
                    fs::copy(&from, &to).map_err(at(&to))?;
                }
            }
            remove_folder(&path)?;
            publish_folder(&unfinished, &path)?;
        }
        Ok(())
    }

    /// The newest whole checkpoint of the job with this identity; none where there is none.
    ///
    /// # Errors
    /// When a whole checkpoint belongs to another job.
    pub(crate) fn load(&self, identity: &Fingerprint) -> Result<Option<Resumed>> {
        for (_, path) in self.checkpoints()?.into_iter().rev() {
            let Some(resumed) = read(&path) else { continue };
            if resumed.state.identity != *identity {
                let (path, found) = (self.folder.clone(), resumed.state.identity);
                return Err(Error::Identity { path, found, expected: identity.clone() });
            }
            return Ok(Some(resumed));
        }
        Ok(None)
    }

    /// Removes everything but what is kept.
    pub(crate) fn remove(&self) -> Result<()> {
        remove_folder(&self.folder)
    }

    /// Published checkpoints by step, oldest first.
    fn checkpoints(&self) -> Result<BTreeMap<u64, PathBuf>> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
            Err(error) => return Err(at(&self.folder)(error)),
        };
        let mut found = BTreeMap::new();
        for entry in entries {
            let path = entry.map_err(at(&self.folder))?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            if let Some(step) = name.and_then(|name| name.strip_prefix("step-")?.parse().ok()) {
                found.insert(step, path);
            }
        }
        Ok(found)
    }
}

/// A checkpoint, if it is whole: whatever is wrong with it, an older one or the start will do instead.
fn read(path: &Path) -> Option<Resumed> {
    let sealed: Sealed = serde_json::from_slice(&fs::read(path.join(STATE)).ok()?).ok()?;
    if seal(&sealed.state, &sealed.files).ok()? != sealed.seal {
        return None;
    }
    let tensors = |name: &str| {
        let file = path.join(name);
        let hash = hash_of(&file).ok()?.to_hex().to_string();
        if sealed.files.get(name) == Some(&hash) { read_tensors(&file).ok() } else { None }
    };
    Some(Resumed { weights: tensors(WEIGHTS)?, optimizer: tensors(OPTIMIZER)?, state: sealed.state })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(step: u64) -> State {
        let identity = Fingerprint::of_bytes(b"job");
        State { identity, step, tokens: 10 * step, flops: 60.0 * step as f64, loss: 1.0 / step as f64 }
    }

    fn save(progress: &Progress, step: u64) {
        let tensor = Tensor::from_slice(&[step as f32; 9]);
        let tensors = || [("x".to_owned(), &tensor)];
        progress.save(&state(step), tensors(), tensors()).unwrap();
    }

    fn loaded(progress: &Progress) -> Option<u64> {
        progress.load(&Fingerprint::of_bytes(b"job")).unwrap().map(|resumed| {
            assert_eq!(resumed.state, state(resumed.state.step));
            assert_eq!(resumed.weights["x"].double_value(&[8]), resumed.state.step as f64);
            resumed.state.step
        })
    }

    #[test]
    fn the_newest_is_kept_and_found() {
        let folder = tempfile::tempdir().unwrap();
        let progress = Progress::new(folder.path(), serde_json::Value::Null);
        assert_eq!(loaded(&progress), None);
        save(&progress, 9);
        progress.keep(9, &["nine".to_owned(), "step-000009".to_owned()]).unwrap();
        save(&progress, 10);
        assert_eq!(loaded(&progress), Some(10));
        assert_eq!(fs::read_dir(&progress.folder).unwrap().count(), 1);
        progress.remove().unwrap();
        assert_eq!(loaded(&progress), None);
        for name in ["nine", "step-000009"] {
            assert_eq!(read(&progress.kept.join(name)).unwrap().state, state(9));
        }
        assert_eq!(fs::read_dir(&progress.kept).unwrap().count(), 2);
    }

    #[test]
    fn a_damaged_checkpoint_is_passed_over() {
        for file in [WEIGHTS, OPTIMIZER, STATE] {
            let folder = tempfile::tempdir().unwrap();
            let progress = Progress::new(folder.path(), serde_json::Value::Null);
            save(&progress, 3);
            let kept = progress.folder.join("kept");
            fs::rename(progress.path(3), &kept).unwrap();
            save(&progress, 4);
            fs::rename(&kept, progress.path(3)).unwrap();
            assert_eq!(loaded(&progress), Some(4));

            let path = progress.path(4).join(file);
            let mut bytes = fs::read(&path).unwrap();
            let last = bytes.len() - 12;
            bytes[last] ^= 1;
            fs::write(&path, &bytes).unwrap();
            assert_eq!(loaded(&progress), Some(3), "{file}");
            fs::remove_file(progress.path(3).join(file)).unwrap();
            assert_eq!(loaded(&progress), None, "{file}");
        }
    }

    #[test]
    fn another_jobs_progress_is_refused_with_both_names() {
        let folder = tempfile::tempdir().unwrap();
        let progress = Progress::new(folder.path(), serde_json::Value::Null);
        save(&progress, 3);
        let other = Fingerprint::of_bytes(b"other");
        let message = progress.load(&other).err().unwrap().to_string();
        assert!(
            message.contains(other.as_str()) && message.contains(state(3).identity.as_str()),
            "{message}"
        );
    }
}
