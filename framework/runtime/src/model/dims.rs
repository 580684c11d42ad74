//! Sizes of a model, converted once from the recipe's `usize` to the `i64` that tensors count in.

use sbp_core::ModelConfig;
use sbp_plugin::slots::optimizer::Role;

use super::parameters::FINAL_NORM;
use crate::error::Result;

/// The letters of the shape suffixes in this folder.
///
/// `n` flat tokens, `d` model width, `h` query heads, `g` key/value heads, `k` head width, `f` half a head,
/// `m` feed-forward width, `v` vocabulary, `s` rows of a block, `l` its length, `t` positions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Dims {
    /// Width of the residual stream.
    pub(crate) d: i64,
    /// Transformer layers.
    pub(crate) layers: i64,
    /// Query heads.
    pub(crate) h: i64,
    /// Key/value heads.
    pub(crate) g: i64,
    /// Head width.
    pub(crate) k: i64,
    /// Feed-forward width.
    pub(crate) m: i64,
    /// Vocabulary.
    pub(crate) v: i64,
    /// Longest sequence.
    pub(crate) t: i64,
    /// Added to the mean square in RMSNorm.
    pub(crate) eps: f64,
    /// Base of the rotary frequencies.
    pub(crate) theta: f64,
    /// Whether the head is the embedding.
    pub(crate) tied: bool,
    /// Standard deviation of fresh weights.
    pub(crate) init_std: f64,
    /// How many times wider than its base the model is, 1 where no base is named: muP (Yang et al., arXiv 2203.03466,
    /// table 8). Fresh projections are narrower by its root, logits smaller by it, and Adam's rates of projections
    /// smaller by it, so that the best learning rate of the base width stays the best. The factor of the logits is in
    /// the gain of the last norm, whose rate it divides too, so that a checkpoint is an ordinary model.
    pub(crate) mup: f64,
}

impl Dims {
    /// The sizes of a checked model.
    pub(crate) fn new(model: &ModelConfig, vocab_size: usize) -> Result<Self> {
        model.check()?;
        Ok(Self {
            d: model.hidden_size as i64,
            layers: model.num_layers as i64,
            h: model.num_heads as i64,
            g: model.num_kv_heads as i64,
            k: model.head_dim as i64,
            m: model.intermediate_size as i64,
            v: vocab_size as i64,
            t: model.context_length as i64,
            eps: model.rms_norm_eps,
            theta: model.rope_theta,
            tied: model.tie_embeddings,
            init_std: model.initializer_range,
            mup: model.mup_base_width.map_or(1.0, |base| model.hidden_size as f64 / base as f64),
        })
    }

    /// What muP multiplies Adam's learning rate of a parameter by.
    pub(crate) fn mup_lr_scale(&self, name: &str, role: Role) -> f64 {
        match role {
            Role::Projection => 1.0 / self.mup,
            Role::Norm if name == FINAL_NORM => 1.0 / self.mup,
            Role::Norm | Role::Embedding | Role::Head => 1.0,
        }
    }
}

/// A model small enough for tests.
#[cfg(test)]
pub(crate) fn tiny_model(tied: bool) -> ModelConfig {
    ModelConfig {
        hidden_size: 32,
        num_layers: 2,
        num_heads: 4,
        num_kv_heads: 2,
        head_dim: 8,
        intermediate_size: 48,
        context_length: 32,
        tie_embeddings: tied,
        ..ModelConfig::default()
    }
}
