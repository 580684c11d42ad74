//! What a seed document tells the synthesizer of its neighbor, on held-out pairs: an estimate of their mutual information.

use sbp_core::{Example, Pair, RootSeed};
use sbp_plugin::ports::{LanguageModel, Precision, Tokenizer as _};
use sbp_plugin::registry::BuildContext;
use serde::{Deserialize, Serialize};

use super::Sources;
use crate::Result;
use crate::stages::tune::{Room, Seeds, split, sums, views};
use crate::stages::{Study, failed};

/// Seed documents at random that the marginal is a mean over.
const RANDOM_SEEDS: usize = 8;

/// Log-probabilities of the targets of held-out pairs, in nats a token, their end markers included.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct PairInformation {
    /// Held-out pairs that were measured.
    pub(crate) pairs: usize,
    /// Mean tokens of a target, its end marker included.
    pub(crate) mean_tokens: f64,
    /// log p(d2 | d1) of the synthesizer.
    pub(crate) given_seed: f64,
    /// log p(d2): of the synthesizer's mean probability over random seed documents.
    pub(crate) marginal: f64,
    /// log p(d2) of the model that the synthesizer started from, where that was the base model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) base: Option<f64>,
    /// `given_seed` - `marginal`: near zero where pairs are random.
    pub(crate) information: f64,
    /// The standard error of `information`, over pairs.
    pub(crate) stderr: f64,
    /// The same with a seed document at random in place of the own one: the control, at most about zero.
    pub(crate) control: f64,
}

/// Measures held-out pairs, if the recipe holds any out.
pub(super) fn measure(
    study: &mut Study<'_>,
    from: Sources<'_>,
    seed: u64,
    label: &str,
) -> Result<Option<PairInformation>> {
    let fail = failed(label);
    let Sources { section, corpus, tokens, pairs, tuned, base, .. } = from;
    let (_, heldout) = split(&pairs.pairs, section.heldout.as_ref());
    if heldout.is_empty() || corpus.pretrain.len() < 2 {
        return Ok(None);
    }
    let objective = section.objective.build(&BuildContext { seed }).map_err(&fail)?;
    let context = study.plan.recipe.model.context_length;
    let room = Room::of(section, context, seed)?;
    let seeds = Seeds::new(&corpus.pretrain, &tokens.pretrain, pairs, room);
    let markers = tokens.tokenizer.markers();
    let mut rng = RootSeed(seed).stream("pair information", &[]);

    // The target after the prompt of a seed, whatever was learned from the pair.
    let example = |row: usize, target: usize| {
        let mut tokens = objective.prompt(&views(&seeds.of(row, Some(target))), markers);
        let mut loss_weights = vec![0.0; tokens.len()];
        tokens.extend(seeds.whole(target));
        tokens.push(markers.end_of_text);
        loss_weights.resize(tokens.len(), 1.0);
        Example { tokens, loss_weights }
    };
    let mut examples = Vec::new();
    let mut alone = Vec::new();
    for Pair { seed, target, .. } in heldout {
        let (row, target) = (seeds.row(seed), seeds.row(target));
        let random = std::iter::repeat_with(|| rng.below(corpus.pretrain.len() as u64) as usize);
        let random = random.filter(|other| *other != row && *other != target || corpus.pretrain.len() < 3);
        let group: Vec<Example> =
            std::iter::once(row).chain(random.take(RANDOM_SEEDS)).map(|row| example(row, target)).collect();
        if group.iter().all(|example| example.num_predictions() <= context) {
            examples.extend(group);
            alone.push(Example::document(&seeds.whole(target), markers));
        }
    }
    if alone.is_empty() {
        return Ok(None);
    }
    let mut model = study.runtime.open(&tuned.file("checkpoint"), Precision::Fp32).map_err(&fail)?;
    let found = sums(model.as_mut(), &examples).map_err(&fail)?;
    let base = match base {
        Some(base) => {
            let mut model: Box<dyn LanguageModel> =
                study.runtime.open(&base.file("checkpoint"), Precision::Fp32).map_err(&fail)?;
            let found = sums(model.as_mut(), &alone).map_err(&fail)?;
            let tokens: f64 = found.iter().map(|(_, tokens)| tokens).sum();
            Some(-found.iter().map(|(loss, _)| loss).sum::<f64>() / tokens)
        }
        None => None,
    };
    let groups: Vec<Group> = found
        .chunks(1 + RANDOM_SEEDS)
        .map(|group| Group {
            tokens: group[0].1,
            given_seed: -group[0].0,
            random: group[1..].iter().map(|(loss, _)| -loss).collect(),
        })
        .collect();
    Ok(Some(of_groups(&groups, base)))
}

/// Log-probabilities of one target, in nats.
struct Group {
    tokens: f64,
    given_seed: f64,
    /// Given each of several seed documents at random.
    random: Vec<f64>,
}

fn of_groups(groups: &[Group], base: Option<f64>) -> PairInformation {
    let n = groups.len() as f64;
    let tokens: f64 = groups.iter().map(|group| group.tokens).sum();
    let per_token = |of: &dyn Fn(&Group) -> f64| groups.iter().map(of).sum::<f64>() / tokens;
    let marginal = |group: &Group| log_mean_exp(&group.random);
    let information = per_token(&|group| group.given_seed - marginal(group));
    // Of a ratio of sums: the deviations of its terms about it.
    let deviations =
        groups.iter().map(|group| (group.given_seed - marginal(group) - information * group.tokens).powi(2));
    let stderr = if n > 1.0 { (deviations.sum::<f64>() * n / (n - 1.0)).sqrt() / tokens } else { f64::NAN };
    PairInformation {
        pairs: groups.len(),
        mean_tokens: tokens / n,
        given_seed: per_token(&|group| group.given_seed),
        marginal: per_token(&marginal),
        base,
        information,
        stderr: if stderr.is_finite() { stderr } else { 0.0 },
        // The first at random against the others.
        control: per_token(&|group| group.random[0] - log_mean_exp(&group.random[1..])),
    }
}

/// log(mean(exp(x))), without leaving the range of numbers.
fn log_mean_exp(of: &[f64]) -> f64 {
    let most = of.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    most + (of.iter().map(|x| (x - most).exp()).sum::<f64>() / of.len() as f64).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_that_tells_nothing_has_no_information() {
        let group = |own: f64| Group { tokens: 10.0, given_seed: own, random: vec![-30.0; 8] };
        let nothing = of_groups(&[group(-30.0), group(-30.0)], None);
        assert_eq!((nothing.information, nothing.control, nothing.stderr), (0.0, 0.0, 0.0));
        let much = of_groups(&[group(-10.0), group(-20.0)], Some(-2.5));
        assert!((much.information - 1.5).abs() < 1e-12 && (much.given_seed + 1.5).abs() < 1e-12);
        assert!((much.marginal + 3.0).abs() < 1e-12 && much.stderr > 0.0);
        assert_eq!((much.pairs, much.mean_tokens, much.base), (2, 10.0, Some(-2.5)));
    }

    #[test]
    fn the_mean_of_probabilities_is_not_that_of_their_logarithms() {
        assert!((log_mean_exp(&[0.5f64.ln(), 0.1f64.ln()]) - 0.3f64.ln()).abs() < 1e-12);
        assert!((log_mean_exp(&[-1000.0, -1000.0]) + 1000.0).abs() < 1e-9);
    }
}
