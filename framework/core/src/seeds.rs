//! Randomness: one root seed, and a named stream for every use of it.
//!
//! A stream depends on the root seed, its name and its indices alone, so adding an evaluator cannot move the
//! training order, and a synthetic document depends only on (seed, seed-document id, draw).

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

/// The one number from which every random choice of a study follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RootSeed(pub u64);

impl RootSeed {
    /// The stream called `name`, for the given indices (a pass, a document and a draw, ...).
    pub fn stream(self, name: &str, indices: &[u64]) -> RngStream {
        let mut hasher = blake3::Hasher::new_derive_key("sbp random stream 1");
        hasher.update(&self.0.to_le_bytes());
        hasher.update(&(name.len() as u64).to_le_bytes());
        hasher.update(name.as_bytes());
        for index in indices {
            hasher.update(&index.to_le_bytes());
        }
        RngStream { rng: ChaCha8Rng::from_seed(*hasher.finalize().as_bytes()) }
    }
}

/// A reproducible stream of random numbers (ChaCha8), the same on every platform.
#[derive(Debug, Clone)]
pub struct RngStream {
    rng: ChaCha8Rng,
}

impl RngStream {
    /// The next 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.rng.next_u64()
    }

    /// Uniform in [0, 1) with 53 random bits.
    pub fn uniform(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Uniform in `0..bound`, without modulo bias (Lemire's multiply-and-reject).
    ///
    /// # Panics
    /// When `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "a range to draw from must not be empty");
        let threshold = bound.wrapping_neg() % bound;
        loop {
            let product = u128::from(self.next_u64()) * u128::from(bound);
            if product as u64 >= threshold {
                return (product >> 64) as u64;
            }
        }
    }

    /// Shuffles in place (Fisher and Yates), every order equally likely.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i as u64 + 1) as usize);
        }
    }

    /// A shuffled list of `0..n`.
    pub fn permutation(&mut self, n: usize) -> Vec<u32> {
        let mut order: Vec<u32> = (0..n as u32).collect();
        self.shuffle(&mut order);
        order
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn streams_are_stable_across_versions_of_this_program() {
        let mut stream = RootSeed(1).stream("order", &[0]);
        assert_eq!(stream.next_u64(), 2_122_938_042_550_464_954);
    }

    #[test]
    fn names_and_indices_do_not_run_into_each_other() {
        let first = |name: &str, indices: &[u64]| RootSeed(7).stream(name, indices).next_u64();
        assert_ne!(first("a", &[1]), first("a", &[2]));
        assert_ne!(first("a", &[1]), first("b", &[1]));
        assert_ne!(first("a", &[]), first("a", &[0]));
        assert_ne!(RootSeed(8).stream("a", &[1]).next_u64(), first("a", &[1]));
    }

    proptest! {
        #[test]
        fn permutations_hold_every_index_once(seed: u64, n in 0usize..200) {
            let mut order = RootSeed(seed).stream("p", &[]).permutation(n);
            order.sort_unstable();
            prop_assert_eq!(order, (0..n as u32).collect::<Vec<_>>());
        }

        #[test]
        fn below_stays_below(seed: u64, bound in 1u64..) {
            prop_assert!(RootSeed(seed).stream("b", &[]).below(bound) < bound);
        }
    }
}
