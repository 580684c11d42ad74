//! Copies of any document of D_pretrain, found by shared runs of words.

use std::collections::HashSet;

use sbp_core::text::shingle_hashes;
use sbp_plugin::prelude::*;
use sbp_plugin::slots::document_filter::{DocumentFilter, Verdict};

/// Drops synthetic documents that repeat what stands in D_pretrain, in whatever document.
///
/// A synthetic document is compared as a set of shingles (runs of consecutive words, in lower case, without punctuation) with
/// those of all documents together, so that one that is pieced together from several is found too; one with fewer words
/// than a shingle is compared as a whole.
///
/// Cost: O(words) time; 8 to 16 bytes a word of D_pretrain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CorpusCopyConfig {
    /// Words of a shingle: 13 finds copied passages, 5 turns of phrase that all documents of a genre share.
    #[schemars(range(min = 1))]
    pub shingle_words: usize,
    /// The greatest share of the synthetic document's shingles that may stand in D_pretrain.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub max_copied: f64,
}

impl Default for CorpusCopyConfig {
    fn default() -> Self {
        Self { shingle_words: 13, max_copied: 0.6 }
    }
}

impl Plugin<slots::DocumentFilter> for CorpusCopyConfig {
    const KIND: &'static str = "corpus_copy";
    fn example() -> Self {
        Self::default()
    }
    fn build(&self, _: &BuildContext) -> Result<Box<dyn DocumentFilter>> {
        Ok(Box::new(CorpusCopy { config: self.clone(), shingles: HashSet::new() }))
    }
}
register!(slots::DocumentFilter => CorpusCopyConfig);

struct CorpusCopy {
    config: CorpusCopyConfig,
    /// Of all documents of D_pretrain.
    shingles: HashSet<u64>,
}

impl DocumentFilter for CorpusCopy {
    fn prepare(&mut self, documents: &[Document]) -> Result<()> {
        for document in documents {
            self.shingles.extend(shingle_hashes(&document.text, self.config.shingle_words));
        }
        Ok(())
    }

    fn judge(&self, synthetic: &SyntheticDocument, _: &Document) -> Verdict {
        let own = shingle_hashes(&synthetic.text, self.config.shingle_words);
        let copied = own.iter().filter(|shingle| self.shingles.contains(shingle)).count();
        let is_copy = copied as f64 > self.config.max_copied * own.len() as f64;
        if is_copy { Verdict::drop("copies_corpus") } else { Verdict::Keep }
    }
}

#[cfg(test)]
mod tests {
    use sbp_testkit::synthetic;

    use super::*;

    #[test]
    fn copies_of_any_document_and_of_several_go() {
        let config = CorpusCopyConfig { shingle_words: 3, ..CorpusCopyConfig::default() };
        let mut filter = config.build(&BuildContext::default()).unwrap();
        let seed = Document::new("seed", "some text of its own that nothing repeats");
        let others = ["one two three four five six", "red green blue white black grey"];
        let others = others.map(|text| Document::new(text, text));
        filter.prepare(&others).unwrap();
        let judge = |text: &str| filter.judge(&synthetic(&seed, text), &seed);
        assert_eq!(judge(&others[0].text), Verdict::drop("copies_corpus"));
        // Three of five shingles stand in one document or the other: not more than 0.6.
        assert_eq!(judge("one two three four red green blue"), Verdict::Keep);
        assert_eq!(judge("one two three four five red green blue white"), Verdict::drop("copies_corpus"));
        assert_eq!(judge("one two and three four and five six"), Verdict::Keep);
        assert_eq!(judge(""), Verdict::Keep);
    }
}
