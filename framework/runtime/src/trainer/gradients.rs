//! Loss and gradient of a step.
//!
//! The gradient of the head is made with the loss; what it says of the hidden states is carried back through the
//! layers, all at once or layer by layer, and from there to the rows of the embedding that were read.

use std::collections::BTreeMap;

use sbp_core::{Example, RootSeed};
use tch::{Kind, Tensor};

use super::batch::{Batch, parts};
use crate::error::Result;
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
    /// Of what hands its gradients on and gives its loss.
    pub(super) fn of(differentiate: impl FnOnce(&mut Ready<'_>) -> Result<f64>) -> Result<Self> {
        let mut of = BTreeMap::new();
        let loss = differentiate(&mut |found| {
            of.extend(found);
            Ok(())
        })?;
        Ok(Self { loss, of })
    }
}

/// Takes the gradients of a group of parameters as soon as nothing more comes to them; called once for each of [`groups`], in their
/// order. A parameter that nothing was found of is left out.
pub(super) type Ready<'r> = dyn FnMut(Vec<(String, Tensor)>) -> Result<()> + 'r;

/// Names of parameters in the order in which their gradients are found: what follows the layers, the layers from the last to the
/// first, and the embedding.
pub(super) fn groups(parameters: &Parameters, num_layers: i64) -> Vec<Vec<String>> {
    let of = |is_in: &dyn Fn(&str) -> bool| {
        let names = parameters.iter().map(|(name, _)| name);
        names.filter(|name| is_in(name)).map(str::to_owned).collect()
    };
    let layers = (0..num_layers).rev().map(|index| of(&|name| is_in_layer(name, index)));
    let last = of(&|name| name == FINAL_NORM || name == HEAD);
    [last].into_iter().chain(layers).chain([of(&|name| name == EMBEDDING)]).collect()
}

