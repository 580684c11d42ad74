//! Tensors, models and devices. The only crate that names tch.

pub mod device;
mod error;
pub mod native;

pub use error::Error;
