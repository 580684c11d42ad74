//! A step shared by the processes of a team: which sequences each differentiates, and which parameters each updates.
//!
//! Every process has all weights, and the optimizer's state of the parameters that it updates (ZeRO-1, Rajbhandari et al.,
//! arXiv 1910.02054). A step's gradients are summed in an order that depends on nothing but the number of parts and go to whoever
//! updates a parameter, group by group, while those of earlier layers are still computed: a process keeps none but its own. The new
//! weights go to everyone. How numbers travel is in [`super::windows`].

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::mpsc::{Receiver, sync_channel};

use sbp_core::Example;
use sbp_plugin::team::Team;
use tch::{Device, Tensor};

use super::gradients::{Ready, StepGradients};
use super::windows::{WINDOW, swap, windows};
use crate::error::{Error, Result};
use crate::model::Parameters;
use crate::native;
use crate::optim::Optimizer;

/// Groups of gradients that may wait while another is exchanged.
const WAITING: usize = 1;

/// What this process does of a step.
pub(super) struct Sharing<'a> {
    team: &'a dyn Team,
    num_parts: usize,
    /// By parameter, in the order of names: who updates it, and its shape.
    owners: BTreeMap<String, (usize, Vec<i64>)>,
    groups: Vec<Group>,
    device: Device,
}

/// Parameters that are exchanged together, one after the other, by who updates them.
struct Group {
    /// Name and shape.
    parameters: Vec<(String, Vec<i64>)>,
    /// By process: what it updates of their numbers.
    owned: Vec<Range<usize>>,
}

impl Group {
    fn new(names: &[String], owners: &BTreeMap<String, (usize, Vec<i64>)>, size: usize) -> Self {
        let (mut parameters, mut owned, mut end) = (Vec::new(), Vec::new(), 0);
        for rank in 0..size {
            let start = end;
            for name in names.iter().filter(|name| owners[*name].0 == rank) {
                let shape = owners[name].1.clone();
                end += numel(&shape);
                parameters.push((name.clone(), shape));
            }
            owned.push(start..end);
        }
        Self { parameters, owned }
    }
}

impl<'a> Sharing<'a> {
    /// Shares a model out: each parameter, from the largest to the smallest, to whoever has the fewest numbers so far.
    ///
    /// # Errors
    /// When the number of processes does not divide the number of parts.
    pub(super) fn new(
        team: &'a dyn Team,
        num_parts: Option<usize>,
        parameters: &Parameters,
        groups: &[Vec<String>],
    ) -> Result<Self> {
        let size = team.size();
        let num_parts = num_parts.unwrap_or(size);
        if !num_parts.is_multiple_of(size) || (num_parts > size && !num_parts.is_power_of_two()) {
            return Err(Error::Invalid(format!(
                "training.gradient_parts is {num_parts}, a step of which cannot be shared by {size} processes to the bit: it has to \
                 be a power of two that the number of processes divides"
            )));
        }
        let mut by_size: Vec<(&str, &Tensor)> = parameters.iter().collect();
        by_size.sort_by(|a, b| b.1.numel().cmp(&a.1.numel()).then_with(|| a.0.cmp(b.0)));
        let mut held = vec![0; size];
        let mut owners = BTreeMap::new();
        for (name, tensor) in by_size {
            let least = (0..size).min_by_key(|&rank| held[rank]).unwrap_or(0);
            held[least] += tensor.numel();
            owners.insert(name.to_owned(), (least, tensor.size()));
        }
        let groups = groups.iter().map(|names| Group::new(names, &owners, size)).collect();
        Ok(Self { team, num_parts, owners, groups, device: parameters.device() })
    }

    /// Whether this process updates a parameter.
    pub(super) fn owns(&self, name: &str) -> bool {
        self.owners.get(name).is_some_and(|(owner, _)| *owner == self.team.rank())
    }

