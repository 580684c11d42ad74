//! Tokenised documents: all tokens in one list, and where each document begins.
//!
//! Held in memory, 4 bytes a token. On disk `NAME.tokens` (u32, little-endian) and `NAME.lengths` (u32).

use std::fs;
use std::path::Path;

use sbp_core::{Example, Markers, TokenId};

use crate::files;
use crate::{Error, Result};

/// Documents as tokens, without markers.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct TokenStore {
    tokens: Vec<TokenId>,
    /// Document i is `tokens[starts[i]..starts[i + 1]]`.
    starts: Vec<usize>,
    /// Training tokens of each document: its tokens and the end marker.
    lengths: Vec<u32>,
}

impl TokenStore {
    pub(crate) fn from_documents(documents: impl IntoIterator<Item = Vec<TokenId>>) -> Self {
        let mut store = Self { tokens: Vec::new(), starts: vec![0], lengths: Vec::new() };
        for document in documents {
            store.lengths.push(document.len() as u32 + 1);
            store.tokens.extend(document);
            store.starts.push(store.tokens.len());
        }
        store
    }

    pub(crate) fn len(&self) -> usize {
        self.lengths.len()
    }

    pub(crate) fn document(&self, index: usize) -> &[TokenId] {
        &self.tokens[self.starts[index]..self.starts[index + 1]]
    }

    /// Training tokens of each document.
    pub(crate) fn lengths(&self) -> &[u32] {
        &self.lengths
    }

    /// Training tokens of all documents.
    pub(crate) fn num_training_tokens(&self) -> u64 {
        self.lengths.iter().map(|&length| u64::from(length)).sum()
    }

    /// Mean number of tokens that a token attends over, itself included, when documents are cut at `context`.
    pub(crate) fn mean_context(&self, context: usize) -> f64 {
        let (mut sum, mut count) = (0.0, 0.0);
        for &length in &self.lengths {
            let (whole, rest) = (u64::from(length) / context as u64, u64::from(length) % context as u64);
            let triangle = |n: f64| n * (n + 1.0) / 2.0;
            sum += whole as f64 * triangle(context as f64) + triangle(rest as f64);
            count += f64::from(length);
        }
        if count == 0.0 { 0.0 } else { sum / count }
    }

    /// Predictions `from..to` of a document: prediction i is of its i-th token, the last of the end marker.
    pub(crate) fn piece(&self, index: usize, from: usize, to: usize, markers: Markers) -> Example {
        let text = self.document(index);
        let at = |position: usize| match position {
            0 => markers.end_of_text,
            position if position <= text.len() => text[position - 1],
            _ => markers.end_of_text,
        };
        let tokens: Vec<TokenId> = (from..=to).map(at).collect();
        let mut loss_weights = vec![1.0; tokens.len()];
        loss_weights[0] = 0.0;
        Example { tokens, loss_weights }
    }

    pub(crate) fn write(&self, folder: &Path, name: &str) -> Result<()> {
        files::write_whole(&folder.join(format!("{name}.tokens")), &to_bytes(&self.tokens))?;
        files::write_whole(&folder.join(format!("{name}.lengths")), &to_bytes(&self.lengths))
    }

    pub(crate) fn read(folder: &Path, name: &str) -> Result<Self> {
        let tokens = read_numbers(&folder.join(format!("{name}.tokens")))?;
        let lengths_path = folder.join(format!("{name}.lengths"));
        let lengths = read_numbers(&lengths_path)?;
        let mut starts = vec![0];
        for &length in &lengths {
            let end = starts[starts.len() - 1] + (length as usize).saturating_sub(1);
            starts.push(end);
        }
        if starts[starts.len() - 1] != tokens.len() {
            return Err(files::invalid(&lengths_path, &"it does not fit the tokens beside it"));
        }
        Ok(Self { tokens, starts, lengths })
    }
}

fn to_bytes(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

fn read_numbers(path: &Path) -> Result<Vec<u32>> {
    let bytes = fs::read(path).map_err(Error::file("read", path))?;
    let (numbers, rest) = bytes.as_chunks::<4>();
    if rest.is_empty() {
        Ok(numbers.iter().map(|&number| u32::from_le_bytes(number)).collect())
    } else {
        Err(files::invalid(path, &"its length is not a multiple of 4"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARKERS: Markers = Markers { end_of_text: 0, related: 1 };

    #[test]
    fn pieces_of_a_document_predict_every_token_once() {
        let store = TokenStore::from_documents([vec![5, 6, 7]]);
        assert_eq!(store.piece(0, 0, 4, MARKERS), Example::document(&[5, 6, 7], MARKERS));
        assert_eq!(store.piece(0, 0, 2, MARKERS).tokens, [0, 5, 6]);
        assert_eq!(store.piece(0, 2, 4, MARKERS).tokens, [6, 7, 0]);
    }

    #[test]
    fn survives_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let store = TokenStore::from_documents([vec![5, 6, 7], vec![], vec![9]]);
        store.write(folder.path(), "x").unwrap();
        assert_eq!(TokenStore::read(folder.path(), "x").unwrap(), store);
    }

    #[test]
    fn mean_context_by_hand() {
        // 3 predictions attend over 1, 2, 3 tokens; cut at 2 they attend over 1, 2, 1.
        let store = TokenStore::from_documents([vec![5, 6]]);
        assert_eq!(store.mean_context(8), 2.0);
        assert!((store.mean_context(2) - 4.0 / 3.0).abs() < 1e-12);
    }
}
