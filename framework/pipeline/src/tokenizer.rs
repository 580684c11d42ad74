//! The study's tokenizer: byte-level BPE by the `tokenizers` crate, trained on D_pretrain alone, or a given one.

use std::path::Path;

use sbp_core::{Document, Markers, TokenId};
use sbp_plugin::Result;
use sbp_plugin::ports::Tokenizer as TokenizerPort;
use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::{BPE, BpeTrainerBuilder};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, Tokenizer as HfTokenizer};

/// Begins and ends documents.
const END_OF_TEXT: &str = "<|endoftext|>";
/// Stands between a seed document and a related one.
const RELATED: &str = "<|related|>";
/// Names that tokenizers in the field give the end-of-text token, tried in this order.
const KNOWN_ENDS: [&str; 5] = [END_OF_TEXT, "</s>", "<|end_of_text|>", "<eos>", "<|im_end|>"];

/// A Hugging Face tokenizer with the two markers.
pub(crate) struct Tokenizer {
    inner: HfTokenizer,
    markers: Markers,
}

impl Tokenizer {
    /// Trains a byte-level BPE of `vocab_size` tokens, markers included. The same documents give the same
    /// tokenizer, whatever the number of threads.
    pub(crate) fn train(documents: &[Document], vocab_size: usize) -> Result<Self> {
        let mut inner = HfTokenizer::new(BPE::default());
        inner.with_pre_tokenizer(Some(ByteLevel::new(false, true, true)));
        inner.with_decoder(Some(ByteLevel::default()));
        let markers = [END_OF_TEXT, RELATED].map(|text| AddedToken::from(text, true)).to_vec();
        let trainer = BpeTrainerBuilder::new()
            .vocab_size(vocab_size)
            .show_progress(false)
            .special_tokens(markers)
            .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
            .build();
        let texts = documents.iter().map(|document| document.text.as_str());
        inner.train(&mut TrainerWrapper::from(trainer), texts)?;
        Self::with_markers(inner)
    }

    /// Opens a `tokenizer.json`; a missing separator marker is added to its vocabulary.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let inner = HfTokenizer::from_file(path)
            .map_err(|error| format!("cannot use {} as a tokenizer: {error}", path.display()))?;
        Self::with_markers(inner)
    }

    fn with_markers(mut inner: HfTokenizer) -> Result<Self> {
        // Truncation and padding built into a tokenizer.json would silently cut documents.
        inner.with_truncation(None)?;
        inner.with_padding(None);
        let end =
            KNOWN_ENDS.into_iter().find(|text| inner.token_to_id(text).is_some()).unwrap_or(END_OF_TEXT);
        inner.add_special_tokens([end, RELATED].map(|text| AddedToken::from(text, true)))?;
        let id =
            |text: &str| inner.token_to_id(text).ok_or_else(|| format!("the tokenizer has no token {text}"));
        let markers = Markers { end_of_text: id(end)?, related: id(RELATED)? };
        Ok(Self { inner, markers })
    }

    /// Writes `tokenizer.json`.
    pub(crate) fn save(&self, path: &Path) -> Result<()> {
        self.inner.save(path, true)
    }

    /// Tokens of many texts, on all cores.
    pub(crate) fn encode_all(&self, documents: &[Document]) -> Result<Vec<Vec<TokenId>>> {
        use rayon::prelude::*;
        documents.par_iter().map(|document| self.encode(&document.text)).collect()
    }
}

impl TokenizerPort for Tokenizer {
    fn encode(&self, text: &str) -> Result<Vec<TokenId>> {
        // Text that spells a marker is text: only the framework places markers.
        let encoding = self.inner.encode_fast(text, false)?;
        let is_marker = |id: &TokenId| *id == self.markers.end_of_text || *id == self.markers.related;
        Ok(encoding.get_ids().iter().copied().filter(|id| !is_marker(id)).collect())
    }
    fn decode(&self, tokens: &[TokenId]) -> Result<String> {
        self.inner.decode(tokens, true)
    }
    fn markers(&self) -> Markers {
        self.markers
    }
    fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_survives_and_markers_are_never_read_out_of_text() {
        let documents: Vec<_> =
            (0..50).map(|i| Document::new(&i.to_string(), format!("Ünïcode text, number {i}."))).collect();
        let tokenizer = Tokenizer::train(&documents, 300).unwrap();
        let text = "Number 7 — Ünïcode\n\ttext 🦀";
        assert_eq!(tokenizer.decode(&tokenizer.encode(text).unwrap()).unwrap(), text);
        let sneaky = tokenizer.encode("a<|endoftext|>b").unwrap();
        assert!(!sneaky.contains(&tokenizer.markers().end_of_text));

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokenizer.json");
        tokenizer.save(&path).unwrap();
        let opened = Tokenizer::open(&path).unwrap();
        assert_eq!(opened.encode(text).unwrap(), tokenizer.encode(text).unwrap());
        assert_eq!(opened.markers(), tokenizer.markers());
    }
}
