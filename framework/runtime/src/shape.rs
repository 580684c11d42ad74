//! Shape checks whose messages name the tensor and its sizes.

use tch::Tensor;

use crate::error::{Error, Result};

/// Checks a tensor against named sizes: `ensure_shape!(hidden_nd, [n, d])` fails with
/// ``hidden_nd: expected [n=16, d=64], got [16, 32]``.
macro_rules! ensure_shape {
    ($tensor:expr, [$($size:expr),+ $(,)?]) => {
        $crate::shape::ensure(stringify!($tensor), &$tensor, &[$((stringify!($size), $size)),+])
    };
}
pub(crate) use ensure_shape;

/// What [`ensure_shape!`] expands to.
pub(crate) fn ensure(name: &str, tensor: &Tensor, sizes: &[(&str, i64)]) -> Result<()> {
    let found = tensor.size();
    if found.len() == sizes.len() && found.iter().zip(sizes).all(|(found, (_, size))| found == size) {
        return Ok(());
    }
    let expected: Vec<String> = sizes.iter().map(|(name, size)| format!("{name}={size}")).collect();
    Err(Error::Shape(format!("{name}: expected [{}], got {found:?}", expected.join(", "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_names_tensor_and_sizes() {
        let x_nd = Tensor::zeros([2, 3], (tch::Kind::Float, tch::Device::Cpu));
        let (n, d) = (2, 4);
        let message = ensure_shape!(x_nd, [n, d]).unwrap_err().to_string();
        assert_eq!(message, "x_nd: expected [n=2, d=4], got [2, 3]");
        let d = 3;
        assert!(ensure_shape!(x_nd, [n, d]).is_ok());
    }
}
