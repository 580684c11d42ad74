//! From what the model says of an item to the item's metrics.

use std::collections::BTreeMap;

use sbp_plugin::ports::Likelihood;
use sbp_plugin::slots::evaluator::{Form, Score};

use super::definition::{Definition, Metric};
use super::generation::is_accepted;
use super::posed::{Posed, Right};

/// The metrics of an item: of `ppl`, the nats, of which the score takes e to the mean.
pub(super) fn metrics(
    definition: &Definition,
    posed: &Posed,
    likelihoods: &[Likelihood],
    answer: Option<&str>,
) -> BTreeMap<Metric, f64> {
    let log_probs: Vec<f64> = likelihoods.iter().map(|likelihood| likelihood.log_prob).collect();
    let value = |metric: &Metric| -> f64 {
        let is_right = match (metric, &posed.right) {
            (Metric::Nll | Metric::Ppl, right) => {
                let place = if let Right::Choices(_, places) = right { places[0] } else { 0 };
                return -log_probs[place];
            }
            (Metric::Acc, Right::Choices(_, places)) => places.contains(&first_best(&log_probs)),
            (Metric::AccNorm, Right::Choices(choices, places)) => {
                places.contains(&best_by(&log_probs, choices, |choice| choice.chars().count()))
            }
            (Metric::AccBytes, Right::Choices(choices, places)) => {
                places.contains(&best_by(&log_probs, choices, str::len))
            }
            (Metric::ExactMatch, Right::Choices(_, places)) => {
                places.iter().any(|place| likelihoods[*place].is_greedy)
            }
            (_, Right::Continuation(_)) => likelihoods[0].is_greedy,
            (_, Right::Texts(texts)) => definition
                .generation
                .as_ref()
                .zip(answer)
                .is_some_and(|(how, answer)| is_accepted(answer, texts, how)),
        };
        f64::from(is_right)
    };
    definition.metrics.iter().map(|metric| (*metric, value(metric))).collect()
}

/// The scores of a task from the metrics of its items.
pub(super) fn scores(definition: &Definition, name: &str, items: &[BTreeMap<Metric, f64>]) -> Vec<Score> {
    let score = |metric: &Metric| Score {
        metric: format!("eval/{name}/{}", metric.name()),
        higher_is_better: metric.is_higher_better(),
        units: items.iter().map(|item| (item[metric], 1.0)).collect(),
        form: if *metric == Metric::Ppl { Form::Perplexity } else { Form::Ratio },
    };
    definition.metrics.iter().map(score).collect()
}

/// The place of the greatest value, of several the first, as numpy's `argmax` has it.
fn first_best(values: &[f64]) -> usize {
    let better = |best: usize, place: usize| if values[place] > values[best] { place } else { best };
    (0..values.len()).fold(0, better)
}

fn best_by(log_probs: &[f64], choices: &[String], length: impl Fn(&str) -> usize) -> usize {
    let shares = log_probs.iter().zip(choices).map(|(log_prob, choice)| log_prob / length(choice) as f64);
    first_best(&shares.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(scoring: &str, metrics: &str, keys: &str) -> Definition {
        let text = format!(
            "task = \"t\"\nversion = \"1\"\nsource = \"by hand\"\nscoring = \"{scoring}\"\nmetrics = [{metrics}]\n\
             answer = \"0\"\n{keys}\nfiles = {{ items = [\"x\"] }}\n"
        );
        Definition::parse("own.toml".to_owned(), &text).expect("a definition")
    }

    fn likelihoods(of: &[(f64, bool)]) -> Vec<Likelihood> {
        of.iter().map(|&(log_prob, is_greedy)| Likelihood { log_prob, is_greedy }).collect()
    }

    #[test]
    fn choices_win_by_sum_by_character_and_by_byte() {
        let all = "\"acc\", \"acc_norm\", \"acc_bytes\", \"exact_match\", \"nll\", \"ppl\"";
        let definition = definition("multiple_choice", all, "choices = \"c\"\ncontext = \"q\"");
        // Sums -4, -6, -9; a character -4, -2, -1.8; a byte -4, -1, -1.8.
        let choices = ["a", "äöü", "abcde"].map(str::to_owned).to_vec();
        let said = likelihoods(&[(-4.0, false), (-6.0, true), (-9.0, false)]);
        let of = |places: &[usize]| {
            let posed = Posed {
                pairs: Vec::new(),
                prompt: None,
                right: Right::Choices(choices.clone(), places.to_vec()),
            };
            let metrics = metrics(&definition, &posed, &said, None);
            definition.metrics.iter().map(|metric| metrics[metric]).collect::<Vec<_>>()
        };
        assert_eq!(of(&[0]), [1.0, 0.0, 0.0, 0.0, 4.0, 4.0]);
        assert_eq!(of(&[1]), [0.0, 0.0, 1.0, 1.0, 6.0, 6.0]);
        assert_eq!(of(&[2]), [0.0, 1.0, 0.0, 0.0, 9.0, 9.0]);
        assert_eq!(of(&[2, 1]), [0.0, 1.0, 1.0, 1.0, 9.0, 9.0]);
    }

    #[test]
    fn of_equals_the_first_wins() {
        assert_eq!(first_best(&[-2.0, -1.0, -1.0]), 1);
        assert_eq!(first_best(&[f64::NEG_INFINITY; 2]), 0);
    }

    #[test]
    fn perplexity_is_e_to_the_mean_of_nats() {
        let definition = definition("last_word", "\"ppl\", \"acc\"", "context = \"q\"");
        let posed = Posed { pairs: Vec::new(), prompt: None, right: Right::Continuation("w".to_owned()) };
        let items: Vec<_> = [(-1.0, true), (-3.0, false)]
            .iter()
            .map(|said| metrics(&definition, &posed, &likelihoods(&[*said]), None))
            .collect();
        let scores = scores(&definition, "own", &items);
        assert_eq!((scores[0].metric.as_str(), scores[0].higher_is_better), ("eval/own/ppl", false));
        assert!((scores[0].value() - 2f64.exp()).abs() < 1e-12);
        assert_eq!((scores[1].metric.as_str(), scores[1].value()), ("eval/own/acc", 0.5));
    }
}
