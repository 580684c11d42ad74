//! A language model that counts which token follows which.

use std::collections::BTreeMap;

use sbp_core::{Cost, Example, ModelConfig, RngStream, RootSeed, TokenId};
use sbp_plugin::Result;
use sbp_plugin::ports::{Completion, Continuation, Decoding, LanguageModel, Likelihood, Prompt};
use serde::{Deserialize, Serialize};

/// A bigram model: p(b | a) = (count(a, b) + prior(b)) / (count(a) + 1), the prior summing to 1.
///
/// It charges tokens and FLOPs as the transformer of its [`ModelConfig`] would, so that ledgers can be compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BigramModel {
    config: ModelConfig,
    /// Probability of each token where nothing was counted: the model's initial weights.
    prior: Vec<f64>,
    /// Weighted counts.
    #[serde(with = "as_rows")]
    counts: BTreeMap<TokenId, BTreeMap<TokenId, f64>>,
    #[serde(skip)]
    cost: Cost,
}

/// Numbers in a hidden state.
const HIDDEN: usize = 32;

impl BigramModel {
    /// A model of the 258 tokens of [`ByteTokenizer`](crate::ByteTokenizer) that thinks all of them equally likely.
    pub fn untrained(context_length: usize) -> Self {
        let config = ModelConfig { context_length, ..ModelConfig::default() };
        Self { config, prior: vec![1.0 / 258.0; 258], counts: BTreeMap::new(), cost: Cost::default() }
    }

    /// A model with slightly uneven initial weights, drawn from a stream.
    pub fn fresh(config: &ModelConfig, vocab_size: usize, mut rng: RngStream) -> Self {
        let weights: Vec<f64> = (0..vocab_size).map(|_| 1.0 + 0.1 * rng.uniform()).collect();
        let sum: f64 = weights.iter().sum();
        let prior = weights.into_iter().map(|weight| weight / sum).collect();
        Self { config: config.clone(), prior, counts: BTreeMap::new(), cost: Cost::default() }
    }

    /// Number of tokens in the vocabulary.
    pub fn vocab_size(&self) -> usize {
        self.prior.len()
    }

    /// Shape of the transformer it stands in for.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The probability of `next` after `last`.
    pub fn probability(&self, last: TokenId, next: TokenId) -> f64 {
        let counts = self.counts.get(&last);
        let total: f64 = counts.map_or(0.0, |counts| counts.values().sum());
        let count = counts.and_then(|counts| counts.get(&next)).copied().unwrap_or(0.0);
        (count + self.prior.get(next as usize).copied().unwrap_or(0.0)) / (total + 1.0)
    }

    /// Weighted loss of a sequence in nats, and the sum of its weights.
    pub fn loss(&self, example: &Example) -> (f64, f64) {
        let weighted = example.tokens.windows(2).zip(example.loss_weights.iter().skip(1));
        weighted.filter(|(_, weight)| **weight != 0.0).fold((0.0, 0.0), |(loss, sum), (pair, weight)| {
            let weight = f64::from(*weight);
            (loss - weight * self.probability(pair[0], pair[1]).ln(), sum + weight)
        })
    }

    /// Counts a sequence, each prediction by its weight.
    pub fn learn(&mut self, example: &Example) {
        for (pair, weight) in example.tokens.windows(2).zip(example.loss_weights.iter().skip(1)) {
            if *weight != 0.0 {
                *self.counts.entry(pair[0]).or_default().entry(pair[1]).or_default() += f64::from(*weight);
            }
        }
    }

    /// Checks a sequence as a transformer would.
    pub(crate) fn check(&self, tokens: &[TokenId]) -> Result<()> {
        if tokens.is_empty() {
            return Err("a sequence is empty".into());
        }
        if tokens.len() > self.config.context_length {
            let context = self.config.context_length;
            return Err(format!(
                "a sequence of {} tokens is longer than the context of {context}",
                tokens.len()
            )
            .into());
        }
        match tokens.iter().find(|token| **token as usize >= self.vocab_size()) {
            Some(token) => {
                Err(format!("token {token} is outside the vocabulary of {}", self.vocab_size()).into())
            }
            None => Ok(()),
        }
    }

    /// Charges a forward pass over `tokens` tokens, and says what it cost.
    fn charge(&mut self, tokens: usize) -> Cost {
        let mean_context = (tokens + 1) as f64 / 2.0;
        let flops = tokens as f64 * self.config.forward_flops_per_token(self.vocab_size(), mean_context);
        let cost = Cost { tokens: tokens as u64, flops: flops.round() };
        self.cost.add(cost);
        cost
    }

