//! MinHash: short signatures of sets whose agreement estimates the Jaccard similarity, and bands of them.

use super::words::mix;

/// Makes signatures by one-permutation hashing with optimal densification (Shrivastava 2017, arXiv 1703.04664).
///
/// Each element goes to one of the signature's places by its hash, and the least hash in a place is its value; an
/// empty place takes the value of another, chosen by a random walk that is the same for all sets. So a signature costs
/// one hash an element, where classic MinHash costs `num_hashes`. Two signatures agree in a place with a probability of
/// their sets' Jaccard similarity.
#[derive(Debug, Clone, Copy)]
pub struct MinHash {
    num_hashes: usize,
}

/// The value of a place that no element went to.
const EMPTY: u32 = u32::MAX;

impl MinHash {
    /// Signatures of `num_hashes` values, at least 1.
    pub fn new(num_hashes: usize) -> Self {
        Self { num_hashes: num_hashes.max(1) }
    }

    /// The signature of a set, given as well-mixed hashes in any order, repeated or not; none for the empty set.
    pub fn signature(&self, hashes: &[u64]) -> Option<Vec<u32>> {
        let num_places = self.num_hashes;
        let mut least = vec![EMPTY; num_places];
        for &hash in hashes {
            // The high bits say where, the low bits what.
            let place = ((u128::from(hash) * num_places as u128) >> 64) as usize;
            least[place] = least[place].min((hash as u32).min(EMPTY - 1));
        }
        if hashes.is_empty() {
            return None;
        }
        let mut signature = least.clone();
        for (place, value) in signature.iter_mut().enumerate() {
            let mut attempt = 0;
            while *value == EMPTY {
                let step = mix(((place as u64) << 32) | attempt);
                *value = least[(((step >> 32) * num_places as u64) >> 32) as usize];
                attempt += 1;
            }
        }
        Some(signature)
    }

    /// The Jaccard similarity that two signatures tell of: the share of places where they agree.
    pub fn estimate(a: &[u32], b: &[u32]) -> f64 {
        let num_equal = a.iter().zip(b).filter(|(a, b)| a == b).count();
        super::share(num_equal, a.len().min(b.len()))
    }
}

/// How a signature is cut into bands (locality-sensitive hashing): sets that agree in a whole band are candidates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bands {
    /// Number of bands.
    pub num_bands: usize,
    /// Values in a band.
    pub rows: usize,
}

/// The greatest share of pairs at the threshold that may agree in no band.
const MAX_MISSED: f64 = 0.01;

impl Bands {
    /// The longest bands of `num_hashes` values that miss at most 1% of the pairs whose similarity is `threshold`.
    ///
    /// Longer bands make fewer candidates. As candidates are checked, too many cost time, but too few lose pairs; so
    /// the promise is on what is lost. (Minimising the sum of both errors, as is usual where nothing is checked, misses
    /// 60% of pairs at 0.8.) Where even bands of one value miss more, it is those.
    pub fn for_threshold(num_hashes: usize, threshold: f64) -> Self {
        let of = |rows: usize| Self { num_bands: num_hashes / rows, rows };
        let found = (1..=num_hashes).rev().map(of).find(|bands| 1.0 - bands.recall(threshold) <= MAX_MISSED);
        found.unwrap_or(of(1))
    }

    /// The probability that two sets of this Jaccard similarity agree in a band.
    pub fn recall(self, jaccard: f64) -> f64 {
        1.0 - (1.0 - jaccard.powi(self.rows as i32)).powi(self.num_bands as i32)
    }

    /// One key for each band of a signature. Equal keys of one band mean equal values there.
    pub fn keys(self, signature: &[u32]) -> impl Iterator<Item = u64> {
        signature.chunks_exact(self.rows).take(self.num_bands).enumerate().map(|(band, values)| {
            values.iter().fold(mix(band as u64), |key, value| mix(key.rotate_left(25) ^ u64::from(*value)))
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The first `len` of a random sequence that `seed` names.
    fn elements(seed: u64, len: u64) -> Vec<u64> {
        (0..len).map(|n| mix(mix(seed) ^ n)).collect()
    }

    #[test]
    fn bands_are_as_long_as_the_promise_allows() {
        assert_eq!(Bands::for_threshold(128, 0.8), Bands { num_bands: 21, rows: 6 });
        assert_eq!(Bands::for_threshold(128, 0.6), Bands { num_bands: 42, rows: 3 });
        assert_eq!(Bands::for_threshold(128, 1.0), Bands { num_bands: 1, rows: 128 });
        assert_eq!(Bands::for_threshold(128, 0.0), Bands { num_bands: 128, rows: 1 });
        assert_eq!(Bands::for_threshold(1, 0.5), Bands { num_bands: 1, rows: 1 });
        let bands = Bands { num_bands: 21, rows: 6 };
        assert!((bands.recall(0.8) - 0.998).abs() < 0.001, "{}", bands.recall(0.8));
    }

    #[test]
    fn estimates_have_no_bias_even_of_small_sets() {
        for (shared, own) in [(4, 1), (20, 10), (300, 300)] {
            let jaccard = shared as f64 / (shared + 2 * own) as f64;
            let num_trials = 2000;
            let total: f64 = (0..num_trials)
                .map(|trial| {
                    let both = elements(trial * 3, shared);
                    let of = |seed| [both.clone(), elements(seed, own)].concat();
                    let signature = |set: Vec<u64>| MinHash::new(64).signature(&set).unwrap();
                    MinHash::estimate(&signature(of(trial * 3 + 1)), &signature(of(trial * 3 + 2)))
                })
                .sum();
            let mean = total / num_trials as f64;
            assert!((mean - jaccard).abs() < 0.02, "{mean} of {jaccard}");
        }
    }

    proptest! {
        #[test]
        fn an_estimate_is_near(shared in 0_u64..500, own in 100_u64..500, seed in any::<u64>()) {
            let both = elements(seed, shared);
            let of = |which| [both.clone(), elements(seed ^ which, own)].concat();
            let signature = |set: Vec<u64>| MinHash::new(256).signature(&set).unwrap();
            let estimate = MinHash::estimate(&signature(of(1)), &signature(of(2)));
            let jaccard = shared as f64 / (shared + 2 * own) as f64;
            // Six standard deviations of 256 independent places.
            prop_assert!((estimate - jaccard).abs() <= 6.0 * 0.5 / 16.0, "{} of {}", estimate, jaccard);
        }

        #[test]
        fn a_signature_is_of_the_set(set in prop::collection::vec(any::<u64>(), 1..50), num_hashes in 1_usize..200) {
            let min_hash = MinHash::new(num_hashes);
            let signature = min_hash.signature(&set).unwrap();
            let turned: Vec<u64> = set.iter().rev().chain(&set).copied().collect();
            prop_assert_eq!(&min_hash.signature(&turned).unwrap(), &signature);
            prop_assert!(signature.iter().all(|value| *value != EMPTY));
            prop_assert_eq!(signature.len(), num_hashes);
        }
    }

    #[test]
    fn the_empty_set_has_no_signature() {
        assert_eq!(MinHash::new(4).signature(&[]), None);
    }
}
