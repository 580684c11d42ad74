//! Rotary positions (Su et al., arXiv 2104.09864) as one complex product.
//!
//! Hugging Face pairs coordinate i of a head with coordinate i + k/2. Here the rows of the query and key
//! weights are reordered when the model is made ready, so that the two are neighbours and a pair is one complex
//! number; scores do not change, since queries and keys are reordered alike. One complex product took 0.5 ms
//! forward and backward where negating, concatenating and adding took 1.8 ms (4,096 tokens, 6 heads of 32).

use tch::{Device, Tensor};

use super::Dims;
use crate::error::Result;

/// The rotations of every position: `cis_tf[t, f] = exp(i t theta^(-2 f / k))`.
pub(crate) struct Rotary {
    cis_tf: Tensor,
}

impl Rotary {
    /// The table for a model; angles in `f64`, rotations in `f32`.
    pub(crate) fn new(dims: &Dims, device: Device) -> Result<Self> {
        let f = dims.k / 2;
        let mut cis = Vec::with_capacity((dims.t * dims.k) as usize);
        for t in 0..dims.t {
            for i in 0..f {
                let (sin, cos) = (t as f64 * dims.theta.powf(-2.0 * i as f64 / dims.k as f64)).sin_cos();
                cis.extend([cos as f32, sin as f32]);
            }
        }
        let cis_tf =
            Tensor::f_from_slice(&cis)?.f_view([dims.t, f, 2])?.f_to_device(device)?.f_view_as_complex()?;
        Ok(Self { cis_tf })
    }

    /// The rotations of the given positions, to be broadcast over heads.
    pub(crate) fn at(&self, positions_n: &Tensor) -> Result<Tensor> {
        Ok(self.cis_tf.f_index_select(0, positions_n)?.f_unsqueeze(1)?)
    }
}

/// Turns heads of interleaved pairs by the rotations of their positions.
pub(crate) fn rotated(x_nhk: &Tensor, cis_n1f: &Tensor) -> Result<Tensor> {
    let (n, h, k) = x_nhk.size3()?;
    let pairs_nhf = x_nhk.f_view([n, h, k / 2, 2])?.f_view_as_complex()?;
    Ok(pairs_nhf.f_mul(cis_n1f)?.f_view_as_real()?.f_view([n, h, k])?)
}

/// Reorders the first axis, `heads` heads of `k`, from Hugging Face's halves to interleaved pairs.
pub(crate) fn interleaved(weight: &Tensor, heads: i64, k: i64) -> Result<Tensor> {
    let rest = weight.size()[1..].iter().product::<i64>();
    let paired = weight.f_reshape([heads, 2, k / 2, rest])?.f_transpose(1, 2)?;
    Ok(paired.f_reshape(weight.size())?)
}

#[cfg(test)]
mod tests {
    use sbp_core::ModelConfig;
    use tch::Kind;

    use super::*;

    #[test]
    fn equals_the_rotation_by_halves() {
        let dims = Dims::new(&ModelConfig::default(), 10).unwrap();
        let (n, h, k) = (5, 3, dims.k);
        let x_nhk = Tensor::rand([n, h, k], (Kind::Float, Device::Cpu));
        let positions = [0_i64, 1, 7, 100, 255];
        let cis_n1f = Rotary::new(&dims, Device::Cpu).unwrap().at(&Tensor::from_slice(&positions)).unwrap();
        let pairs = interleaved(&x_nhk.permute([1, 2, 0]).reshape([h * k, n]), h, k).unwrap();
        let turned = rotated(&pairs.view([h, k, n]).permute([2, 0, 1]).contiguous(), &cis_n1f).unwrap();

        // As in `modeling_qwen3.py`: x * cos + rotate_half(x) * sin.
        for (row, &t) in positions.iter().enumerate() {
            for i in 0..k / 2 {
                let (sin, cos) = (t as f64 * 10_000_f64.powf(-2.0 * i as f64 / k as f64)).sin_cos();
                for head in 0..h {
                    let at = |x: &Tensor, j| x.double_value(&[row as i64, head, j]);
                    let (a, b) = (at(&x_nhk, i), at(&x_nhk, i + k / 2));
                    assert!((at(&turned, 2 * i) - (a * cos - b * sin)).abs() < 1e-6);
                    assert!((at(&turned, 2 * i + 1) - (b * cos + a * sin)).abs() < 1e-6);
                }
            }
        }
    }
}