/// How steps of a model are differentiated.
pub(super) struct Differentiation<'a> {
    pub(super) parameters: &'a Parameters,
    /// Those of [`groups`].
    pub(super) groups: Vec<Vec<String>>,
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
    /// Loss of a step, as far as it is that of these parts; their gradients go to `ready`. The step is counted from 1, and the
    /// weights of all its sequences sum to `total_weight`.
    ///
    /// Parts are summed as the sum of the sums of both halves, so that processes that have a half each come to the same bits.
    pub(super) fn of_parts(
        &self,
        step: u64,
        parts: &[(u64, &[Example])],
        total_weight: f64,
        ready: &mut Ready<'_>,
    ) -> Result<f64> {
        self.sum_parts((step, total_weight), parts, &mut Vec::new(), ready)
    }

    /// Hands on `held`, from the last to the first, plus the gradients of parts. Gives the same of their losses.
    fn sum_parts(
        &self,
        of: (u64, f64),
        parts: &[(u64, &[Example])],
        held: &mut Vec<StepGradients>,
        ready: &mut Ready<'_>,
    ) -> Result<f64> {
        match parts {
            [] => self.hand_on(0.0, BTreeMap::new(), held, ready),
            [(part, examples)] => self.sum_batches(of, *part, examples, held, ready),
            many => {
                let (first, second) = many.split_at(many.len() / 2);
                held.push(StepGradients::of(|ready| self.sum_parts(of, first, &mut Vec::new(), ready))?);
                self.sum_parts(of, second, held, ready)
            }
        }
    }

    /// As [`Self::sum_parts`], of one part, computed `most_tokens` predictions at a time.
    fn sum_batches(
        &self,
        (step, total_weight): (u64, f64),
        part: u64,
        examples: &[Example],
        held: &mut Vec<StepGradients>,
        ready: &mut Ready<'_>,
    ) -> Result<f64> {
        let mut batches = Vec::new();
        for (index, at_once) in parts(examples, self.most_tokens).into_iter().enumerate() {
            let weighs = |example: &Example| example.loss_weights.iter().skip(1).any(|&weight| weight > 0.0);
            if at_once.iter().any(weighs) {
                batches.push((index, at_once));
            }
        }
        let Some((last, before)) = batches.split_last() else {
            return self.hand_on(0.0, BTreeMap::new(), held, ready);
        };
        let of_batch =
            |&(index, at_once): &(usize, &[Example]), held: &mut [StepGradients], ready: &mut Ready<'_>| {
                let batch = Batch::new(at_once, total_weight, &self.rotary, self.parameters.device())?;
                let (share, seed) = self.dropout;
                let dropout = Dropout { share, seed, part: [step, part << 32 | index as u64] };
                let sizes = || format!("{} tokens at once", batch.tokens.layout.num_tokens);
                self.of_batch(&batch, &dropout, held, ready).map_err(|error| error.in_step(step, sizes))
            };
        let mut sum = None;
        for batch in before {
            sum = Some(StepGradients::of(|ready| of_batch(batch, sum.as_mut_slice(), ready))?);
        }
        held.extend(sum);
        of_batch(last, held, ready)
    }

    /// Hands on `held` plus gradients that are found already, which are those of whole groups. Gives the same of the losses.
    fn hand_on(
        &self,
        loss: f64,
        mut found: BTreeMap<String, Tensor>,
        held: &mut [StepGradients],
        ready: &mut Ready<'_>,
    ) -> Result<f64> {
        for group in 0..self.groups.len() {
            self.hand_on_group(group, &mut found, held, ready)?;
        }
        Ok(sum_losses(loss, held))
    }

    /// Of one group.
    fn hand_on_group(
        &self,
        group: usize,
        found: &mut BTreeMap<String, Tensor>,
        held: &mut [StepGradients],
        ready: &mut Ready<'_>,
    ) -> Result<()> {
        let _guard = tch::no_grad_guard();
        let mut sums = Vec::new();
        for name in &self.groups[group] {
            let mut sum = found.remove(name);
            for earlier in held.iter_mut().rev() {
                sum = match (earlier.of.remove(name), sum) {
                    (Some(mut earlier), Some(sum)) => Some(earlier.f_add_(&sum)?),
                    (earlier, sum) => earlier.or(sum),
                };
            }
            sums.extend(sum.map(|sum| (name.clone(), sum)));
        }
        ready(sums)
    }

    /// As [`Self::sum_parts`], of a batch. A graph over one layer at a time, from the last to the first: gradients are handed on
    /// while those before them are computed, and what is held of the same is let go of.
    fn of_batch(
        &self,
        batch: &Batch,
        dropout: &Dropout,
        held: &mut [StepGradients],
        ready: &mut Ready<'_>,
    ) -> Result<f64> {
        let Self { parameters, dims, kind, .. } = self;
        let mut found = BTreeMap::new();
        let mut stream = {
            let _guard = tch::no_grad_guard();
            Stream::new(embedded(parameters, &batch.tokens, dims, *kind)?)?
        };
        // Of each layer its input, and what came of it where the graph is kept.
        let mut layers = Vec::with_capacity(dims.layers as usize);
        for index in 0..dims.layers {
            let (input, output) = self.through(index, stream, batch, dropout, !self.recompute)?;
            stream = output.shallow_clone();
            layers.push((input, (!self.recompute).then_some(output)));
        }

        let input = stream.leaves()?;
        let hidden_nd = self.last()?.forward(&input)?;
        let loss = cross_entropy(&hidden_nd, parameters.head(), &batch.targets)?;
        let both = [&input.x_nd, &input.update_nd];
        let last = |name: &str| name == FINAL_NORM;
        let mut back = self.back(&[&hidden_nd], &[&loss.hidden_grad_nd], both, last, &mut found)?;
        drop((stream, input, hidden_nd));
        let mut table_grad_vd = loss.head_grad_vd;
        if !dims.tied {
            let zeros = parameters.get(EMBEDDING).f_detach()?.f_zeros_like()?;
            found.insert(HEAD.to_owned(), std::mem::replace(&mut table_grad_vd, zeros));
        }
        self.hand_on_group(0, &mut found, held, ready)?;

        for (group, (index, (mut input, output))) in layers.into_iter().enumerate().rev().enumerate() {
            let index = index as i64;
            let output = match output {
                Some(output) => output,
                None => {
                    let output;
                    (input, output) = self.through(index, input, batch, dropout, true)?;
                    output
                }
            };
            let own = |name: &str| is_in_layer(name, index);
            let both = [&input.x_nd, &input.update_nd];
            back = self.back(&[&output.x_nd, &output.update_nd], &back.each_ref(), both, own, &mut found)?;
            self.hand_on_group(1 + group, &mut found, held, ready)?;
        }

        let [embedded_grad_nd, _] = back;
        {
            let _guard = tch::no_grad_guard();
            let rows_nd = embedded_grad_nd.f_to_kind(Kind::Float)?.f_contiguous()?;
            if is_fused(&table_grad_vd) {
                fused::add_rows_(&table_grad_vd, &batch.tokens.ids_n, &rows_nd)?;
            } else {
                let _same = table_grad_vd.f_index_add_(0, &batch.tokens.ids_n, &rows_nd)?;
            }
        }
        found.insert(EMBEDDING.to_owned(), table_grad_vd);
        self.hand_on_group(self.groups.len() - 1, &mut found, held, ready)?;
        Ok(sum_losses(loss.loss.f_double_value(&[])?, held))
    }

    /// A layer's input and what comes of it, with the graph between them if that is wanted.
    fn through(
        &self,
        index: i64,
        input: Stream,
        batch: &Batch,
        dropout: &Dropout,
        graph: bool,
    ) -> Result<(Stream, Stream)> {
        let _guard = (!graph).then(tch::no_grad_guard);
        let input = if graph { input.leaves()? } else { input };
        let output = self.layer(index)?.forward(&input, &batch.tokens, self.dims.eps, dropout)?;
        Ok((input, output))
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

/// Losses that are held, from the last to the first, plus another.
fn sum_losses(loss: f64, held: &[StepGradients]) -> f64 {
    held.iter().rev().fold(loss, |sum, held| held.loss + sum)
}
