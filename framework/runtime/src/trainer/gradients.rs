//! Loss and gradient of a step.

use std::collections::BTreeMap;

use sbp_core::Example;
use tch::{Kind, Tensor};

use super::batch::{Batch, parts, total_weight};
use crate::error::{Error, Result};
use crate::loss::{Targets, cross_entropy};
use crate::model::parameters::{EMBEDDING, HEAD};
use crate::model::rope::Rotary;
use crate::model::{Dims, Parameters, Transformer};

/// What a step's sequences come to.
pub(super) struct Gradients {
    /// Nats per weighted token.
    pub(super) loss: f64,
    /// Gradient of every parameter, by name.
    pub(super) of: BTreeMap<String, Tensor>,
    /// Predictions, weighted or not.
    pub(super) num_predictions: u64,
    /// Sum over predictions of the number of tokens each attends over.
    pub(super) sum_context: u64,
}

/// Loss and gradients of a step, counted from 1, computed in parts of at most `most_tokens` predictions.
pub(super) fn of_step(
    step: u64,
    parameters: &Parameters,
    dims: &Dims,
    rotary: &Rotary,
    examples: &[Example],
    most_tokens: Option<usize>,
) -> Result<Gradients> {
    let device = parameters.device();
    let total = total_weight(step, examples, dims)?;
    let mut sum = Gradients { loss: 0.0, of: BTreeMap::new(), num_predictions: 0, sum_context: 0 };
    for part in parts(examples, most_tokens) {
        let batch = Batch::new(part, total, rotary, device)?;
        sum.num_predictions += batch.num_predictions;
        sum.sum_context += batch.sum_context;
        if batch.targets.rows_m.numel() == 0 {
            continue;
        }
        let sizes = || format!("{} tokens at once", batch.tokens.layout.num_tokens);
        let (loss, grads) = of_part(parameters, dims, &batch).map_err(|error| error.in_step(step, sizes))?;
        sum.loss += loss;
        if sum.of.is_empty() {
            sum.of = grads;
        } else {
            let _guard = tch::no_grad_guard();
            for (name, grad) in grads {
                let held =
                    sum.of.get_mut(&name).ok_or_else(|| Error::Invalid(format!("{name} has no gradient")))?;
                let _same = held.f_add_(&grad)?;
            }
        }
    }
    Ok(sum)
}

/// A part's share of the loss, and its share of the gradient of every parameter.
fn of_part(parameters: &Parameters, dims: &Dims, batch: &Batch) -> Result<(f64, BTreeMap<String, Tensor>)> {
    let Targets { rows_m, targets_m, weights_m } = &batch.targets;
    let transformer = Transformer::new(parameters, dims)?;
    let hidden_md = transformer.hidden(&batch.tokens, None)?.f_index_select(0, rows_m)?;
    let loss = cross_entropy(&hidden_md, parameters.head(), targets_m, weights_m)?;
    // Feeds the gradient made with the loss back into the trunk, which an untied head is no part of.
    let product = hidden_md.f_mul(&loss.hidden_grad_md)?.f_sum(Kind::Float)?;
    let (names, trunk): (Vec<&str>, Vec<&Tensor>) =
        parameters.iter().filter(|(name, _)| *name != HEAD).unzip();
    let found = Tensor::f_run_backward(&[product], &trunk, false, false)?;

    let _guard = tch::no_grad_guard();
    let mut grads = BTreeMap::new();
    for (name, grad) in names.into_iter().zip(found) {
        grads.insert(name.to_owned(), grad.f_contiguous()?);
    }
    if dims.tied {
        if let Some(grad) = grads.get_mut(EMBEDDING) {
            let _same = grad.f_add_(&loss.head_grad_vd)?;
        }
    } else {
        grads.insert(HEAD.to_owned(), loss.head_grad_vd);
    }
    Ok((loss.loss.f_double_value(&[])?, grads))
}
