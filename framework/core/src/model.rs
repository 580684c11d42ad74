//! The shape of the language model: a decoder in the Qwen3 layout.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A decoder-only transformer in the Qwen3 layout: RMSNorm, rotary positions, grouped-query attention with
/// query and key norms, SwiGLU. Checkpoints are Hugging Face folders of `Qwen3ForCausalLM`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ModelConfig {
    /// Width of the residual stream.
    #[schemars(range(min = 1))]
    pub hidden_size: usize,
    /// Number of transformer blocks.
    #[schemars(range(min = 1))]
    pub num_layers: usize,
    /// Number of query heads.
    #[schemars(range(min = 1))]
    pub num_heads: usize,
    /// Number of key/value heads; divides `num_heads`.
    #[schemars(range(min = 1))]
    pub num_kv_heads: usize,
    /// Width of one attention head; even, for rotary positions.
    #[schemars(range(min = 2))]
    pub head_dim: usize,
    /// Width of the SwiGLU feed-forward layer.
    #[schemars(range(min = 1))]
    pub intermediate_size: usize,
    /// Longest sequence in tokens that the model attends over.
    #[schemars(range(min = 8))]
    pub context_length: usize,
    /// Base of the rotary position frequencies.
    #[schemars(range(min = 1.0))]
    pub rope_theta: f64,
    /// Added to the mean square in RMSNorm.
    #[schemars(range(min = 0.0))]
    pub rms_norm_eps: f64,
    /// Whether the output head shares the token embedding's weights.
    pub tie_embeddings: bool,
    /// Standard deviation of fresh weights; projections into the residual stream get 1/sqrt(2 x layers) of it.
    #[schemars(range(min = 0.0))]
    pub initializer_range: f64,
    /// Width at which the learning rate was tuned: initial weights and learning rates are then scaled as muP does (Yang
    /// et al., arXiv 2203.03466), so that it holds for this width. By default nothing is scaled.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub mup_base_width: Option<usize>,
}

impl Default for ModelConfig {
    fn default() -> Self {
        Self {
            hidden_size: 128,
            num_layers: 4,
            num_heads: 4,
            num_kv_heads: 2,
            head_dim: 32,
            intermediate_size: 384,
            context_length: 256,
            rope_theta: 10_000.0,
            rms_norm_eps: 1e-6,
            tie_embeddings: true,
            // Radford et al. 2019, and Hugging Face's default.
            initializer_range: 0.02,
            mup_base_width: None,
        }
    }
}

/// Version of the formula for model FLOPs, [`ModelConfig::forward_flops_per_token`]: raised when the same training would be
/// charged otherwise.
pub const FLOPS_CONVENTION: u32 = 1;

/// Why a model shape cannot be built; the text names the fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelConfigError {
    /// The field to change.
    pub field: &'static str,
    /// What is wrong and what would be right.
    pub message: String,
}

impl ModelConfig {
    /// Checks what a schema cannot say: divisibility between fields.
    pub fn check(&self) -> Result<(), ModelConfigError> {
        if self.num_kv_heads == 0 || !self.num_heads.is_multiple_of(self.num_kv_heads) {
            return Err(ModelConfigError {
                field: "num_kv_heads",
                message: format!(
                    "{} key/value heads do not divide {} query heads",
                    self.num_kv_heads, self.num_heads
                ),
            });
        }
        if !self.head_dim.is_multiple_of(2) {
            return Err(ModelConfigError {
                field: "head_dim",
                message: format!("rotary positions need an even head width, {} is odd", self.head_dim),
            });
        }
        Ok(())
    }

    /// Number of parameters for a vocabulary of `vocab_size` tokens.
    pub fn num_parameters(&self, vocab_size: usize) -> u64 {
        let d = self.hidden_size as u64;
        let layer: u64 = self.layer_parameters().iter().sum();
        let embeddings = vocab_size as u64 * d * if self.tie_embeddings { 1 } else { 2 };
        self.num_layers as u64 * layer + d + embeddings
    }

    /// Numbers in each parameter of a layer: projections to queries, keys, values and out of attention, norms of queries and keys; gate,
    /// up and down of the feed-forward part; the norms before both.
    pub fn layer_parameters(&self) -> [u64; 11] {
        let [d, k, m] = [self.hidden_size, self.head_dim, self.intermediate_size].map(|size| size as u64);
        let (q, kv) = (self.num_heads as u64 * k, self.num_kv_heads as u64 * k);
        [d * q, d * kv, d * kv, q * d, k, k, d * m, d * m, m * d, d, d]
    }

    /// Model FLOPs to train on one token that attends over `mean_context` tokens on average.
    ///
    /// Six per parameter that takes part in a matrix product (two forward, four backward; Kaplan et al. 2020,
    /// arXiv 2001.08361, appendix), embeddings read by index left out and the output head counted; plus
    /// attention scores and values: 2 products x 2 FLOPs x heads x head width x context, three times over for
    /// forward and backward. See [`FLOPS_CONVENTION`].
    pub fn train_flops_per_token(&self, vocab_size: usize, mean_context: f64) -> f64 {
        3.0 * self.forward_flops_per_token(vocab_size, mean_context)
    }

    /// Model FLOPs to run one token forward; a third of [`Self::train_flops_per_token`].
    pub fn forward_flops_per_token(&self, vocab_size: usize, mean_context: f64) -> f64 {
        let d = self.hidden_size as f64;
        let q = (self.num_heads * self.head_dim) as f64;
        let kv = (self.num_kv_heads * self.head_dim) as f64;
        let products = self.num_layers as f64
            * (2.0 * d * q + 2.0 * d * kv + 3.0 * d * self.intermediate_size as f64)
            + d * vocab_size as f64;
        let attention = self.num_layers as f64 * 4.0 * q * mean_context;
        2.0 * products + attention
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flops_of_a_hand_counted_model() {
        let model = ModelConfig {
            hidden_size: 4,
            num_layers: 1,
            num_heads: 2,
            num_kv_heads: 1,
            head_dim: 2,
            intermediate_size: 8,
            ..ModelConfig::default()
        };
        // q 4x4, k and v 4x2 each, o 4x4, three of 4x8, head 4x10: 16 + 16 + 16 + 96 + 40 = 184 products.
        // Attention over 3 tokens: 2 products x 2 FLOPs x 4 wide x 3 = 48.
        assert_eq!(model.forward_flops_per_token(10, 3.0), 2.0 * 184.0 + 48.0);
        assert_eq!(model.train_flops_per_token(10, 3.0), 3.0 * (2.0 * 184.0 + 48.0));
        // The 184 less the head, plus norms 4 + 4 + 4, query and key norms 2 + 2, embedding 40.
        assert_eq!(model.num_parameters(10), 144 + 12 + 4 + 40);
    }

    #[test]
    fn heads_must_divide() {
        let model = ModelConfig { num_heads: 4, num_kv_heads: 3, ..ModelConfig::default() };
        assert_eq!(model.check().unwrap_err().field, "num_kv_heads");
    }
}
