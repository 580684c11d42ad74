//! How much of a text is taken from another: extractive fragments (Grusky et al. 2018, arXiv 1804.11283).

use std::collections::HashMap;

use super::word_hashes;

/// How much of a text stands word for word in another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Extraction {
    /// The share of words that are within a fragment of the source.
    pub coverage: f64,
    /// The mean, over words, of the length of the fragment that a word is in: a text copied whole has its number of words.
    pub density: f64,
}

impl Extraction {
    /// Compares a text with a source, each as words in lower case without punctuation. From the left, the longest run of
    /// words that stands anywhere in the source is a fragment, and the search goes on behind it. Texts without words have
    /// neither coverage nor density.
    ///
    /// Cost: O(words of the text * places of a word in the source * length of fragments).
    pub fn of(text: &str, source: &str) -> Self {
        let (text, source) = (word_hashes(text), word_hashes(source));
        let mut places: HashMap<u64, Vec<usize>> = HashMap::new();
        for (place, word) in source.iter().enumerate() {
            places.entry(*word).or_default().push(place);
        }
        let (mut at, mut covered, mut squares) = (0, 0, 0);
        while at < text.len() {
            let run = |&place: &usize| {
                text[at..].iter().zip(&source[place..]).take_while(|(word, other)| word == other).count()
            };
            let longest = places.get(&text[at]).and_then(|places| places.iter().map(run).max()).unwrap_or(0);
            covered += longest;
            squares += longest * longest;
            at += longest.max(1);
        }
        let words = text.len().max(1) as f64;
        Self { coverage: covered as f64 / words, density: squares as f64 / words }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fragments_of_hand_counted_texts() {
        let source = "the cat sat on the mat and the cat slept";
        let found = Extraction::of("The cat slept, soundly: on the roof", source);
        // "the cat slept" is one fragment of three words; then "on the" of two.
        assert_eq!(found, Extraction { coverage: 5.0 / 7.0, density: 13.0 / 7.0 });
        assert_eq!(Extraction::of(source, source), Extraction { coverage: 1.0, density: 10.0 });
        assert_eq!(Extraction::of("", source), Extraction { coverage: 0.0, density: 0.0 });
        assert_eq!(Extraction::of("dogs bark", source), Extraction { coverage: 0.0, density: 0.0 });
    }
}
