//! Loss and gradient of a step.
//!
//! The gradient of the head is made with the loss; what it says of the hidden states is carried back through the
//! layers, all at once or layer by layer, and from there to the rows of the embedding that were read.

use std::collections::BTreeMap;

use sbp_core::{Example, RootSeed};
use tch::{Kind, Tensor};

use super::batch::{Batch, parts};
use crate::error::{Error, Result};
use crate::loss::cross_entropy;
use crate::model::dropout::Dropout;
use crate::model::parameters::{EMBEDDING, FINAL_NORM, HEAD, is_in_layer};
use crate::model::rope::Rotary;
use crate::model::transformer::{Last, Layer, Stream, embedded};
use crate::model::{Dims, Parameters, is_fused};
use crate::native::fused;

/// What sequences of a step come to.
#[derive(Default)]
pub(super) struct StepGradients {
    /// Their share of the step's nats per weighted token.
    pub(super) loss: f64,
    /// Gradient of every parameter, by name, in `f32`; none at all where nothing weighs anything.
    pub(super) of: BTreeMap<String, Tensor>,
}

impl StepGradients {
    /// Adds those of other sequences.
    pub(super) fn add(&mut self, other: Self) -> Result<()> {
        self.loss += other.loss;
        if self.of.is_empty() {
            self.of = other.of;
            return Ok(());
        }
        let _guard = tch::no_grad_guard();
        for (name, grad) in other.of {
            let held = self.of.get_mut(&name);
            let held = held.ok_or_else(|| Error::Invalid(format!("{name} has no gradient")))?;
            let _same = held.f_add_(&grad)?;
        }
        Ok(())
    }
}

/// How steps of a model are differentiated.
pub(super) struct Differentiation<'a> {
    pub(super) parameters: &'a Parameters,
    pub(super) dims: Dims,
    pub(super) rotary: Rotary,
    /// Most predictions computed at once.
    pub(super) most_tokens: Option<usize>,
    /// What activations and matrix products are computed in; weights and gradients stay `f32`.
    pub(super) kind: Kind,
    /// Whether layers keep only their inputs and are computed a second time for their gradient (Chen et al., arXiv
    /// 1604.06174).
    pub(super) recompute: bool,
    /// Share of what layers add that is dropped, and where masks come from.
    pub(super) dropout: (f64, RootSeed),
}

