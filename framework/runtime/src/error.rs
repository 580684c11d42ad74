//! What can go wrong in the tensor world, each message with its cause and the next step.

use std::path::{Path, PathBuf};

use sbp_core::Fingerprint;

/// An error of the runtime.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An operation of the tensor library failed: too little memory, a device that went away.
    #[error("the tensor library failed: {0}")]
    Tensor(String),
    /// The memory of the device does not hold what a step needs.
    #[error(
        "step {step}: out of memory with {sizes}: {reason}. Set execution.tokens_per_microbatch to a fraction of \
         that (the step stays the same), or make the model smaller"
    )]
    OutOfMemory {
        /// The training step, from 1.
        step: u64,
        /// What was being computed, in words.
        sizes: String,
        /// What the tensor library said.
        reason: String,
    },
    /// A tensor has another shape than its reader needs.
    #[error("{0}")]
    Shape(String),
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A folder is not a checkpoint this program can open.
    #[error("{path} is not a checkpoint of a supported layout: {reason}")]
    NotACheckpoint {
        /// The file or folder at fault.
        path: PathBuf,
        /// What is missing or different.
        reason: String,
    },
    /// A model of this shape cannot be built.
    #[error("model.{field}: {message}")]
    ModelConfig {
        /// The field to change.
        field: &'static str,
        /// What is wrong and what would be right.
        message: String,
    },
    /// A sequence cannot be fed to the model.
    #[error("sequence {index} {reason}")]
    Sequence {
        /// Place in the list that was given, from 0.
        index: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// The job's folder belongs to a job with other data, model or options.
    #[error(
        "{path} was made by a job with identity {found}, and this one is {expected}: data, model or options \
         differ. Remove that folder to start over, or give this job a folder of its own"
    )]
    Identity {
        /// The folder found.
        path: PathBuf,
        /// Identity of the job that wrote it.
        found: Fingerprint,
        /// Identity of this job.
        expected: Fingerprint,
    },
    /// Training ran off: loss or gradient is not a finite number.
    #[error(
        "step {step}: loss {loss}, gradient norm {grad_norm}: training has diverged. {last_checkpoint}. Lower \
         the peak learning rate or lengthen the warm-up, and start over from a fresh folder"
    )]
    Diverged {
        /// The step, from 1.
        step: u64,
        /// Its loss.
        loss: f64,
        /// Global norm of its gradient.
        grad_norm: f64,
        /// Where the last good checkpoint is, in words.
        last_checkpoint: String,
    },
    /// A step without anything to learn from.
    #[error("step {step}: no prediction in its {num_sequences} sequences weighs anything in the loss")]
    EmptyStep {
        /// The step, from 1.
        step: u64,
        /// Number of sequences in it.
        num_sequences: usize,
    },
    /// Arguments that do not fit together.
    #[error("{0}")]
    Invalid(String),
    /// Another process of the team is gone.
    #[error("{0}")]
    Team(sbp_plugin::Error),
}

/// The result of the runtime's own functions.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Adds training step and what was being computed to an allocation that failed.
    pub(crate) fn in_step(self, step: u64, sizes: impl FnOnce() -> String) -> Self {
        match self {
            Self::Tensor(reason) if is_out_of_memory(&reason) => {
                Self::OutOfMemory { step, sizes: sizes(), reason }
            }
            other => other,
        }
    }
}

/// Whether a message of the tensor library says that memory ran out: "DefaultCPUAllocator: can't allocate memory", "CUDA
/// out of memory". It has no code for it.
fn is_out_of_memory(reason: &str) -> bool {
    ["allocate memory", "not enough memory", "out of memory"].iter().any(|words| reason.contains(words))
}

impl From<tch::TchError> for Error {
    /// Keeps the first line: the rest is some 25 lines of C++ frames.
    fn from(error: tch::TchError) -> Self {
        let text = error.to_string();
        Self::Tensor(text.lines().next().unwrap_or("no message").to_owned())
    }
}

impl From<sbp_core::ModelConfigError> for Error {
    fn from(error: sbp_core::ModelConfigError) -> Self {
        Self::ModelConfig { field: error.field, message: error.message }
    }
}

/// Adds the path to an I/O error: `fs::read(path).map_err(at(path))`.
pub(crate) fn at(path: &Path) -> impl FnOnce(std::io::Error) -> Error + '_ {
    move |source| Error::Io { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind, Tensor};

    use super::*;

    #[test]
    fn an_allocation_that_fails_says_where_and_what_to_lower() {
        let refused = Tensor::f_empty([1 << 55], (Kind::Float, Device::Cpu)).expect_err("no machine has it");
        let message = Error::from(refused).in_step(3, || "512 tokens at once".to_owned()).to_string();
        assert!(message.starts_with("step 3: out of memory with 512 tokens at once: "), "{message}");
        assert!(message.contains("execution.tokens_per_microbatch"), "{message}");
    }
}
