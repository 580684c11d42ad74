//! The trainable tensors of a model, by their Hugging Face names, in a fixed order.

use std::collections::BTreeMap;

use sbp_core::{RngStream, RootSeed};
use sbp_plugin::slots::optimizer::Role;
use tch::{Device, Kind, Tensor};

use super::Dims;
use crate::error::{Error, Result};

/// Name of the token embedding.
pub(crate) const EMBEDDING: &str = "model.embed_tokens.weight";
/// Name of the output head, absent where the embedding serves.
pub(crate) const HEAD: &str = "lm_head.weight";
/// Name of the gain of the last norm.
pub(crate) const FINAL_NORM: &str = "model.norm.weight";

/// Full name of a tensor of one layer.
pub(crate) fn in_layer(layer: i64, rest: &str) -> String {
    format!("model.layers.{layer}.{rest}.weight")
}

/// Whether a tensor belongs to a layer.
pub(crate) fn is_in_layer(name: &str, layer: i64) -> bool {
    name.strip_prefix("model.layers.").and_then(|rest| rest.split('.').next())
        == Some(layer.to_string().as_str())
}

/// Name and shape of every parameter, sorted by name.
pub(crate) fn shapes(dims: &Dims) -> BTreeMap<String, Vec<i64>> {
    let Dims { d, h, g, k, m, v, .. } = *dims;
    let mut shapes = BTreeMap::from([(EMBEDDING.to_owned(), vec![v, d]), (FINAL_NORM.to_owned(), vec![d])]);
    if !dims.tied {
        shapes.insert(HEAD.to_owned(), vec![v, d]);
    }
    for layer in 0..dims.layers {
        for (rest, shape) in [
            ("input_layernorm", vec![d]),
            ("self_attn.q_proj", vec![h * k, d]),
            ("self_attn.k_proj", vec![g * k, d]),
            ("self_attn.v_proj", vec![g * k, d]),
            ("self_attn.o_proj", vec![d, h * k]),
            ("self_attn.q_norm", vec![k]),
            ("self_attn.k_norm", vec![k]),
            ("post_attention_layernorm", vec![d]),
            ("mlp.gate_proj", vec![m, d]),
            ("mlp.up_proj", vec![m, d]),
            ("mlp.down_proj", vec![d, m]),
        ] {
            shapes.insert(in_layer(layer, rest), shape);
        }
    }
    shapes
}

/// What a parameter does.
pub(crate) fn role(name: &str) -> Role {
    match name {
        EMBEDDING => Role::Embedding,
        HEAD => Role::Head,
        _ if name.ends_with("norm.weight") => Role::Norm,
        _ => Role::Projection,
    }
}

/// The parameters, all `f32`, leaves of the autograd graph when they are trained.
pub(crate) struct Parameters {
    tensors: BTreeMap<String, Tensor>,
}

impl Parameters {
    /// Fresh weights: normal with the model's `initializer_range` as deviation, projections into the residual stream narrowed by
    /// 1/sqrt(2 x layers), gains 1; with a base width, as [`Dims::mup`] says. The same stream gives the same weights,
    /// whatever the device.
    pub(crate) fn fresh(dims: &Dims, mut stream: RngStream, device: Device) -> Result<Self> {
        let mut tensors = BTreeMap::new();
        for (name, shape) in shapes(dims) {
            // A stream of its own for each tensor, so that its size does not move the others' weights.
            let own = RootSeed(stream.next_u64()).stream(&name, &[]);
            let numel = shape.iter().product::<i64>() as usize;
            let values = match role(&name) {
                Role::Norm if name == FINAL_NORM => vec![(1.0 / dims.mup) as f32; numel],
                Role::Norm => vec![1.0; numel],
                Role::Embedding | Role::Head => normal(own, numel, dims.init_std),
                Role::Projection => {
                    let residual = name.ends_with("o_proj.weight") || name.ends_with("down_proj.weight");
                    let narrowed = if residual { (2.0 * dims.layers as f64).sqrt() } else { 1.0 };
                    normal(own, numel, dims.init_std / dims.mup.sqrt() / narrowed)
                }
            };
            tensors.insert(name, Tensor::f_from_slice(&values)?.f_reshape(&shape)?.f_to_device(device)?);
        }
        Ok(Self { tensors })
    }

