//! Why a stage is made, or reused: its inputs beside those of the artifact that is nearest to it.
//!
//! What a recipe would do is found by going through its stages without making any. So the inputs are those of a run, and
//! the way ends at the first stage that is not made: what comes after it depends on its result.

mod look;
mod nearest;

use std::path::Path;

use sbp_recipe::Plan;
use serde::Serialize;

pub(crate) use self::look::Look;
use self::look::NoRuntime;
pub use self::nearest::Nearest;
use self::nearest::nearest;
use crate::pipeline::stages;
use crate::run_folder::RunFolder;
use crate::runs::Run;
use crate::stages::Study;
use crate::store::{Manifest, Store};
use crate::watch::{Quiet, Watch};
use crate::{Error, Result, files};

/// What becomes of a stage, or became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// The store had its artifact, or has it.
    Reused,
    /// It was made.
    Made,
    /// It is not made yet.
    ToMake,
}

/// A stage, and why it has the fate it has.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explained {
    /// The stage, as the screen names it.
    pub stage: String,
    /// Identity of its artifact.
    pub fingerprint: String,
    /// What becomes of it.
    pub fate: Fate,
    /// The artifact of the same kind whose inputs are most alike; none where there is no other, and where the stage is
    /// reused.
    pub nearest: Option<Nearest>,
}

/// All stages that could be explained.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    /// In order.
    pub stages: Vec<Explained>,
    /// Whether these are all; if not, those that follow depend on the last one, which is not made yet.
    pub is_complete: bool,
}

/// What a plan would do now. Runs nothing and writes nothing.
///
/// # Errors
/// When the corpus or an artifact cannot be read.
pub fn explain(plan: &Plan, home: &Path) -> Result<Explanation> {
    let folder = RunFolder::of(home, plan);
    let (mut runtime, mut quiet) = (NoRuntime, Quiet(|| false));
    let mut study = Study::new(plan, home, &folder, &mut runtime, Watch::by(&mut quiet));
    study.look = Some(Look::default());
    let is_complete = match stages(&mut study) {
        Ok(_) => true,
        Err(Error::NotMade { .. }) => false,
        Err(error) => return Err(error),
    };
    let mut explained = Vec::new();
    for seen in study.look.take().unwrap_or_default().seen {
        let nearest = match seen.fate {
            Fate::ToMake => nearest(&study.store, &seen.manifest, seen.fingerprint.as_str(), None)?,
            Fate::Reused | Fate::Made => None,
        };
        let (stage, fingerprint) = (seen.label, seen.fingerprint.to_string());
        explained.push(Explained { stage, fingerprint, fate: seen.fate, nearest });
    }
    Ok(Explanation { stages: explained, is_complete })
}

/// What a run did. A stage that it made is compared with what there was before.
///
/// # Errors
/// When its folder cannot be read.
pub fn explain_run(run: &Run) -> Result<Explanation> {
    let store = Store::new(run.folder.home().join("store"));
    let mut stages = Vec::new();
    for done in run.status.iter().flat_map(|status| &status.stages) {
        let link = run.folder.stage(&done.stage);
        let Ok(target) = std::fs::read_link(&link) else { continue };
        let fingerprint = target.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut explained = Explained {
            stage: done.stage.clone(),
            fingerprint: fingerprint.clone(),
            fate: if done.reused { Fate::Reused } else { Fate::Made },
            nearest: None,
        };
        // What was freed since cannot be asked.
        if let (Fate::Made, Ok(manifest)) = (explained.fate, Manifest::read(&link)) {
            let made = files::weigh(&link.join("DONE"))?.newest;
            explained.nearest = nearest(&store, &manifest, &fingerprint, Some(made))?;
        }
        stages.push(explained);
    }
    let last = run.status.as_ref().and_then(|status| status.under_way.as_ref());
    Ok(Explanation { is_complete: last.is_none() && run.folder.results().exists(), stages })
}
