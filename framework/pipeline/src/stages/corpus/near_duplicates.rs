//! Near-duplicates within the pool: the first in the corpus's order stays.

use sbp_core::text::{NearDuplicateOptions, Seen};
use sbp_recipe::NearDuplicatesSection;

/// Keeps near-duplicates of documents of the pool out of it, where the recipe asks for that.
///
/// A document is compared with those before it alone, so that a shorter pool is still the beginning of a longer one.
pub(super) struct NearDuplicates {
    seen: Option<Seen>,
    /// Number of documents kept out.
    pub(super) count: usize,
}

impl NearDuplicates {
    pub(super) fn new(section: Option<&NearDuplicatesSection>) -> Self {
        let options = section.map(|section| NearDuplicateOptions {
            shingle_words: section.shingle_words,
            max_jaccard: section.max_jaccard,
            ..NearDuplicateOptions::default()
        });
        Self { seen: options.map(Seen::new), count: 0 }
    }

    /// Whether a text must stay out of the pool; else it counts as part of the pool from now on.
    pub(super) fn keep_out(&mut self, text: &str) -> bool {
        let keep_out = self.seen.as_mut().is_some_and(|seen| seen.admit(text).is_some());
        self.count += usize::from(keep_out);
        keep_out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_stays_and_nothing_goes_unless_asked() {
        let text: String = (0..100).map(|n| format!("w{n} ")).collect();
        let texts =
            [text.clone(), "Something else.".to_owned(), format!("{text} and more"), text.to_uppercase()];
        let kept_out = |section: Option<&NearDuplicatesSection>| {
            let mut near_duplicates = NearDuplicates::new(section);
            let verdicts: Vec<bool> = texts.iter().map(|text| near_duplicates.keep_out(text)).collect();
            assert_eq!(near_duplicates.count, verdicts.iter().filter(|out| **out).count());
            verdicts
        };
        assert_eq!(kept_out(Some(&NearDuplicatesSection::default())), [false, false, true, true]);
        let strict = NearDuplicatesSection { max_jaccard: 0.99, ..NearDuplicatesSection::default() };
        assert_eq!(kept_out(Some(&strict)), [false, false, false, true]);
        assert_eq!(kept_out(None), [false; 4]);
    }
}
