//! The length of the two documents.

use sbp_plugin::prelude::*;
use sbp_plugin::slots::pair_filter::{PairFilter, Verdict};

/// Drops pairs with a document that is too short or too long, or whose documents differ too much in length.
///
/// A target of a few words teaches nothing, and one far longer than its seed is mostly unrelated to it.
///
/// Cost: O(characters of both documents), one pair at a time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LengthConfig {
    /// Fewest words of either document.
    #[schemars(range(min = 0))]
    pub min_words: usize,
    /// Most words of either document; no limit by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_words: Option<usize>,
    /// The longer document may have this many times the words of the shorter one; no limit by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1.0))]
    pub max_ratio: Option<f64>,
}

impl Default for LengthConfig {
    fn default() -> Self {
        Self { min_words: 5, max_words: None, max_ratio: None }
    }
}

impl Plugin<slots::PairFilter> for LengthConfig {
    const KIND: &'static str = "length";
    fn example() -> Self {
        Self::default()
    }
    fn check(&self) -> Vec<(&'static str, String)> {
        match self.max_words {
            Some(most) if most < self.min_words => {
                vec![(
                    "max_words",
                    format!("nothing is left: max_words = {most} is below min_words = {}", self.min_words),
                )]
            }
            _ => Vec::new(),
        }
    }
    fn build(&self, _: &BuildContext) -> Result<Box<dyn PairFilter>> {
        Ok(Box::new(Length(self.clone())))
    }
}
register!(slots::PairFilter => LengthConfig);

struct Length(LengthConfig);

impl PairFilter for Length {
    fn judge(&self, _: &Pair, seed: &Document, target: &Document) -> Verdict {
        let words = |document: &Document| document.text.split_whitespace().count();
        let (seed, target) = (words(seed), words(target));
        let (shorter, longer) = (seed.min(target), seed.max(target));
        if shorter < self.0.min_words {
            Verdict::drop("too_short")
        } else if self.0.max_words.is_some_and(|most| longer > most) {
            Verdict::drop("too_long")
        } else if self.0.max_ratio.is_some_and(|most| longer as f64 > most * shorter as f64) {
            Verdict::drop("lengths_differ")
        } else {
            Verdict::Keep
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_has_its_reason() {
        let config = LengthConfig { min_words: 2, max_words: Some(8), max_ratio: Some(3.0) };
        let judge = |seed: &str, target: &str| {
            let pair = Pair { seed: DocId(1), target: DocId(2), similarity: 0.5, rank: 0 };
            let document = |text: &str| Document::new(text, text);
            Length(config.clone()).judge(&pair, &document(seed), &document(target))
        };
        assert_eq!(judge("a b", "a b c d e f"), Verdict::Keep);
        assert_eq!(judge("a b", "a b c d e f g"), Verdict::drop("lengths_differ"));
        assert_eq!(judge("a", "a b"), Verdict::drop("too_short"));
        assert_eq!(judge("a b c d e", "a b c d e f g h i"), Verdict::drop("too_long"));
    }

    #[test]
    fn limits_that_exclude_everything_are_a_problem() {
        let config = LengthConfig { min_words: 9, max_words: Some(8), max_ratio: None };
        assert_eq!(config.check()[0].0, "max_words");
    }
}
