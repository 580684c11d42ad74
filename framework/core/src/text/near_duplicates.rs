//! Near-duplicates among texts: candidates by MinHash, each of them checked.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::shingles::shingle_hashes;
use super::{Bands, MinHash, Shingles};

/// What counts as a near-duplicate, and how hard it is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct NearDuplicateOptions {
    /// Words of a shingle.
    pub shingle_words: usize,
    /// Two texts are near-duplicates when the Jaccard similarity of their shingles is above this.
    pub max_jaccard: f64,
    /// Values of a MinHash signature. More of them make fewer candidates that turn out not to be near-duplicates.
    pub num_hashes: usize,
}

impl Default for NearDuplicateOptions {
    fn default() -> Self {
        Self { shingle_words: 5, max_jaccard: 0.8, num_hashes: 128 }
    }
}

/// Two texts that are nearly the same.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NearDuplicatePair {
    /// The place of the first text.
    pub first: u32,
    /// The place of the second, which is greater.
    pub second: u32,
    /// The Jaccard similarity of their shingles.
    pub jaccard: f64,
}

/// All pairs of near-duplicates among the texts, by place.
///
/// Every pair is checked on its shingles, so that none is wrong. A pair is missed when its signatures agree in no band:
/// one in a hundred at most of those just above `max_jaccard`, and far fewer of those well above
/// ([`Bands::for_threshold`]). The pairs do not depend on the number of threads.
///
/// Memory: 8 bytes for each band and text (168 bytes a text with the default options), 8 bytes for each shingle of the
/// texts that have a candidate, and 8 bytes a candidate. A thousand copies of one text are half a million pairs:
/// [`Seen`](super::Seen) finds one for each text.
///
/// # Panics
/// When there are 2^32 texts or more.
pub fn near_duplicates<T: AsRef<str> + Sync>(
    texts: &[T],
    options: NearDuplicateOptions,
) -> Vec<NearDuplicatePair> {
    assert!(u32::try_from(texts.len()).is_ok(), "places of texts are numbers of 32 bits");
    let sketcher = Sketcher::new(options);
    let num_bands = sketcher.num_bands();
    let mut keys = vec![0; texts.len() * num_bands];
    let has_keys: Vec<bool> = keys
        .par_chunks_mut(num_bands)
        .zip(texts)
        .map(|(keys, text)| sketcher.write_keys(&shingle_hashes(text.as_ref(), options.shingle_words), keys))
        .collect();
    let sketches = Sketches { num_bands, keys, has_keys };
    let mut candidates: Vec<(u32, u32)> =
        (0..num_bands).into_par_iter().flat_map_iter(|band| sketches.candidates(band)).collect();
    candidates.par_sort_unstable();

    let mut is_candidate = vec![false; texts.len()];
    for &(first, second) in &candidates {
        is_candidate[first as usize] = true;
        is_candidate[second as usize] = true;
    }
    let shingles: Vec<Option<Shingles>> = texts
        .par_iter()
        .zip(is_candidate)
        .map(|(text, wanted)| wanted.then(|| Shingles::of(text.as_ref(), options.shingle_words)))
        .collect();
    candidates
        .into_par_iter()
        .filter_map(|(first, second)| {
            let (a, b) = (shingles[first as usize].as_ref()?, shingles[second as usize].as_ref()?);
            let jaccard = a.jaccard(b);
            (jaccard > options.max_jaccard).then_some(NearDuplicatePair { first, second, jaccard })
        })
        .collect()
}

/// The keys of all texts, those of a text together.
struct Sketches {
    num_bands: usize,
    keys: Vec<u64>,
    has_keys: Vec<bool>,
}

impl Sketches {
    fn of(&self, text: u32) -> &[u64] {
        &self.keys[text as usize * self.num_bands..][..self.num_bands]
    }

    /// The pairs that agree in this band and in none before it.
    fn candidates(&self, band: usize) -> Vec<(u32, u32)> {
        let texts = (0_u32..).zip(&self.has_keys).filter(|(_, has_keys)| **has_keys);
        let mut entries: Vec<(u64, u32)> = texts.map(|(text, _)| (self.of(text)[band], text)).collect();
        entries.sort_unstable();
        let mut candidates = Vec::new();
        for alike in entries.chunk_by(|a, b| a.0 == b.0) {
            for (place, &(_, first)) in alike.iter().enumerate() {
                let before = &self.of(first)[..band];
                let others = alike[place + 1..].iter().map(|(_, second)| *second);
                let fresh = others.filter(|second| before.iter().zip(self.of(*second)).all(|(a, b)| a != b));
                candidates.extend(fresh.map(|second| (first, second)));
            }
        }
        candidates
    }
}

/// From shingles to the keys of their bands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sketcher {
    min_hash: MinHash,
    bands: Bands,
}

impl Sketcher {
    pub(super) fn new(options: NearDuplicateOptions) -> Self {
        let num_hashes = options.num_hashes.max(1);
        Self {
            min_hash: MinHash::new(num_hashes),
            bands: Bands::for_threshold(num_hashes, options.max_jaccard),
        }
    }

    pub(super) fn num_bands(&self) -> usize {
        self.bands.num_bands
    }

