//! Grouped-query attention with query and key norms, as in Qwen3.
//!
//! Projections, norms and rotations run on the flat tokens; only scores and values run block by block, on views
//! `[s, l, heads, k]`, with `is_causal` and no mask but for branching tokens, so the CPU's flash kernel skips what causality
//! hides.

use tch::{Kind, Tensor};

use super::cache::LayerCache;
use super::parameters::{Parameters, in_layer};
use super::rope::HeadNorms;
use super::{Dims, Tokens};
use crate::error::Result;
use crate::native::products::linear;

/// One attention layer, ready to compute: query, key and value weights in one.
pub(crate) struct Attention {
    dims: Dims,
    /// `o` counts the h + 2 g heads of k.
    qkv_od: Tensor,
    norms: HeadNorms,
    out_dh: Tensor,
}

impl Attention {
    /// Makes the weights of a layer ready.
    pub(crate) fn new(parameters: &Parameters, layer: i64, dims: &Dims, kind: Kind) -> Result<Self> {
        let weight =
            |name: &str| parameters.get(&in_layer(layer, &format!("self_attn.{name}"))).f_to_kind(kind);
        Ok(Self {
            dims: *dims,
            qkv_od: Tensor::f_cat(&[weight("q_proj")?, weight("k_proj")?, weight("v_proj")?], 0)?,
            norms: HeadNorms { q_gain: weight("q_norm")?, k_gain: weight("k_norm")? },
            out_dh: weight("o_proj")?,
        })
    }

    /// Queries `[n, h, k]` and keys `[n, g, k]`, normalised and turned, and values `[n, g, k]`.
    fn project(&self, x_nd: &Tensor, tokens: &Tokens) -> Result<[Tensor; 3]> {
        let qkv_no = linear(x_nd, &self.qkv_od)?;
        tokens.rotations.heads(&self.dims, &self.norms, &qkv_no)
    }

    /// The layer's output for normalised inputs; keys and values go to `cache` where there is one.
    pub(crate) fn forward(
        &self,
        x_nd: &Tensor,
        tokens: &Tokens,
        cache: Option<&mut LayerCache>,
    ) -> Result<Tensor> {
        let Dims { h, g, k, .. } = self.dims;
        let [q_nhk, k_ngk, v_ngk] = self.project(x_nd, tokens)?;
        if let Some(cache) = cache {
            cache.write(&tokens.slots_n, &k_ngk, &v_ngk)?;
        }
        let sizes = tokens.layout.block_tokens();
        let by_block = |x: &Tensor| x.f_split_with_sizes(&sizes, 0);
        let (queries, keys, values) = (by_block(&q_nhk)?, by_block(&k_ngk)?, by_block(&v_ngk)?);
        let mut outputs = Vec::with_capacity(sizes.len());
        for (index, block) in tokens.layout.blocks.iter().enumerate() {
            let (s, l) = (block.rows as i64, block.length as i64);
            let mask = tokens.masks.get(index).and_then(Option::as_ref);
            let heads_first = |x: &Tensor, heads| x.f_view([s, l, heads, k])?.f_transpose(1, 2);
            let y_shlk = Tensor::f_scaled_dot_product_attention(
                &heads_first(&queries[index], h)?,
                &heads_first(&keys[index], g)?,
                &heads_first(&values[index], g)?,
                mask,
                0.0,
                mask.is_none(),
                None,
                h != g,
            )?;
            outputs.push(y_shlk.f_transpose(1, 2)?.f_reshape([s * l, h * k])?);
        }
        let y_nh = if outputs.len() == 1 { outputs.remove(0) } else { Tensor::f_cat(&outputs, 0)? };
        linear(&y_nh, &self.out_dh)
    }

    /// One new token for each of the first rows of the cache, attending over all the row holds.
    ///
    /// The h / g queries that share a key head stand as rows of one small product, so keys are read once.
    pub(crate) fn step(
        &self,
        x_nd: &Tensor,
        tokens: &Tokens,
        cache: &mut LayerCache,
        mask: Option<&Tensor>,
    ) -> Result<Tensor> {
        let Dims { h, g, k, .. } = self.dims;
        let n = x_nd.size()[0];
        let [q_nhk, k_ngk, v_ngk] = self.project(x_nd, tokens)?;
        cache.write(&tokens.slots_n, &k_ngk, &v_ngk)?;
        let Some(mask) = mask else {
            let y_nhk = cache.attend(&q_nhk, tokens.rotations.positions())?;
            return linear(&y_nhk.f_view([n, h * k])?, &self.out_dh);
        };
        let (keys_ngtk, values_ngtk) = cache.read(n, mask.size()[3])?;
        let y_ngqk = Tensor::f_scaled_dot_product_attention(
            &q_nhk.f_reshape([n, g, h / g, k])?,
            &keys_ngtk,
            &values_ngtk,
            Some(mask),
            0.0,
            false,
            None,
            false,
        )?;
        linear(&y_ngqk.f_reshape([n, h * k])?, &self.out_dh)
    }
}
