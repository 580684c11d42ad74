//! RMSNorm (Zhang and Sennrich, arXiv 1910.07467): `x / sqrt(mean(x^2) + eps) * gain`.
//!
//! One kernel where there is one of ours, `f32` on the CPU; else libtorch's own operations.

use tch::Tensor;

use super::is_fused;
use crate::error::Result;
use crate::native::fused;

/// The residual stream after `update`, and what the next layer reads of it.
pub(crate) fn add_rms_norm(
    x_nd: &Tensor,
    update_nd: &Tensor,
    gain_d: &Tensor,
    eps: f64,
) -> Result<(Tensor, Tensor)> {
    if is_fused(x_nd) {
        return fused::add_rms_norm(x_nd, update_nd, gain_d, eps);
    }
    let sum_nd = x_nd.f_add(update_nd)?;
    let y_nd = rms_norm(&sum_nd, gain_d, eps)?;
    Ok((sum_nd, y_nd))
}

/// Normalises over the last axis by libtorch's operation, a kernel of its own on CUDA. The gain has the kind of `x`.
pub(crate) fn rms_norm(x: &Tensor, gain: &Tensor, eps: f64) -> Result<Tensor> {
    Ok(x.f_rms_norm(gain.size(), Some(gain), eps)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tests::{equal_with_gradients, random};

    #[test]
    fn the_mean_square_becomes_that_of_the_gain() {
        let x_nd = Tensor::from_slice(&[3.0_f32, 4.0, 0.0, 0.0, 0.0, 0.0]).view([3, 2]);
        let y_nd = rms_norm(&x_nd, &Tensor::from_slice(&[1.0_f32, 2.0]), 1e-6).unwrap();
        let root = 12.5_f32.sqrt();
        let expected = Tensor::from_slice(&[3.0 / root, 8.0 / root, 0.0, 0.0, 0.0, 0.0]).view([3, 2]);
        assert!((y_nd - expected).abs().max().double_value(&[]) < 1e-6);
    }

    #[test]
    fn fused_is_composite_with_every_gradient() {
        // 37 is no multiple of a vector register; 700 rows are enough for several threads.
        let inputs = [random(1, &[700, 37]), random(2, &[700, 37]), random(3, &[37])];
        equal_with_gradients(
            &inputs,
            |inputs| {
                let (sum, y) = fused::add_rms_norm(&inputs[0], &inputs[1], &inputs[2], 1e-6).unwrap();
                vec![sum, y]
            },
            |inputs| {
                let sum = &inputs[0] + &inputs[1];
                let y = rms_norm(&sum, &inputs[2], 1e-6).unwrap();
                vec![sum, y]
            },
        );
    }

    #[test]
    fn the_last_sum_may_go_unused() {
        let inputs = [random(1, &[5, 8]), random(2, &[5, 8]), random(3, &[8])];
        equal_with_gradients(
            &inputs,
            |inputs| vec![add_rms_norm(&inputs[0], &inputs[1], &inputs[2], 1e-6).unwrap().1],
            |inputs| vec![rms_norm(&(&inputs[0] + &inputs[1]), &inputs[2], 1e-6).unwrap()],
        );
    }
}
