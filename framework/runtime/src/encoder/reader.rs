//! From texts to tokens by the encoder's own `tokenizer.json`, with the markers that it places.

use std::path::Path;

use sbp_core::TokenId;
use tokenizers::{PostProcessor as _, Tokenizer, TruncationParams};

use crate::error::{Error, Result};

/// A tokenizer and how far it reads.
pub(super) struct Reader {
    tokenizer: Tokenizer,
    prefix: String,
    vocab_size: usize,
}

impl Reader {
    pub(super) fn open(folder: &Path, prefix: &str, max_tokens: usize, vocab_size: usize) -> Result<Self> {
        let path = folder.join("tokenizer.json");
        let refuse = |reason: String| Error::NotACheckpoint { path: path.clone(), reason };
        let mut tokenizer = Tokenizer::from_file(&path).map_err(|error| refuse(error.to_string()))?;
        // Both may be built in, for lengths other than the encoder's.
        tokenizer.with_padding(None);
        let direction = tokenizer.get_truncation().map(|built_in| built_in.direction).unwrap_or_default();
        let markers = tokenizer.get_post_processor().map_or(0, |processor| processor.added_tokens(false));
        if max_tokens <= markers {
            return Err(Error::Invalid(format!(
                "max_tokens is {max_tokens}, which leaves no room for text beside the encoder's {markers} markers"
            )));
        }
        let cut = TruncationParams { max_length: max_tokens, direction, ..TruncationParams::default() };
        tokenizer.with_truncation(Some(cut)).map_err(|error| refuse(error.to_string()))?;
        Ok(Self { tokenizer, prefix: prefix.to_owned(), vocab_size })
    }

    /// The tokens of each text, on all cores.
    pub(super) fn read(&self, texts: &[&str]) -> Result<Vec<Vec<TokenId>>> {
        let prefixed = texts.iter().map(|text| match self.prefix.as_str() {
            "" => std::borrow::Cow::Borrowed(*text),
            prefix => std::borrow::Cow::Owned(format!("{prefix}{text}")),
        });
        let encodings = self
            .tokenizer
            .encode_batch_fast(prefixed.collect(), true)
            .map_err(|error| Error::Invalid(format!("the encoder's tokenizer failed: {error}")))?;
        let tokens: Vec<Vec<TokenId>> =
            encodings.iter().map(|encoding| encoding.get_ids().to_vec()).collect();
        match tokens.iter().flatten().find(|&&token| token as usize >= self.vocab_size) {
            Some(token) => Err(Error::Invalid(format!(
                "the encoder's tokenizer.json has token {token}, its model a vocabulary of {}; they are not of one folder",
                self.vocab_size
            ))),
            None => Ok(tokens),
        }
    }
}
