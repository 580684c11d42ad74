//! RMSNorm (Zhang and Sennrich, arXiv 1910.07467) without its gain: `x / sqrt(mean(x^2) + eps)`.
//!
//! The gain of a norm in front of linear layers is multiplied into their weights instead, which are fewer
//! numbers than the activations. The mean square is taken by a vector norm, one pass forward and one backward,
//! where `at::rms_norm` is composed of more on the CPU.

use tch::Tensor;

use crate::error::Result;

/// Divides by the root mean square over the last axis, of `size` numbers.
pub(crate) fn rms_normalised(x: &Tensor, size: i64, eps: f64) -> Result<Tensor> {
    let scale = x
        .f_norm_scalaropt_dim(2, [-1].as_slice(), true)?
        .f_square()?
        .f_mul_scalar(1.0 / size as f64)?
        .f_add_scalar(eps)?
        .f_rsqrt()?;
    Ok(x.f_mul(&scale)?)
}

#[cfg(test)]
mod tests {
    use tch::Kind;

    use super::*;

    #[test]
    fn the_mean_square_becomes_one() {
        let x_nd = Tensor::from_slice(&[3.0_f32, 4.0, 0.0, 0.0, 0.0, 0.0]).view([3, 2]);
        let y_nd = rms_normalised(&x_nd, 2, 1e-6).unwrap();
        let root = 12.5_f32.sqrt();
        let expected = Tensor::from_slice(&[3.0 / root, 4.0 / root, 0.0, 0.0, 0.0, 0.0]).view([3, 2]);
        assert!(y_nd.allclose(&expected, 1e-5, 1e-6, false));
    }

    #[test]
    fn a_row_of_zeros_has_a_finite_gradient() {
        let x_nd = Tensor::zeros([2, 4], (Kind::Float, tch::Device::Cpu)).set_requires_grad(true);
        rms_normalised(&x_nd, 4, 1e-6).unwrap().sum(Kind::Float).backward();
        assert!(bool::try_from(x_nd.grad().isfinite().all()).unwrap());
    }
}
