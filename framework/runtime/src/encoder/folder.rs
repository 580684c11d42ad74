//! What the folder of an encoder says of itself beside its weights: `config.json`, and the files of
//! sentence-transformers where it has them.

use std::fs;
use std::path::{Path, PathBuf};

use sbp_plugin::ports::Pooling;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::{Error, Result, at};

/// A folder of a supported kind of model.
pub(super) struct Folder {
    path: PathBuf,
    /// `bert` or `qwen3`.
    pub(super) model_type: String,
    /// Longest text that the model can attend over.
    pub(super) max_positions: usize,
    /// Longest text that it was made for, where that is said.
    pub(super) max_tokens: Option<usize>,
}

#[derive(Deserialize)]
struct Config {
    model_type: String,
    max_position_embeddings: usize,
}

/// `sentence_bert_config.json`.
#[derive(Deserialize)]
struct SentenceConfig {
    #[serde(default)]
    max_seq_length: Option<usize>,
}

/// `tokenizer_config.json`. "No limit" is written there as a number beyond all integers.
#[derive(Deserialize)]
struct TokenizerConfig {
    #[serde(default)]
    model_max_length: Option<f64>,
}

/// A line of `modules.json`.
#[derive(Deserialize)]
struct Module {
    #[serde(default)]
    path: String,
    #[serde(rename = "type")]
    kind: String,
}

impl Folder {
    pub(super) fn read(path: &Path) -> Result<Self> {
        let config_path = path.join("config.json");
        let text = fs::read(&config_path).map_err(at(&config_path))?;
        let refuse = |reason: String| Error::NotACheckpoint { path: config_path.clone(), reason };
        let config: Config = serde_json::from_slice(&text).map_err(|error| refuse(error.to_string()))?;
        if !["bert", "qwen3"].contains(&config.model_type.as_str()) {
            return Err(refuse(format!(
                "model_type is `{}`; text encoders of type `bert` and `qwen3` are supported",
                config.model_type
            )));
        }
        let sentence: Option<SentenceConfig> = read_json(&path.join("sentence_bert_config.json"))?;
        let tokenizer: Option<TokenizerConfig> = read_json(&path.join("tokenizer_config.json"))?;
        let of_tokenizer = tokenizer.and_then(|config| config.model_max_length);
        let max_tokens = sentence
            .and_then(|config| config.max_seq_length)
            .or(of_tokenizer.filter(|length| (1.0..1e9).contains(length)).map(|length| length as usize));
        Ok(Self {
            path: path.to_owned(),
            model_type: config.model_type,
            max_positions: config.max_position_embeddings,
            max_tokens,
        })
    }

    /// How rows are made by the folder's own word; without one, as is usual for its kind of model.
    pub(super) fn pooling(&self) -> Result<Pooling> {
        let modules_path = self.path.join("modules.json");
        let modules: Vec<Module> = read_json(&modules_path)?.unwrap_or_default();
        let mut pooling = "1_Pooling".to_owned();
        for module in modules {
            match module.kind.rsplit('.').next().unwrap_or_default() {
                "Transformer" | "Normalize" => {}
                "Pooling" => pooling = module.path,
                other => {
                    return Err(Error::NotACheckpoint {
                        path: modules_path,
                        reason: format!(
                            "its module `{other}` is not supported; set `pooling` to do without what comes after the model"
                        ),
                    });
                }
            }
        }
        let path = self.path.join(pooling).join("config.json");
        match read_json::<Value>(&path)? {
            Some(config) => of_config(&config).map_err(|reason| Error::NotACheckpoint { path, reason }),
            None if self.model_type == "bert" => Ok(Pooling::Mean),
            None => Ok(Pooling::LastToken),
        }
    }
}

/// The one way that a pooling module's `config.json` names: in a word, or as the flag that is true in older ones.
fn of_config(config: &Value) -> std::result::Result<Pooling, String> {
    let names: Vec<&str> = match config.get("pooling_mode") {
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ => config
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(_, value)| **value == Value::Bool(true))
            .filter_map(|(name, _)| name.strip_prefix("pooling_mode_"))
            .collect(),
    };
    match names.as_slice() {
        ["mean" | "mean_tokens"] => Ok(Pooling::Mean),
        ["cls" | "cls_token"] => Ok(Pooling::Cls),
        ["lasttoken"] => Ok(Pooling::LastToken),
        _ => Err(format!("pooling by {names:?} is not supported; set `pooling` to one that is")),
    }
}

/// A file that need not be there.
fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    match fs::read(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(at(path)(error)),
        Ok(text) => serde_json::from_slice(&text)
            .map(Some)
            .map_err(|error| Error::NotACheckpoint { path: path.to_owned(), reason: error.to_string() }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn folder(files: &[(&str, Value)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content.to_string()).unwrap();
        }
        folder
    }

    const CONFIG: &str = "config.json";

    fn config(kind: &str) -> Value {
        json!({"model_type": kind, "max_position_embeddings": 512})
    }

    #[test]
    fn lengths_come_from_the_nearest_file() {
        let sentence = ("sentence_bert_config.json", json!({"max_seq_length": 256}));
        let tokenizer = ("tokenizer_config.json", json!({"model_max_length": 128}));
        let unlimited = ("tokenizer_config.json", json!({"model_max_length": 1e30}));
        let max_tokens = |files: &[(&str, Value)]| Folder::read(folder(files).path()).unwrap().max_tokens;
        assert_eq!(max_tokens(&[(CONFIG, config("bert")), sentence, tokenizer.clone()]), Some(256));
        assert_eq!(max_tokens(&[(CONFIG, config("bert")), tokenizer]), Some(128));
        assert_eq!(max_tokens(&[(CONFIG, config("bert")), unlimited]), None);
    }

    #[test]
    fn pooling_is_what_the_folder_says() {
        let found = |kind: &str, pooling: Option<Value>| {
            let mut files = vec![(CONFIG, config(kind))];
            files.extend(pooling.map(|pooling| ("1_Pooling/config.json", pooling)));
            Folder::read(folder(&files).path()).unwrap().pooling()
        };
        assert_eq!(found("bert", None).unwrap(), Pooling::Mean);
        assert_eq!(found("qwen3", None).unwrap(), Pooling::LastToken);
        let old = json!({"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false, "include_prompt": true});
        assert_eq!(found("bert", Some(old)).unwrap(), Pooling::Cls);
        assert_eq!(found("bert", Some(json!({"pooling_mode": "lasttoken"}))).unwrap(), Pooling::LastToken);
        let two = json!({"pooling_mode": ["mean", "max"]});
        assert!(found("bert", Some(two)).unwrap_err().to_string().contains(r#"["mean", "max"]"#));
    }

    #[test]
    fn what_would_change_rows_is_refused_by_name() {
        let modules = json!([
            {"type": "sentence_transformers.models.Transformer", "path": ""},
            {"type": "sentence_transformers.models.Pooling", "path": "1_Pooling"},
            {"type": "sentence_transformers.models.Dense", "path": "2_Dense"},
        ]);
        let with_dense = folder(&[(CONFIG, config("bert")), ("modules.json", modules)]);
        let message = Folder::read(with_dense.path()).unwrap().pooling().unwrap_err().to_string();
        assert!(message.contains("`Dense`"), "{message}");
        let message = Folder::read(folder(&[(CONFIG, config("t5"))]).path()).err().unwrap().to_string();
        assert!(message.contains("`t5`"), "{message}");
    }
}
