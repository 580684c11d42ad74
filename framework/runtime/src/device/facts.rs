//! The tensor side of `sbp doctor`.

use super::{WANTED_TORCH_VERSION, cores, cuda};
use crate::native;
use sbp_plugin::engine::Facts;

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
