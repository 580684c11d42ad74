//! A step shared by the processes of a team: which sequences each differentiates, and which parameters each updates.
//!
//! Every process has all weights, and the optimizer's state of the parameters that it updates (ZeRO-1, Rajbhandari et al.,
//! arXiv 1910.02054). A step's gradients come to whoever updates a parameter, are summed there in an order that depends on
//! nothing but the number of parts, and the new weights go to everyone.

use std::collections::BTreeMap;

use sbp_core::Example;
use sbp_plugin::team::Team;
use tch::{Device, Tensor};

use super::gradients::StepGradients;
use crate::error::{Error, Result};
use crate::model::Parameters;
use crate::native;
use crate::optim::Optimizer;

/// Numbers that are sent at once: 16 MiB.
const PIECE: usize = 4 << 20;

/// What this process does of a step.
pub(super) struct Sharing<'a> {
    team: &'a dyn Team,
    num_parts: usize,
    /// By parameter, in the order of names: who updates it, and its shape.
    owners: BTreeMap<String, (usize, Vec<i64>)>,
    device: Device,
}

impl<'a> Sharing<'a> {
    /// Shares a model out: each parameter, from the largest to the smallest, to whoever has the fewest numbers so far.
    ///
    /// # Errors
    /// When the number of processes does not divide the number of parts.
    pub(super) fn new(team: &'a dyn Team, num_parts: Option<usize>, parameters: &Parameters) -> Result<Self> {
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
        Ok(Self { team, num_parts, owners, device: parameters.device() })
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

    /// The sum over all processes of the gradients of the parameters that this one updates.
    pub(super) fn summed(&self, gradients: BTreeMap<String, Tensor>) -> Result<BTreeMap<String, Tensor>> {
        if self.team.is_alone() {
            return Ok(gradients);
        }
        let _guard = tch::no_grad_guard();
        let mut own = BTreeMap::new();
        for owner in 0..self.team.size() {
            let mut flat = Vec::new();
            for (name, shape) in self.of(owner) {
                match gradients.get(name) {
                    Some(grad) => push(&mut flat, grad)?,
                    // Nothing weighs anything in what this process has of the step.
                    None => flat.resize(flat.len() + numel(shape), 0.0),
                }
            }
            let mut sum = Vec::with_capacity(if self.team.rank() == owner { flat.len() } else { 0 });
            for piece in flat.chunks(PIECE) {
                let mut rows = self.team.gather(owner, piece).map_err(Error::Team)?;
                if self.team.rank() == owner {
                    sum_rows(&mut rows, piece.len());
                    sum.extend_from_slice(&rows[..piece.len()]);
                }
            }
            if self.team.rank() == owner {
                for (name, tensor) in tensors(&sum, self.of(owner)) {
                    own.insert(name.to_owned(), tensor?.f_to_device(self.device)?);
                }
            }
        }
        Ok(own)
    }

    /// Loss of the step and norm of its gradient, from every process's share of them: the same bits whoever has which.
    pub(super) fn loss_and_norm(
        &self,
        loss: f64,
        gradients: &BTreeMap<String, Tensor>,
    ) -> Result<(f64, f64)> {
        let tensors: Vec<Tensor> = gradients.values().map(Tensor::shallow_clone).collect();
        let own = native::norms(&tensors)?;
        if self.team.is_alone() {
            return Ok((loss, native::norm_of_norms(&own)?));
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
        for owner in 0..self.team.size() {
            let is_own = self.team.rank() == owner;
            let mut flat = Vec::new();
            for (name, shape) in self.of(owner) {
                match is_own {
                    true => push(&mut flat, parameters.get(name))?,
                    false => flat.resize(flat.len() + numel(shape), 0.0),
                }
            }
            for piece in flat.chunks_mut(PIECE) {
                self.team.broadcast(owner, piece).map_err(Error::Team)?;
            }
            if !is_own {
                for (name, tensor) in tensors(&flat, self.of(owner)) {
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
        let lengths = layouts.iter().map(|layout| layout.values().map(|shape| numel(shape)).sum());
        flat.resize(lengths.max().unwrap_or(0), 0.0);
        let mut columns: Vec<Vec<f32>> = vec![Vec::new(); self.team.size()];
        for piece in flat.chunks(PIECE) {
            let rows = self.team.gather(0, piece).map_err(Error::Team)?;
            for (column, row) in columns.iter_mut().zip(rows.chunks(piece.len())) {
                column.extend_from_slice(row);
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

    /// Names and shapes of the parameters that a process updates, in the order of names.
    fn of(&self, rank: usize) -> impl Iterator<Item = (&str, &[i64])> {
        let all = self.owners.iter();
        all.filter(move |(_, (owner, _))| *owner == rank)
            .map(|(name, (_, shape))| (name.as_str(), shape.as_slice()))
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

/// Makes the first row the sum of all: of the sums of both halves.
fn sum_rows(rows: &mut [f32], width: usize) {
    let num_rows = rows.len() / width;
    if num_rows < 2 {
        return;
    }
    let (first, second) = rows.split_at_mut(num_rows / 2 * width);
    sum_rows(first, width);
    sum_rows(second, width);
    for (sum, number) in first[..width].iter_mut().zip(&second[..width]) {
        *sum += number;
    }
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

/// The gradients of parts, summed as [`sum_rows`] sums those of processes.
pub(super) fn sum_parts<'e>(
    parts: &[(u64, &'e [Example])],
    differentiate: &dyn Fn(u64, &'e [Example]) -> Result<StepGradients>,
) -> Result<StepGradients> {
    match parts {
        [] => Ok(StepGradients::default()),
        [(part, examples)] => differentiate(*part, examples),
        many => {
            let (first, second) = many.split_at(many.len() / 2);
            let mut sum = sum_parts(first, differentiate)?;
            sum.add(sum_parts(second, differentiate)?)?;
            Ok(sum)
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

        #[test]
        fn halves_of_rows_are_summed_as_rows_are(
            numbers in prop::collection::vec(-1e6_f32..1e6, 8 * 3),
        ) {
            let whole = { let mut rows = numbers.clone(); sum_rows(&mut rows, 3); rows[..3].to_vec() };
            for num_processes in [2, 4] {
                let mut sums = Vec::new();
                for own in numbers.chunks(8 * 3 / num_processes) {
                    let mut own = own.to_vec();
                    sum_rows(&mut own, 3);
                    sums.extend_from_slice(&own[..3]);
                }
                sum_rows(&mut sums, 3);
                prop_assert_eq!(&sums[..3], whole.as_slice());
            }
        }
    }
}
