//! Texts that repeat themselves: the ways in which sampled text fails most often.

use std::collections::{HashMap, HashSet};

use sbp_core::text::{hash_sequence, hash_word, sentences, share, word_hashes, words};
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
            max_duplicate_sentences: 0.3,
            max_top_ngram: 0.16,
            top_ngram_words: 4,
            max_duplicate_ngrams: 0.15,
            duplicate_ngram_words: 5,
            max_tail_loops: 3,
        }
    }
}

impl Plugin<slots::DocumentFilter> for RepetitionConfig {
    const KIND: &'static str = "repetition";
    fn example() -> Self {
        Self::default()
    }
    fn build(&self, _: &BuildContext) -> Result<Box<dyn DocumentFilter>> {
        Ok(Box::new(Repetition(self.clone())))
    }
}
register!(slots::DocumentFilter => RepetitionConfig);

/// The longest loop looked for at the end of a text, in words.
const MAX_LOOP_WORDS: usize = 50;

struct Repetition(RepetitionConfig);

impl DocumentFilter for Repetition {
    fn judge(&self, synthetic: &SyntheticDocument, _: &Document) -> Verdict {
        let text = Words::of(&synthetic.text);
        let limits = &self.0;
        if duplicate_sentences(&synthetic.text) > limits.max_duplicate_sentences {
            Verdict::drop("duplicate_sentences")
        } else if text.tail_loops() > limits.max_tail_loops {
            Verdict::drop("tail_loop")
        } else if text.top_ngram(limits.top_ngram_words) > limits.max_top_ngram {
            Verdict::drop("frequent_ngram")
        } else if text.duplicate_ngrams(limits.duplicate_ngram_words) > limits.max_duplicate_ngrams {
            Verdict::drop("duplicate_ngrams")
        } else {
            Verdict::Keep
        }
    }
}

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
    use sbp_testkit::synthetic;

    use super::*;

    fn judge(text: &str) -> Verdict {
        let seed = Document::new("d", "seed");
        Repetition(RepetitionConfig::default()).judge(&synthetic(&seed, text), &seed)
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
        assert_eq!(duplicate_sentences("One. Two. one! Two."), 0.5);
    }
}
