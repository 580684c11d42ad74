//! Words and sentences, and hashes of words.

use std::borrow::Cow;

/// The words of a text: runs of letters and digits, in lower case.
pub fn words(text: &str) -> impl Iterator<Item = Cow<'_, str>> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(lower_case)
}

fn lower_case(word: &str) -> Cow<'_, str> {
    let is_lower_case = word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    if is_lower_case { Cow::Borrowed(word) } else { Cow::Owned(word.to_lowercase()) }
}

/// The words of a text as hashes: [`hash_word`] of each of its [`words`].
pub fn word_hashes(text: &str) -> Vec<u64> {
    let bytes = text.as_bytes();
    let mut hashes = Vec::with_capacity(bytes.len() / 6 + 1);
    let mut at = 0;
    while at < bytes.len() {
        let start = at;
        let mut hash = FNV_START;
        while let Some(&byte) = bytes.get(at)
            && LOWER_CASE[byte as usize] != 0
        {
            hash = fnv(hash, LOWER_CASE[byte as usize]);
            at += 1;
        }
        if bytes.get(at).is_some_and(|byte| !byte.is_ascii()) {
            // What stopped the run may be a letter beyond ASCII: then the word goes on, and is lowered as a whole.
            let rest = &text[start..];
            let len = rest.find(|c: char| !c.is_alphanumeric()).unwrap_or(rest.len());
            if start + len > at {
                hashes.push(hash_word(&rest[..len].to_lowercase()));
                at = start + len;
                continue;
            }
        }
        if at > start {
            hashes.push(mix(hash));
        }
        at += text[at..].chars().next().map_or(0, char::len_utf8);
    }
    hashes
}

/// A hash of one word, the same on every platform and in every version.
pub fn hash_word(word: &str) -> u64 {
    // FNV-1a, then a finaliser: FNV alone leaves its low bits poorly mixed.
    mix(word.bytes().fold(FNV_START, fnv))
}

/// A hash of a sequence of word hashes; order matters.
pub fn hash_sequence(words: &[u64]) -> u64 {
    words.iter().fold(words.len() as u64, |hash, word| mix(hash.rotate_left(25) ^ word))
}

const FNV_START: u64 = 0xcbf2_9ce4_8422_2325;

fn fnv(hash: u64, byte: u8) -> u64 {
    (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
}

/// Letters and digits of ASCII in lower case, 0 for every other byte.
const LOWER_CASE: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 128 {
        if (byte as u8).is_ascii_alphanumeric() {
            table[byte] = (byte as u8).to_ascii_lowercase();
        }
        byte += 1;
    }
    table
};

/// The finaliser of SplitMix64: every input bit reaches every output bit.
pub(super) fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// The sentences of a text: lines, split again behind `.`, `!` or `?` that a space follows. Trimmed, none empty.
pub fn sentences(text: &str) -> Vec<&str> {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_are_lower_case_runs_of_letters_and_digits() {
        let words: Vec<_> = words("The quick-brown Fuchs, 3 ÜBER; don't").collect();
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

    /// The plain definition.
    fn hashes_one_by_one(text: &str) -> Vec<u64> {
        text.split(|c: char| !c.is_alphanumeric())
            .filter(|word| !word.is_empty())
            .map(|word| hash_word(&word.to_lowercase()))
            .collect()
    }

    #[test]
    fn words_that_mix_scripts_hash_as_a_whole() {
        // A final sigma, a letter that grows in lower case, dashes and marks beyond ASCII at either end.
        for text in
            ["aΣ Σ.ΣΑΣ", "İstanbul—x", "—", "a—", "naïve…naïve", "漢字abc漢", "é", "e\u{301}E", "ASCII"]
        {
            assert_eq!(word_hashes(text), hashes_one_by_one(text), "{text}");
        }
    }

    proptest! {
        #[test]
        fn scanning_hashes_as_the_plain_definition(text in "\\PC{0,40}", plain in "[a-cA-C0 .éÉΣσς—İ漢\n]{0,40}") {
            prop_assert_eq!(word_hashes(&text), hashes_one_by_one(&text));
            prop_assert_eq!(word_hashes(&plain), hashes_one_by_one(&plain));
            let hashes: Vec<u64> = words(&plain).map(|word| hash_word(&word)).collect();
            prop_assert_eq!(word_hashes(&plain), hashes);
        }
    }
}
