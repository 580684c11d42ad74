//! Near-duplicates of what came before, one text after another.

use std::collections::HashMap;

use super::near_duplicates::Sketcher;
use super::shingles::jaccard;
use super::{NearDuplicateOptions, Shingles};

/// The texts admitted so far, none of which is a near-duplicate of an earlier one.
///
/// As by [`near_duplicates`](super::near_duplicates()), every verdict is checked on shingles, and a near-duplicate is
/// missed seldom. Memory for each admitted text: 8 bytes a shingle, and about 35 bytes a band (21 bands with the
/// default options). Time: O(words), and a look at each admitted text that agrees in a band.
#[derive(Debug)]
pub struct Seen {
    options: NearDuplicateOptions,
    sketcher: Sketcher,
    /// The latest admitted text of each key.
    latest: HashMap<u64, u32>,
    /// For each admitted text and band the one that had the key before it, [`NONE`] for none.
    before: Vec<u32>,
    shingles: Vec<u64>,
    /// Where the shingles of each admitted text end.
    ends: Vec<usize>,
}

const NONE: u32 = u32::MAX;

impl Seen {
    /// Nothing is admitted yet.
    pub fn new(options: NearDuplicateOptions) -> Self {
        Self {
            options,
            sketcher: Sketcher::new(options),
            latest: HashMap::new(),
            before: Vec::new(),
            shingles: Vec::new(),
            ends: Vec::new(),
        }
    }

    /// Number of texts admitted.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether none is admitted.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Admits a text, or says which admitted text it is a near-duplicate of: the first such, counted from 0.
    ///
    /// # Panics
    /// When 2^32 - 1 texts are admitted.
    pub fn admit(&mut self, text: &str) -> Option<u32> {
        let shingles = Shingles::of(text, self.options.shingle_words);
        let mut keys = vec![0; self.sketcher.num_bands()];
        let has_keys = self.sketcher.write_keys(shingles.hashes(), &mut keys);
        if has_keys {
            let found = self.candidates(&keys).into_iter().find(|earlier| {
                jaccard(self.shingles_of(*earlier), shingles.hashes()) > self.options.max_jaccard
            });
            if found.is_some() {
                return found;
            }
        }
        let own = u32::try_from(self.len()).ok().filter(|own| *own != NONE);
        let own = own.expect("fewer than 2^32 - 1 texts are admitted");
        self.before.extend(keys.iter().map(|key| {
            // A text without shingles is like no other.
            if has_keys { self.latest.insert(*key, own).unwrap_or(NONE) } else { NONE }
        }));
        self.shingles.extend(shingles.hashes());
        self.ends.push(self.shingles.len());
        None
    }

    /// The admitted texts that agree with a text in a band, in their order.
    fn candidates(&self, keys: &[u64]) -> Vec<u32> {
        let mut candidates = Vec::new();
        for (band, key) in keys.iter().enumerate() {
            let mut next = self.latest.get(key).copied().unwrap_or(NONE);
            while next != NONE {
                candidates.push(next);
                next = self.before[next as usize * keys.len() + band];
            }
        }
        candidates.sort_unstable();
        candidates.dedup();
        candidates
    }

    fn shingles_of(&self, text: u32) -> &[u64] {
        let text = text as usize;
        let start = text.checked_sub(1).map_or(0, |previous| self.ends[previous]);
        &self.shingles[start..self.ends[text]]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::near_duplicates;
    use super::super::near_duplicates::tests::near_copies;
    use super::*;

    #[test]
    fn only_the_admitted_are_counted() {
        let mut seen =
            Seen::new(NearDuplicateOptions { shingle_words: 2, ..NearDuplicateOptions::default() });
        let texts = ["a b c", "A b, c.", "x y z", "a b c!", "", "", "z y x", "Z y x"];
        let verdicts: Vec<Option<u32>> = texts.iter().map(|text| seen.admit(text)).collect();
        assert_eq!(verdicts, [None, Some(0), None, Some(0), None, None, None, Some(4)]);
        assert_eq!((seen.len(), seen.is_empty()), (5, false));
    }

    proptest! {
        #[test]
        fn it_agrees_with_all_pairs(seed in any::<u64>(), max_jaccard in 0.3_f64..0.9) {
            let options = NearDuplicateOptions { max_jaccard, ..NearDuplicateOptions::default() };
            let texts = near_copies(seed, 60, 40);
            let pairs = near_duplicates(&texts, options);
            let mut seen = Seen::new(options);
            let mut admitted: Vec<u32> = Vec::new();
            for (place, text) in (0_u32..).zip(&texts) {
                let earlier = pairs.iter().filter(|pair| pair.second == place).map(|pair| pair.first);
                let expected = earlier.filter(|first| admitted.contains(first)).min();
                let found = seen.admit(text).map(|index| admitted[index as usize]);
                prop_assert_eq!(found, expected);
                if found.is_none() {
                    admitted.push(place);
                }
            }
        }
    }
}