    /// Given tensors, checked against the model's names and shapes.
    pub(crate) fn from_tensors(
        dims: &Dims,
        mut given: BTreeMap<String, Tensor>,
        device: Device,
    ) -> Result<Self> {
        let mut tensors = BTreeMap::new();
        for (name, shape) in shapes(dims) {
            let tensor = given
                .remove(&name)
                .ok_or_else(|| Error::Shape(format!("tensor {name} with shape {shape:?} is missing")))?;
            if tensor.size() != shape {
                return Err(Error::Shape(format!(
                    "tensor {name} has shape {:?}, the configuration says {shape:?}",
                    tensor.size()
                )));
            }
            tensors.insert(name, tensor.f_to_device(device)?.f_to_kind(Kind::Float)?.f_contiguous()?);
        }
        if dims.tied {
            // Some writers store the tied head a second time.
            given.remove(HEAD);
        }
        match given.keys().next() {
            Some(name) => Err(Error::Shape(format!("tensor {name} has no place in this model"))),
            None => Ok(Self { tensors }),
        }
    }

    /// Makes every tensor a leaf that collects gradients.
    pub(crate) fn require_grad(&self) -> Result<()> {
        for tensor in self.tensors.values() {
            // In place: the returned handle is the same tensor.
            let _same = tensor.shallow_clone().f_requires_grad_(true)?;
        }
        Ok(())
    }

    /// The tensor of this name.
    ///
    /// # Panics
    /// When there is none: names are checked when the parameters are made.
    pub(crate) fn get(&self, name: &str) -> &Tensor {
        &self.tensors[name]
    }

    /// The weights of the output head.
    pub(crate) fn head(&self) -> &Tensor {
        self.tensors.get(HEAD).unwrap_or_else(|| self.get(EMBEDDING))
    }

    /// Where the tensors are.
    pub(crate) fn device(&self) -> Device {
        self.get(EMBEDDING).device()
    }

    /// All tensors, sorted by name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }
}

/// Normal numbers by Box and Muller's method, two for each pair of uniform ones.
fn normal(mut stream: RngStream, count: usize, std: f64) -> Vec<f32> {
    let mut values = Vec::with_capacity(count + 1);
    while values.len() < count {
        // 1 - u is in (0, 1], where the logarithm is finite.
        let radius = (-2.0 * (1.0 - stream.uniform()).ln()).sqrt() * std;
        let (sin, cos) = (std::f64::consts::TAU * stream.uniform()).sin_cos();
        values.push((radius * cos) as f32);
        values.push((radius * sin) as f32);
    }
    values.truncate(count);
    values
}

#[cfg(test)]
mod tests {
    use sbp_core::ModelConfig;

    use super::*;

    fn dims(tied: bool) -> Dims {
        let model = ModelConfig { num_layers: 2, tie_embeddings: tied, ..ModelConfig::default() };
        Dims::new(&model, 100).unwrap()
    }

    #[test]
    fn names_and_sizes_are_those_of_the_formula() {
        for tied in [true, false] {
            let model = ModelConfig { num_layers: 2, tie_embeddings: tied, ..ModelConfig::default() };
            let total: i64 = shapes(&dims(tied)).values().map(|shape| shape.iter().product::<i64>()).sum();
            assert_eq!(total as u64, model.num_parameters(100));
        }
        assert!(!shapes(&dims(true)).contains_key(HEAD));
        assert_eq!(shapes(&dims(false))["model.layers.1.self_attn.k_proj.weight"], [64, 128]);
    }

    #[test]
    fn the_same_stream_gives_the_same_weights() {
        let draw = |seed| {
            Parameters::fresh(&dims(true), RootSeed(seed).stream("init", &[]), Device::Cpu)
                .unwrap()
                .get("model.layers.0.mlp.up_proj.weight")
                .copy()
        };
        assert!(draw(1).equal(&draw(1)));
        assert!(!draw(1).equal(&draw(2)));
    }

    #[test]
    fn fresh_weights_have_the_named_deviations() {
        let fresh = Parameters::fresh(&dims(true), RootSeed(3).stream("init", &[]), Device::Cpu).unwrap();
        let std = |name: &str| fresh.get(name).std(true).double_value(&[]);
        assert!((std(EMBEDDING) - 0.02).abs() < 5e-4);
        assert!((std("model.layers.1.mlp.down_proj.weight") - 0.01).abs() < 5e-4);
        assert!(fresh.get(EMBEDDING).mean(Kind::Float).double_value(&[]).abs() < 5e-4);
        assert_eq!(fresh.get(FINAL_NORM).min().double_value(&[]), 1.0);
    }

    #[test]
    fn a_missing_tensor_is_named() {
        let message =
            Parameters::from_tensors(&dims(true), BTreeMap::new(), Device::Cpu).err().unwrap().to_string();
        assert_eq!(message, "tensor model.embed_tokens.weight with shape [100, 128] is missing");
    }
}
