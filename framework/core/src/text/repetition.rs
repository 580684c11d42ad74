//! How much a text repeats itself: the way in which sampled text fails most often.

use std::collections::{HashMap, HashSet};

use super::{hash_sequence, hash_word, sentences, share, word_hashes, words};

/// How much a text repeats itself. Words are in lower case, without punctuation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Repetition {
    /// The share of sentences that repeat an earlier one.
    pub duplicate_sentences: f64,
    /// The share of letters within the run of words that covers most, all its places together. A run must stand in three
    /// places to count: in a short text, twice happens to anyone.
    pub top_ngram: f64,
    /// The share of letters within runs of words that occurred before, each letter counted once.
    pub duplicate_ngrams: f64,
    /// How often the last words, up to 50 of them, stand one after another at the end.
    pub tail_loops: usize,
}

impl Repetition {
    /// Limits of the Gopher corpus (Rae et al. 2021, arXiv 2112.11446, table A1), with sentences in place of lines.
    pub const MAX_DUPLICATE_SENTENCES: f64 = 0.3;
    /// For runs of [`Self::TOP_NGRAM_WORDS`], from the same table.
    pub const MAX_TOP_NGRAM: f64 = 0.16;
    /// Words of the runs that `top_ngram` looks at.
    pub const TOP_NGRAM_WORDS: usize = 4;
    /// For runs of [`Self::DUPLICATE_NGRAM_WORDS`], from the same table.
    pub const MAX_DUPLICATE_NGRAMS: f64 = 0.15;
    /// Words of the runs that `duplicate_ngrams` looks at.
    pub const DUPLICATE_NGRAM_WORDS: usize = 5;
    /// A choice of ours: sampled texts that go wrong end in a loop.
    pub const MAX_TAIL_LOOPS: usize = 3;

    /// Measures a text with runs of so many words. O(words * (both)) time.
    pub fn of(text: &str, top_ngram_words: usize, duplicate_ngram_words: usize) -> Self {
        let words = Words::of(text);
        Self {
            duplicate_sentences: duplicate_sentences(text),
            top_ngram: words.top_ngram(top_ngram_words),
            duplicate_ngrams: words.duplicate_ngrams(duplicate_ngram_words),
            tail_loops: words.tail_loops(),
        }
    }

    /// Whether a text goes beyond any of the limits.
    pub fn is_excessive(text: &str) -> bool {
        let it = Self::of(text, Self::TOP_NGRAM_WORDS, Self::DUPLICATE_NGRAM_WORDS);
        it.duplicate_sentences > Self::MAX_DUPLICATE_SENTENCES
            || it.top_ngram > Self::MAX_TOP_NGRAM
            || it.duplicate_ngrams > Self::MAX_DUPLICATE_NGRAMS
            || it.tail_loops > Self::MAX_TAIL_LOOPS
    }
}

/// The longest loop looked for at the end of a text, in words.
const MAX_LOOP_WORDS: usize = 50;

/// The share of sentences that repeat an earlier one.
fn duplicate_sentences(text: &str) -> f64 {
    let sentences = sentences(text);
    let different: HashSet<u64> =
        sentences.iter().map(|sentence| hash_sequence(&word_hashes(sentence))).collect();
    share(sentences.len() - different.len(), sentences.len())
}

/// The words of a text: their hashes and how many letters each has.
struct Words {
    hashes: Vec<u64>,
    letters: Vec<usize>,
}

impl Words {
    fn of(text: &str) -> Self {
        let (hashes, letters) = words(text).map(|word| (hash_word(&word), word.chars().count())).unzip();
        Self { hashes, letters }
    }

    fn letters(&self) -> usize {
        self.letters.iter().sum()
    }

    /// The share of letters within all places of the run of `n` words that covers the most.
    fn top_ngram(&self, n: usize) -> f64 {
        let mut places: HashMap<u64, (usize, usize)> = HashMap::new();
        for (start, run) in self.hashes.windows(n.max(1)).enumerate() {
            let letters: usize = self.letters[start..start + run.len()].iter().sum();
            let (count, covered) = places.entry(hash_sequence(run)).or_default();
            *count += 1;
            *covered += letters;
        }
        let most = places.into_values().filter(|(count, _)| *count > 2).map(|(_, covered)| covered).max();
        // Places may overlap, so that they cover more than there is.
        share(most.unwrap_or(0), self.letters()).min(1.0)
    }

    /// The share of letters within runs of `n` words that occurred before, each letter counted once.
    fn duplicate_ngrams(&self, n: usize) -> f64 {
        let mut seen = HashSet::new();
        let mut covered = 0;
        let mut end = 0;
        for (start, run) in self.hashes.windows(n.max(1)).enumerate() {
            if !seen.insert(hash_sequence(run)) {
                covered += self.letters[start.max(end)..start + run.len()].iter().sum::<usize>();
                end = start + run.len();
            }
        }
        share(covered, self.letters())
    }

    /// How many times the last words stand one after another at the end, for the number of words that loops most.
    fn tail_loops(&self) -> usize {
        let words = &self.hashes;
        (1..=MAX_LOOP_WORDS.min(words.len()))
            .map(|period| {
                let unit = &words[words.len() - period..];
                words.rchunks_exact(period).take_while(|chunk| *chunk == unit).count()
            })
            .max()
            .unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_is_excessive_and_prose_is_not() {
        assert!(Repetition::is_excessive("so it was, was, was, was"));
        assert!(!Repetition::is_excessive("The town lies at a bend of the river. Its mayor keeps bees."));
        assert!(!Repetition::is_excessive(""));
    }

    #[test]
    fn shares_of_hand_counted_texts() {
        let words = Words::of("aa b aa b c aa b");
        // Seven words of ten letters. "aa b" stands three times: nine letters of ten.
        assert_eq!(words.top_ngram(2), 0.9);
        // The second and the third "aa b" have been seen: three letters each; "b aa" and "b c" have not.
        assert_eq!(words.duplicate_ngrams(2), 0.6);
        assert_eq!(words.tail_loops(), 1);
        assert_eq!(Words::of("x a b a b a b").tail_loops(), 3);
        assert_eq!(Words::of("").tail_loops(), 0);
        assert_eq!(super::duplicate_sentences("One. Two. one! Two."), 0.5);
    }
}
