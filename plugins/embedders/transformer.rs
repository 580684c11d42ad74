//! A pretrained text encoder as an embedder: a Hugging Face folder of your own.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sbp_core::FingerprintBuilder;
use sbp_plugin::input::not_local;
use sbp_plugin::ports::{EncoderOptions, Pooling, Precision, TextEncoder};
use sbp_plugin::prelude::*;
use sbp_plugin::slots::embedder::{EmbedContext, Embedder, EmbedderSize, Embeddings};
use serde_json::Value;

/// A pretrained text encoder with its own tokenizer, read from a Hugging Face folder.
///
/// Encoders of BERT's type, such as all-MiniLM-L6-v2, and decoders of Qwen3's, such as Qwen3-Embedding-0.6B, whose
/// folders hold `config.json`, `tokenizer.json` and `model.safetensors` (or several with their index). What the files of
/// sentence-transformers say of pooling and length is kept to. A document of nothing but white space gets a row of zeros.
///
/// Cost: one forward pass of the encoder over up to `max_tokens` tokens of every document, charged to the ledger;
/// `documents * hidden_size * 4` bytes for the rows, and the encoder's weights in memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TransformerConfig {
    /// The encoder's folder. What is in it is part of the result's identity; where it lies is not.
    pub path: RecipePath,
    /// How the hidden states of a document become its row; by default as the folder says, and where it does not, the
    /// mean for BERT and the last token for Qwen3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pooling: Option<Pooling>,
    /// How far a document is read, in the encoder's tokens, markers included; by default as far as the folder says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_tokens: Option<usize>,
    /// Put before every document, such as the instruction that some encoders were trained with.
    #[serde(default)]
    pub prefix: String,
    /// What the encoder computes in; rows are 32-bit numbers in either case.
    #[serde(default)]
    pub precision: Precision,
}

impl Plugin<slots::Embedder> for TransformerConfig {
    const KIND: &'static str = "transformer";
    fn example() -> Self {
        Self {
            path: RecipePath(PathBuf::from("all-MiniLM-L6-v2")),
            pooling: None,
            max_tokens: None,
            prefix: String::new(),
            precision: Precision::default(),
        }
    }
    fn check(&self) -> Vec<(&'static str, String)> {
        not_local(self.path.as_ref()).map(|problem| ("path", problem)).into_iter().collect()
    }
    fn build(&self, _: &BuildContext) -> Result<Box<dyn Embedder>> {
        Ok(Box::new(TransformerEmbedder { config: self.clone(), encoder: None }))
    }
}
register!(slots::Embedder => TransformerConfig);

struct TransformerEmbedder {
    config: TransformerConfig,
    /// Opened when the first document needs it, and then kept.
    encoder: Option<Box<dyn TextEncoder>>,
}

impl Embedder for TransformerEmbedder {
    fn content(&self) -> Result<Option<Fingerprint>> {
        let folder = self.config.path.as_ref();
        let hash = content_of(folder).map_err(|error| {
            format!(
                "{}: {error}; `path` is to be the Hugging Face folder of a text encoder",
                folder.display()
            )
        })?;
        Ok(Some(hash))
    }

    fn size(&self) -> Result<EmbedderSize> {
        let path = self.config.path.as_ref().join("config.json");
        let explain = |error: &dyn std::fmt::Display| {
            format!("{}: {error}; what embedding takes is told from this file", path.display())
        };
        let text = fs::read(&path).map_err(|error| explain(&error))?;
        let config: Value = serde_json::from_slice(&text).map_err(|error| explain(&error))?;
        let (dim, parameters) =
            shape_of(&config).ok_or_else(|| explain(&"it does not give the sizes of a transformer"))?;
        Ok(EmbedderSize { dim, parameters, max_tokens: self.config.max_tokens })
    }

    fn embed(&mut self, documents: &[Document], context: &mut EmbedContext<'_>) -> Result<Embeddings> {
        let encoder = match &mut self.encoder {
            Some(encoder) => encoder,
            None => {
                let options = EncoderOptions {
                    pooling: self.config.pooling,
                    max_tokens: self.config.max_tokens,
                    prefix: self.config.prefix.clone(),
                    precision: self.config.precision,
                };
                self.encoder.insert((context.open_encoder)(self.config.path.as_ref(), &options)?)
            }
        };
        // The rest has nothing to embed, but a prefix and the encoder's markers would still give it a row.
        let (places, texts): (Vec<usize>, Vec<&str>) = documents
            .iter()
            .enumerate()
            .map(|(place, document)| (place, document.text.as_str()))
            .filter(|(_, text)| !text.trim().is_empty())
            .unzip();
        let num_empty = documents.len() - texts.len();
        let found = encoder.encode(&texts, &mut |done| (context.progress)(done + num_empty))?;
        context.cost.add(encoder.take_cost());
        let dim = encoder.dim();
        if found.len() != texts.len() * dim {
            return Err(format!(
                "the encoder gave {} numbers for {} rows of {dim}",
                found.len(),
                texts.len()
            )
            .into());
        }
        if texts.is_empty() && num_empty > 0 {
            (context.progress)(num_empty);
        }
        let mut rows = vec![0.0; documents.len() * dim];
        for (place, row) in places.into_iter().zip(found.chunks_exact(dim)) {
            rows[place * dim..][..dim].copy_from_slice(row);
        }
        Ok(Embeddings { dim, rows })
    }
}

