//! libtorch as a program links it in.

use std::num::NonZeroUsize;

use sbp_plugin::engine::{Engine, Facts, Opened};

use crate::TorchRuntime;
use crate::device;

/// [`Engine`] on libtorch.
#[derive(Debug, Clone, Copy)]
pub struct Torch;

impl Engine for Torch {
    fn runtime(&self, device: &str, num_threads: Option<NonZeroUsize>) -> sbp_plugin::Result<Opened> {
        let device = device::init(device.parse()?, num_threads)?;
        let note = device.note.clone();
        Ok(Opened { runtime: Box::new(TorchRuntime::new(device)), note })
    }

    fn facts(&self) -> Facts {
        device::facts()
    }
}
