//! Texts as sets of shingles: runs of consecutive words.

use super::{hash_sequence, share, word_hashes};

/// The runs of `n` consecutive words of a text as hashes, in their order, repeated ones too.
///
/// A text of fewer words is one shingle as a whole, so that short texts are alike only when they are equal. A text
/// without words has none.
pub fn shingle_hashes(text: &str, n: usize) -> Vec<u64> {
    let words = word_hashes(text);
    match words.len() {
        0 => Vec::new(),
        len if len < n => vec![hash_sequence(&words)],
        _ => words.windows(n.max(1)).map(hash_sequence).collect(),
    }
}

/// The different [shingles](shingle_hashes) of a text, sorted by hash. 8 bytes each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shingles(Vec<u64>);

impl Shingles {
    /// The different runs of `n` consecutive words of a text.
    pub fn of(text: &str, n: usize) -> Self {
        Self::from(shingle_hashes(text, n))
    }

    /// Their hashes, ascending.
    pub fn hashes(&self) -> &[u64] {
        &self.0
    }

    /// Shared shingles as a share of all shingles of both; 0 when there are none.
    pub fn jaccard(&self, other: &Self) -> f64 {
        jaccard(&self.0, &other.0)
    }

    /// Shared shingles as a share of the smaller text's; 0 when it has none.
    pub fn containment(&self, other: &Self) -> f64 {
        share(num_shared(&self.0, &other.0), self.0.len().min(other.0.len()))
    }

    /// Shared shingles as a share of this text's own; 0 when it has none.
    pub fn share_within(&self, other: &Self) -> f64 {
        share(num_shared(&self.0, &other.0), self.0.len())
    }
}

impl From<Vec<u64>> for Shingles {
    fn from(mut hashes: Vec<u64>) -> Self {
        hashes.sort_unstable();
        hashes.dedup();
        Self(hashes)
    }
}

/// The Jaccard similarity of two sets, each sorted.
pub(super) fn jaccard(a: &[u64], b: &[u64]) -> f64 {
    let shared = num_shared(a, b);
    share(shared, a.len() + b.len() - shared)
}

/// How many elements two sorted sets share.
fn num_shared(a: &[u64], b: &[u64]) -> usize {
    let (mut i, mut j, mut shared) = (0, 0, 0);
    while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
        shared += usize::from(x == y);
        i += usize::from(x <= y);
        j += usize::from(y <= x);
    }
    shared
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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