/// Width of an encoder, and the parameters of its matrices, from its `config.json`.
fn shape_of(config: &Value) -> Option<(usize, u64)> {
    // Floating-point numbers, so that sizes beyond all bounds are merely large.
    let number = |name: &str| config.get(name)?.as_f64();
    let (d, heads) = (number("hidden_size")?, number("num_attention_heads")?);
    let head = number("head_dim").unwrap_or(d / heads);
    let (q, kv) = (heads * head, number("num_key_value_heads").unwrap_or(heads) * head);
    // BERT's feed-forward layers have no gate.
    let in_feed_forward = if config.get("model_type")?.as_str()? == "bert" { 2.0 } else { 3.0 };
    let of_a_layer = 2.0 * d * (q + kv) + in_feed_forward * d * number("intermediate_size")?;
    Some((d as usize, (number("num_hidden_layers")? * of_a_layer) as u64))
}

/// Identity of what an encoder's folder says: every `.json` and `.safetensors` in it, and the `config.json` of each
/// folder below, by name and bytes.
fn content_of(folder: &Path) -> io::Result<Fingerprint> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let of_module = path.join("config.json");
        if path.is_dir() && of_module.is_file() {
            files.push(of_module);
        } else if path.is_file()
            && path.extension().is_some_and(|kind| kind == "json" || kind == "safetensors")
        {
            files.push(path);
        }
    }
    files.sort();
    let mut content = FingerprintBuilder::default();
    for path in files {
        content.push(path.strip_prefix(folder).unwrap_or(&path).to_string_lossy().as_bytes());
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(fs::File::open(&path)?)?;
        content.push(hasher.finalize().as_bytes());
    }
    Ok(content.finish())
}

#[cfg(test)]
mod tests {
    use sbp_core::Cost;

    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        folder
    }

    fn config(path: &Path) -> TransformerConfig {
        TransformerConfig { path: RecipePath(path.to_owned()), ..TransformerConfig::example() }
    }

    fn embed(config: &TransformerConfig, texts: &[&str]) -> Result<(Embeddings, Cost)> {
        let documents: Vec<Document> = texts.iter().map(|text| Document::new(text, *text)).collect();
        let mut embedder = config.build(&BuildContext::default())?;
        sbp_testkit::embed(embedder.as_mut(), None, &documents, texts.len())
    }

    #[test]
    fn options_reach_the_encoder_and_empty_documents_do_not() {
        let folder = folder(&[("config.json", "{}")]);
        let config =
            TransformerConfig { prefix: "query: ".to_owned(), max_tokens: Some(9), ..config(folder.path()) };
        let (embeddings, cost) = embed(&config, &["cat", " \n", "dog"]).unwrap();
        assert!(embeddings.row(1).iter().all(|x| *x == 0.0));
        assert!(embeddings.similarity(0, 2) > 0.5, "they share the prefix");
        // Nine bytes of each of two documents.
        assert_eq!(cost.tokens, 18);
    }

    #[test]
    fn identity_is_the_content_and_not_the_place() {
        let whole = [("config.json", "{}"), ("model.safetensors", "w"), ("1_Pooling/config.json", "{}")];
        let identity = |folder: &tempfile::TempDir| {
            config(folder.path()).build(&BuildContext::default()).unwrap().content().unwrap().unwrap()
        };
        let first = identity(&folder(&whole));
        assert_eq!(first, identity(&folder(&[&whole[..], &[("README.md", "read me")]].concat())));
        for (index, (name, _)) in whole.iter().enumerate() {
            let mut changed = whole;
            changed[index].1 = "{ }";
            assert_ne!(first, identity(&folder(&changed)), "{name} does not count");
        }
    }

    #[test]
    fn its_size_is_told_from_its_configuration() {
        let size = |text: &str| {
            let folder = folder(&[("config.json", text)]);
            config(folder.path()).build(&BuildContext::default()).unwrap().size()
        };
        // all-MiniLM-L6-v2: six layers of 4 x 384^2 + 2 x 384 x 1536.
        let mini_lm = r#"{"model_type": "bert", "hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12,
            "intermediate_size": 1536}"#;
        assert_eq!(
            size(mini_lm).unwrap(),
            EmbedderSize { dim: 384, parameters: 10_616_832, max_tokens: None }
        );
        // Qwen3-Embedding-0.6B: 28 layers of 2 x 1024 x (2048 + 1024) + 3 x 1024 x 3072, the 0.44B without its embedding.
        let qwen3 = r#"{"model_type": "qwen3", "hidden_size": 1024, "num_hidden_layers": 28, "num_attention_heads": 16,
            "num_key_value_heads": 8, "head_dim": 128, "intermediate_size": 3072}"#;
        assert_eq!(size(qwen3).unwrap().parameters, 440_401_920);
        for wrong in ["{}", "no JSON"] {
            let error = size(wrong).unwrap_err().to_string();
            assert!(error.contains("config.json") && error.contains("what embedding takes"), "{error}");
        }
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let config = config(Path::new("nowhere/at all"));
        let error = config.build(&BuildContext::default()).unwrap().content().unwrap_err().to_string();
        assert!(error.contains("nowhere/at all") && error.contains("`path`"), "{error}");
        assert!(embed(&config, &["cat"]).is_err());
    }
}
