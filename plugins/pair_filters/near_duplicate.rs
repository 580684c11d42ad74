//! Near-duplicate pairs, found by shared runs of words.

use std::collections::HashMap;

use rayon::prelude::*;
use sbp_core::text::{Shingles, share};
use sbp_plugin::prelude::*;
use sbp_plugin::slots::pair_filter::{PairFilter, Verdict};

/// Drops pairs of documents that share too many runs of words.
///
/// A synthesizer tuned on near-duplicates learns to copy. Documents are compared as sets of shingles (runs of
/// consecutive words, in lower case, without punctuation); one with fewer words than a shingle is compared as a
/// whole, so that it is a duplicate only of its equal.
///
/// Cost: one look at every document, which leaves 136 bytes of it; by those most pairs are told to be apart. The
/// others are compared word by word: O(words of both documents) time and memory, one pair at a time.
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
        Ok(Box::new(NearDuplicate { config: self.clone(), sketches: HashMap::new() }))
    }
}
register!(slots::PairFilter => NearDuplicateConfig);

struct NearDuplicate {
    config: NearDuplicateConfig,
    sketches: HashMap<DocId, Sketch>,
}

impl NearDuplicate {
    /// The verdict on documents of this likeness.
    fn verdict(&self, jaccard: f64, containment: f64) -> Verdict {
        if jaccard > self.config.max_jaccard {
            Verdict::drop("near_duplicate")
        } else if containment > self.config.max_containment {
            Verdict::drop("contained")
        } else {
            Verdict::Keep
        }
    }

    /// Whether the sketches of two documents tell that they would be kept.
    fn are_apart(&self, seed: &Document, target: &Document) -> bool {
        let (Some(a), Some(b)) = (self.sketches.get(&seed.id), self.sketches.get(&target.id)) else {
            return false;
        };
        let shared = a.most_shared(b);
        self.verdict(share(shared, a.count + b.count - shared), share(shared, a.count.min(b.count))).is_keep()
    }
}

impl PairFilter for NearDuplicate {
    fn prepare(&mut self, documents: &[Document]) {
        let sketch = |document: &Document| {
            (document.id, Sketch::of(&Shingles::of(&document.text, self.config.shingle_words)))
        };
        self.sketches = documents.par_iter().map(sketch).collect();
    }

    fn judge(&self, _: &Pair, seed: &Document, target: &Document) -> Verdict {
        if self.are_apart(seed, target) {
            return Verdict::Keep;
        }
        let seed = Shingles::of(&seed.text, self.config.shingle_words);
        let target = Shingles::of(&target.text, self.config.shingle_words);
        self.verdict(seed.jaccard(&target), seed.containment(&target))
    }
}

/// Number of words of 64 bits in a sketch.
const SKETCH: usize = 16;

/// A set of shingles as the places that they hash to, which bounds from above what it can share with another.
struct Sketch {
    count: usize,
    places: [u64; SKETCH],
}

impl Sketch {
    fn of(shingles: &Shingles) -> Self {
        let mut places = [0; SKETCH];
        for hash in shingles.hashes() {
            places[(hash >> 6) as usize % SKETCH] |= 1 << (hash % 64);
        }
        Self { count: shingles.hashes().len(), places }
    }

    /// The most shingles that both sets may have: each place that only one of them uses is of a shingle of its own.
    fn most_shared(&self, other: &Self) -> usize {
        let own = |one: &Self, other: &Self| -> usize {
            let apart = one.places.iter().zip(&other.places).map(|(a, b)| (a & !b).count_ones());
            one.count - apart.sum::<u32>() as usize
        };
        own(self, other).min(own(other, self))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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

    proptest! {
        #[test]
        fn sketches_change_no_verdict(
            texts in prop::collection::vec("([abc] ){0,30}", 2..6),
            long in prop::collection::vec("([a-z]{1,2} ){150,300}", 2..4),
            shingle_words in 1_usize..4,
            max_jaccard in 0.0_f64..1.0,
            max_containment in 0.0_f64..1.0,
        ) {
            let config = NearDuplicateConfig { shingle_words, max_jaccard, max_containment };
            let mut halves = long.clone();
            halves.extend(long.windows(2).map(|two| format!("{} {}", two[0], two[1])));
            let documents: Vec<Document> =
                texts.into_iter().chain(halves).enumerate().map(|(n, text)| Document::new(&n.to_string(), text)).collect();
            let plain = config.build(&BuildContext::default()).unwrap();
            let mut prepared = config.build(&BuildContext::default()).unwrap();
            prepared.prepare(&documents);
            for seed in &documents {
                for target in &documents {
                    let pair = Pair { seed: seed.id, target: target.id, similarity: 0.5, rank: 0 };
                    prop_assert_eq!(prepared.judge(&pair, seed, target), plain.judge(&pair, seed, target));
                }
            }
        }
    }

    #[test]
    fn sketches_tell_unrelated_texts_apart() {
        let text = |from: u32| (from..from + 200).map(|n| format!("w{n} ")).collect::<String>();
        let documents = [0, 1000, 20].map(|from| Document::new(&from.to_string(), text(from)));
        let mut filter = NearDuplicate { config: NearDuplicateConfig::default(), sketches: HashMap::new() };
        filter.prepare(&documents);
        assert!(filter.are_apart(&documents[0], &documents[1]));
        assert!(!filter.are_apart(&documents[0], &documents[2]), "they share nine tenths");
    }
}