    /// Every token that may follow, likeliest first, ties by token.
    fn distribution(&self, last: TokenId) -> Vec<(TokenId, f64)> {
        let counts = self.counts.get(&last);
        let total: f64 = counts.map_or(0.0, |counts| counts.values().sum());
        let mut tokens: Vec<(TokenId, f64)> = self
            .prior
            .iter()
            .enumerate()
            .map(|(token, prior)| {
                let count = counts.and_then(|counts| counts.get(&(token as TokenId))).copied().unwrap_or(0.0);
                (token as TokenId, (count + prior) / (total + 1.0))
            })
            .collect();
        tokens.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        tokens
    }
}

/// One token of the nucleus, by the temperature.
fn sample(distribution: &[(TokenId, f64)], how: &Decoding, rng: &mut RngStream) -> (TokenId, f64) {
    let likeliest = distribution[0];
    if how.temperature <= 0.0 {
        return likeliest;
    }
    let weights: Vec<f64> =
        distribution.iter().map(|(_, p)| ((p / likeliest.1).ln() / how.temperature).exp()).collect();
    let total: f64 = weights.iter().sum();
    let mut nucleus = 0.0;
    let mut size = 0;
    let most = if how.top_k == 0 { weights.len() } else { how.top_k.min(weights.len()) };
    while size < most && (size == 0 || nucleus < how.top_p * total && weights[size] >= how.min_p) {
        nucleus += weights[size];
        size += 1;
    }
    let mut left = rng.uniform() * nucleus;
    for (choice, weight) in distribution.iter().zip(&weights[..size]) {
        left -= weight;
        if left < 0.0 {
            return *choice;
        }
    }
    distribution[size - 1]
}

impl LanguageModel for BigramModel {
    fn context_length(&self) -> usize {
        self.config.context_length
    }

    fn log_probs(&mut self, sequences: &[Vec<TokenId>]) -> Result<Vec<Vec<f32>>> {
        let mut rows = Vec::with_capacity(sequences.len());
        for tokens in sequences {
            self.check(tokens)?;
            self.charge(tokens.len());
            rows.push(tokens.windows(2).map(|pair| self.probability(pair[0], pair[1]).ln() as f32).collect());
        }
        Ok(rows)
    }

    fn likelihoods(&mut self, continuations: &[Continuation]) -> Result<Vec<Likelihood>> {
        let mut likelihoods = Vec::with_capacity(continuations.len());
        for Continuation { context, tokens } in continuations {
            let Some(&last) = context.last() else { return Err("a context is empty".into()) };
            let Some((_, read)) = tokens.split_last() else { return Err("a continuation is empty".into()) };
            let read = [context.as_slice(), read].concat();
            self.check(&read)?;
            self.check(tokens)?;
            self.charge(read.len());
            let mut likelihood = Likelihood { log_prob: 0.0, is_greedy: true };
            for (&before, &token) in std::iter::once(&last).chain(tokens).zip(tokens) {
                likelihood.log_prob += self.probability(before, token).ln();
                likelihood.is_greedy &= self.distribution(before)[0].0 == token;
            }
            likelihoods.push(likelihood);
        }
        Ok(likelihoods)
    }

    fn mean_hidden(&mut self, sequences: &[Vec<TokenId>]) -> Result<Vec<Vec<f32>>> {
        let mut rows = Vec::with_capacity(sequences.len());
        for tokens in sequences {
            self.check(tokens)?;
            self.charge(tokens.len());
            let mut sum = [0.0; HIDDEN];
            for &token in tokens {
                // A direction of the token's own, and one that all share, as in real models.
                let mut rng = RootSeed(0).stream("bigram hidden state", &[u64::from(token)]);
                sum.iter_mut().for_each(|x| *x += 1.0 + rng.uniform() - 0.5);
            }
            rows.push(sum.iter().map(|x| (x / tokens.len() as f64) as f32).collect());
        }
        Ok(rows)
    }

    fn complete(
        &mut self,
        prompts: Vec<Prompt>,
        how: &Decoding,
        done: &mut dyn FnMut(usize, Completion) -> Result<()>,
    ) -> Result<()> {
        let mut distributions: BTreeMap<TokenId, Vec<(TokenId, f64)>> = BTreeMap::new();
        // The last first, as a promise that places are not taken for an order.
        for (place, mut prompt) in prompts.into_iter().enumerate().rev() {
            self.check(&prompt.tokens)?;
            let room = self.config.context_length - prompt.tokens.len();
            if room == 0 {
                let context = self.config.context_length;
                return Err(format!("a prompt of {context} tokens leaves no room in the context").into());
            }
            let mut last = prompt.tokens[prompt.tokens.len() - 1];
            let mut completion =
                Completion { tokens: Vec::new(), log_prob: 0.0, finished: false, cost: Cost::default() };
            for _ in 0..room.min(how.max_new_tokens) {
                let distribution = distributions.entry(last).or_insert_with(|| self.distribution(last));
                let (token, probability) = sample(distribution, how, &mut prompt.rng);
                completion.log_prob += probability.ln();
                if token == how.stop {
                    completion.finished = true;
                    break;
                }
                completion.tokens.push(token);
                last = token;
            }
            completion.cost = self.charge(prompt.tokens.len() + completion.tokens.len());
            done(place, completion)?;
        }
        Ok(())
    }

