//! Matrix products by whichever library is faster on this processor: MKL, or oneDNN on AMD's.
//!
//! Of large `f32` matrices on a CPU; everything else is libtorch's own product.
#![expect(unsafe_code, reason = "calls into the C++ shim, whose functions throw nothing and keep no pointer")]

use std::ffi::c_int;
use std::ptr;

use tch::Tensor;

use super::fused::{owned, pointer};
use super::{Pointer, checked};
use crate::error::Result;

unsafe extern "C" {
    fn sbp_linear(x: Pointer, weight: Pointer, y: *mut Pointer) -> c_int;
    fn sbp_product(a: Pointer, b: Pointer, result: *mut Pointer) -> c_int;
    fn sbp_add_product(sum: Pointer, a: Pointer, b: Pointer) -> c_int;
}

/// `x` times the transpose of `weight`: `[n, m]` of `[n, d]` and `[m, d]`. Differentiable.
pub(crate) fn linear(x_nd: &Tensor, weight_md: &Tensor) -> Result<Tensor> {
    let mut y = ptr::null_mut();
    // SAFETY: live tensors, and a place for the result.
    checked(unsafe { sbp_linear(pointer(x_nd), pointer(weight_md), &raw mut y) })?;
    Ok(owned(y))
}

/// `a` times `b`, which may be transposed views. Not differentiable.
pub(crate) fn product(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let mut result = ptr::null_mut();
    // SAFETY: live tensors, and a place for the result.
    checked(unsafe { sbp_product(pointer(a), pointer(b), &raw mut result) })?;
    Ok(owned(result))
}

/// `sum += a b`. Not differentiable.
pub(crate) fn add_product_(sum: &Tensor, a: &Tensor, b: &Tensor) -> Result<()> {
    // SAFETY: live tensors.
    checked(unsafe { sbp_add_product(pointer(sum), pointer(a), pointer(b)) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tests::{equal_with_gradients, random};

    /// Small and large ones, which are given to different libraries, as they lie and transposed.
    #[test]
    fn products_are_libtorchs_own() {
        for (m, d, n) in [(3, 5, 4), (300, 200, 257)] {
            let (a, b) = (random(1, &[m, d]), random(2, &[d, n]));
            let transposed = |x: &Tensor| x.transpose(0, 1).contiguous().transpose(0, 1);
            let expected = a.matmul(&b);
            for (a, b) in [(a.copy(), b.copy()), (transposed(&a), b.copy()), (a.copy(), transposed(&b))] {
                let found = product(&a, &b).unwrap();
                assert!(found.allclose(&expected, 1e-4, 1e-4, false));
                let sum = Tensor::ones([m, n], (tch::Kind::Float, tch::Device::Cpu));
                add_product_(&sum, &a, &b).unwrap();
                assert!(sum.allclose(&(&expected + 1.0), 1e-4, 1e-4, false));
            }
        }
        let unfit = product(&random(1, &[2, 3]), &random(2, &[2, 3])).unwrap_err().to_string();
        assert!(unfit.contains("a product of [2, 3] and [2, 3]"), "{unfit}");
    }

    #[test]
    fn linear_is_libtorchs_own_with_every_gradient() {
        for (n, d, m) in [(4, 6, 3), (300, 200, 257)] {
            equal_with_gradients(
                &[random(1, &[n, d]), random(2, &[m, d])],
                |inputs| vec![linear(&inputs[0], &inputs[1]).unwrap()],
                |inputs| vec![inputs[0].linear(&inputs[1], None::<Tensor>)],
            );
        }
    }
}
