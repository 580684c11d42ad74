//! The way into the tensor world: what a program asks before there is a [`Runtime`].

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use crate::Result;
use crate::ports::Runtime;
use crate::team::Team;

/// A tensor library that is linked into the program.
pub trait Engine {
    /// The processes that were started to do this work together, by what their launcher says in the environment; a process by
    /// itself where nothing is said. `work` tells it from other work at the same place.
    ///
    /// # Errors
    /// When what the launcher says makes no sense, or not all processes come.
    fn join(&self, work: &str) -> Result<Arc<dyn Team>>;
    /// A runtime on `cpu`, `cuda`, `cuda:N` or `auto`; without a number of threads, one for each physical core that this process
    /// has to itself. Of several processes on a machine, `cuda` and `auto` give each a GPU of its own.
    ///
    /// # Errors
    /// When there is no such device, or it cannot be used: cause and remedy.
    fn runtime(&self, device: &str, num_threads: Option<NonZeroUsize>, team: Arc<dyn Team>)
    -> Result<Opened>;
    /// Looks at the library and at the machine.
    fn facts(&self) -> Facts;
}

/// A runtime ready for work.
pub struct Opened {
    /// The runtime itself.
    pub runtime: Box<dyn Runtime>,
    /// Why `auto` passed a visible GPU over.
    pub note: Option<String>,
}

/// What a user needs to know when something about libtorch or a device is not as it should be.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// The libtorch that this program is built against.
    pub torch_found: &'static str,
    /// The libtorch that the bindings are generated for.
    pub torch_wanted: &'static str,
    /// The folder that libtorch was loaded from.
    pub library_folder: Option<PathBuf>,
    /// Where libtorch's CUDA half is, or would be.
    pub cuda_library: Option<PathBuf>,
    /// Is it there?
    pub cuda_library_present: bool,
    /// Is there an NVIDIA driver?
    pub driver_visible: bool,
    /// Names of the GPUs that the driver shows.
    pub gpus: Vec<String>,
    /// Why no GPU can be used, with the remedy; none if one can.
    pub cuda_error: Option<String>,
    /// Threads that a runtime takes if it is not told.
    pub threads: usize,
    /// Physical cores of the machine, where the system tells.
    pub physical_cores: Option<usize>,
    /// Logical processors that this process may use.
    pub logical_processors: usize,
    /// Can the processor count numbers too small for full precision as zero?
    pub flush_denormal: bool,
}
