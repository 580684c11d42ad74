//! Keeps held-out and evaluation text out of what is trained on.
//!
//! A text is contaminated when at least a given share of its word n-grams stands in guarded text; a text of fewer words
//! than that, when it is one of the guarded texts. Guarded texts of fewer words count as a whole only, so that a common
//! word that answers a question bars nothing but itself. Memory: about 16 bytes an n-gram of guarded text.

use std::collections::HashMap;

use sbp_core::text::{hash_sequence, word_hashes};

/// The n-grams of texts that must not be trained on, in sets with a name each.
pub(crate) struct LeakageGuard {
    ngram: usize,
    max_share: f64,
    sets: Vec<String>,
    /// Each with the first set that has it.
    ngrams: HashMap<u64, usize>,
    whole: HashMap<u64, usize>,
}

impl LeakageGuard {
    /// A guard that guards nothing yet.
    pub(crate) fn new(ngram: usize, max_share: f64) -> Self {
        Self { ngram, max_share, sets: Vec::new(), ngrams: HashMap::new(), whole: HashMap::new() }
    }

    /// Guards the texts of a set, too.
    pub(crate) fn guard<'t>(&mut self, set: &str, texts: impl IntoIterator<Item = &'t str>) {
        let index = self.sets.len();
        self.sets.push(set.to_owned());
        for text in texts {
            let words = word_hashes(text);
            if words.is_empty() {
                continue;
            }
            for window in words.windows(self.ngram) {
                self.ngrams.entry(hash_sequence(window)).or_insert(index);
            }
            self.whole.entry(hash_sequence(&words)).or_insert(index);
        }
    }

    /// The set that contaminates a text: the one with most of its n-grams.
    pub(crate) fn contaminated_by(&self, text: &str) -> Option<&str> {
        let words = word_hashes(text);
        if let Some(set) = self.whole.get(&hash_sequence(&words)) {
            return Some(&self.sets[*set]);
        }
        let mut found = vec![0usize; self.sets.len()];
        for set in words.windows(self.ngram).filter_map(|window| self.ngrams.get(&hash_sequence(window))) {
            found[*set] += 1;
        }
        let total = words.len().saturating_sub(self.ngram - 1);
        let all: usize = found.iter().sum();
        if all == 0 || (all as f64) < self.max_share * total as f64 {
            return None;
        }
        // The first of those with the most.
        let most = found.iter().enumerate().rev().max_by_key(|(_, count)| **count)?.0;
        Some(&self.sets[most])
    }

    /// Whether any set contaminates a text.
    pub(crate) fn is_contaminated(&self, text: &str) -> bool {
        self.contaminated_by(text).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_counted_and_short_texts_compared_whole() {
        let mut guard = LeakageGuard::new(3, 0.5);
        guard.guard("held out", ["a b c d e f g h", "short one", "Paris", "...", ""]);
        assert!(guard.is_contaminated("A, b, c: d. E f"));
        assert!(guard.is_contaminated("Short one!"));
        assert!(!guard.is_contaminated("short two"));
        // One of four trigrams is guarded.
        assert!(!guard.is_contaminated("a b c x y z"));
        // A word that answers a question bars no text that merely has it, and a text without words bars nothing.
        assert!(!guard.is_contaminated("We went to Paris in short one"));
        assert!(guard.is_contaminated("Paris."));
        assert!(!guard.is_contaminated("?!"));
    }

    #[test]
    fn shares_of_several_sets_add_up_and_the_one_with_most_is_told() {
        let mut guard = LeakageGuard::new(2, 0.5);
        guard.guard("one", ["a b c"]);
        guard.guard("two", ["b c", "d e f g"]);
        assert_eq!(guard.contaminated_by("a b c x y"), Some("one"));
        assert_eq!(guard.contaminated_by("a b x d e f y"), Some("two"));
        assert_eq!(guard.contaminated_by("b c"), Some("two"), "as a whole");
        assert_eq!(guard.contaminated_by("a b x d e y z"), None);
    }
}
