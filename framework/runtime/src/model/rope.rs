//! Rotary positions (Su et al., arXiv 2104.09864) after the norms of queries and keys, as in `modeling_qwen3.py`.
//!
//! Coordinate i of a head is paired with coordinate i + k/2, and the pair is turned by position x theta^(-2 i / k).

use tch::{Device, Tensor};

use super::norm::rms_norm;
use super::{Dims, is_fused};
use crate::error::Result;
use crate::native::fused;

/// The rotations of every position: `[t, 2, f]`, cosines and then sines.
pub(crate) struct Rotary {
    cos_sin_t2f: Tensor,
}

impl Rotary {
    /// The table for a model; angles in `f64`, rotations in `f32`.
    pub(crate) fn new(dims: &Dims, device: Device) -> Result<Self> {
        let f = dims.k / 2;
        let mut cos_sin = Vec::with_capacity((dims.t * dims.k) as usize);
        for t in 0..dims.t {
            let angle = |i: i64| t as f64 * dims.theta.powf(-2.0 * i as f64 / dims.k as f64);
            cos_sin.extend((0..f).map(|i| angle(i).cos() as f32));
            cos_sin.extend((0..f).map(|i| angle(i).sin() as f32));
        }
        let cos_sin_t2f = Tensor::f_from_slice(&cos_sin)?.f_view([dims.t, 2, f])?.f_to_device(device)?;
        Ok(Self { cos_sin_t2f })
    }

    /// The rotations at the given positions.
    pub(crate) fn at(&self, positions_n: Tensor) -> Rotations {
        Rotations { cos_sin_t2f: self.cos_sin_t2f.shallow_clone(), positions_n }
    }
}

/// The rotations of flat tokens.
pub(crate) struct Rotations {
    cos_sin_t2f: Tensor,
    positions_n: Tensor,
}

/// Gains of the query and key norms.
pub(crate) struct HeadNorms {
    pub(crate) q_gain: Tensor,
    pub(crate) k_gain: Tensor,
}

impl Rotations {
    /// The position of each token.
    pub(crate) fn positions(&self) -> &Tensor {
        &self.positions_n
    }

    /// From projections `[n, (h + 2 g) k]`: queries `[n, h, k]` and keys `[n, g, k]`, normalised and turned, and values
    /// `[n, g, k]`.
    pub(crate) fn heads(&self, dims: &Dims, norms: &HeadNorms, qkv_no: &Tensor) -> Result<[Tensor; 3]> {
        if !is_fused(qkv_no) {
            return self.composite(dims, norms, qkv_no);
        }
        let heads = fused::Heads {
            q_gain: &norms.q_gain,
            k_gain: &norms.k_gain,
            cos_sin: &self.cos_sin_t2f,
            positions_n: &self.positions_n,
            queries: dims.h,
            keys: dims.g,
            eps: dims.eps,
        };
        fused::rotate_heads(qkv_no, &heads)
    }

    fn composite(&self, dims: &Dims, norms: &HeadNorms, qkv_no: &Tensor) -> Result<[Tensor; 3]> {
        let Dims { h, g, k, eps, .. } = *dims;
        let qkv_nok = qkv_no.f_view([-1, h + 2 * g, k])?;
        let cos_sin_n2f = self.cos_sin_t2f.f_index_select(0, &self.positions_n)?.f_to_kind(qkv_no.kind())?;
        let (cos_n1f, sin_n1f) = (cos_sin_n2f.f_narrow(1, 0, 1)?, cos_sin_n2f.f_narrow(1, 1, 1)?);
        let turned = |first: i64, count: i64, gain: &Tensor| -> Result<Tensor> {
            let x_nhk = rms_norm(&qkv_nok.f_narrow(1, first, count)?, gain, eps)?;
            let (a, b) = (x_nhk.f_narrow(2, 0, k / 2)?, x_nhk.f_narrow(2, k / 2, k / 2)?);
            let first_half = a.f_mul(&cos_n1f)?.f_sub(&b.f_mul(&sin_n1f)?)?;
            let second_half = b.f_mul(&cos_n1f)?.f_add(&a.f_mul(&sin_n1f)?)?;
            Ok(Tensor::f_cat(&[first_half, second_half], 2)?)
        };
        let v_ngk = qkv_nok.f_narrow(1, h + g, g)?.f_contiguous()?;
        Ok([turned(0, h, &norms.q_gain)?, turned(h, g, &norms.k_gain)?, v_ngk])
    }
}

#[cfg(test)]
mod tests {
    use sbp_core::ModelConfig;

    use super::*;
    use crate::model::tests::{equal_with_gradients, random};

    fn setting() -> (Dims, Rotations) {
        let dims = Dims::new(&ModelConfig::default(), 10).unwrap();
        let positions: Vec<i64> = (0..300).map(|i| i * 7 % dims.t).collect();
        let rotations = Rotary::new(&dims, Device::Cpu).unwrap().at(Tensor::from_slice(&positions));
        (dims, rotations)
    }

    #[test]
    fn fused_is_composite_with_every_gradient() {
        let (dims, rotations) = setting();
        let width = (dims.h + 2 * dims.g) * dims.k;
        let inputs = [random(1, &[300, width]), random(2, &[dims.k]), random(3, &[dims.k])];
        let norms = |inputs: &[Tensor]| HeadNorms {
            q_gain: inputs[1].shallow_clone(),
            k_gain: inputs[2].shallow_clone(),
        };
        equal_with_gradients(
            &inputs,
            |inputs| rotations.heads(&dims, &norms(inputs), &inputs[0]).unwrap().into(),
            |inputs| rotations.composite(&dims, &norms(inputs), &inputs[0]).unwrap().into(),
        );
    }

    #[test]
    fn pairs_are_turned_by_their_angle() {
        let (dims, rotations) = setting();
        let qkv_no = random(1, &[300, (dims.h + 2 * dims.g) * dims.k]);
        let ones = Tensor::ones([dims.k], (tch::Kind::Float, Device::Cpu));
        let norms = HeadNorms { q_gain: ones.shallow_clone(), k_gain: ones };
        let [_, keys_ngk, _] = rotations.heads(&dims, &norms, &qkv_no).unwrap();
        let x_k = qkv_no.get(9).narrow(0, dims.h * dims.k, dims.k);
        let x_k = &x_k / ((&x_k * &x_k).mean(tch::Kind::Float) + dims.eps).sqrt();
        let position = 9 * 7 % dims.t;
        for i in 0..dims.k / 2 {
            let angle = position as f64 * 10_000_f64.powf(-2.0 * i as f64 / dims.k as f64);
            let (a, b) = (x_k.double_value(&[i]), x_k.double_value(&[i + dims.k / 2]));
            let at = |j| keys_ngk.double_value(&[9, 0, j]);
            assert!((at(i) - (a * angle.cos() - b * angle.sin())).abs() < 1e-5);
            assert!((at(i + dims.k / 2) - (b * angle.cos() + a * angle.sin())).abs() < 1e-5);
        }
    }
}
