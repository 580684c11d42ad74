//! The evaluator slot.

use std::collections::BTreeMap;

use sbp_core::{Document, Fingerprint};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::corpus::Question;
use crate::Result;
use crate::ports::{LanguageModel, Tokenizer};

/// Scores a trained model.
///
/// # Contract
/// Scores depend on the model and the context alone, and carry the value of every unit they average over, so that
/// arms can be compared unit by unit.
pub trait Evaluator: Send {
    /// Names of the metrics it computes, known before anything is scored.
    fn metrics(&self) -> Vec<String>;
    /// Scores the model.
    ///
    /// # Errors
    /// When what the task asks about is missing (no questions, no held-out documents) or the model fails.
    fn evaluate(&mut self, context: &mut EvalContext<'_>) -> Result<Vec<Score>>;
    /// Identity of what it reads beside the model and the context: the bytes of its files, never their paths. None for an
    /// evaluator that reads nothing else.
    ///
    /// # Errors
    /// When the files cannot be read.
    fn content(&self) -> Result<Option<Fingerprint>> {
        Ok(None)
    }
    /// The tasks that it asks, where it asks tasks that others ask too.
    ///
    /// # Errors
    /// When the files of a task cannot be read.
    fn tasks(&self) -> Result<Vec<TaskCard>> {
        Ok(Vec::new())
    }
}

/// A task as reports name it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskCard {
    /// Its name, the middle part of its metrics `eval/<task>/<metric>`.
    pub task: String,
    /// Version of its definition: scores of two versions are not comparable.
    pub version: String,
    /// Solved examples before each item.
    pub num_fewshot: usize,
    /// Items there are.
    pub num_items: usize,
    /// Items that are asked.
    pub num_asked: usize,
    /// Each metric of it, without task, and whether more is better.
    pub higher_is_better: BTreeMap<String, bool>,
    /// Its definition.
    pub config: Value,
}

/// What an evaluator may use.
pub struct EvalContext<'a> {
    /// The model to score.
    pub model: &'a mut dyn LanguageModel,
    /// The study's tokenizer.
    pub tokenizer: &'a dyn Tokenizer,
    /// Documents that no arm trained on.
    pub heldout: &'a [Document],
    /// The corpus's own questions.
    pub questions: &'a [Question],
    /// Where every item goes as it was asked and answered, when somebody wants to read them.
    pub items: Option<&'a mut Vec<Item>>,
}

impl<'a> EvalContext<'a> {
    /// A context without documents and questions, of which nobody reads the items.
    pub fn new(model: &'a mut dyn LanguageModel, tokenizer: &'a dyn Tokenizer) -> Self {
        Self { model, tokenizer, heldout: &[], questions: &[], items: None }
    }
}

/// One item of a task, as it was asked and answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Item {
    /// The task.
    pub task: String,
    /// Its place in the task's file, from 0.
    pub index: usize,
    /// The row of the file.
    pub row: Value,
    /// What the model was given, each with the continuation whose probability was asked, or an empty one where it was to
    /// answer itself.
    pub arguments: Vec<(String, String)>,
    /// What it said to each: `[log-probability, is_greedy]` of a continuation, or the text of an answer.
    pub responses: Vec<Value>,
    /// The right answer: its place among the choices, or the accepted texts.
    pub target: Value,
    /// Metrics of this item, without task.
    pub metrics: BTreeMap<String, f64>,
}

/// One number with what it averages over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Metric name, `eval/<task>/<metric>` or `val/<set>/<metric>`.
    pub metric: String,
    /// Whether more is better.
    pub higher_is_better: bool,
    /// One entry a unit (document, question), in a fixed order: numerator and denominator.
    pub units: Vec<(f64, f64)>,
    /// What the score makes of their sums.
    #[serde(default)]
    pub form: Form,
}

/// What a score makes of the sums of numerators and denominators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// Their ratio.
    #[default]
    Ratio,
    /// `exp` of their ratio: the perplexity of nats over tokens.
    Perplexity,
}

impl Score {
    /// A score that is the sum of numerators over the sum of denominators.
    pub fn ratio(metric: impl Into<String>, higher_is_better: bool, units: Vec<(f64, f64)>) -> Self {
        Self { metric: metric.into(), higher_is_better, units, form: Form::Ratio }
    }

    /// A perplexity: units are nats and what they are shared among. Less is better.
    pub fn perplexity(metric: impl Into<String>, units: Vec<(f64, f64)>) -> Self {
        Self { metric: metric.into(), higher_is_better: false, units, form: Form::Perplexity }
    }

    /// What the sums of some units come to; NaN without units.
    pub fn of_sums(&self, numerator: f64, denominator: f64) -> f64 {
        let ratio = numerator / denominator;
        match self.form {
            Form::Ratio => ratio,
            Form::Perplexity => ratio.exp(),
        }
    }

    /// The score of all units; NaN without units.
    pub fn value(&self) -> f64 {
        let (numerator, denominator) = self.sums();
        self.of_sums(numerator, denominator)
    }

    fn sums(&self) -> (f64, f64) {
        self.units.iter().fold((0.0, 0.0), |(n, d), unit| (n + unit.0, d + unit.1))
    }

    /// Standard error of the score over units, by linearisation (the delta method); NaN below two units.
    pub fn stderr(&self) -> f64 {
        let n = self.units.len() as f64;
        let (numerator, denominator) = self.sums();
        let ratio = numerator / denominator;
        let variance =
            self.units.iter().map(|unit| (unit.0 - ratio * unit.1).powi(2)).sum::<f64>() / (n - 1.0);
        let of_ratio = (variance / n).sqrt() / (denominator / n);
        match self.form {
            Form::Ratio => of_ratio,
            Form::Perplexity => ratio.exp() * of_ratio,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_of_equal_units_is_their_mean_with_its_standard_error() {
        let score =
            Score::ratio("eval/t/acc", true, [1.0, 0.0, 1.0, 1.0].map(|correct| (correct, 1.0)).to_vec());
        assert_eq!(score.value(), 0.75);
        // Sample variance of 1, 0, 1, 1 is 0.25; its error of the mean sqrt(0.25 / 4) = 0.25.
        assert!((score.stderr() - 0.25).abs() < 1e-12);
    }

    #[test]
    fn a_perplexity_is_e_to_the_mean_of_nats() {
        // 2 nats on 2 tokens and 4 on 2: 1.5 nats a token; residuals -1 and 1, variance 2, error sqrt(2 / 2) / 2.
        let score = Score::perplexity("val/t/ppl", vec![(2.0, 2.0), (4.0, 2.0)]);
        assert!((score.value() - 1.5f64.exp()).abs() < 1e-12);
        assert!((score.stderr() - 1.5f64.exp() * 0.5).abs() < 1e-12);
    }
}
