//! A checkpoint opened for use: probabilities and hidden states of given sequences. Decoding is in
//! [`crate::generate`], scoring of continuations in [`crate::likelihoods`].
//!
//! Sequences are sorted by length and run in groups of bounded size, so that hardly anything is padded and
//! memory does not grow with the list; results come back in the order given.

use std::path::Path;

use sbp_core::{Cost, ModelConfig, TokenId};
use sbp_plugin::ports::{Completion, Continuation, Decoding, LanguageModel, Likelihood, Precision, Prompt};
use tch::{Device, Kind, Tensor};

use crate::error::{Error, Result};
use crate::hub;
use crate::loss::log_probs;
use crate::model::rope::Rotary;
use crate::model::{Dims, Parameters, Tokens, Transformer};

/// Tokens run through the model at once.
pub(crate) const GROUP_TOKENS: usize = 8192;

/// An opened checkpoint.
pub(crate) struct OpenedModel {
    pub(crate) config: ModelConfig,
    pub(crate) dims: Dims,
    pub(crate) transformer: Transformer,
    pub(crate) rotary: Rotary,
    pub(crate) device: Device,
    cost: Cost,
}

impl OpenedModel {
    /// Opens a folder, to compute in a precision.
    pub(crate) fn open(folder: &Path, precision: Precision, device: Device) -> Result<Self> {
        let (config, vocab_size) = hub::read_config(folder)?;
        let dims = Dims::new(&config, vocab_size)?;
        let parameters = hub::read_parameters(folder, &dims, device)?;
        Self::new(config, dims, parameters, kind_of(precision), device)
    }

    pub(crate) fn new(
        config: ModelConfig,
        dims: Dims,
        parameters: Parameters,
        kind: Kind,
        device: Device,
    ) -> Result<Self> {
        let _guard = tch::no_grad_guard();
        let transformer = Transformer::in_kind(parameters, &dims, kind)?;
        let rotary = Rotary::new(&dims, device)?;
        Ok(Self { config, dims, transformer, rotary, device, cost: Cost::default() })
    }

    /// Counts one forward pass over the first `n` tokens of a sequence, and says what it cost.
    pub(crate) fn charge(&mut self, n: usize) -> Cost {
        let mean_context = (n as f64 + 1.0) / 2.0;
        let flops = self.config.forward_flops_per_token(self.dims.v as usize, mean_context) * n as f64;
        let cost = Cost { tokens: n as u64, flops: flops.round() };
        self.cost.add(cost);
        cost
    }

    /// Whether a sequence can be fed to the model.
    pub(crate) fn check(&self, index: usize, sequence: &[TokenId]) -> Result<()> {
        let refuse = |reason: String| Err(Error::Sequence { index, reason });
        if sequence.is_empty() {
            return refuse("is empty".to_owned());
        }
        if sequence.len() as i64 > self.dims.t {
            return refuse(format!("has {} tokens, the model attends over {}", sequence.len(), self.dims.t));
        }
        match sequence.iter().find(|&&token| i64::from(token) >= self.dims.v) {
            Some(token) => refuse(format!("holds token {token}, outside the vocabulary of {}", self.dims.v)),
            None => Ok(()),
        }
    }

    /// Runs the first `inputs(length)` tokens of every sequence and hands each group's places, layout and hidden
    /// states to `read`.
    fn run_groups(
        &mut self,
        sequences: &[Vec<TokenId>],
        inputs: impl Fn(usize) -> usize,
        mut read: impl FnMut(&Self, &[usize], &Tokens, &Tensor) -> Result<()>,
    ) -> Result<()> {
        let _guard = tch::no_grad_guard();
        for (index, sequence) in sequences.iter().enumerate() {
            self.check(index, sequence)?;
        }
        let lengths: Vec<usize> = sequences.iter().map(|sequence| inputs(sequence.len())).collect();
        let mut order: Vec<usize> = (0..sequences.len()).filter(|&index| lengths[index] > 0).collect();
        order.sort_by_key(|&index| std::cmp::Reverse(lengths[index]));
        let mut rest = order.as_slice();
        while !rest.is_empty() {
            let (group, others) = rest.split_at(group_size(rest.iter().map(|&index| lengths[index])));
            rest = others;
            let views: Vec<&[TokenId]> =
                group.iter().map(|&index| &sequences[index][..lengths[index]]).collect();
            let tokens = Tokens::lay_out(&views, &self.rotary, self.device)?;
            let hidden_nd = self.transformer.hidden(&tokens, None)?;
            read(self, group, &tokens, &hidden_nd)?;
            for &index in group {
                self.charge(lengths[index]);
            }
        }
        Ok(())
    }

