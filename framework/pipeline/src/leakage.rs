//! Keeps held-out and evaluation text out of what is trained on.
//!
//! A text is contaminated when at least a given share of its word n-grams stands in guarded text; a text shorter
//! than n words, when it is one of the guarded texts. Memory: 8 bytes an n-gram of guarded text.

use std::collections::HashSet;

use sbp_core::text::{hash_sequence, word_hashes};

/// The n-grams of texts that must not be trained on.
pub(crate) struct LeakageGuard {
    ngram: usize,
    max_share: f64,
    ngrams: HashSet<u64>,
    whole: HashSet<u64>,
}

impl LeakageGuard {
    pub(crate) fn new<'t>(texts: impl IntoIterator<Item = &'t str>, ngram: usize, max_share: f64) -> Self {
        let mut guard = Self { ngram, max_share, ngrams: HashSet::new(), whole: HashSet::new() };
        for text in texts {
            let words = word_hashes(text);
            guard.ngrams.extend(words.windows(ngram).map(hash_sequence));
            guard.whole.insert(hash_sequence(&words));
        }
        guard
    }

    pub(crate) fn is_contaminated(&self, text: &str) -> bool {
        let words = word_hashes(text);
        if self.whole.contains(&hash_sequence(&words)) {
            return true;
        }
        let total = words.len().saturating_sub(self.ngram - 1);
        if total == 0 {
            return false;
        }
        let found =
            words.windows(self.ngram).filter(|window| self.ngrams.contains(&hash_sequence(window))).count();
        found > 0 && found as f64 >= self.max_share * total as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_counted_and_short_texts_compared_whole() {
        let guard = LeakageGuard::new(["a b c d e f g h", "short one"], 3, 0.5);
        assert!(guard.is_contaminated("A, b, c: d. E f"));
        assert!(guard.is_contaminated("Short one!"));
        assert!(!guard.is_contaminated("short two"));
        // One of four trigrams is guarded.
        assert!(!guard.is_contaminated("a b c x y z"));
    }
}
