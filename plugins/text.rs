//! Words, sentences and shingles: how several plugins look at a text.

/// The words of a text: runs of letters and digits, in lower case.
pub(crate) fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase)
}

/// The words of a text as hashes.
pub(crate) fn word_hashes(text: &str) -> Vec<u64> {
    words(text).map(|word| hash_word(&word)).collect()
}

/// A hash of one word, the same on every platform and in every version.
pub(crate) fn hash_word(word: &str) -> u64 {
    // FNV-1a, then a finaliser: FNV alone leaves its low bits poorly mixed.
    let hash = word.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    mix(hash)
}

/// A hash of a sequence of word hashes; order matters.
pub(crate) fn hash_sequence(words: &[u64]) -> u64 {
    words.iter().fold(words.len() as u64, |hash, word| mix(hash.rotate_left(25) ^ word))
}

/// The finaliser of SplitMix64: every input bit reaches every output bit.
fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// The sentences of a text: lines, split again behind `.`, `!` or `?` that a space follows. Trimmed, none empty.
pub(crate) fn sentences(text: &str) -> Vec<&str> {
    let mut sentences = Vec::new();
    for line in text.lines() {
        let mut start = 0;
        let mut last = ' ';
        for (at, c) in line.char_indices() {
            if c.is_whitespace() && matches!(last, '.' | '!' | '?') {
                sentences.push(line[start..at].trim());
                start = at;
            }
            last = c;
        }
        sentences.push(line[start..].trim());
    }
    sentences.retain(|sentence| !sentence.is_empty());
    sentences
}

/// The different runs of `n` consecutive words of a text, sorted by hash.
///
/// A text of fewer words is one shingle as a whole, so that short texts are alike only when they are equal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shingles(Vec<u64>);

impl Shingles {
    pub(crate) fn of(text: &str, n: usize) -> Self {
        let words = word_hashes(text);
        let mut shingles: Vec<u64> = match words.len() {
            0 => Vec::new(),
            len if len < n => vec![hash_sequence(&words)],
            _ => words.windows(n.max(1)).map(hash_sequence).collect(),
        };
        shingles.sort_unstable();
        shingles.dedup();
        Self(shingles)
    }

    /// How many shingles both have.
    fn shared(&self, other: &Self) -> usize {
        let (mut i, mut j, mut shared) = (0, 0, 0);
        while let (Some(a), Some(b)) = (self.0.get(i), other.0.get(j)) {
            shared += usize::from(a == b);
            i += usize::from(a <= b);
            j += usize::from(b <= a);
        }
        shared
    }

    /// Shared shingles as a share of all shingles of both; 0 when there are none.
    pub(crate) fn jaccard(&self, other: &Self) -> f64 {
        let shared = self.shared(other);
        share(shared, self.0.len() + other.0.len() - shared)
    }

    /// Shared shingles as a share of the smaller text's; 0 when it has none.
    pub(crate) fn containment(&self, other: &Self) -> f64 {
        share(self.shared(other), self.0.len().min(other.0.len()))
    }

    /// Shared shingles as a share of this text's own; 0 when it has none.
    pub(crate) fn share_within(&self, other: &Self) -> f64 {
        share(self.shared(other), self.0.len())
    }
}

/// A ratio of counts, 0 for 0 of 0.
pub(crate) fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_are_lower_case_runs_of_letters_and_digits() {
        let words: Vec<String> = words("The quick-brown Fuchs, 3 ÜBER; don't").collect();
        assert_eq!(words, ["the", "quick", "brown", "fuchs", "3", "über", "don", "t"]);
    }

    #[test]
    fn sentences_end_at_a_mark_before_a_space_or_at_a_line_end() {
        let text = "One is 1.5 wide. Two?  Three!\n- four\n\n";
        assert_eq!(sentences(text), ["One is 1.5 wide.", "Two?", "Three!", "- four"]);
    }

    #[test]
    fn hashes_are_fixed_for_all_time() {
        assert_eq!(hash_word("neighbor"), 14_051_852_996_758_372_454);
        assert_ne!(hash_sequence(&[1, 2]), hash_sequence(&[2, 1]));
        assert_ne!(hash_sequence(&[1]), hash_sequence(&[1, 0]));
    }

    #[test]
    fn overlap_of_hand_counted_shingles() {
        // Pairs: ab bc cd | bc cd de: two of four shared.
        let (one, two) = (Shingles::of("a b c d", 2), Shingles::of("b c d e", 2));
        assert_eq!(one.jaccard(&two), 0.5);
        assert_eq!(one.containment(&two), 2.0 / 3.0);
        let part = Shingles::of("b c d", 2);
        assert_eq!((part.containment(&one), part.share_within(&one)), (1.0, 1.0));
        assert_eq!(one.share_within(&part), 2.0 / 3.0);
    }

    #[test]
    fn short_texts_are_alike_only_when_equal() {
        let of = |text| Shingles::of(text, 13);
        assert_eq!(of("A short text.").jaccard(&of("a short text")), 1.0);
        assert_eq!(of("A short text.").jaccard(&of("a short test")), 0.0);
        assert_eq!(of("").jaccard(&of("")), 0.0);
    }

    proptest! {
        #[test]
        fn overlap_is_symmetric_and_within_bounds(a in "[ab c]{0,30}", b in "[ab c]{0,30}", n in 1usize..5) {
            let (a, b) = (Shingles::of(&a, n), Shingles::of(&b, n));
            prop_assert_eq!(a.jaccard(&b), b.jaccard(&a));
            prop_assert!((0.0..=1.0).contains(&a.jaccard(&b)));
            prop_assert!(a.jaccard(&b) <= a.containment(&b));
            prop_assert!(a.0.is_empty() || a.jaccard(&a) == 1.0);
        }
    }
}
