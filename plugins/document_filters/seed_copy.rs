//! Copies of the seed document, found by shared runs of words.

use sbp_core::text::Shingles;
use sbp_plugin::prelude::*;
use sbp_plugin::slots::document_filter::{DocumentFilter, Verdict};

/// Drops synthetic documents that repeat the seed document.
///
/// The documents are compared as sets of shingles (runs of consecutive words, in lower case, without punctuation);
/// one with fewer words than a shingle is compared as a whole.
///
/// Cost: O(words of both documents) time and memory, one synthetic document at a time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SeedCopyConfig {
    /// Words of a shingle: 13 finds copied passages, 5 finds loose copies too, and turns of phrase that all documents
    /// of a genre share.
    #[schemars(range(min = 1))]
    pub shingle_words: usize,
    /// The greatest Jaccard similarity that is kept: shared shingles over all shingles of both documents.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub max_jaccard: f64,
    /// The greatest share of the synthetic document's own shingles that may be the seed's.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub max_copied: f64,
}

impl Default for SeedCopyConfig {
    fn default() -> Self {
        Self { shingle_words: 13, max_jaccard: 0.6, max_copied: 0.6 }
    }
}

impl Plugin<slots::DocumentFilter> for SeedCopyConfig {
    const KIND: &'static str = "seed_copy";
    fn example() -> Self {
        Self::default()
    }
    fn build(&self, _: &BuildContext) -> Result<Box<dyn DocumentFilter>> {
        Ok(Box::new(SeedCopy(self.clone())))
    }
}
register!(slots::DocumentFilter => SeedCopyConfig);

struct SeedCopy(SeedCopyConfig);

impl DocumentFilter for SeedCopy {
    fn judge(&self, synthetic: &SyntheticDocument, seed: &Document) -> Verdict {
        let seed = Shingles::of(&seed.text, self.0.shingle_words);
        let synthetic = Shingles::of(&synthetic.text, self.0.shingle_words);
        let is_copy = synthetic.jaccard(&seed) > self.0.max_jaccard
            || synthetic.share_within(&seed) > self.0.max_copied;
        if is_copy { Verdict::drop("copies_seed") } else { Verdict::Keep }
    }
}

#[cfg(test)]
mod tests {
    use sbp_testkit::synthetic;

    use super::*;

    #[test]
    fn copies_and_parts_go_other_texts_stay() {
        let filter = SeedCopy(SeedCopyConfig { shingle_words: 3, ..SeedCopyConfig::default() });
        let seed = Document::new("d", "one two three four five six seven eight nine ten");
        let judge = |text: &str| filter.judge(&synthetic(&seed, text), &seed);
        assert_eq!(judge(&seed.text), Verdict::drop("copies_seed"));
        assert_eq!(judge("Four, five, six, seven."), Verdict::drop("copies_seed"));
        // One of four shingles is the seed's.
        assert_eq!(judge("one two three blind mice ran"), Verdict::Keep);
        assert_eq!(judge(""), Verdict::Keep);
    }
}