    /// The parts of a step that this process differentiates, each with its number.
    pub(super) fn parts<'e>(&self, examples: &'e [Example]) -> Vec<(u64, &'e [Example])> {
        let each = self.num_parts / self.team.size();
        let first = self.team.rank() * each;
        let all = equal_parts(examples, self.num_parts);
        (first..first + each).map(|part| (part as u64, all[part])).collect()
    }

    /// What `differentiate` gives as loss, and the sums over all processes of the gradients that it hands on, as far as this one
    /// updates their parameters. They are exchanged while it goes on.
    pub(super) fn summed(
        &self,
        differentiate: impl FnOnce(&mut Ready<'_>) -> Result<f64>,
    ) -> Result<StepGradients> {
        if self.team.is_alone() {
            return StepGradients::of(differentiate);
        }
        let (ready, found) = sync_channel(WAITING);
        std::thread::scope(|scope| {
            let exchange = std::thread::Builder::new().name("exchange".to_owned());
            let exchange = exchange.spawn_scoped(scope, || self.exchanged(found));
            let exchange = exchange.map_err(|e| Error::Invalid(format!("cannot start a thread: {e}")))?;
            let loss = differentiate(&mut |found| {
                ready.send(found).map_err(|_| Error::Invalid("gradients cannot be exchanged".to_owned()))
            });
            drop(ready);
            // Where it failed, that is why nothing can be handed on.
            let of = exchange.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            Ok(StepGradients { loss: loss?, of })
        })
    }

    /// The sums of the gradients that this process is to have, of groups that come in turn.
    fn exchanged(&self, found: Receiver<Vec<(String, Tensor)>>) -> Result<BTreeMap<String, Tensor>> {
        let _guard = tch::no_grad_guard();
        let mut own = BTreeMap::new();
        for (group, found) in self.groups.iter().zip(found) {
            let mut found: BTreeMap<String, Tensor> = found.into_iter().collect();
            let mut flat = Vec::new();
            for (name, shape) in &group.parameters {
                match found.remove(name) {
                    Some(grad) => push(&mut flat, &grad)?,
                    // Nothing weighs anything in what this process has of the step.
                    None => flat.resize(flat.len() + numel(shape), 0.0),
                }
            }
            let mut sum = Vec::with_capacity(group.owned[self.team.rank()].len());
            for window in windows(&group.owned) {
                sum.extend(window.sum(self.team, &flat)?);
            }
            for (name, tensor) in tensors(&sum, self.own(group)) {
                own.insert(name.to_owned(), tensor?.f_to_device(self.device)?);
            }
        }
        Ok(own)
    }

    /// Loss of the step and norm of its gradient, from every process's share of them: the same bits whoever has which.
    pub(super) fn loss_and_norm(&self, gradients: &StepGradients) -> Result<(f64, f64)> {
        let StepGradients { loss, of: gradients } = gradients;
        let tensors: Vec<Tensor> = gradients.values().map(Tensor::shallow_clone).collect();
        let own = native::norms(&tensors)?;
        if self.team.is_alone() {
            return Ok((*loss, native::norm_of_norms(&own)?));
        }
        let mut said = loss.to_le_bytes().to_vec();
        let own: BTreeMap<&String, f32> = gradients.keys().zip(own).collect();
        for name in self.owners.keys() {
            said.extend(own.get(name).copied().unwrap_or_default().to_le_bytes());
        }
        let all = self.team.exchange(&said).map_err(Error::Team)?;
        let mut losses: Vec<f64> =
            all.iter().map(|said| f64::from_le_bytes(*said.first_chunk().expect("8 bytes"))).collect();
        let norms: Vec<f32> = self
            .owners
            .values()
            .enumerate()
            .map(|(place, (owner, _))| {
                let at = 8 + 4 * place;
                f32::from_le_bytes(*all[*owner][at..].first_chunk().expect("4 bytes"))
            })
            .collect();
        Ok((sum_halves(&mut losses), native::norm_of_norms(&norms)?))
    }

    /// Gives every process the weights that the others updated.
    pub(super) fn spread(&self, parameters: &Parameters) -> Result<()> {
        if self.team.is_alone() {
            return Ok(());
        }
        let _guard = tch::no_grad_guard();
        for group in &self.groups {
            let mut flat = Vec::new();
            for (name, shape) in &group.parameters {
                match self.owns(name) {
                    true => push(&mut flat, parameters.get(name))?,
                    false => flat.resize(flat.len() + numel(shape), 0.0),
                }
            }
            for window in windows(&group.owned) {
                window.spread(self.team, &mut flat)?;
            }
            let all = group.parameters.iter().map(|(name, shape)| (name.as_str(), shape.as_slice()));
            for (name, tensor) in tensors(&flat, all) {
                if !self.owns(name) {
                    parameters.get(name).shallow_clone().f_copy_(&tensor?)?;
                }
            }
        }
        Ok(())
    }

    /// The optimizer's whole state as copies, for the process that writes it; nothing for the others.
    pub(super) fn whole_state(&self, optimizer: &Optimizer) -> Result<Option<Vec<(String, Tensor)>>> {
        let _guard = tch::no_grad_guard();
        if self.team.is_alone() {
            let copies = optimizer.state().into_iter().map(|(name, it)| Ok((name, copy_of(it)?)));
            return copies.collect::<Result<_>>().map(Some);
        }
        let mut flat = Vec::new();
        // In the order of names, as the layout has it.
        let own: BTreeMap<String, &Tensor> = optimizer.state().into_iter().collect();
        for tensor in own.into_values() {
            push(&mut flat, tensor)?;
        }
        let layouts: Vec<BTreeMap<String, Vec<i64>>> =
            (0..self.team.size()).map(|rank| optimizer.layout(&|name| self.owners[name].0 == rank)).collect();
        let lengths: Vec<usize> =
            layouts.iter().map(|layout| layout.values().map(|shape| numel(shape)).sum()).collect();
        let mut columns: Vec<Vec<f32>> = vec![Vec::new(); self.team.size()];
        for start in (0..lengths.iter().copied().max().unwrap_or(0)).step_by(WINDOW) {
            let window = |rank: usize| start.min(lengths[rank])..lengths[rank].min(start + WINDOW);
            let own = window(self.team.rank());
            // All to the leader.
            let (mut to, mut from) = (vec![0; self.team.size()], vec![0; self.team.size()]);
            to[0] = own.len();
            if self.team.is_leader() {
                from = (0..self.team.size()).map(|rank| window(rank).len()).collect();
            }
            let taken = swap(self.team, &flat[own], &to, &from)?;
            let mut taken = taken.as_slice();
            for (column, &count) in columns.iter_mut().zip(&from) {
                let (own, rest) = taken.split_at(count);
                column.extend_from_slice(own);
                taken = rest;
            }
        }
        if !self.team.is_leader() {
            return Ok(None);
        }
        let mut state = Vec::new();
        for (layout, column) in layouts.into_iter().zip(columns) {
            for (name, tensor) in
                tensors(&column, layout.iter().map(|(name, shape)| (name.as_str(), shape.as_slice())))
            {
                state.push((name.to_owned(), tensor?));
            }
        }
        Ok(Some(state))
    }

    /// Names and shapes of the parameters of a group that this process updates.
    fn own<'g>(&self, group: &'g Group) -> impl Iterator<Item = (&'g str, &'g [i64])> {
        let all = group.parameters.iter().filter(|(name, _)| self.owns(name));
        all.map(|(name, shape)| (name.as_str(), shape.as_slice()))
    }
}

