//! The tensor world as the rest of the program sees it.

use std::path::Path;

use sbp_plugin::ports::{LanguageModel, Runtime, RuntimeFacts, TopK, TrainJob, TrainOutcome};

use crate::device::ResolvedDevice;
use crate::language_model::OpenedModel;
use crate::native;
use crate::topk::BlockedTopK;
use crate::trainer;

/// [`Runtime`] on libtorch.
pub struct TorchRuntime {
    device: ResolvedDevice,
    top_k: BlockedTopK,
}

impl TorchRuntime {
    /// The runtime on a device that [`crate::device::init`] made ready.
    pub fn new(device: ResolvedDevice) -> Self {
        let top_k = BlockedTopK::new(device.device);
        Self { device, top_k }
    }
}

impl Runtime for TorchRuntime {
    fn facts(&self) -> RuntimeFacts {
        let device = match (self.device.device, &self.device.name) {
            (tch::Device::Cuda(index), Some(name)) => format!("cuda:{index} ({name})"),
            (tch::Device::Cuda(index), None) => format!("cuda:{index}"),
            _ => "cpu".to_owned(),
        };
        RuntimeFacts {
            library: format!("libtorch {}", native::torch_version()),
            device,
            num_threads: self.device.threads,
        }
    }

    fn train(&mut self, job: TrainJob<'_>) -> sbp_plugin::Result<TrainOutcome> {
        trainer::train(job, self.device.device)
    }

    fn open(&mut self, checkpoint: &Path) -> sbp_plugin::Result<Box<dyn LanguageModel>> {
        Ok(Box::new(OpenedModel::open(checkpoint, self.device.device)?))
    }

    fn top_k(&mut self) -> &mut dyn TopK {
        &mut self.top_k
    }
}
