//! The decoder: embedding, layers of attention and feed-forward around a residual stream, and a last norm.

use sbp_core::TokenId;
use tch::{Device, Tensor};

use super::Dims;
use super::attention::Attention;
use super::cache::Cache;
use super::mlp::Mlp;
use super::norm::rms_normalised;
use super::parameters::{EMBEDDING, FINAL_NORM, Parameters};
use super::rope::Rotary;
use crate::blocks::Layout;
use crate::error::Result;
use crate::shape::ensure_shape;

/// Flat tokens with everything that all layers need to know of them.
pub(crate) struct Tokens {
    /// Where sequences lie.
    pub(crate) layout: Layout,
    /// The tokens; padding holds token 0.
    pub(crate) ids_n: Tensor,
    /// Rotations of their positions.
    pub(crate) cis_n1f: Tensor,
    /// Where keys and values go in a cache; empty where there is none.
    pub(crate) slots_n: Tensor,
}

impl Tokens {
    /// Lays sequences out in blocks. Lengths must be within the table of `rotary`.
    pub(crate) fn lay_out(sequences: &[&[TokenId]], rotary: &Rotary, device: Device) -> Result<Self> {
        let lengths: Vec<usize> = sequences.iter().map(|sequence| sequence.len()).collect();
        let layout = Layout::new(&lengths);
        let ids = layout.spread(sequences, 0_i64, i64::from);
        let positions = layout.positions();
        Self::new(layout, &ids, &positions, &[], rotary, device)
    }

    /// Flat tokens at given positions and cache slots.
    pub(crate) fn new(
        layout: Layout,
        ids: &[i64],
        positions: &[i64],
        slots: &[i64],
        rotary: &Rotary,
        device: Device,
    ) -> Result<Self> {
        let tensor = |values: &[i64]| Tensor::f_from_slice(values)?.f_to_device(device);
        Ok(Self {
            layout,
            ids_n: tensor(ids)?,
            cis_n1f: rotary.at(&tensor(positions)?)?,
            slots_n: tensor(slots)?,
        })
    }
}

struct Layer {
    attention: Attention,
    mlp: Mlp,
}

/// A model ready to compute. Made anew after every change of the parameters: what it holds besides handles to
/// them (weights side by side, gains multiplied in) is small beside the activations of a step.
pub(crate) struct Transformer {
    dims: Dims,
    embedding_vd: Tensor,
    layers: Vec<Layer>,
    gain_d: Tensor,
}

impl Transformer {
    /// Makes the parameters ready; part of the autograd graph where it is on.
    pub(crate) fn new(parameters: &Parameters, dims: &Dims) -> Result<Self> {
        let layer = |index| {
            Ok(Layer {
                attention: Attention::new(parameters, index, dims)?,
                mlp: Mlp::new(parameters, index)?,
            })
        };
        Ok(Self {
            dims: *dims,
            embedding_vd: parameters.get(EMBEDDING).shallow_clone(),
            layers: (0..dims.layers).map(layer).collect::<Result<_>>()?,
            gain_d: parameters.get(FINAL_NORM).shallow_clone(),
        })
    }

    /// Last hidden states of all flat tokens, after the final norm. Fills `cache` where there is one.
    pub(crate) fn hidden(&self, tokens: &Tokens, cache: Option<&mut Cache>) -> Result<Tensor> {
        let mut caches = cache.map(|cache| cache.layers.iter_mut());
        self.run(tokens, |attention, x_nd| {
            attention.forward(x_nd, tokens, caches.as_mut().and_then(Iterator::next))
        })
    }

    /// Last hidden states of one new token for each of the first rows of the cache. `mask` is
    /// `[rows, 1, 1, positions]`: 0 where a row's positions are seen, minus infinity where not.
    pub(crate) fn step(&self, tokens: &Tokens, cache: &mut Cache, mask: &Tensor) -> Result<Tensor> {
        let mut caches = cache.layers.iter_mut();
        self.run(tokens, |attention, x_nd| {
            let layer = caches.next().expect("a cache has as many layers as its model");
            attention.step(x_nd, tokens, layer, mask)
        })
    }

    fn run(
        &self,
        tokens: &Tokens,
        mut attend: impl FnMut(&Attention, &Tensor) -> Result<Tensor>,
    ) -> Result<Tensor> {
        let Dims { d, eps, .. } = self.dims;
        let n = tokens.ids_n.size()[0];
        let mut x_nd = Tensor::f_embedding(&self.embedding_vd, &tokens.ids_n, -1, false, false)?;
        ensure_shape!(x_nd, [n, d])?;
        for layer in &self.layers {
            x_nd = x_nd.f_add(&attend(&layer.attention, &rms_normalised(&x_nd, d, eps)?)?)?;
            x_nd = x_nd.f_add(&layer.mlp.forward(&rms_normalised(&x_nd, d, eps)?)?)?;
        }
        ensure_shape!(x_nd, [n, d])?;
        Ok(rms_normalised(&x_nd, d, eps)?.f_mul(&self.gain_d)?)
    }
}

#[cfg(test)]
mod tests {
    use sbp_core::RootSeed;

    use super::*;
    use crate::model::dims::tiny_model;

    fn tiny() -> (Dims, Parameters) {
        let dims = Dims::new(&tiny_model(true), 50).unwrap();
        let parameters = Parameters::fresh(&dims, RootSeed(5).stream("init", &[]), Device::Cpu).unwrap();
        (dims, parameters)
    }

    fn hidden(sequences: &[&[TokenId]]) -> (Layout, Tensor) {
        let _guard = tch::no_grad_guard();
        let (dims, parameters) = tiny();
        let rotary = Rotary::new(&dims, Device::Cpu).unwrap();
        let tokens = Tokens::lay_out(sequences, &rotary, Device::Cpu).unwrap();
        let hidden = Transformer::new(&parameters, &dims).unwrap().hidden(&tokens, None).unwrap();
        (tokens.layout, hidden)
    }

    fn sequence(length: usize, seed: u64) -> Vec<TokenId> {
        let mut stream = RootSeed(seed).stream("sequence", &[]);
        (0..length).map(|_| stream.below(50) as TokenId).collect()
    }

    #[test]
    fn sequences_in_blocks_equal_each_alone() {
        let sequences: Vec<Vec<TokenId>> =
            [32, 3, 30, 1, 4, 31, 3].iter().enumerate().map(|(i, &n)| sequence(n, i as u64)).collect();
        let views: Vec<&[TokenId]> = sequences.iter().map(Vec::as_slice).collect();
        let (layout, together) = hidden(&views);
        assert!(layout.blocks.len() > 1 && layout.blocks[0].rows > 1);
        for (index, view) in views.iter().enumerate() {
            let (_, alone) = hidden(&[view]);
            let own = together.narrow(0, layout.starts[index] as i64, view.len() as i64);
            let difference = (own - alone).abs().max().double_value(&[]);
            assert!(difference < 1e-5, "sequence {index} differs by {difference}");
        }
    }

    #[test]
    fn the_future_is_not_seen() {
        let mut tokens = sequence(20, 9);
        let (_, before) = hidden(&[&tokens]);
        tokens[12] = (tokens[12] + 1) % 50;
        let (_, after) = hidden(&[&tokens]);
        let difference_n = (before - after).abs().amax([1].as_slice(), false);
        assert!(difference_n.narrow(0, 0, 12).max().double_value(&[]) < 1e-6);
        assert!(difference_n.narrow(0, 12, 8).min().double_value(&[]) > 1e-6);
    }
}