    /// Writes one key for each band, and whether there are any: a text without shingles has none.
    pub(super) fn write_keys(&self, shingles: &[u64], keys: &mut [u64]) -> bool {
        let Some(signature) = self.min_hash.signature(shingles) else { return false };
        for (place, key) in keys.iter_mut().zip(self.bands.keys(&signature)) {
            *place = key;
        }
        true
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::RootSeed;

    /// Texts of which many are copies of earlier ones with some words changed.
    pub(in crate::text) fn near_copies(seed: u64, num_texts: usize, num_words: u64) -> Vec<String> {
        let mut stream = RootSeed(seed).stream("texts", &[]);
        let mut texts: Vec<Vec<u64>> = Vec::new();
        for _ in 0..num_texts {
            let mut text: Vec<u64> = match texts.len() {
                len @ 1.. if stream.uniform() < 0.5 => texts[stream.below(len as u64) as usize].clone(),
                _ => (0..num_words / 2 + stream.below(num_words)).map(|_| stream.below(5000)).collect(),
            };
            for _ in 0..stream.below(1 + num_words / 25) {
                let place = stream.below(text.len() as u64) as usize;
                text[place] = stream.below(5000);
            }
            texts.push(text);
        }
        let spelled = |text: &Vec<u64>| text.iter().map(|word| format!("w{word} ")).collect();
        texts.iter().map(spelled).collect()
    }

    /// The plain definition: every pair of texts compared.
    fn compared_one_by_one(texts: &[String], options: NearDuplicateOptions) -> Vec<NearDuplicatePair> {
        let shingles: Vec<Shingles> =
            texts.iter().map(|text| Shingles::of(text, options.shingle_words)).collect();
        let mut pairs = Vec::new();
        for (second, b) in shingles.iter().enumerate() {
            for (first, a) in shingles[..second].iter().enumerate() {
                let jaccard = a.jaccard(b);
                if jaccard > options.max_jaccard {
                    pairs.push(NearDuplicatePair { first: first as u32, second: second as u32, jaccard });
                }
            }
        }
        pairs.sort_by_key(|pair| (pair.first, pair.second));
        pairs
    }

    #[test]
    fn few_pairs_are_missed_just_above_the_threshold() {
        for (shingle_words, max_jaccard) in [(5, 0.8), (1, 0.8), (2, 0.6), (3, 0.5)] {
            let options =
                NearDuplicateOptions { shingle_words, max_jaccard, ..NearDuplicateOptions::default() };
            let texts = near_copies(1, 1000, 150);
            let all = compared_one_by_one(&texts, options);
            let found = near_duplicates(&texts, options);
            assert!(all.len() > 300, "too few to tell: {}", all.len());
            assert!(found.len() as f64 >= 0.99 * all.len() as f64, "{} of {}", found.len(), all.len());
        }
    }

    #[test]
    fn texts_without_words_are_no_duplicates_and_short_ones_only_of_their_equals() {
        let texts = ["", "a b", "...", "A, b!", "a c", "", "a"];
        let found = near_duplicates(&texts, NearDuplicateOptions::default());
        assert_eq!(found, [NearDuplicatePair { first: 1, second: 3, jaccard: 1.0 }]);
        assert!(near_duplicates::<&str>(&[], NearDuplicateOptions::default()).is_empty());
    }

    proptest! {
        #[test]
        fn all_found_are_near_and_all_well_above_the_threshold_are_found(
            seed in any::<u64>(),
            shingle_words in 1_usize..8,
            max_jaccard in 0.3_f64..0.9,
            num_words in 10_u64..100,
        ) {
            let options = NearDuplicateOptions { shingle_words, max_jaccard, ..NearDuplicateOptions::default() };
            let texts = near_copies(seed, 30, num_words);
            let all = compared_one_by_one(&texts, options);
            let found = near_duplicates(&texts, options);
            prop_assert!(found.iter().all(|pair| all.contains(pair)));
            prop_assert!(found.is_sorted_by_key(|pair| (pair.first, pair.second)));
            let well_above = max_jaccard + 0.7 * (1.0 - max_jaccard);
            for pair in all.iter().filter(|pair| pair.jaccard > well_above) {
                prop_assert!(found.contains(pair), "{:?} is missed", pair);
            }
        }

        #[test]
        fn order_and_threads_change_nothing(seed in any::<u64>(), num_threads in 1_usize..4) {
            let options = NearDuplicateOptions::default();
            let texts = near_copies(seed, 40, 60);
            let order = RootSeed(seed).stream("order", &[]).permutation(texts.len());
            let turned: Vec<&String> = order.iter().map(|&place| &texts[place as usize]).collect();
            let threads = rayon::ThreadPoolBuilder::new().num_threads(num_threads).build().unwrap();
            let mut found: Vec<(u32, u32)> = threads
                .install(|| near_duplicates(&turned, options))
                .iter()
                .map(|pair| (order[pair.first as usize], order[pair.second as usize]))
                .map(|(a, b)| (a.min(b), a.max(b)))
                .collect();
            found.sort_unstable();
            let expected: Vec<(u32, u32)> =
                near_duplicates(&texts, options).iter().map(|pair| (pair.first, pair.second)).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
