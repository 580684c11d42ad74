//! Near-duplicate pairs, found by shared runs of words.

use sbp_core::text::Shingles;
use sbp_plugin::prelude::*;
use sbp_plugin::slots::pair_filter::{PairFilter, Verdict};

/// Drops pairs of documents that share too many runs of words.
///
/// A synthesizer tuned on near-duplicates learns to copy. Documents are compared as sets of shingles (runs of
/// consecutive words, in lower case, without punctuation); one with fewer words than a shingle is compared as a
/// whole, so that it is a duplicate only of its equal.
///
/// Cost: O(words of both documents) time and memory, one pair at a time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NearDuplicateConfig {
    /// Words of a shingle.
    #[schemars(range(min = 1))]
    pub shingle_words: usize,
    /// The greatest Jaccard similarity that is kept: shared shingles over all shingles of both documents.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub max_jaccard: f64,
    /// The greatest containment that is kept: shared shingles over those of the shorter document. It finds a short
    /// document quoted within a long one, which the Jaccard similarity does not.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub max_containment: f64,
}

impl Default for NearDuplicateConfig {
    fn default() -> Self {
        Self { shingle_words: 13, max_jaccard: 0.6, max_containment: 0.8 }
    }
}

impl Plugin<slots::PairFilter> for NearDuplicateConfig {
    const KIND: &'static str = "near_duplicate";
    fn example() -> Self {
        Self::default()
    }
    fn build(&self, _: &BuildContext) -> Result<Box<dyn PairFilter>> {
        Ok(Box::new(NearDuplicate(self.clone())))
    }
}
register!(slots::PairFilter => NearDuplicateConfig);

struct NearDuplicate(NearDuplicateConfig);

impl PairFilter for NearDuplicate {
    fn judge(&self, _: &Pair, seed: &Document, target: &Document) -> Verdict {
        let seed = Shingles::of(&seed.text, self.0.shingle_words);
        let target = Shingles::of(&target.text, self.0.shingle_words);
        if seed.jaccard(&target) > self.0.max_jaccard {
            Verdict::drop("near_duplicate")
        } else if seed.containment(&target) > self.0.max_containment {
            Verdict::drop("contained")
        } else {
            Verdict::Keep
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(a: &str, b: &str) -> Verdict {
        let pair = Pair { seed: DocId(1), target: DocId(2), similarity: 0.5, rank: 0 };
        let filter = NearDuplicateConfig { shingle_words: 3, ..NearDuplicateConfig::default() };
        let filter = filter.build(&BuildContext::default()).unwrap();
        filter.judge(&pair, &Document::new("a", a), &Document::new("b", b))
    }

    #[test]
    fn copies_and_quotations_go_related_texts_stay() {
        let text = "one two three four five six seven eight nine ten";
        assert_eq!(judge(text, &text.to_uppercase()), Verdict::drop("near_duplicate"));
        let quoting =
            format!("{text} and then a great deal more that has nothing at all to do with counting");
        assert_eq!(judge(text, &quoting), Verdict::drop("contained"));
        assert_eq!(
            judge(text, "one two three and other things that one may count if one likes"),
            Verdict::Keep
        );
        assert_eq!(judge("short text", "short text"), Verdict::drop("near_duplicate"));
        assert_eq!(judge("short text", "short"), Verdict::Keep);
        assert_eq!(judge("", ""), Verdict::Keep);
    }
}
