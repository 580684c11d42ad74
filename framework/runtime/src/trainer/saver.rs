//! Checkpoints written beside training: the tensors are copied, and a thread brings the copies to the disk.
//!
//! While it writes, training goes on; the price is the memory of one more copy of weights and moments.

use std::thread::{Builder, JoinHandle};

use tch::Tensor;

use super::sharing::copy_of;
use crate::error::{Error, Result};
use crate::model::Parameters;
use crate::progress::{Progress, State};

/// Writes one checkpoint at a time.
pub(super) struct Saver {
    progress: Progress,
    newest: u64,
    writing: Option<JoinHandle<Result<()>>>,
}

impl Saver {
    /// A saver for a job that stands at the checkpoint after `newest` steps, or at its start (0).
    pub(super) fn new(progress: Progress, newest: u64) -> Self {
        Self { progress, newest, writing: None }
    }

    /// Steps of the newest checkpoint, on the disk or on its way there; 0 if there is none.
    pub(super) fn newest(&self) -> u64 {
        self.newest
    }

    /// Whether the last checkpoint is done.
    pub(super) fn is_free(&self) -> bool {
        self.writing.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Starts to write a checkpoint, to be kept under these names, once the one before it is done. Without the optimizer's
    /// state, another process does.
    ///
    /// # Errors
    /// When the one before it could not be written.
    pub(super) fn save(
        &mut self,
        state: &State,
        parameters: &Parameters,
        moments: Option<Vec<(String, Tensor)>>,
        keep: Vec<String>,
    ) -> Result<()> {
        self.wait()?;
        self.newest = state.step;
        let Some(moments) = moments else { return Ok(()) };
        let weights = parameters.iter().map(|(name, it)| Ok((name.to_owned(), copy_of(it)?)));
        let weights = weights.collect::<Result<Vec<_>>>()?;
        let (progress, state, step) = (self.progress.clone(), state.clone(), state.step);
        let write = move || {
            progress.save(
                &state,
                weights.iter().map(|(name, it)| (name.clone(), it)),
                moments.iter().map(|(name, it)| (name.clone(), it)),
            )?;
            progress.keep(state.step, &keep)
        };
        let thread = Builder::new().name("checkpoint".to_owned()).spawn(write);
        self.writing =
            Some(thread.map_err(|error| Error::Io { path: self.progress.path(step), source: error })?);
        Ok(())
    }

    /// Waits until the last checkpoint is on the disk.
    ///
    /// # Errors
    /// When it could not be written.
    pub(super) fn wait(&mut self) -> Result<()> {
        match self.writing.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(written)) => written,
            Some(Err(_)) => Err(Error::Invalid("the thread that writes checkpoints panicked".to_owned())),
        }
    }
}

impl Drop for Saver {
    /// Nobody else may come to the folder while it is written, whatever ended the job.
    fn drop(&mut self) {
        let _ended = self.writing.take().map(JoinHandle::join);
    }
}
