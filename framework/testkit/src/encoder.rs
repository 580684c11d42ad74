//! A text encoder that counts bytes.

use std::fs;
use std::path::Path;

use sbp_core::Cost;
use sbp_plugin::Result;
use sbp_plugin::ports::{EncoderOptions, TextEncoder};
use sbp_plugin::slots::embedder::Embeddings;

/// The rows of texts are counts of their bytes, by 32 columns; a byte is a token. Any folder with a `config.json` opens.
#[derive(Debug, Clone, PartialEq)]
pub struct ByteEncoder {
    prefix: String,
    max_tokens: usize,
    cost: Cost,
}

/// Numbers in a row.
const DIM: usize = 32;

impl ByteEncoder {
    /// Opens a folder, of which nothing is read.
    ///
    /// # Errors
    /// When it has no `config.json`.
    pub fn open(folder: &Path, options: &EncoderOptions) -> Result<Self> {
        let config = folder.join("config.json");
        fs::metadata(&config).map_err(|error| format!("{}: {error}", config.display()))?;
        let max_tokens = options.max_tokens.unwrap_or(usize::MAX);
        Ok(Self { prefix: options.prefix.clone(), max_tokens, cost: Cost::default() })
    }
}

impl TextEncoder for ByteEncoder {
    fn dim(&self) -> usize {
        DIM
    }

    fn encode(&mut self, texts: &[&str], progress: &mut dyn FnMut(usize)) -> Result<Vec<f32>> {
        let mut rows = vec![0.0; texts.len() * DIM];
        for (index, text) in texts.iter().enumerate() {
            for byte in self.prefix.bytes().chain(text.bytes()).take(self.max_tokens) {
                rows[index * DIM + usize::from(byte) % DIM] += 1.0;
                self.cost.add(Cost { tokens: 1, flops: 1.0 });
            }
            progress(index + 1);
        }
        Ok(Embeddings::normalised(DIM, rows).rows)
    }

    fn take_cost(&mut self) -> Cost {
        std::mem::take(&mut self.cost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_hand_counted_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let options =
            EncoderOptions { prefix: "a".to_owned(), max_tokens: Some(3), ..EncoderOptions::default() };
        assert!(ByteEncoder::open(folder.path(), &options).is_err());
        fs::write(folder.path().join("config.json"), "{}").unwrap();
        let mut encoder = ByteEncoder::open(folder.path(), &options).unwrap();
        let rows = encoder.encode(&["b", "aab"], &mut |_| {}).unwrap();
        let half = 0.5_f32.sqrt();
        assert_eq!((rows[1], rows[2]), (half, half));
        assert_eq!((rows[DIM + 1], rows[DIM + 2]), (1.0, 0.0));
        assert_eq!(encoder.take_cost(), Cost { tokens: 5, flops: 5.0 });
    }
}
