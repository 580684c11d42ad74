//! Which device to compute on, and the settings of libtorch that must precede the first tensor.
//!
//! One binary serves CPU and CUDA: it is linked to libtorch's CPU half alone, and `init` loads the CUDA half
//! (0.3-0.9 s) when it is asked for. That has to come before any question about CUDA, even "is there any?":
//! libtorch remembers the first answer for good. So `init` goes first thing in a program that computes.

mod cores;
mod cuda;
mod facts;

pub use facts::facts;

use crate::error::{Error, Result};
use crate::native;
use std::num::NonZeroUsize;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

/// The libtorch that the bindings are generated for.
pub const WANTED_TORCH_VERSION: &str = "2.11.0";

/// What a recipe or the command line asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Device {
    /// The processor.
    Cpu,
    /// A GPU by its index among the visible ones.
    Cuda(usize),
    /// The first GPU if there is one that can be used, else the processor.
    #[default]
    Auto,
}

impl FromStr for Device {
    type Err = Error;

    /// Reads `cpu`, `cuda`, `cuda:N` or `auto`.
    fn from_str(text: &str) -> Result<Self> {
        let index = || text.strip_prefix("cuda:")?.parse().ok();
        match text {
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            "auto" => Ok(Self::Auto),
            _ => index().map(Self::Cuda).ok_or_else(|| {
                Error::Invalid(format!("no device `{text}`: it is one of cpu, cuda, cuda:N, auto"))
            }),
        }
    }
}

/// The device in use and the settings made; goes into the manifest of a run, since results depend on them.
#[derive(Debug, Clone, PartialEq)]
pub struct ResolvedDevice {
    /// As tch names it.
    pub device: tch::Device,
    /// The GPU's name; none on CPU.
    pub name: Option<String>,
    /// Threads within one operation. Sums are split among them, so bits of results depend on it.
    pub threads: usize,
    /// Numbers too small for full precision count as zero.
    pub flush_denormal: bool,
    /// Why `Auto` passed a visible GPU over.
    pub note: Option<String>,
}

/// Threads that are worth having on this machine.
pub(crate) fn usable_threads() -> usize {
    cores::usable()
}

/// GPUs that the driver shows.
pub(crate) fn num_gpus() -> usize {
    cuda::names().map_or(0, |names| names.len())
}

/// Resolves the choice and sets libtorch up for it; `threads` is by default the number of physical cores.
///
/// May be called again with another choice of device, but the number of threads stays as first set: threads
/// that have computed keep theirs, so a change would hold for some of them only.
pub fn init(choice: Device, threads: Option<NonZeroUsize>) -> Result<ResolvedDevice> {
    static THREADS: Mutex<Option<usize>> = Mutex::new(None);
    let mut set = THREADS.lock().unwrap_or_else(PoisonError::into_inner);
    let wanted = threads.map(NonZeroUsize::get).or(*set).unwrap_or_else(cores::usable);
    if let Some(before) = set.filter(|it| *it != wanted) {
        return Err(Error::Invalid(format!(
            "{wanted} threads asked for, but this process computes with {before} already; start another process"
        )));
    }
    let (device, note) = resolve(choice)?;
    // Before the pool of threads exists: they inherit it when they start.
    let flush_denormal = native::set_flush_denormal(true)?;
    if set.is_none() {
        // Large tensors come and go at every step; giving each back to the system costs page faults.
        native::tune_allocator();
        tch::set_num_threads(i32::try_from(wanted).unwrap_or(i32::MAX));
        *set = Some(wanted);
    }
    let name = match device {
        tch::Device::Cuda(index) => cuda::names().ok().and_then(|names| names.get(index).cloned()),
        _ => None,
    };
    Ok(ResolvedDevice { device, name, threads: wanted, flush_denormal, note })
}

fn resolve(choice: Device) -> Result<(tch::Device, Option<String>)> {
    match choice {
        Device::Cpu => Ok((tch::Device::Cpu, None)),
        Device::Cuda(index) => cuda::open(index).map(|it| (it, None)).map_err(|why| {
            Error::Invalid(format!("device cuda:{index} cannot be used: {why}; or choose the device `cpu`"))
        }),
        Device::Auto if cuda::driver_visible() => match cuda::open(0) {
            Ok(device) => Ok((device, None)),
            Err(why) => Ok((tch::Device::Cpu, Some(format!("a GPU is visible but not used: {why}")))),
        },
        Device::Auto => Ok((tch::Device::Cpu, None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_read_from_their_names() {
        let read = |text: &str| text.parse::<Device>().ok();
        assert_eq!(read("cpu"), Some(Device::Cpu));
        assert_eq!(read("cuda"), Some(Device::Cuda(0)));
        assert_eq!(read("cuda:3"), Some(Device::Cuda(3)));
        assert_eq!(read("auto"), Some(Device::Auto));
        assert_eq!(read("cuda:"), None);
        assert!("gpu".parse::<Device>().unwrap_err().to_string().contains("cuda:N"));
    }
}
