//! How a text is looked at: as words, as sentences, as a set of shingles; what it repeats, of itself and of others; and which
//! texts are nearly the same.

mod fragments;
mod min_hash;
mod near_duplicates;
mod repetition;
mod seen;
mod shingles;
mod words;

pub use fragments::Extraction;
pub use min_hash::{Bands, MinHash};
pub use near_duplicates::{NearDuplicateOptions, NearDuplicatePair, near_duplicates};
pub use repetition::Repetition;
pub use seen::Seen;
pub use shingles::{Shingles, shingle_hashes};
pub use words::{hash_sequence, hash_word, sentences, word_hashes, words};

/// A ratio of counts, 0 for 0 of 0.
pub fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}