fn numel(shape: &[i64]) -> usize {
    shape.iter().product::<i64>() as usize
}

/// Tensors of these shapes, whose numbers lie one after the other.
fn tensors<'n>(
    mut flat: &[f32],
    of: impl Iterator<Item = (&'n str, &'n [i64])>,
) -> impl Iterator<Item = (&'n str, Result<Tensor>)> {
    of.map(move |(name, shape)| {
        let (numbers, rest) = flat.split_at(numel(shape));
        flat = rest;
        (name, Tensor::f_from_slice(numbers).and_then(|it| it.f_view(shape)).map_err(Error::from))
    })
}

/// A copy in memory that nothing changes.
pub(super) fn copy_of(tensor: &Tensor) -> Result<Tensor> {
    let _guard = tch::no_grad_guard();
    let mut copy = Tensor::f_empty(tensor.size(), (tensor.kind(), Device::Cpu))?;
    copy.f_copy_(tensor)?;
    Ok(copy)
}

/// Adds what a tensor holds.
fn push(flat: &mut Vec<f32>, tensor: &Tensor) -> Result<()> {
    let numel = tensor.numel();
    let start = flat.len();
    flat.resize(start + numel, 0.0);
    tensor.f_to_device(Device::Cpu)?.f_contiguous()?.f_copy_data(&mut flat[start..], numel)?;
    Ok(())
}

/// Cuts the sequences of a step into so many parts of about as many predictions.
fn equal_parts(examples: &[Example], num_parts: usize) -> Vec<&[Example]> {
    let total: usize = examples.iter().map(Example::num_predictions).sum();
    let mut parts = Vec::with_capacity(num_parts);
    let (mut start, mut end, mut held) = (0, 0, 0);
    for part in 1..=num_parts {
        // Up to where the sum is nearest to this part's end.
        while end < examples.len()
            && (part == num_parts
                || (2 * held + examples[end].num_predictions()) * num_parts <= 2 * total * part)
        {
            held += examples[end].num_predictions();
            end += 1;
        }
        parts.push(&examples[start..end]);
        start = end;
    }
    parts
}

/// The sum of the sums of both halves.
fn sum_halves(numbers: &mut [f64]) -> f64 {
    match numbers {
        [] => 0.0,
        [one] => *one,
        many => {
            let (first, second) = many.split_at_mut(many.len() / 2);
            sum_halves(first) + sum_halves(second)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn parts_are_the_step_and_about_equal(
            lengths in prop::collection::vec(0_usize..20, 0..30), num_parts in 1_usize..9,
        ) {
            let examples: Vec<Example> = lengths
                .iter()
                .map(|&n| Example { tokens: vec![1; n + 1], loss_weights: vec![1.0; n + 1] })
                .collect();
            let parts = equal_parts(&examples, num_parts);
            prop_assert_eq!(parts.len(), num_parts);
            prop_assert_eq!(parts.concat(), examples.clone());
            let (total, most) = (lengths.iter().sum::<usize>(), lengths.iter().max().copied().unwrap_or(0));
            for part in parts {
                let held: usize = part.iter().map(Example::num_predictions).sum();
                prop_assert!(held <= total.div_ceil(num_parts) + most, "{held} of {total}");
            }
        }
    }
}
