//! libtorch as a program links it in.

use std::num::NonZeroUsize;
use std::sync::Arc;

use sbp_plugin::engine::{Engine, Facts, Opened};
use sbp_plugin::team::Team;

use crate::device::{self, Device};
use crate::{TorchRuntime, team};

/// [`Engine`] on libtorch.
#[derive(Debug, Clone, Copy)]
pub struct Torch;

impl Engine for Torch {
    fn join(&self, work: &str) -> sbp_plugin::Result<Arc<dyn Team>> {
        Ok(team::join(work)?)
    }

    fn runtime(
        &self,
        device: &str,
        num_threads: Option<NonZeroUsize>,
        team: Arc<dyn Team>,
    ) -> sbp_plugin::Result<Opened> {
        // Where a launcher shows each process a GPU of its own, that one is the first.
        let own_gpu = if device::num_gpus() > 1 { team.local_rank() } else { 0 };
        let device = match device.parse()? {
            Device::Cuda(0) if device == "cuda" => Device::Cuda(own_gpu),
            Device::Auto if own_gpu > 0 => Device::Cuda(own_gpu),
            given => given,
        };
        let share = NonZeroUsize::new(device::usable_threads() / team.local_size());
        let num_threads = num_threads.or(if team.is_alone() { None } else { share.or(NonZeroUsize::new(1)) });
        let device = device::init(device, num_threads)?;
        let note = device.note.clone();
        Ok(Opened { runtime: Box::new(TorchRuntime::new(device, team)), note })
    }

    fn facts(&self) -> Facts {
        device::facts()
    }
}
