//! Tensors, models and devices: the one crate that names tch. Its only way in for the rest of the program is
//! [`Torch`], which implements the ports of `sbp-plugin`.

mod blocks;
mod checkpoint;
pub mod device;
mod encoder;
mod engine;
mod error;
mod generate;
mod hub;
mod language_model;
mod likelihoods;
mod loss;
mod model;
pub mod native;
mod optim;
#[cfg(test)]
mod parity;
mod peak;
mod progress;
mod runtime;
mod sampling;
mod shape;
mod team;
mod topk;
mod trainer;

pub use engine::Torch;
pub use error::{Error, Result};
pub use runtime::TorchRuntime;
