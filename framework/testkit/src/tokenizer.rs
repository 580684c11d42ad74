//! A tokenizer with nothing to train: one token a byte.

use sbp_core::{Example, Markers, TokenId};
use sbp_plugin::Result;
use sbp_plugin::ports::Tokenizer;

/// One token a byte, then the two markers: 258 in all.
#[derive(Debug, Clone, Copy, Default)]
pub struct ByteTokenizer;

impl ByteTokenizer {
    /// A text as a training sequence of its own.
    pub fn document(self, text: &str) -> Example {
        let tokens: Vec<TokenId> = text.bytes().map(TokenId::from).collect();
        Example::document(&tokens, self.markers())
    }
}

impl Tokenizer for ByteTokenizer {
    fn encode(&self, text: &str) -> Result<Vec<TokenId>> {
        Ok(text.bytes().map(TokenId::from).collect())
    }

    fn decode(&self, tokens: &[TokenId]) -> Result<String> {
        let mut bytes = Vec::with_capacity(tokens.len());
        for &token in tokens {
            match u8::try_from(token) {
                Ok(byte) => bytes.push(byte),
                Err(_) if (token as usize) < self.vocab_size() => {}
                Err(_) => return Err(format!("token {token} is outside the vocabulary of 258").into()),
            }
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn markers(&self) -> Markers {
        Markers { end_of_text: 256, related: 257 }
    }

    fn vocab_size(&self) -> usize {
        258
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back_and_markers_do_not() {
        let mut tokens = ByteTokenizer.encode("Zürich 🌍").unwrap();
        tokens.push(256);
        tokens.insert(0, 257);
        assert_eq!(ByteTokenizer.decode(&tokens).unwrap(), "Zürich 🌍");
        assert!(ByteTokenizer.decode(&[258]).is_err());
    }
}
