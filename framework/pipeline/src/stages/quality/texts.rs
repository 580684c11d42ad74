//! Figures of a set of texts, each with the document it belongs to.

use std::collections::HashSet;

use sbp_core::Document;
use sbp_core::text::{
    Extraction, NearDuplicateOptions, Repetition, Shingles, near_duplicates, share, shingle_hashes,
    word_hashes,
};
use serde::{Deserialize, Serialize};

/// Words of the shingles that copies and duplicates are found by, and the Jaccard similarity above which two texts are copies
/// of one another. What the published study took is not known; reading notes recall shingles of 13 words and 0.6.
const COPY_WORDS: usize = 13;
const COPY_JACCARD: f64 = 0.6;
/// Words of the n-grams that are new or not.
const NOVELTY_WORDS: usize = 5;

/// Figures of a set of texts. Shares are of texts unless named otherwise.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Texts {
    /// Texts that were looked at: the N of `duplicate`.
    pub(crate) texts: usize,
    pub(crate) mean_words: f64,
    /// The words that a tenth, half and nine tenths of the texts have at most.
    pub(crate) words_deciles: [usize; 3],
    /// Different words.
    pub(crate) vocabulary: usize,
    /// Texts that repeat themselves beyond the limits of [`Repetition`].
    pub(crate) repetition: f64,
    /// Texts of which there is a near-duplicate among the others.
    pub(crate) duplicate: f64,
    /// Texts that are near-duplicates of the document they belong to.
    pub(crate) seed_copy: f64,
    /// Texts most of whose 13-word shingles stand in D_pretrain, in whatever document.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) corpus_copy: Option<f64>,
    /// The share of 5-word n-grams that stand nowhere in D_pretrain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) novel_ngrams: Option<f64>,
    /// Means of [`Extraction`] from the document they belong to.
    pub(crate) coverage: f64,
    pub(crate) density: f64,
}

/// What stands in D_pretrain.
pub(super) struct CorpusNgrams {
    copy: HashSet<u64>,
    novelty: HashSet<u64>,
}

impl CorpusNgrams {
    pub(super) fn of(documents: &[Document]) -> Self {
        let all = |n| documents.iter().flat_map(|document| shingle_hashes(&document.text, n)).collect();
        Self { copy: all(COPY_WORDS), novelty: all(NOVELTY_WORDS) }
    }
}

impl Texts {
    /// Figures of texts, each with the text it belongs to; without `corpus` where the texts are of the corpus themselves.
    pub(super) fn of(texts: &[(&str, &str)], corpus: Option<&CorpusNgrams>) -> Self {
        let n = texts.len();
        let mut lengths = Vec::with_capacity(n);
        let mut vocabulary = HashSet::new();
        let (mut repetition, mut seed_copy, mut corpus_copy) = (0, 0, 0);
        let (mut ngrams, mut novel) = (0, 0);
        let (mut coverage, mut density) = (0.0, 0.0);
        for (text, seed) in texts {
            let words = word_hashes(text);
            lengths.push(words.len());
            vocabulary.extend(words);
            repetition += usize::from(Repetition::is_excessive(text));
            let shingles = Shingles::of(text, COPY_WORDS);
            seed_copy += usize::from(shingles.jaccard(&Shingles::of(seed, COPY_WORDS)) > COPY_JACCARD);
            if let Some(corpus) = corpus {
                let copied = shingles.hashes().iter().filter(|it| corpus.copy.contains(it)).count();
                corpus_copy += usize::from(2 * copied > shingles.hashes().len());
                let own = shingle_hashes(text, NOVELTY_WORDS);
                ngrams += own.len();
                novel += own.iter().filter(|it| !corpus.novelty.contains(it)).count();
            }
            let extraction = Extraction::of(text, seed);
            coverage += extraction.coverage;
            density += extraction.density;
        }
        let options = NearDuplicateOptions {
            shingle_words: COPY_WORDS,
            max_jaccard: COPY_JACCARD,
            ..Default::default()
        };
        let own: Vec<&str> = texts.iter().map(|(text, _)| *text).collect();
        let pairs = near_duplicates(&own, options);
        let duplicates: HashSet<u32> = pairs.iter().flat_map(|pair| [pair.first, pair.second]).collect();
        let total: usize = lengths.iter().sum();
        lengths.sort_unstable();
        let decile =
            |tenths: usize| lengths.get((n * tenths / 10).min(n.saturating_sub(1))).copied().unwrap_or(0);
        let of_all = |sum: f64| sum / n.max(1) as f64;
        Self {
            texts: n,
            mean_words: of_all(total as f64),
            words_deciles: [decile(1), decile(5), decile(9)],
            vocabulary: vocabulary.len(),
            repetition: share(repetition, n),
            duplicate: share(duplicates.len(), n),
            seed_copy: share(seed_copy, n),
            corpus_copy: corpus.map(|_| share(corpus_copy, n)),
            novel_ngrams: corpus.map(|_| share(novel, ngrams)),
            coverage: of_all(coverage),
            density: of_all(density),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_hand_made_texts() {
        let words =
            |from: usize, to: usize| (from..to).map(|n| format!("w{n}")).collect::<Vec<_>>().join(" ");
        let seed = words(0, 40);
        let corpus = [Document::new("seed", seed.clone()), Document::new("other", words(100, 140))];
        let copy_of_other = words(100, 140);
        let new = words(200, 220);
        let texts = [
            (seed.as_str(), seed.as_str()),
            (copy_of_other.as_str(), seed.as_str()),
            (new.as_str(), seed.as_str()),
            (new.as_str(), seed.as_str()),
        ];
        let found = Texts::of(&texts, Some(&CorpusNgrams::of(&corpus)));
        assert_eq!((found.texts, found.vocabulary), (4, 100));
        assert_eq!((found.mean_words, found.words_deciles), (30.0, [20, 40, 40]));
        assert_eq!((found.repetition, found.duplicate, found.seed_copy), (0.0, 0.5, 0.25));
        assert_eq!(found.corpus_copy, Some(0.5));
        // Twice 16 of twice 36 and twice 16.
        assert_eq!(found.novel_ngrams, Some(32.0 / 104.0));
        assert_eq!((found.coverage, found.density), (0.25, 10.0));
        let none = Texts::of(&[], None);
        assert_eq!(none, Texts::default());
    }
}
