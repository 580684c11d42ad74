//! libtorch's CUDA half, loaded at run time, and the questions that are put to the driver itself.
#![expect(unsafe_code, reason = "loads shared libraries and calls three functions of the CUDA driver")]

use libloading::Library;
use libloading::os::unix::{Library as UnixLibrary, RTLD_GLOBAL, RTLD_NOW};
use std::ffi::{CStr, c_char, c_int};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

const LIBRARY: &str = "libtorch_cuda.so";
const DRIVER: &str = "libcuda.so.1";

/// A folder with another build's `libtorch_cuda.so`, for a program linked to a CPU-only libtorch.
pub(super) const FOLDER_VARIABLE: &str = "SBP_LIBTORCH_CUDA";

/// Is there a driver that a GPU might be behind? Does not touch libtorch.
pub(super) fn driver_visible() -> bool {
    // SAFETY: the driver's library has no side effects on loading.
    Path::new("/dev/nvidia0").exists() || unsafe { Library::new(DRIVER) }.is_ok()
}

/// Makes the GPU usable; on failure, cause and remedy.
pub(super) fn open(index: usize) -> Result<tch::Device, String> {
    load()?;
    let count = usize::try_from(tch::Cuda::device_count()).unwrap_or(0);
    if index < count {
        return Ok(tch::Device::Cuda(index));
    }
    let seen = match names() {
        Err(why) => why,
        Ok(names) => format!("the driver shows {} of them, libtorch {count}", names.len()),
    };
    Err(format!("there is no GPU with this index ({seen}). `nvidia-smi` and CUDA_VISIBLE_DEVICES tell more"))
}

/// Loads the library once per process, and remembers a failure too: libtorch would not look again.
pub(super) fn load() -> Result<(), String> {
    static LOADED: OnceLock<Result<(), String>> = OnceLock::new();
    LOADED
        .get_or_init(|| {
            let path = library_path().ok_or("the folder of libtorch_cpu is not known on this system")?;
            if !path.exists() {
                return Err(format!(
                    "{} does not exist: this libtorch is CPU-only. Install the Python package torch \
                     {} with CUDA and set {FOLDER_VARIABLE} to its lib folder",
                    path.display(),
                    super::WANTED_TORCH_VERSION
                ));
            }
            // SAFETY: its initialisers register kernels with libtorch, which is what it is loaded for.
            let library = unsafe { UnixLibrary::open(Some(&path), RTLD_NOW | RTLD_GLOBAL) }
                .map_err(|e| format!("{} does not load: {}", path.display(), reason(&e)))?;
            // Kernels point into it from now on.
            std::mem::forget(library);
            Ok(())
        })
        .clone()
}

/// Where the library is, or would be.
pub(super) fn library_path() -> Option<PathBuf> {
    let chosen = std::env::var_os(FOLDER_VARIABLE).map(PathBuf::from);
    chosen.or_else(library_folder).map(|it| it.join(LIBRARY))
}

/// The folder that this process has `libtorch_cpu` from.
pub(super) fn library_folder() -> Option<PathBuf> {
    folder_in_map(&std::fs::read_to_string("/proc/self/maps").ok()?)
}

/// A line of the map is `from-to rights offset device inode   path`.
fn folder_in_map(map: &str) -> Option<PathBuf> {
    let path = map
        .lines()
        .filter(|it| it.ends_with("/libtorch_cpu.so"))
        .find_map(|it| it.find('/').map(|i| &it[i..]));
    path.and_then(|it| Path::new(it).parent()).map(Path::to_path_buf)
}

/// Names of the visible GPUs, from the driver: libtorch's own question needs CUDA headers.
pub(super) fn names() -> Result<Vec<String>, String> {
    let missing = |e: libloading::Error| format!("no NVIDIA driver: {}", reason(&e));
    let refused = |what: &str, code: c_int| format!("the NVIDIA driver refuses {what} with code {code}");
    // SAFETY: signatures as in cuda.h, in which CUresult and CUdevice are int.
    unsafe {
        let driver = Library::new(DRIVER).map_err(missing)?;
        let init = driver.get::<unsafe extern "C" fn(u32) -> c_int>(b"cuInit\0").map_err(missing)?;
        let device_count = driver
            .get::<unsafe extern "C" fn(*mut c_int) -> c_int>(b"cuDeviceGetCount\0")
            .map_err(missing)?;
        let device_name = driver
            .get::<unsafe extern "C" fn(*mut c_char, c_int, c_int) -> c_int>(b"cuDeviceGetName\0")
            .map_err(missing)?;
        let code = init(0);
        if code != 0 {
            return Err(refused("to start", code));
        }
        let mut count = 0;
        let code = device_count(&raw mut count);
        if code != 0 {
            return Err(refused("to count GPUs", code));
        }
        let name = |index| {
            let mut text = [0 as c_char; 256];
            match device_name(text.as_mut_ptr(), text.len() as c_int - 1, index) {
                0 => Ok(CStr::from_ptr(text.as_ptr()).to_string_lossy().into_owned()),
                code => Err(refused("to name a GPU", code)),
            }
        };
        let names = (0..count).map(name).collect();
        // Unloading a driver that libtorch may be using as well is not worth the risk.
        std::mem::forget(driver);
        names
    }
}

/// The linker's own words, which libloading keeps one level down.
fn reason(error: &libloading::Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_read_from_the_memory_map() {
        let map = "7f0000-7f1000 r--p 00000000 fe:00 11  /usr/lib/libc.so.6\n\
                   7f2000-7f3000 r-xp 00001000 fe:00 12  /a b/lib/libtorch_cpu.so\n";
        assert_eq!(folder_in_map(map), Some(PathBuf::from("/a b/lib")));
        assert_eq!(folder_in_map("7f2000-7f3000 r-xp 0 fe:00 12  /lib/libc10.so"), None);
    }
}
