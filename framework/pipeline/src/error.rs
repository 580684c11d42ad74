//! What can go wrong in a run, by cause.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The result of every fallible function of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a run ended early.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A plugin or the runtime failed inside a stage.
    #[error("stage {stage} failed: {source}")]
    Stage {
        /// The stage, as the screen names it.
        stage: String,
        /// What the plugin or the runtime said.
        source: sbp_plugin::Error,
    },
    /// A file could not be read or written.
    #[error("cannot {action} {}: {source}{}", path.display(), remedy(source))]
    File {
        /// `read`, `write`, `create`, ...
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A stored file does not hold what it should.
    #[error("{} is damaged: {reason}; remove its folder and run again, the stage will be made anew", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The corpus does not give what the recipe asks for.
    #[error("corpus: {0}")]
    Corpus(String),
    /// Something was asked that is not there or must not be done; cause and remedy.
    #[error("{0}")]
    Refused(String),
    /// A look at what a run would do came to a stage that the store does not have.
    #[error("stage {stage} is not made yet")]
    NotMade {
        /// The stage.
        stage: String,
    },
    /// Another process of the run is gone, or failed.
    #[error("{0}")]
    Team(sbp_plugin::team::Broken),
    /// Stopped on request; the same command goes on from here.
    #[error("stopped in stage {stage}; run the same command again to go on from here")]
    Stopped {
        /// The stage that was under way.
        stage: String,
    },
}

/// What helps, where the system's words do not say it.
fn remedy(error: &std::io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            "; free some space there, or let SBP_HOME name a folder on another disk; the same command goes on from here"
        }
        ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied => {
            "; make it writable, or let SBP_HOME name a folder that is"
        }
        _ => "",
    }
}

impl Error {
    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { action, path, source }
    }
}
