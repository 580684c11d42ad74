//! The stages, one file each: what they read, what they leave, which plugins they call.

pub(crate) mod corpus;
pub(crate) mod dynamics;
pub(crate) mod embed;
pub(crate) mod evaluate;
pub(crate) mod pair;
pub(crate) mod quality;
pub(crate) mod related;
pub(crate) mod round;
pub(crate) mod synthesize;
pub(crate) mod tokenize;
pub(crate) mod train;
pub(crate) mod train_arm;
pub(crate) mod tune;

use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;

use sbp_plugin::ports::Runtime;
use sbp_plugin::team::{Broken, Team};
use sbp_recipe::Plan;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::explain::Look;
use crate::remote::Remote;
use crate::run_folder::RunFolder;
use crate::store::{Artifact, Store};
use crate::together::{By, Verdict, concluded, hear, led};
use crate::watch::Watch;
use crate::{Error, Result};

/// Everything a stage may use.
pub(crate) struct Study<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) store: Store,
    pub(crate) folder: &'a RunFolder,
    pub(crate) runtime: &'a mut dyn Runtime,
    /// The processes that make the study.
    pub(crate) team: Arc<dyn Team>,
    pub(crate) watch: Watch<'a>,
    /// The round of synthesis, from the second on.
    pub(crate) round: Option<u32>,
    /// Set where the stages are only looked at: nothing is made, linked or told.
    pub(crate) look: Option<Look>,
}

impl<'a> Study<'a> {
    /// A study before its first stage, its store below `home`.
    pub(crate) fn new(
        plan: &'a Plan,
        home: &Path,
        folder: &'a RunFolder,
        runtime: &'a mut dyn Runtime,
        watch: Watch<'a>,
    ) -> Self {
        let remote = plan.recipe.execution.remote_store.as_deref().map(Remote::at);
        let store = Store::new(home.join("store")).with_remote(remote);
        let team = runtime.team();
        Self { plan, store, folder, runtime, team, watch, round: None, look: None }
    }

    /// The artifact of a stage: reused, or made by `make` in the folder it is given. `label` is the stage as
    /// the screen names it, such as `train sbp seed 1`. One process makes it, and all have it.
    pub(crate) fn make(
        &mut self,
        label: &str,
        stage: &'static str,
        inputs: &Value,
        make: &mut dyn FnMut(&mut Study<'a>, &Path) -> Result<()>,
    ) -> Result<Artifact> {
        self.made(By::Leader, label, stage, inputs, make)
    }

    /// As [`Self::make`]; every process calls `make`, at the same time and in the same folder.
    pub(crate) fn share(
        &mut self,
        label: &str,
        stage: &'static str,
        inputs: &Value,
        make: &mut dyn FnMut(&mut Study<'a>, &Path) -> Result<()>,
    ) -> Result<Artifact> {
        self.made(By::All, label, stage, inputs, make)
    }

    fn made(
        &mut self,
        by: By,
        label: &str,
        stage: &'static str,
        inputs: &Value,
        make: &mut dyn FnMut(&mut Study<'a>, &Path) -> Result<()>,
    ) -> Result<Artifact> {
        let label = match self.round {
            Some(round) => &format!("{label} round {round}"),
            None => label,
        };
        let place = self.store.place(stage, inputs);
        if let Some(look) = &mut self.look {
            return look.at(label, stage, inputs, place);
        }
        if !self.team.is_leader() {
            return self.followed(by, label, place, make);
        }
        let led = self.lead(by, label, stage, inputs, place, make);
        let verdict = match &led {
            Ok(_) => Verdict::Done,
            // The others know.
            Err(Error::Team(_)) => return led,
            Err(Error::Stopped { .. }) => Verdict::Stopped,
            Err(error) => Verdict::Failed(error.to_string()),
        };
        hear(self.team.as_ref(), Some(&verdict))?;
        led
    }

    /// Finds or makes a stage, telling the others what they are to do.
    fn lead(
        &mut self,
        by: By,
        label: &str,
        stage: &'static str,
        inputs: &Value,
        place: Artifact,
        make: &mut dyn FnMut(&mut Study<'a>, &Path) -> Result<()>,
    ) -> Result<Artifact> {
        if self.watch.reporter.stop_requested() {
            return Err(Error::Stopped { stage: label.to_owned() });
        }
        self.watch.started(label);
        // Before it is made: what a run is at work on, or would go on from, is not freed.
        self.folder.link_stage(label, &place)?;
        let (store, team) = (self.store.clone(), Arc::clone(&self.team));
        let study = RefCell::new(&mut *self);
        let (artifact, origin) = caught(label, || {
            store.make(stage, inputs, &mut |warning| study.borrow_mut().watch.warn(&warning), &mut |folder| {
                hear(team.as_ref(), Some(&Verdict::Make(folder.to_owned())))?;
                let outcome = caught(label, || make(&mut study.borrow_mut(), folder));
                if by == By::All { concluded(team.as_ref(), label, outcome) } else { outcome }
            })
        })?;
        self.watch.artifact(stage, label, &artifact, inputs);
        self.watch.finished(label, origin);
        Ok(artifact)
    }

    /// Does what the leader decides.
    fn followed(
        &mut self,
        by: By,
        label: &str,
        place: Artifact,
        make: &mut dyn FnMut(&mut Study<'a>, &Path) -> Result<()>,
    ) -> Result<Artifact> {
        let team = Arc::clone(&self.team);
        loop {
            match hear(team.as_ref(), None)? {
                Verdict::Done => return Ok(place),
                Verdict::Stopped => return Err(Error::Stopped { stage: label.to_owned() }),
                Verdict::Failed(reason) => {
                    return Err(Error::Refused(format!("rank 0 failed: {reason}")));
                }
                Verdict::Make(folder) => {
                    if by == By::All {
                        let outcome = caught(label, || make(self, &folder));
                        concluded(team.as_ref(), label, outcome)?;
                    }
                }
            }
        }
    }

    /// What the leader makes of something, on every process. Within work that all do.
    pub(crate) fn led<T: Serialize + DeserializeOwned>(
        &mut self,
        decide: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        let team = Arc::clone(&self.team);
        led(team.as_ref(), || decide(self))
    }
}

impl Study<'_> {
    /// Links a folder or file of an artifact into the run folder's `arms/<arm>/seed-<seed>/`.
    pub(crate) fn link_arm(&self, arm: &str, seed: u64, name: &str, target: &Path) -> Result<()> {
        if self.look.is_some() || !self.team.is_leader() {
            Ok(())
        } else {
            self.folder.link_arm(arm, seed, name, target)
        }
    }
}

/// Does a stage's work; the panic of a plugin fails the stage and nothing else.
pub(crate) fn caught<T>(stage: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    sbp_plugin::catch_panic(work).map_err(failed(stage)).flatten()
}

/// Turns a plugin's or the runtime's error into this stage's.
pub(crate) fn failed(stage: &str) -> impl Fn(sbp_plugin::Error) -> Error {
    move |source| match source.downcast::<Broken>() {
        Ok(broken) => Error::Team(*broken),
        Err(source) => Error::Stage { stage: stage.to_owned(), source },
    }
}
