//! The study's tokenizer: byte-level BPE by the `tokenizers` crate, trained on D_pretrain alone, or a given one.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use sbp_core::{Document, Markers, TokenId};
use sbp_plugin::Result;
use sbp_plugin::input;
use sbp_plugin::ports::Tokenizer as TokenizerPort;
use serde_json::Value;
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
        Self::with_markers(inner, END_OF_TEXT)
    }

    /// Opens a `tokenizer.json`; a missing separator marker is added to its vocabulary.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let inner = read(path)?;
        let end = KNOWN_ENDS.into_iter().find(|text| inner.token_to_id(text).is_some());
        Self::with_markers(inner, end.unwrap_or(END_OF_TEXT))
    }

    /// Opens the tokenizer of a model's folder, in which other files say which token ends a text.
    pub(crate) fn of_model(folder: &Path) -> Result<Self> {
        let path = folder.join("tokenizer.json");
        if !path.exists() {
            return Err(format!(
                "{} has no tokenizer.json, without which no text can be put to the model; `save_pretrained` of a \
                 fast tokenizer in transformers writes it",
                folder.display()
            )
            .into());
        }
        let inner = read(&path)?;
        let end = end_of_model(folder, &inner)?;
        Self::with_markers(inner, &end)
    }

    fn with_markers(mut inner: HfTokenizer, end: &str) -> Result<Self> {
        // Truncation and padding built into a tokenizer.json would silently cut documents.
        inner.with_truncation(None)?;
        inner.with_padding(None);
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

    /// The end-of-text token as it is written.
    pub(crate) fn end_of_text(&self) -> Option<String> {
        self.inner.id_to_token(self.markers.end_of_text)
    }

    /// Tokens of many texts, on all cores.
    pub(crate) fn encode_all(&self, documents: &[Document]) -> Result<Vec<Vec<TokenId>>> {
        use rayon::prelude::*;
        documents.par_iter().map(|document| self.encode(&document.text)).collect()
    }
}

fn read(path: &Path) -> Result<HfTokenizer> {
    HfTokenizer::from_bytes(input::bytes(path)?)
        .map_err(|error| format!("cannot use {} as a tokenizer: {error}", path.display()).into())
}

/// The token that ends a text, as the files of a model's folder say: by name, or by its place in the vocabulary.
fn end_of_model(folder: &Path, tokenizer: &HfTokenizer) -> Result<String> {
    let config = beside(folder, "tokenizer_config.json")?;
    // A name, or in older files a whole token.
    let named = config["eos_token"].as_str().or(config["eos_token"]["content"].as_str());
    if let Some(name) = named {
        return match tokenizer.token_to_id(name) {
            Some(_) => Ok(name.to_owned()),
            None => Err(format!(
                "{}: eos_token is {name:?}, which tokenizer.json does not have; name the token that ends a text",
                folder.join("tokenizer_config.json").display()
            )
            .into()),
        };
    }
    let config = beside(folder, "config.json")?;
    // One, or a list of which the first is the model's own.
    let id = config["eos_token_id"].as_u64().or(config["eos_token_id"][0].as_u64());
    let token = id.and_then(|id| tokenizer.id_to_token(u32::try_from(id).ok()?));
    token.ok_or_else(|| {
        format!(
            "{} does not say which token ends a text; give eos_token in tokenizer_config.json, or eos_token_id in \
             config.json",
            folder.display()
        )
        .into()
    })
}

/// A JSON file of a model's folder; null where there is none.
fn beside(folder: &Path, name: &str) -> Result<Value> {
    let path = folder.join(name);
    match fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text)
            .map_err(|error| format!("{} is not JSON: {error}", path.display()).into()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Value::Null),
        Err(error) => Err(format!("cannot read {}: {error}", path.display()).into()),
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

    #[test]
    fn the_folder_of_a_model_says_which_token_ends_a_text() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        let documents: Vec<_> =
            (0..50).map(|i| Document::new(&i.to_string(), format!("text {i} and <stop>"))).collect();
        let mut inner = Tokenizer::train(&documents, 300).unwrap().inner;
        inner.add_tokens([AddedToken::from("<stop>", false)]).unwrap();
        let stop = inner.token_to_id("<stop>").unwrap();
        inner.save(folder.path().join("tokenizer.json"), false).unwrap();
        let open = || Tokenizer::of_model(folder.path());
        let told = || open().err().map(|error| error.to_string()).unwrap_or_default();

        assert!(told().contains("does not say which token ends a text"), "{}", told());
        for (config, tokenizer_config) in [
            (format!(r#"{{"eos_token_id": {stop}}}"#), "{}"),
            (format!(r#"{{"eos_token_id": [{stop}, 0]}}"#), r#"{"eos_token": null}"#),
            ("{}".to_owned(), r#"{"eos_token": "<stop>"}"#),
            (r#"{"eos_token_id": 0}"#.to_owned(), r#"{"eos_token": {"content": "<stop>", "special": true}}"#),
        ] {
            write("config.json", &config);
            write("tokenizer_config.json", tokenizer_config);
            let opened = open().unwrap();
            assert_eq!(opened.markers().end_of_text, stop, "{config} {tokenizer_config}");
            assert_eq!(opened.end_of_text().as_deref(), Some("<stop>"));
        }
        write("tokenizer_config.json", r#"{"eos_token": "<absent>"}"#);
        assert!(told().contains("\"<absent>\""), "{}", told());
        write("tokenizer_config.json", "not JSON");
        assert!(told().contains("tokenizer_config.json is not JSON"), "{}", told());
    }
}
