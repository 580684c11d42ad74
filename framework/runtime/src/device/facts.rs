//! What a user needs to know when something about devices is not as it should be.

use super::{WANTED_TORCH_VERSION, cores, cuda};
use crate::native;
use std::path::PathBuf;

/// The tensor side of `sbp doctor`.
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
    /// Threads that `init` sets if it is not told.
    pub threads: usize,
    /// Physical cores of the machine, where the system tells.
    pub physical_cores: Option<usize>,
    /// Logical processors that this process may use.
    pub logical_processors: usize,
    /// Can the processor count numbers too small for full precision as zero?
    pub flush_denormal: bool,
}

/// Looks at everything, loading libtorch's CUDA half where there is a driver.
pub fn facts() -> Facts {
    let driver_visible = cuda::driver_visible();
    let cuda_library = cuda::library_path();
    let cuda_error = match driver_visible {
        true => cuda::open(0).err(),
        false => Some("no NVIDIA driver is visible; `nvidia-smi` should list a GPU".to_owned()),
    };
    Facts {
        torch_found: native::torch_version(),
        torch_wanted: WANTED_TORCH_VERSION,
        library_folder: cuda::library_folder(),
        cuda_library_present: cuda_library.as_ref().is_some_and(|it| it.exists()),
        cuda_library,
        driver_visible,
        gpus: cuda::names().unwrap_or_default(),
        cuda_error,
        threads: cores::usable(),
        physical_cores: cores::physical(),
        logical_processors: cores::allowed(),
        flush_denormal: native::set_flush_denormal(true).unwrap_or(false),
    }
}
