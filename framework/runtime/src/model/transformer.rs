//! The decoder: embedding, layers of attention and feed-forward around a residual stream, and a last norm.

use sbp_core::TokenId;
use tch::{Device, Kind, Tensor};

use super::attention::Attention;
use super::cache::{Cache, LayerCache};
use super::dropout::Dropout;
use super::mlp::Mlp;
use super::norm::add_rms_norm;
use super::parameters::{EMBEDDING, FINAL_NORM, Parameters, in_layer};
use super::rope::{Rotary, Rotations};
use super::{Dims, is_fused};
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
    pub(crate) rotations: Rotations,
    /// Where keys and values go in a cache; empty where there is none.
    pub(crate) slots_n: Tensor,
    /// For each block that is not simply causal, a mask `[s, 1, l, l]`: 0 where a token is seen, minus infinity where not.
    pub(crate) masks: Vec<Option<Tensor>>,
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
            rotations: rotary.at(tensor(positions)?),
            slots_n: tensor(slots)?,
            masks: Vec::new(),
        })
    }

    /// The same tokens, seen through a mask in some blocks.
    pub(crate) fn with_masks(self, masks: Vec<Option<Tensor>>) -> Self {
        Self { masks, ..self }
    }
}

/// The residual stream between two layers: what is in it, and what the last layer has yet to add. They are added by
/// the same kernel that normalises their sum.
pub(crate) struct Stream {
    pub(crate) x_nd: Tensor,
    pub(crate) update_nd: Tensor,
}

impl Stream {
    /// The stream before the first layer.
    pub(crate) fn new(x_nd: Tensor) -> Result<Self> {
        Ok(Self { update_nd: x_nd.f_zeros_like()?, x_nd })
    }

    /// The same numbers as the beginning of a graph.
    pub(crate) fn leaves(&self) -> Result<Self> {
        let leaf = |x: &Tensor| x.f_detach()?.f_requires_grad_(true);
        Ok(Self { x_nd: leaf(&self.x_nd)?, update_nd: leaf(&self.update_nd)? })
    }

    /// Another handle to the same tensors.
    pub(crate) fn shallow_clone(&self) -> Self {
        Self { x_nd: self.x_nd.shallow_clone(), update_nd: self.update_nd.shallow_clone() }
    }

    /// The stream with its update added, and that normalised.
    fn normalised(&self, gain_d: &Tensor, eps: f64) -> Result<(Tensor, Tensor)> {
        add_rms_norm(&self.x_nd, &self.update_nd, gain_d, eps)
    }
}

/// Attention and feed-forward with their norms.
pub(crate) struct Layer {
    index: i64,
    attention_gain_d: Tensor,
    attention: Attention,
    mlp_gain_d: Tensor,
    mlp: Mlp,
}

impl Layer {
    /// Makes the weights of a layer ready; part of the autograd graph where it is on.
    pub(crate) fn new(parameters: &Parameters, index: i64, dims: &Dims, kind: Kind) -> Result<Self> {
        let gain = |name: &str| parameters.get(&in_layer(index, name)).f_to_kind(kind);
        Ok(Self {
            index,
            attention_gain_d: gain("input_layernorm")?,
            attention: Attention::new(parameters, index, dims, kind)?,
            mlp_gain_d: gain("post_attention_layernorm")?,
            mlp: Mlp::new(parameters, index, kind)?,
        })
    }

    /// One layer as it is trained.
    pub(crate) fn forward(
        &self,
        stream: &Stream,
        tokens: &Tokens,
        eps: f64,
        dropout: &Dropout,
    ) -> Result<Stream> {
        self.run(stream, eps, dropout, |attention, x_nd| attention.forward(x_nd, tokens, None))
    }

    fn run(
        &self,
        stream: &Stream,
        eps: f64,
        dropout: &Dropout,
        attend: impl FnOnce(&Attention, &Tensor) -> Result<Tensor>,
    ) -> Result<Stream> {
        let (x_nd, y_nd) = stream.normalised(&self.attention_gain_d, eps)?;
        let attended_nd = dropout.of(attend(&self.attention, &y_nd)?, [self.index, 0])?;
        let (x_nd, y_nd) = add_rms_norm(&x_nd, &attended_nd, &self.mlp_gain_d, eps)?;
        let update_nd = dropout.of(self.mlp.forward(&y_nd)?, [self.index, 1])?;
        Ok(Stream { x_nd, update_nd })
    }
}

