//! The SwiGLU feed-forward layer (Shazeer, arXiv 2002.05202): `down(silu(gate(x)) * up(x))`.

use tch::Tensor;

use super::parameters::{Parameters, in_layer};
use crate::error::Result;

/// One feed-forward layer, the gain of the norm before it multiplied in.
pub(crate) struct Mlp {
    gate_md: Tensor,
    up_md: Tensor,
    down_dm: Tensor,
}

impl Mlp {
    /// Makes the weights of a layer ready.
    pub(crate) fn new(parameters: &Parameters, layer: i64) -> Result<Self> {
        let gain_d = parameters.get(&in_layer(layer, "post_attention_layernorm"));
        let weight = |name: &str| parameters.get(&in_layer(layer, name));
        Ok(Self {
            gate_md: weight("mlp.gate_proj").f_mul(gain_d)?,
            up_md: weight("mlp.up_proj").f_mul(gain_d)?,
            down_dm: weight("mlp.down_proj").shallow_clone(),
        })
    }

    /// The layer's output for normalised inputs.
    pub(crate) fn forward(&self, x_nd: &Tensor) -> Result<Tensor> {
        let gate_nm = x_nd.f_linear(&self.gate_md, None::<Tensor>)?.f_silu()?;
        let up_nm = x_nd.f_linear(&self.up_md, None::<Tensor>)?;
        Ok(gate_nm.f_mul(&up_nm)?.f_linear(&self.down_dm, None::<Tensor>)?)
    }
}
