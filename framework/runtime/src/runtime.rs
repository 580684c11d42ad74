//! The tensor world as the rest of the program sees it.

use std::path::Path;
use std::sync::Arc;

use sbp_plugin::ports::{
    EncoderOptions, LanguageModel, Precision, Runtime, RuntimeFacts, TextEncoder, TopK, TrainJob,
    TrainOutcome,
};
use sbp_plugin::team::{Solo, Team};

use crate::device::ResolvedDevice;
use crate::encoder::OpenedEncoder;
use crate::error::Error;
use crate::language_model::{OpenedModel, kind_of};
use crate::native;
use crate::peak::peak_flops;
use crate::topk::BlockedTopK;
use crate::trainer;

/// [`Runtime`] on libtorch.
pub struct TorchRuntime {
    device: ResolvedDevice,
    team: Arc<dyn Team>,
    top_k: BlockedTopK,
    /// The most FLOP/s seen in fp32 and bf16.
    peak_flops: [Option<f64>; 2],
}

impl TorchRuntime {
    /// The runtime of a process by itself.
    pub fn alone(device: ResolvedDevice) -> Self {
        Self::new(device, Arc::new(Solo::default()))
    }

    /// The runtime of one process of a team, on a device that [`crate::device::init`] made ready.
    pub fn new(device: ResolvedDevice, team: Arc<dyn Team>) -> Self {
        let top_k = BlockedTopK::new(device.device);
        Self { device, team, top_k, peak_flops: [None; 2] }
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

    fn team(&self) -> Arc<dyn Team> {
        Arc::clone(&self.team)
    }

    fn train(&mut self, job: TrainJob<'_>) -> sbp_plugin::Result<TrainOutcome> {
        trainer::train(job, self.device.device, self.team.as_ref()).map_err(|error| {
            match error.downcast::<Error>() {
                // The pipeline looks for it as it is.
                Ok(error) => match *error {
                    Error::Team(broken) => broken,
                    other => other.into(),
                },
                Err(other) => other,
            }
        })
    }

    fn open(
        &mut self,
        checkpoint: &Path,
        precision: Precision,
    ) -> sbp_plugin::Result<Box<dyn LanguageModel>> {
        Ok(Box::new(OpenedModel::open(checkpoint, precision, self.device.device)?))
    }

    fn open_encoder(
        &mut self,
        folder: &Path,
        options: &EncoderOptions,
    ) -> sbp_plugin::Result<Box<dyn TextEncoder>> {
        Ok(Box::new(OpenedEncoder::open(folder, options, self.device.device)?))
    }

    fn peak_flops(&mut self, precision: Precision) -> Option<f64> {
        let place = usize::from(precision == Precision::Bf16);
        let kind = kind_of(precision);
        // The best of all times it was asked: one measured on a busy machine is too low. Of no consequence for a result:
        // where it cannot be measured, it is not shown.
        let now = peak_flops(&self.device, kind).ok();
        self.peak_flops[place] = now.into_iter().chain(self.peak_flops[place]).reduce(f64::max);
        self.peak_flops[place]
    }

    fn top_k(&mut self) -> &mut dyn TopK {
        &mut self.top_k
    }
}
