//! The evaluator slot.

use sbp_core::Document;
use serde::{Deserialize, Serialize};

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
}

/// One number with what it averages over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Metric name, `eval/<task>/<metric>` or `val/<set>/<metric>`.
    pub metric: String,
    /// Whether more is better.
    pub higher_is_better: bool,
    /// One entry a unit (document, question), in a fixed order: numerator and denominator. The score is the sum
    /// of numerators over the sum of denominators.
    pub units: Vec<(f64, f64)>,
}

impl Score {
    /// Sum of numerators over sum of denominators; NaN without units.
    pub fn value(&self) -> f64 {
        let (numerator, denominator) =
            self.units.iter().fold((0.0, 0.0), |(n, d), unit| (n + unit.0, d + unit.1));
        numerator / denominator
    }

    /// Standard error of the ratio over units, by linearisation (the delta method); NaN below two units.
    pub fn stderr(&self) -> f64 {
        let n = self.units.len() as f64;
        let ratio = self.value();
        let mean_denominator = self.units.iter().map(|unit| unit.1).sum::<f64>() / n;
        let variance =
            self.units.iter().map(|unit| (unit.0 - ratio * unit.1).powi(2)).sum::<f64>() / (n - 1.0);
        (variance / n).sqrt() / mean_denominator
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_of_equal_units_is_their_mean_with_its_standard_error() {
        let score = Score {
            metric: "eval/t/acc".into(),
            higher_is_better: true,
            units: [1.0, 0.0, 1.0, 1.0].map(|correct| (correct, 1.0)).to_vec(),
        };
        assert_eq!(score.value(), 0.75);
        // Sample variance of 1, 0, 1, 1 is 0.25; its error of the mean sqrt(0.25 / 4) = 0.25.
        assert!((score.stderr() - 0.25).abs() < 1e-12);
    }
}
