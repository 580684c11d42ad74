//! The SwiGLU feed-forward layer (Shazeer, arXiv 2002.05202): `down(silu(gate(x)) * up(x))`.

use tch::{Kind, Tensor};

use super::is_fused;
use super::parameters::{Parameters, in_layer};
use crate::error::Result;
use crate::native::fused;
use crate::native::products::linear;

/// One feed-forward layer.
pub(crate) struct Mlp {
    gate_md: Tensor,
    up_md: Tensor,
    down_dm: Tensor,
}

impl Mlp {
    /// Makes the weights of a layer ready.
    pub(crate) fn new(parameters: &Parameters, layer: i64, kind: Kind) -> Result<Self> {
        let weight = |name: &str| parameters.get(&in_layer(layer, name)).f_to_kind(kind);
        Ok(Self {
            gate_md: weight("mlp.gate_proj")?,
            up_md: weight("mlp.up_proj")?,
            down_dm: weight("mlp.down_proj")?,
        })
    }

    /// The layer's output for normalised inputs.
    pub(crate) fn forward(&self, x_nd: &Tensor) -> Result<Tensor> {
        let gate_nm = linear(x_nd, &self.gate_md)?;
        let up_nm = linear(x_nd, &self.up_md)?;
        linear(&swiglu(&gate_nm, &up_nm)?, &self.down_dm)
    }
}

/// `silu(gate) * up`.
fn swiglu(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    if is_fused(gate) { fused::swiglu(gate, up) } else { composite(gate, up) }
}

fn composite(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    Ok(gate.f_silu()?.f_mul(up)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tests::{equal_with_gradients, random};

    #[test]
    fn fused_is_composite_with_every_gradient() {
        // Large arguments too, where the exponential saturates.
        let inputs = [random(1, &[900, 53]) * 100.0, random(2, &[900, 53])];
        equal_with_gradients(
            &inputs,
            |inputs| vec![swiglu(&inputs[0], &inputs[1]).unwrap()],
            |inputs| vec![composite(&inputs[0], &inputs[1]).unwrap()],
        );
    }
}
