//! Texts that repeat themselves: the ways in which sampled text fails most often.

use sbp_core::text::Repetition;
use sbp_plugin::prelude::*;
use sbp_plugin::slots::document_filter::{DocumentFilter, Verdict};

/// Drops synthetic documents that repeat themselves.
///
/// The first three rules and their limits follow those of the Gopher corpus (Rae et al. 2021, arXiv 2112.11446, table
/// A1), with sentences in place of lines and words taken in lower case without punctuation; the last finds texts that
/// end in a loop, as sampled ones do.
///
/// Cost: O(words * (top_ngram_words + duplicate_ngram_words)) time and O(words) memory, one synthetic document at a
/// time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RepetitionConfig {
    /// The greatest share of sentences that may repeat an earlier one.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub max_duplicate_sentences: f64,
    /// The greatest share of letters within the run of `top_ngram_words` words that covers most, all its places
    /// together. A run must stand in three places to count: in a short text, twice happens to anyone.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub max_top_ngram: f64,
    /// Words of the runs that `max_top_ngram` looks at. Gopher allows 0.20 for 2 words, 0.18 for 3, 0.16 for 4.
    #[schemars(range(min = 1))]
    pub top_ngram_words: usize,
    /// The greatest share of letters within runs of `duplicate_ngram_words` words that occurred before.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub max_duplicate_ngrams: f64,
    /// Words of the runs that `max_duplicate_ngrams` looks at. Gopher allows 0.15 for 5 words, and 0.01 less for each
    /// word more up to 10.
    #[schemars(range(min = 1))]
    pub duplicate_ngram_words: usize,
    /// How often the last words, up to 50 of them, may stand one after another at the end of the text.
    #[schemars(range(min = 1))]
    pub max_tail_loops: usize,
}

impl Default for RepetitionConfig {
    fn default() -> Self {
        Self {
            max_duplicate_sentences: Repetition::MAX_DUPLICATE_SENTENCES,
            max_top_ngram: Repetition::MAX_TOP_NGRAM,
            top_ngram_words: Repetition::TOP_NGRAM_WORDS,
            max_duplicate_ngrams: Repetition::MAX_DUPLICATE_NGRAMS,
            duplicate_ngram_words: Repetition::DUPLICATE_NGRAM_WORDS,
            max_tail_loops: Repetition::MAX_TAIL_LOOPS,
        }
    }
}

impl Plugin<slots::DocumentFilter> for RepetitionConfig {
    const KIND: &'static str = "repetition";
    fn example() -> Self {
        Self::default()
    }
    fn build(&self, _: &BuildContext) -> Result<Box<dyn DocumentFilter>> {
        Ok(Box::new(RepetitionFilter(self.clone())))
    }
}
register!(slots::DocumentFilter => RepetitionConfig);

struct RepetitionFilter(RepetitionConfig);

impl DocumentFilter for RepetitionFilter {
    fn judge(&self, synthetic: &SyntheticDocument, _: &Document) -> Verdict {
        let limits = &self.0;
        let text = Repetition::of(&synthetic.text, limits.top_ngram_words, limits.duplicate_ngram_words);
        if text.duplicate_sentences > limits.max_duplicate_sentences {
            Verdict::drop("duplicate_sentences")
        } else if text.tail_loops > limits.max_tail_loops {
            Verdict::drop("tail_loop")
        } else if text.top_ngram > limits.max_top_ngram {
            Verdict::drop("frequent_ngram")
        } else if text.duplicate_ngrams > limits.max_duplicate_ngrams {
            Verdict::drop("duplicate_ngrams")
        } else {
            Verdict::Keep
        }
    }
}

#[cfg(test)]
mod tests {
    use sbp_testkit::synthetic;

    use super::*;

    fn judge(text: &str) -> Verdict {
        let seed = Document::new("d", "seed");
        RepetitionFilter(RepetitionConfig::default()).judge(&synthetic(&seed, text), &seed)
    }

    #[test]
    fn each_way_of_repeating_is_named() {
        let plain =
            "The town lies at a bend of the river. Its mayor keeps bees, and its baker rises at four.";
        assert_eq!(judge(plain), Verdict::Keep);
        assert_eq!(judge(""), Verdict::Keep);
        assert_eq!(judge(&format!("{plain}\n{plain}")), Verdict::drop("duplicate_sentences"));
        assert_eq!(judge(&format!("{plain} And so it was, was, was, was.")), Verdict::drop("tail_loop"));
        assert_eq!(
            judge(
                "in the old days we sang, in the old days we wept, but in the old days we never once laughed"
            ),
            Verdict::drop("frequent_ngram")
        );
        let other = "Yesterday a stranger told us that the town lies at a bend of the river";
        assert_eq!(judge(&format!("{plain} {other}.")), Verdict::drop("duplicate_ngrams"));
    }
}
