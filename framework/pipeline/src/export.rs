//! A trained model of a run, as a Hugging Face folder that stands on its own.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::model_card;
use crate::runs::Run;
use crate::store::copy_part;
use crate::{Error, Result, files};

/// Folder of the model in the artifact of a training.
const CHECKPOINT: &str = "checkpoint";

/// Which model of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Model<'a> {
    /// That of an arm.
    Arm(&'a str),
    /// The tuned synthesizer, of the last round where there are several.
    Synthesizer,
}

/// A model that was exported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Exported {
    /// Its folder.
    pub path: PathBuf,
    /// The seed it was trained with.
    pub seed: u64,
    /// BLAKE3 of every file that was copied, as it was when the model was published.
    pub files: BTreeMap<String, String>,
}

/// Copies a model out of the store, every file checked, with a card that says where it is from. The folder appears whole or
/// not at all.
///
/// # Errors
/// When there is no such model, several seeds to choose from, a damaged file, or a folder of that name already.
pub fn export(run: &Run, model: Model<'_>, seed: Option<u64>, to: &Path) -> Result<Exported> {
    if fs::symlink_metadata(to).is_ok() {
        return Err(Error::Refused(format!("{} is already there; name another folder", to.display())));
    }
    let seed = chosen(run, model, seed)?;
    let artifact = artifact(run, model, seed)?;
    let mut name = to.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    let partial = to.with_file_name(name);
    if partial.exists() {
        fs::remove_dir_all(&partial).map_err(Error::file("remove", &partial))?;
    }
    files::create_folder(&partial)?;
    let files = copy_part(&artifact, CHECKPOINT, &partial)?;
    if files.is_empty() {
        return Err(files::invalid(&artifact, &"it holds no model"));
    }
    let card = model_card::card(run, model, seed, &artifact, &files)?;
    files::write_whole(&partial.join("README.md"), card.as_bytes())?;
    fs::rename(&partial, to).map_err(Error::file("create", to))?;
    Ok(Exported { path: to.to_owned(), seed, files })
}

/// The seed that is meant: the one asked for, or the only one there is.
fn chosen(run: &Run, model: Model<'_>, asked: Option<u64>) -> Result<u64> {
    let seeds = seeds(run, model)?;
    let said = seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
    match (asked, seeds.as_slice()) {
        (Some(seed), seeds) if seeds.contains(&seed) => Ok(seed),
        (None, [seed]) => Ok(*seed),
        (_, []) => Err(Error::Refused(absent(run, model)?)),
        (Some(seed), _) => {
            Err(Error::Refused(format!("{} has no model of seed {seed}; its seeds are {said}", run.name())))
        }
        (None, _) => {
            Err(Error::Refused(format!("{} has models of seeds {said}; choose one with --seed", run.name())))
        }
    }
}

/// The seeds that there is a model of.
fn seeds(run: &Run, model: Model<'_>) -> Result<Vec<u64>> {
    let prefix = match model {
        Model::Arm(_) => "seed-",
        Model::Synthesizer => "tune-seed-",
    };
    let folder = match model {
        Model::Arm(arm) => run.folder.path.join("arms").join(arm),
        Model::Synthesizer => run.folder.path.join("stages"),
    };
    let names = files::folders_in(&folder)?.into_iter().filter_map(|path| {
        let name = path.file_name()?.to_str()?.strip_prefix(prefix)?.to_owned();
        name.parse().ok()
    });
    let mut seeds: Vec<u64> = names.filter(|&seed| artifact(run, model, seed).is_ok()).collect();
    seeds.sort_unstable();
    Ok(seeds)
}

/// Why there is no model.
fn absent(run: &Run, model: Model<'_>) -> Result<String> {
    let Model::Arm(arm) = model else {
        return Ok(format!("{} has no tuned synthesizer yet", run.name()));
    };
    let arms = files::folders_in(&run.folder.path.join("arms"))?;
    let arms: Vec<String> =
        arms.iter().filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect();
    Ok(match arms.as_slice() {
        [] => format!("{} has no trained arm yet", run.name()),
        arms => format!("{} has no trained arm \"{arm}\"; it has {}", run.name(), arms.join(", ")),
    })
}

/// The artifact of the training.
fn artifact(run: &Run, model: Model<'_>, seed: u64) -> Result<PathBuf> {
    let link = match model {
        Model::Arm(arm) => run.folder.arm(arm, seed).join("hf"),
        Model::Synthesizer => {
            let mut link = run.folder.stage(&format!("tune seed {seed}"));
            for round in 2.. {
                let next = run.folder.stage(&format!("tune seed {seed} round {round}"));
                if !next.exists() {
                    break;
                }
                link = next;
            }
            link.join(CHECKPOINT)
        }
    };
    let checkpoint = link.canonicalize().map_err(Error::file("read", &link))?;
    Ok(checkpoint.parent().unwrap_or(&checkpoint).to_owned())
}
