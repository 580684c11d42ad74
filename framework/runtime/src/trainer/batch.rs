//! The sequences of a step as tensors, in one part or in several that follow one another.

use sbp_core::{Example, TokenId};
use tch::{Device, Tensor};

use crate::error::{Error, Result};
use crate::loss::Targets;
use crate::model::rope::Rotary;
use crate::model::{Dims, Tokens};

/// Sequences that are computed at once: a whole step, or a part of one.
pub(super) struct Batch {
    pub(super) tokens: Tokens,
    pub(super) targets: Targets,
}

/// What a step is counted as.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Counts {
    /// Sum of the loss weights.
    pub(super) total_weight: f64,
    /// Predictions, weighted or not.
    pub(super) num_predictions: u64,
    /// Sum over predictions of the number of tokens each attends over.
    pub(super) sum_context: u64,
}

/// Cuts a step into parts of at most `most` predictions; a longer sequence is a part of its own.
///
/// The gradients of the parts sum to the gradient of the step, since every loss weight is divided by the sum
/// over the whole step. Parts without any weight are left out: they would add zero.
pub(super) fn parts(examples: &[Example], most: Option<usize>) -> Vec<&[Example]> {
    let most = most.unwrap_or(usize::MAX);
    let (mut parts, mut start, mut held) = (Vec::new(), 0, 0);
    for (index, example) in examples.iter().enumerate() {
        let n = example.num_predictions();
        if index > start && held + n > most {
            parts.push(&examples[start..index]);
            (start, held) = (index, 0);
        }
        held += n;
    }
    parts.push(&examples[start..]);
    parts
}

/// Counts a whole step, which is numbered from 1.
///
/// # Errors
/// When a sequence cannot be trained on, or none weighs anything.
pub(super) fn counts(step: u64, examples: &[Example], dims: &Dims) -> Result<Counts> {
    let mut counts = Counts { total_weight: 0.0, num_predictions: 0, sum_context: 0 };
    for (index, example) in examples.iter().enumerate() {
        check(step, index, example, dims)?;
        counts.total_weight += example.loss_weights.iter().skip(1).copied().map(f64::from).sum::<f64>();
        let n = example.num_predictions() as u64;
        counts.num_predictions += n;
        counts.sum_context += n * (n + 1) / 2;
    }
    if counts.total_weight <= 0.0 {
        return Err(Error::EmptyStep { step, num_sequences: examples.len() });
    }
    Ok(counts)
}

impl Batch {
    /// Checked sequences as tensors, each loss weight divided by `total_weight`.
    pub(super) fn new(
        examples: &[Example],
        total_weight: f64,
        rotary: &Rotary,
        device: Device,
    ) -> Result<Self> {
        // A single token predicts nothing.
        let kept: Vec<&Example> = examples.iter().filter(|example| example.num_predictions() > 0).collect();
        let inputs: Vec<&[TokenId]> =
            kept.iter().map(|example| &example.tokens[..example.num_predictions()]).collect();
        let tokens = Tokens::lay_out(&inputs, rotary, device)?;

        // In the order of the flat tokens, so that picking rows reads memory in order.
        let (mut rows, mut targets, mut weights) = (Vec::new(), Vec::new(), Vec::new());
        for (sequence, start, _) in tokens.layout.rows() {
            let Example { tokens, loss_weights } = kept[sequence];
            for (place, (&token, &weight)) in tokens.iter().zip(loss_weights).enumerate().skip(1) {
                if weight != 0.0 {
                    rows.push((start + place - 1) as i64);
                    targets.push(i64::from(token));
                    weights.push((f64::from(weight) / total_weight) as f32);
                }
            }
        }
        let targets = Targets {
            rows_m: Tensor::f_from_slice(&rows)?.f_to_device(device)?,
            targets_m: Tensor::f_from_slice(&targets)?.f_to_device(device)?,
            weights_m: Tensor::f_from_slice(&weights)?.f_to_device(device)?,
        };
        Ok(Self { tokens, targets })
    }
}

/// Whether an example can be trained on.
fn check(step: u64, index: usize, example: &Example, dims: &Dims) -> Result<()> {
    let refuse =
        |reason: String| Err(Error::Sequence { index, reason: format!("of training step {step} {reason}") });
    if example.loss_weights.len() != example.tokens.len() {
        let (tokens, weights) = (example.tokens.len(), example.loss_weights.len());
        return refuse(format!("has {tokens} tokens and {weights} loss weights"));
    }
    if example.num_predictions() as i64 > dims.t {
        let (n, t) = (example.tokens.len(), dims.t);
        return refuse(format!("has {n} tokens; with a context of {t} the model can train on {}", t + 1));
    }
    if let Some(token) = example.tokens.iter().find(|&&token| i64::from(token) >= dims.v) {
        return refuse(format!("holds token {token}, outside the vocabulary of {}", dims.v));
    }
    if let Some(weight) = example.loss_weights.iter().find(|weight| !(weight.is_finite() && **weight >= 0.0))
    {
        return refuse(format!("has a loss weight of {weight}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn parts_are_the_step_and_no_more_than_asked(
            lengths in prop::collection::vec(0_usize..20, 1..30), most in 1_usize..50,
        ) {
            let examples: Vec<Example> = lengths
                .iter()
                .map(|&n| Example { tokens: vec![1; n + 1], loss_weights: vec![1.0; n + 1] })
                .collect();
            let cut = parts(&examples, Some(most));
            prop_assert_eq!(cut.concat(), examples.clone());
            for part in cut {
                let held: usize = part.iter().map(Example::num_predictions).sum();
                prop_assert!(held <= most || part.len() == 1);
            }
            prop_assert_eq!(parts(&examples, None).len(), 1);
        }
    }
}