impl Differentiation<'_> {
    /// Loss and gradients of a numbered part of a step, computed `most_tokens` predictions at a time. The step is counted from
    /// 1, and the weights of all its sequences sum to `total_weight`.
    pub(super) fn of_part(
        &self,
        [step, part]: [u64; 2],
        examples: &[Example],
        total_weight: f64,
    ) -> Result<StepGradients> {
        let mut sum = StepGradients::default();
        for (index, at_once) in parts(examples, self.most_tokens).into_iter().enumerate() {
            let batch = Batch::new(at_once, total_weight, &self.rotary, self.parameters.device())?;
            if batch.targets.rows_m.numel() == 0 {
                continue;
            }
            let (share, seed) = self.dropout;
            let dropout = Dropout { share, seed, part: [step, part << 32 | index as u64] };
            let sizes = || format!("{} tokens at once", batch.tokens.layout.num_tokens);
            sum.add(self.of_batch(&batch, &dropout).map_err(|error| error.in_step(step, sizes))?)?;
        }
        Ok(sum)
    }

    /// A batch's share of the loss, and its share of the gradient of every parameter.
    fn of_batch(&self, batch: &Batch, dropout: &Dropout) -> Result<StepGradients> {
        let Self { parameters, dims, kind, .. } = self;
        let start = {
            let _guard = tch::no_grad_guard();
            Stream::new(embedded(parameters, &batch.tokens, dims, *kind)?)?
        };
        let mut trunk = if self.recompute {
            self.layer_by_layer(start, batch, dropout)?
        } else {
            self.all_at_once(start, batch, dropout)?
        };

        let _guard = tch::no_grad_guard();
        let mut table_grad_vd = if dims.tied {
            trunk.head_grad_vd
        } else {
            let zeros = parameters.get(EMBEDDING).f_detach()?.f_zeros_like()?;
            trunk.grads.insert(HEAD.to_owned(), trunk.head_grad_vd);
            zeros
        };
        let rows_nd = trunk.embedded_grad_nd.f_to_kind(Kind::Float)?.f_contiguous()?;
        if is_fused(&table_grad_vd) {
            fused::add_rows_(&table_grad_vd, &batch.tokens.ids_n, &rows_nd)?;
        } else {
            let _same = table_grad_vd.f_index_add_(0, &batch.tokens.ids_n, &rows_nd)?;
        }
        trunk.grads.insert(EMBEDDING.to_owned(), table_grad_vd);
        Ok(StepGradients { loss: trunk.loss.f_double_value(&[])?, of: trunk.grads })
    }

    /// One graph over all layers.
    fn all_at_once(&self, start: Stream, batch: &Batch, dropout: &Dropout) -> Result<Trunk> {
        let start = start.leaves()?;
        let mut stream = start.shallow_clone();
        for index in 0..self.dims.layers {
            stream = self.layer(index)?.forward(&stream, &batch.tokens, self.dims.eps, dropout)?;
        }
        let hidden_nd = self.last()?.forward(&stream)?;
        let loss = cross_entropy(&hidden_nd, self.parameters.head(), &batch.targets)?;
        let trunk = |name: &str| name != EMBEDDING && name != HEAD;
        let mut grads = BTreeMap::new();
        let [embedded_grad_nd] =
            self.back(&[&hidden_nd], &[&loss.hidden_grad_nd], [&start.x_nd], trunk, &mut grads)?;
        Ok(Trunk { loss: loss.loss, head_grad_vd: loss.head_grad_vd, embedded_grad_nd, grads })
    }

    /// A graph over one layer at a time, from the last to the first.
    fn layer_by_layer(&self, start: Stream, batch: &Batch, dropout: &Dropout) -> Result<Trunk> {
        let eps = self.dims.eps;
        let mut inputs = Vec::with_capacity(self.dims.layers as usize);
        let mut stream = start;
        for index in 0..self.dims.layers {
            let _guard = tch::no_grad_guard();
            let next = self.layer(index)?.forward(&stream, &batch.tokens, eps, dropout)?;
            inputs.push(std::mem::replace(&mut stream, next));
        }

        let mut grads = BTreeMap::new();
        let input = stream.leaves()?;
        let hidden_nd = self.last()?.forward(&input)?;
        let loss = cross_entropy(&hidden_nd, self.parameters.head(), &batch.targets)?;
        let last = |name: &str| name == FINAL_NORM;
        let both = [&input.x_nd, &input.update_nd];
        let mut back = self.back(&[&hidden_nd], &[&loss.hidden_grad_nd], both, last, &mut grads)?;
        for (index, stream) in inputs.into_iter().enumerate().rev() {
            let index = index as i64;
            let input = stream.leaves()?;
            let output = self.layer(index)?.forward(&input, &batch.tokens, eps, dropout)?;
            let own = |name: &str| is_in_layer(name, index);
            let both = [&input.x_nd, &input.update_nd];
            back = self.back(&[&output.x_nd, &output.update_nd], &back.each_ref(), both, own, &mut grads)?;
        }
        let [embedded_grad_nd, _] = back;
        Ok(Trunk { loss: loss.loss, head_grad_vd: loss.head_grad_vd, embedded_grad_nd, grads })
    }

    fn layer(&self, index: i64) -> Result<Layer> {
        Layer::new(self.parameters, index, &self.dims, self.kind)
    }

    fn last(&self) -> Result<Last> {
        Last::new(self.parameters, &self.dims, self.kind)
    }

    /// Gradients of `inputs`, and into `grads` those of the parameters whose names are wanted.
    fn back<const N: usize>(
        &self,
        outputs: &[&Tensor],
        output_grads: &[&Tensor],
        inputs: [&Tensor; N],
        wanted: impl Fn(&str) -> bool,
        grads: &mut BTreeMap<String, Tensor>,
    ) -> Result<[Tensor; N]> {
        let (names, parameters): (Vec<&str>, Vec<&Tensor>) =
            self.parameters.iter().filter(|(name, _)| wanted(name)).unzip();
        let to: Vec<&Tensor> = inputs.into_iter().chain(parameters).collect();
        let mut found = fused::backward(outputs, output_grads, &to)?.into_iter();
        let first = std::array::from_fn(|_| found.next().unwrap_or_default());
        let _guard = tch::no_grad_guard();
        for (name, grad) in names.into_iter().zip(found) {
            grads.insert(name.to_owned(), grad.f_contiguous()?);
        }
        Ok(first)
    }
}

/// What comes back from the layers.
struct Trunk {
    loss: Tensor,
    head_grad_vd: Tensor,
    embedded_grad_nd: Tensor,
    /// Of every parameter but embedding and head.
    grads: BTreeMap<String, Tensor>,
}