    fn all_log_probs(&mut self, sequences: &[Vec<TokenId>]) -> Result<Vec<Vec<f32>>> {
        let mut results = vec![Vec::new(); sequences.len()];
        // The last token is predicted, never read.
        self.run_groups(
            sequences,
            |length| length.saturating_sub(1),
            |this, group, tokens, hidden_nd| {
                let (mut rows, mut targets) = (Vec::new(), Vec::new());
                for (&index, &start) in group.iter().zip(&tokens.layout.starts) {
                    let predicted = &sequences[index][1..];
                    rows.extend((start..start + predicted.len()).map(|row| row as i64));
                    targets.extend(predicted.iter().copied().map(i64::from));
                }
                let tensor = |values: &[i64]| Tensor::f_from_slice(values)?.f_to_device(this.device);
                let hidden_md = hidden_nd.f_index_select(0, &tensor(&rows)?)?;
                let found = to_vec(&log_probs(&hidden_md, this.transformer.head(), &tensor(&targets)?)?)?;
                let mut found = found.into_iter();
                for &index in group {
                    results[index] = found.by_ref().take(sequences[index].len() - 1).collect();
                }
                Ok(())
            },
        )?;
        Ok(results)
    }

    fn all_mean_hidden(&mut self, sequences: &[Vec<TokenId>]) -> Result<Vec<Vec<f32>>> {
        let mut results = vec![Vec::new(); sequences.len()];
        self.run_groups(
            sequences,
            |length| length,
            |_, group, tokens, hidden_nd| {
                for (&index, &start) in group.iter().zip(&tokens.layout.starts) {
                    let own_nd = hidden_nd.f_narrow(0, start as i64, sequences[index].len() as i64)?;
                    results[index] = to_vec(&own_nd.f_mean_dim([0].as_slice(), false, Kind::Float)?)?;
                }
                Ok(())
            },
        )?;
        Ok(results)
    }
}

/// The kind of number that a precision stands for.
pub(crate) fn kind_of(precision: Precision) -> Kind {
    match precision {
        Precision::Fp32 => Kind::Float,
        Precision::Bf16 => Kind::BFloat16,
    }
}

/// Number of sequences, at least one, that stay within [`GROUP_TOKENS`].
pub(crate) fn group_size(lengths: impl Iterator<Item = usize>) -> usize {
    let sums = lengths.scan(0, |sum, length| {
        *sum += length;
        Some(*sum)
    });
    sums.take_while(|&sum| sum <= GROUP_TOKENS).count().max(1)
}

/// The numbers of a tensor, wherever it is.
pub(crate) fn to_vec(tensor: &Tensor) -> Result<Vec<f32>> {
    let plain = tensor.f_to_device(Device::Cpu)?.f_to_kind(Kind::Float)?.f_contiguous()?;
    let mut values = vec![0.0; plain.numel()];
    plain.f_copy_data(&mut values, plain.numel())?;
    Ok(values)
}

impl LanguageModel for OpenedModel {
    fn context_length(&self) -> usize {
        self.config.context_length
    }

    fn log_probs(&mut self, sequences: &[Vec<TokenId>]) -> sbp_plugin::Result<Vec<Vec<f32>>> {
        Ok(self.all_log_probs(sequences)?)
    }