/// The final norm.
pub(crate) struct Last {
    gain_d: Tensor,
    eps: f64,
}

impl Last {
    /// Makes its weights ready.
    pub(crate) fn new(parameters: &Parameters, dims: &Dims, kind: Kind) -> Result<Self> {
        Ok(Self { gain_d: parameters.get(FINAL_NORM).f_to_kind(kind)?, eps: dims.eps })
    }

    /// What the head reads.
    pub(crate) fn forward(&self, stream: &Stream) -> Result<Tensor> {
        Ok(stream.normalised(&self.gain_d, self.eps)?.1)
    }
}

/// Rows of the token embedding.
pub(crate) fn embedded(parameters: &Parameters, tokens: &Tokens, dims: &Dims, kind: Kind) -> Result<Tensor> {
    let x_nd = Tensor::f_embedding(parameters.get(EMBEDDING), &tokens.ids_n, -1, false, false)?;
    ensure_shape!(x_nd, [tokens.ids_n.size()[0], dims.d])?;
    Ok(x_nd.f_to_kind(kind)?)
}

/// A model ready to be used, without dropout.
pub(crate) struct Transformer {
    dims: Dims,
    kind: Kind,
    parameters: Parameters,
    layers: Vec<Layer>,
    last: Last,
    head_vd: Tensor,
}

impl Transformer {
    /// Makes the parameters ready to be computed with in `f32`.
    #[cfg(test)]
    pub(crate) fn new(parameters: Parameters, dims: &Dims) -> Result<Self> {
        Self::in_kind(parameters, dims, Kind::Float)
    }

    /// Makes the parameters ready to be computed with in numbers of a kind.
    pub(crate) fn in_kind(parameters: Parameters, dims: &Dims, kind: Kind) -> Result<Self> {
        let layer = |index| Layer::new(&parameters, index, dims, kind);
        Ok(Self {
            dims: *dims,
            kind,
            layers: (0..dims.layers).map(layer).collect::<Result<_>>()?,
            last: Last::new(&parameters, dims, kind)?,
            head_vd: parameters.head().f_to_kind(kind)?,
            parameters,
        })
    }

    /// The weights of the output head.
    pub(crate) fn head(&self) -> &Tensor {
        &self.head_vd
    }

    /// Whether it computes with kernels of our own.
    pub(crate) fn is_fused(&self) -> bool {
        is_fused(&self.head_vd)
    }

    /// What it computes in.
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// Last hidden states of all flat tokens, after the final norm. Fills `cache` where there is one.
    pub(crate) fn hidden(&self, tokens: &Tokens, cache: Option<&mut Cache>) -> Result<Tensor> {
        match cache {
            None => self.run(tokens, |_, attention, x_nd| attention.forward(x_nd, tokens, None)),
            Some(cache) => self.run(tokens, |index, attention, x_nd| {
                attention.forward(x_nd, tokens, Some(cache_of(cache, index)))
            }),
        }
    }

    /// Last hidden states of one new token for each of the first rows of the cache. `mask` is
    /// `[rows, 1, 1, positions]`: 0 where a row's positions are seen, minus infinity where not; none for the [fused
    /// kernel](Self::is_fused), which reads no further than a row is long.
    pub(crate) fn step(&self, tokens: &Tokens, cache: &mut Cache, mask: Option<&Tensor>) -> Result<Tensor> {
        self.run(tokens, |index, attention, x_nd| attention.step(x_nd, tokens, cache_of(cache, index), mask))
    }

    fn run(
        &self,
        tokens: &Tokens,
        mut attend: impl FnMut(usize, &Attention, &Tensor) -> Result<Tensor>,
    ) -> Result<Tensor> {
        let mut stream = Stream::new(embedded(&self.parameters, tokens, &self.dims, self.kind)?)?;
        for (index, layer) in self.layers.iter().enumerate() {
            let attend = |attention: &Attention, x_nd: &Tensor| attend(index, attention, x_nd);
            stream = layer.run(&stream, self.dims.eps, &Dropout::NONE, attend)?;
        }
        self.last.forward(&stream)
    }
}

fn cache_of(cache: &mut Cache, layer: usize) -> &mut LayerCache {
    &mut cache.layers[layer]
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
        let hidden = Transformer::new(parameters, &dims).unwrap().hidden(&tokens, None).unwrap();
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
