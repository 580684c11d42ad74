//! The language model: a decoder in the Qwen3 layout, on flat tokens.
//!
//! [`parameters`] holds the trainable tensors by their Hugging Face names; [`transformer`] turns them into the
//! form that is quick to compute with and runs them.

pub(crate) mod attention;
pub(crate) mod cache;
pub(crate) mod dims;
pub(crate) mod dropout;
pub(crate) mod mlp;
pub(crate) mod norm;
pub(crate) mod parameters;
pub(crate) mod rope;
#[cfg(test)]
pub(crate) mod tests;
pub(crate) mod transformer;

pub(crate) use dims::Dims;
pub(crate) use parameters::Parameters;
use tch::{Device, Kind, Tensor};
pub(crate) use transformer::{Tokens, Transformer};

/// Whether the fused operations of [`crate::native::fused`] take it.
pub(crate) fn is_fused(x: &Tensor) -> bool {
    x.device() == Device::Cpu && x.kind() == Kind::Float
}