    fn likelihoods(&mut self, continuations: &[Continuation]) -> sbp_plugin::Result<Vec<Likelihood>> {
        Ok(crate::likelihoods::likelihoods(self, continuations)?)
    }

    fn mean_hidden(&mut self, sequences: &[Vec<TokenId>]) -> sbp_plugin::Result<Vec<Vec<f32>>> {
        Ok(self.all_mean_hidden(sequences)?)
    }

    fn complete(
        &mut self,
        prompts: Vec<Prompt>,
        how: &Decoding,
        done: &mut dyn FnMut(usize, Completion) -> sbp_plugin::Result<()>,
    ) -> sbp_plugin::Result<()> {
        crate::generate::complete(self, prompts, how, done)
    }

    fn take_cost(&mut self) -> Cost {
        std::mem::take(&mut self.cost)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use sbp_core::RootSeed;

    use super::*;
    use crate::model::dims::tiny_model;

    pub(crate) fn model(tied: bool) -> OpenedModel {
        let config = tiny_model(tied);
        let dims = Dims::new(&config, 50).unwrap();
        let parameters = Parameters::fresh(&dims, RootSeed(5).stream("init", &[]), Device::Cpu).unwrap();
        OpenedModel::new(config, dims, parameters, Kind::Float, Device::Cpu).unwrap()
    }

    fn sequences() -> Vec<Vec<TokenId>> {
        let mut stream = RootSeed(6).stream("sequences", &[]);
        [7, 32, 1, 2, 31, 7].map(|length| (0..length).map(|_| stream.below(50) as TokenId).collect()).to_vec()
    }

    #[test]
    fn log_probs_come_in_the_given_order_and_sum_to_one() {
        for tied in [true, false] {
            let mut model = model(tied);
            let together = model.log_probs(&sequences()).unwrap();
            for (sequence, found) in sequences().iter().zip(&together) {
                assert_eq!(found.len(), sequence.len() - 1);
                let alone = model.log_probs(std::slice::from_ref(sequence)).unwrap();
                assert!(found.iter().zip(&alone[0]).all(|(a, b)| (a - b).abs() < 1e-5));
            }
            let every: Vec<Vec<TokenId>> = (0..50).map(|last| vec![3, 9, last]).collect();
            let total: f32 = model.log_probs(&every).unwrap().iter().map(|found| found[1].exp()).sum();
            assert!((total - 1.0).abs() < 1e-4);
        }
    }

    #[test]
    fn mean_hidden_leaves_padding_out() {
        let mut model = model(true);
        let together = model.mean_hidden(&sequences()).unwrap();
        for (sequence, found) in sequences().iter().zip(&together) {
            assert_eq!(found.len(), 32);
            let alone = model.mean_hidden(std::slice::from_ref(sequence)).unwrap();
            assert!(found.iter().zip(&alone[0]).all(|(a, b)| (a - b).abs() < 1e-5));
        }
    }

    #[test]
    fn what_cannot_be_fed_is_an_error_that_says_which() {
        let mut model = model(true);
        let message = |model: &mut OpenedModel, bad: Vec<TokenId>| {
            model.log_probs(&[vec![1, 2], bad]).unwrap_err().to_string()
        };
        assert_eq!(message(&mut model, vec![]), "sequence 1 is empty");
        assert_eq!(message(&mut model, vec![0; 33]), "sequence 1 has 33 tokens, the model attends over 32");
        assert_eq!(
            message(&mut model, vec![1, 50]),
            "sequence 1 holds token 50, outside the vocabulary of 50"
        );
    }

    #[test]
    fn cost_is_counted_once() {
        let mut model = model(true);
        model.log_probs(&[vec![1, 2, 3], vec![4]]).unwrap();
        let flops = 2.0 * model.config.forward_flops_per_token(50, 1.5);
        assert_eq!(model.take_cost(), Cost { tokens: 2, flops: flops.round() });
        assert_eq!(model.take_cost(), Cost::default());
    }
}
