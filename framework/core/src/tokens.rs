//! Tokens, and sequences of them with per-token loss weights.

use serde::{Deserialize, Serialize};

/// Index into the tokenizer's vocabulary.
pub type TokenId = u32;

/// The two tokens with a meaning of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Markers {
    /// Begins and ends every document.
    pub end_of_text: TokenId,
    /// Stands between the seed document and the related one.
    pub related: TokenId,
}

/// One training sequence: tokens, and how much predicting each of them counts.
///
/// `loss_weights[i]` weighs the prediction of `tokens[i]` from `tokens[..i]`; `loss_weights[0]` is always 0,
/// since nothing stands before the first token. A sequence of n tokens costs n - 1 training tokens.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    /// The tokens, first to last.
    pub tokens: Vec<TokenId>,
    /// One weight a token, 0 to leave it out of the loss.
    pub loss_weights: Vec<f32>,
}

impl Example {
    /// A whole document: `end_of_text`, the text, `end_of_text`, every prediction weighing 1.
    pub fn document(text: &[TokenId], markers: Markers) -> Self {
        let mut tokens = Vec::with_capacity(text.len() + 2);
        tokens.push(markers.end_of_text);
        tokens.extend_from_slice(text);
        tokens.push(markers.end_of_text);
        let mut loss_weights = vec![1.0; tokens.len()];
        loss_weights[0] = 0.0;
        Self { tokens, loss_weights }
    }

    /// Number of predictions, weighted or not: what a training step is charged for this sequence.
    pub fn num_predictions(&self) -> usize {
        self.tokens.len().saturating_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_of_n_tokens_costs_n_plus_one_predictions() {
        let markers = Markers { end_of_text: 0, related: 1 };
        let example = Example::document(&[5, 6, 7], markers);
        assert_eq!(example.tokens, [0, 5, 6, 7, 0]);
        assert_eq!(example.loss_weights, [0.0, 1.0, 1.0, 1.0, 1.0]);
        assert_eq!(example.num_predictions(), 4);
    }
}