    fn take_cost(&mut self) -> Cost {
        std::mem::take(&mut self.cost)
    }
}

/// Counts as `[last, next, count]`, since JSON keys are strings.
mod as_rows {
    use std::collections::BTreeMap;

    use sbp_core::TokenId;
    use serde::{Deserialize, Deserializer, Serializer};

    type Counts = BTreeMap<TokenId, BTreeMap<TokenId, f64>>;

    pub(super) fn serialize<S: Serializer>(counts: &Counts, serializer: S) -> Result<S::Ok, S::Error> {
        let rows =
            counts.iter().flat_map(|(last, row)| row.iter().map(move |(next, count)| (last, next, count)));
        serializer.collect_seq(rows)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Counts, D::Error> {
        let mut counts = Counts::new();
        for (last, next, count) in Vec::<(TokenId, TokenId, f64)>::deserialize(deserializer)? {
            counts.entry(last).or_default().insert(next, count);
        }
        Ok(counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ByteTokenizer;

    fn model() -> BigramModel {
        let mut model = BigramModel::untrained(16);
        model.learn(&ByteTokenizer.document("aab"));
        model
    }

    #[test]
    fn probabilities_of_hand_counted_pairs() {
        let (a, b) = (97, 98);
        let prior = 1.0 / 258.0;
        // After a: a once and b once. After b: the end once.
        assert!((model().probability(a, b) - (1.0 + prior) / 3.0).abs() < 1e-12);
        assert!((model().probability(b, 256) - (1.0 + prior) / 2.0).abs() < 1e-12);
        let log_probs = model().log_probs(&[vec![256, a, a]]).unwrap();
        assert!((f64::from(log_probs[0][1]) - ((1.0 + prior) / 3.0).ln()).abs() < 1e-6);
        let sum: f64 = model().distribution(a).iter().map(|(_, p)| p).sum();
        assert!((sum - 1.0).abs() < 1e-12);
    }

    #[test]
    fn greedy_decoding_follows_the_counts_and_stops() {
        let how = Decoding { temperature: 0.0, max_new_tokens: 9, stop: 256, ..Decoding::default() };
        let prompt =
            |tokens: &[TokenId]| Prompt { tokens: tokens.to_vec(), rng: RootSeed(0).stream("t", &[]) };
        let mut done = vec![None, None];
        let prompts = vec![prompt(&[98]), prompt(&[97; 14])];
        let note = &mut |place: usize, completion: Completion| -> Result<()> {
            done[place] = Some(completion);
            Ok(())
        };
        model().complete(prompts, &how, note).unwrap();
        let done: Vec<Completion> = done.into_iter().map(Option::unwrap).collect();
        assert_eq!((done[0].tokens.len(), done[0].finished), (0, true));
        // a and b tie after a, so a goes on until the context is full.
        assert_eq!((done[1].tokens.as_slice(), done[1].finished), ([97, 97].as_slice(), false));
        assert!(model().complete(vec![prompt(&[97; 16])], &how, &mut |_, _| Ok(())).is_err());
    }

    #[test]
    fn the_nucleus_leaves_out_what_is_unlikely() {
        let distribution = [(1, 0.6), (2, 0.3), (3, 0.1)];
        let how = Decoding { top_p: 0.7, max_new_tokens: 1, ..Decoding::default() };
        let mut rng = RootSeed(1).stream("t", &[]);
        let mut seen = [0; 4];
        (0..1000).for_each(|_| seen[sample(&distribution, &how, &mut rng).0 as usize] += 1);
        assert_eq!(seen[3], 0);
        assert!((600..730).contains(&seen[1]), "{seen:?}");
    }

    #[test]
    fn sequences_that_do_not_fit_are_errors_and_cost_is_taken_once() {
        let mut model = model();
        for sequence in [vec![], vec![97; 17], vec![258]] {
            assert!(model.log_probs(&[sequence]).is_err());
        }
        model.take_cost();
        model.log_probs(&[vec![97, 98, 97]]).unwrap();
        assert_eq!(model.take_cost().tokens, 3);
        assert_eq!(model.take_cost(), Cost::default());
    }
}
