//! Length, and whether the synthesizer came to an end.

use sbp_core::text::words;
use sbp_plugin::prelude::*;
use sbp_plugin::slots::document_filter::{DocumentFilter, Verdict};

/// Drops synthetic documents that are too short, too long, or cut off.
///
/// Cost: one pass over the words of each synthetic document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LengthConfig {
    /// The fewest words that are kept.
    pub min_words: usize,
    /// The most words that are kept; no limit when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_words: Option<usize>,
    /// Drop documents that were cut at the maximum length instead of ending by themselves.
    pub require_finished: bool,
}

impl Default for LengthConfig {
    fn default() -> Self {
        Self { min_words: 5, max_words: None, require_finished: true }
    }
}

impl Plugin<slots::DocumentFilter> for LengthConfig {
    const KIND: &'static str = "length";
    fn example() -> Self {
        Self::default()
    }
    fn check(&self) -> Vec<(&'static str, String)> {
        match self.max_words {
            Some(max) if max < self.min_words => {
                vec![(
                    "max_words",
                    format!("nothing passes: max_words = {max} is below min_words = {}", self.min_words),
                )]
            }
            _ => Vec::new(),
        }
    }
    fn build(&self, _: &BuildContext) -> Result<Box<dyn DocumentFilter>> {
        Ok(Box::new(Length(self.clone())))
    }
}
register!(slots::DocumentFilter => LengthConfig);

struct Length(LengthConfig);

impl DocumentFilter for Length {
    fn judge(&self, synthetic: &SyntheticDocument, _: &Document) -> Verdict {
        let num_words = words(&synthetic.text).count();
        if self.0.require_finished && !synthetic.finished {
            Verdict::drop("unfinished")
        } else if num_words < self.0.min_words {
            Verdict::drop("too_short")
        } else if self.0.max_words.is_some_and(|max| num_words > max) {
            Verdict::drop("too_long")
        } else {
            Verdict::Keep
        }
    }
}

#[cfg(test)]
mod tests {
    use sbp_testkit::synthetic;

    use super::*;

    #[test]
    fn both_limits_are_kept() {
        let filter = Length(LengthConfig { min_words: 2, max_words: Some(3), require_finished: true });
        let seed = Document::new("d", "seed");
        let judge = |text| filter.judge(&synthetic(&seed, text), &seed);
        assert_eq!([judge("a b"), judge("a, b, c!")], [Verdict::Keep, Verdict::Keep]);
        assert_eq!(judge("a"), Verdict::drop("too_short"));
        assert_eq!(judge("a b c d"), Verdict::drop("too_long"));
        let cut = SyntheticDocument { finished: false, ..synthetic(&seed, "a b") };
        assert_eq!(filter.judge(&cut, &seed), Verdict::drop("unfinished"));
    }

    #[test]
    fn limits_that_nothing_passes_are_a_problem() {
        let config = LengthConfig { min_words: 9, max_words: Some(3), ..LengthConfig::default() };
        assert_eq!(config.check()[0].0, "max_words");
    }
}
