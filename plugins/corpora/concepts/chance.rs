//! Stateless chance: every random choice of the world is a function of a seed, a purpose and some indices.
//!
//! Nothing is drawn from a shared stream, so adding a document or a question never moves another one.

/// A short stream of draws that belongs to one purpose and one tuple of indices.
#[derive(Debug, Clone)]
pub(super) struct Chance {
    state: u64,
}

impl Chance {
    /// The stream of `purpose` at `indices` in the world of `seed`.
    pub(super) fn new(seed: u64, purpose: &str, indices: &[u64]) -> Self {
        let mut state = mix(seed ^ 0x9e37_79b9_7f4a_7c15);
        for byte in purpose.bytes() {
            state = mix(state ^ u64::from(byte));
        }
        // The length goes in first, so that [1] and [1, 0] are different streams.
        state = mix(state ^ indices.len() as u64);
        for &index in indices {
            state = mix(state.rotate_left(23) ^ index);
        }
        Self { state }
    }

    /// The next 64 bits (SplitMix64).
    pub(super) fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.state)
    }

    /// A number below `bound`, which must not be zero.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        // Multiply-shift: the bias is below bound / 2^64, which no test of ours could see.
        ((u128::from(self.bits()) * bound as u128) >> 64) as usize
    }

    /// One of `choices`, which must not be empty.
    pub(super) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// True in `percent` of a hundred draws.
    pub(super) fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// Puts `items` in random order (Fisher-Yates).
    pub(super) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

/// The finaliser of SplitMix64: every input bit reaches every output bit.
fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_differ_by_seed_purpose_and_indices() {
        let first = |seed, purpose, indices: &[u64]| Chance::new(seed, purpose, indices).bits();
        let base = first(1, "name", &[1]);
        assert_eq!(base, first(1, "name", &[1]));
        for other in [
            first(2, "name", &[1]),
            first(1, "value", &[1]),
            first(1, "name", &[2]),
            first(1, "name", &[1, 0]),
        ] {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn a_shuffle_keeps_every_item() {
        let mut items: Vec<usize> = (0..50).collect();
        Chance::new(3, "shuffle", &[]).shuffle(&mut items);
        assert_ne!(items, (0..50).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..50).collect::<Vec<_>>());
    }

    #[test]
    fn draws_below_a_bound_reach_every_number() {
        let mut chance = Chance::new(4, "below", &[]);
        let mut seen = [0usize; 7];
        for _ in 0..7000 {
            seen[chance.below(7)] += 1;
        }
        assert!(seen.iter().all(|&count| (800..1200).contains(&count)), "{seen:?}");
    }
}
