//! From the hidden states of texts to a row for each.

use sbp_plugin::ports::Pooling;
use tch::{Kind, Tensor};

use crate::blocks::Layout;
use crate::error::Result;

/// Below this length a row is taken to be zero, as PyTorch's `normalize` does.
const LEAST_NORM: f64 = 1e-12;

/// Rows `[s, d]` of unit length in the order of the flat tokens, from hidden states of a layout without padding.
pub(super) fn rows(hidden_nd: &Tensor, layout: &Layout, pooling: Pooling) -> Result<Tensor> {
    let d = hidden_nd.size()[1];
    let by_block = hidden_nd.f_split_with_sizes(layout.block_tokens(), 0)?;
    let mut pooled = Vec::with_capacity(by_block.len());
    for (block, hidden_nd) in layout.blocks.iter().zip(by_block) {
        let (s, l) = (block.rows as i64, block.length as i64);
        let hidden_sld = hidden_nd.f_view([s, l, d])?;
        pooled.push(match pooling {
            Pooling::Mean => hidden_sld.f_mean_dim([1].as_slice(), false, Kind::Float)?,
            Pooling::Cls => hidden_sld.f_select(1, 0)?.f_to_kind(Kind::Float)?,
            Pooling::LastToken => hidden_sld.f_select(1, l - 1)?.f_to_kind(Kind::Float)?,
        });
    }
    let rows_sd = Tensor::f_cat(&pooled, 0)?;
    let norms_s1 = rows_sd.f_norm_scalaropt_dim(2.0, [1].as_slice(), true)?;
    Ok(rows_sd.f_div(&norms_s1.f_clamp_min(LEAST_NORM)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_a_hand_made_layout() {
        let layout = Layout::exact(&[1, 2]);
        // The longer text comes first: (3, 0) and (0, 4), then (0, -2).
        let hidden_nd = Tensor::from_slice(&[3.0_f32, 0.0, 0.0, 4.0, 0.0, -2.0]).view([3, 2]);
        for (pooling, expected) in [
            (Pooling::Mean, [0.6, 0.8, 0.0, -1.0]),
            (Pooling::Cls, [1.0, 0.0, 0.0, -1.0]),
            (Pooling::LastToken, [0.0, 1.0, 0.0, -1.0_f32]),
        ] {
            let found = rows(&hidden_nd, &layout, pooling).unwrap();
            let apart = (found - Tensor::from_slice(&expected).view([2, 2])).abs().max().double_value(&[]);
            assert!(apart < 1e-6, "{pooling:?}: {apart}");
        }
    }
}
