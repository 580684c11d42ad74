//! The Hugging Face folder of `Qwen3ForCausalLM`, in and out: `config.json`, `generation_config.json`,
//! `model.safetensors` (or several with an index).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use sbp_core::ModelConfig;
use serde::Deserialize;
use serde_json::{Value, json};
use tch::{Device, Tensor};

use crate::checkpoint::{self, write_json, write_tensors};
use crate::error::{Error, Result, at};
use crate::model::{Dims, Parameters};

/// Most bytes of weights in one file.
pub(crate) const SHARD_BYTES: u64 = 5_000_000_000;

/// Writes a model into an existing folder.
pub(crate) fn export(
    folder: &Path,
    model: &ModelConfig,
    vocab_size: usize,
    parameters: &Parameters,
) -> Result<()> {
    export_in_shards(folder, model, vocab_size, parameters, SHARD_BYTES)
}

/// Writes a model, its weights in files of at most `shard_bytes` (or one tensor).
pub(crate) fn export_in_shards(
    folder: &Path,
    model: &ModelConfig,
    vocab_size: usize,
    parameters: &Parameters,
    shard_bytes: u64,
) -> Result<()> {
    write_json(&folder.join("config.json"), &config_json(model, vocab_size))?;
    // Present so that `generate` of other programs does not guess; decoding is chosen by the caller.
    write_json(&folder.join("generation_config.json"), &json!({"do_sample": true}))?;
    let shards = shards(parameters, shard_bytes);
    if let [all] = shards.as_slice() {
        write_tensors(&folder.join("model.safetensors"), all.iter().copied())?;
        return Ok(());
    }
    let mut weight_map = BTreeMap::new();
    for (index, shard) in shards.iter().enumerate() {
        let file = format!("model-{:05}-of-{:05}.safetensors", index + 1, shards.len());
        write_tensors(&folder.join(&file), shard.iter().copied())?;
        weight_map.extend(shard.iter().map(|(name, _)| ((*name).to_owned(), file.clone())));
    }
    let total_size: u64 = parameters.iter().map(|(_, tensor)| f32_bytes(tensor)).sum();
    let index = json!({"metadata": {"total_size": total_size}, "weight_map": weight_map});
    write_json(&folder.join(INDEX), &index)
}

const INDEX: &str = "model.safetensors.index.json";

/// Tensors in the order of their names, cut where the next one would make a file too large.
fn shards(parameters: &Parameters, most_bytes: u64) -> Vec<Vec<(&str, &Tensor)>> {
    let mut shards = vec![Vec::new()];
    let mut held = 0;
    for (name, tensor) in parameters.iter() {
        let bytes = f32_bytes(tensor);
        if held > 0 && held + bytes > most_bytes {
            shards.push(Vec::new());
            held = 0;
        }
        held += bytes;
        if let Some(last) = shards.last_mut() {
            last.push((name, tensor));
        }
    }
    shards
}

fn f32_bytes(tensor: &Tensor) -> u64 {
    (tensor.numel() * size_of::<f32>()) as u64
}

/// What `config.json` says.
pub(crate) fn config_json(model: &ModelConfig, vocab_size: usize) -> Value {
    json!({
        "architectures": ["Qwen3ForCausalLM"],
        "attention_bias": false,
        "attention_dropout": 0.0,
        "head_dim": model.head_dim,
        "hidden_act": "silu",
        "hidden_size": model.hidden_size,
        "initializer_range": model.initializer_range,
        "intermediate_size": model.intermediate_size,
        "max_position_embeddings": model.context_length,
        "model_type": "qwen3",
        "num_attention_heads": model.num_heads,
        "num_hidden_layers": model.num_layers,
        "num_key_value_heads": model.num_kv_heads,
        "rms_norm_eps": model.rms_norm_eps,
        "rope_scaling": null,
        "rope_theta": model.rope_theta,
        "sliding_window": null,
        "tie_word_embeddings": model.tie_embeddings,
        "torch_dtype": "float32",
        "use_cache": true,
        "use_sliding_window": false,
        "vocab_size": vocab_size,
    })
}

/// What is read of `config.json`; everything else there does not change what the model computes.
#[derive(Deserialize)]
struct HubConfig {
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: usize,
    head_dim: usize,
    intermediate_size: usize,
    max_position_embeddings: usize,
    rms_norm_eps: f64,
    vocab_size: usize,
    #[serde(default)]
    tie_word_embeddings: bool,
    #[serde(default)]
    rope_theta: Option<f64>,
    /// Where transformers 5 writes what was `rope_theta` and `rope_scaling`.
    #[serde(default)]
    rope_parameters: Option<RopeParameters>,
    #[serde(default)]
    rope_scaling: Option<Value>,
    #[serde(default)]
    attention_bias: bool,
    #[serde(default)]
    use_sliding_window: bool,
    #[serde(default)]
    hidden_act: Option<String>,
    #[serde(default)]
    initializer_range: Option<f64>,
}

#[derive(Deserialize)]
struct RopeParameters {
    rope_theta: f64,
    #[serde(default)]
    rope_type: Option<String>,
}

/// Shape of the model in a folder, and its vocabulary.
pub(crate) fn read_config(folder: &Path) -> Result<(ModelConfig, usize)> {
    let path = folder.join("config.json");
    let refuse = |reason: String| Error::NotACheckpoint { path: path.clone(), reason };
    if !path.exists() {
        return Err(refuse("there is no such file, and a model's folder begins with it".to_owned()));
    }
    let text = fs::read(&path).map_err(at(&path))?;
    let values: Value = serde_json::from_slice(&text).map_err(|error| refuse(error.to_string()))?;
    // First: other models call their sizes by other names.
    let model_type = &values["model_type"];
    if model_type != "qwen3" {
        return Err(refuse(format!("model_type is {model_type}, supported is \"qwen3\" (Qwen3ForCausalLM)")));
    }
    let config: HubConfig = serde_json::from_value(values).map_err(|error| refuse(error.to_string()))?;
    let rope = config.rope_parameters;
    let scaled =
        rope.as_ref().and_then(|rope| rope.rope_type.as_deref()).is_some_and(|kind| kind != "default");
    for (unsupported, what) in [
        (config.attention_bias, "attention_bias"),
        (config.use_sliding_window, "use_sliding_window"),
        (scaled || config.rope_scaling.is_some_and(|value| !value.is_null()), "scaling of rotary positions"),
        (config.hidden_act.is_some_and(|name| name != "silu"), "a hidden_act other than silu"),
    ] {
        if unsupported {
            return Err(refuse(format!("{what} is not supported")));
        }
    }
    let model = ModelConfig {
        hidden_size: config.hidden_size,
        num_layers: config.num_hidden_layers,
        num_heads: config.num_attention_heads,
        num_kv_heads: config.num_key_value_heads,
        head_dim: config.head_dim,
        intermediate_size: config.intermediate_size,
        context_length: config.max_position_embeddings,
        rope_theta: rope
            .map(|rope| rope.rope_theta)
            .or(config.rope_theta)
            .ok_or_else(|| refuse("rope_theta is missing".to_owned()))?,
        rms_norm_eps: config.rms_norm_eps,
        tie_embeddings: config.tie_word_embeddings,
        initializer_range: config
            .initializer_range
            .unwrap_or_else(|| ModelConfig::default().initializer_range),
        // Is in the weights.
        mup_base_width: None,
    };
    model.check().map_err(|error| refuse(format!("{}: {}", error.field, error.message)))?;
    Ok((model, config.vocab_size))
}

/// The weights in a folder.
pub(crate) fn read_parameters(folder: &Path, dims: &Dims, device: Device) -> Result<Parameters> {
    let refuse = |error: Error| match error {
        Error::Shape(reason) => Error::NotACheckpoint { path: folder.to_owned(), reason },
        other => other,
    };
    Parameters::from_tensors(dims, read_some_tensors(folder, &|_| true)?, device).map_err(refuse)
}

/// The tensors in a folder whose names are wanted.
pub(crate) fn read_some_tensors(
    folder: &Path,
    is_wanted: &dyn Fn(&str) -> bool,
) -> Result<BTreeMap<String, Tensor>> {
    let index = folder.join(INDEX);
    if !index.exists() {
        return checkpoint::read_some_tensors(&folder.join("model.safetensors"), is_wanted);
    }
    #[derive(Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let refuse = |reason: String| Error::NotACheckpoint { path: index.clone(), reason };
    let text = fs::read(&index).map_err(at(&index))?;
    let parsed: Index = serde_json::from_slice(&text).map_err(|error| refuse(error.to_string()))?;
    let mut tensors = BTreeMap::new();
    for file in parsed.weight_map.into_values().collect::<BTreeSet<_>>() {
        // A name, not a path: an index must not lead out of its folder.
        if Path::new(&file).file_name() != Some(file.as_ref()) {
            return Err(refuse(format!("`{file}` is not the name of a file beside it")));
        }
        tensors.extend(checkpoint::read_some_tensors(&folder.join(file), is_wanted)?);
    }
    Ok(tensors)
}

#[cfg(test)]
mod tests {
    use sbp_core::RootSeed;

    use super::*;

    #[test]
    fn a_model_comes_back_from_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let model =
            ModelConfig { num_layers: 1, rope_theta: 5e5, tie_embeddings: false, ..ModelConfig::default() };
        let dims = Dims::new(&model, 77).unwrap();
        let parameters = Parameters::fresh(&dims, RootSeed(1).stream("init", &[]), Device::Cpu).unwrap();
        export(folder.path(), &model, 77, &parameters).unwrap();
        assert_eq!(read_config(folder.path()).unwrap(), (model, 77));
        let back = read_parameters(folder.path(), &dims, Device::Cpu).unwrap();
        for ((name, tensor), (other_name, other)) in parameters.iter().zip(back.iter()) {
            assert!(name == other_name && tensor.equal(other));
        }
    }

    #[test]
    fn shards_hold_every_tensor_once_and_no_more_than_asked() {
        let folder = tempfile::tempdir().unwrap();
        let model = ModelConfig { num_layers: 3, ..ModelConfig::default() };
        let dims = Dims::new(&model, 77).unwrap();
        let parameters = Parameters::fresh(&dims, RootSeed(1).stream("init", &[]), Device::Cpu).unwrap();
        let most = 400_000;
        for shard in shards(&parameters, most) {
            let bytes: u64 = shard.iter().map(|(_, tensor)| f32_bytes(tensor)).sum();
            assert!(bytes <= most || shard.len() == 1);
        }
        export_in_shards(folder.path(), &model, 77, &parameters, most).unwrap();
        let back = read_parameters(folder.path(), &dims, Device::Cpu).unwrap();
        for ((name, tensor), (other_name, other)) in parameters.iter().zip(back.iter()) {
            assert!(name == other_name && tensor.equal(other));
        }
        let second = format!("model-00002-of-{:05}.safetensors", shards(&parameters, most).len());
        fs::remove_file(folder.path().join(&second)).unwrap();
        let missing = read_parameters(folder.path(), &dims, Device::Cpu).err().unwrap().to_string();
        assert!(missing.contains(&second), "{missing}");
    }

    #[test]
    fn what_cannot_be_computed_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        let mut config = config_json(&ModelConfig::default(), 10);
        config["rope_scaling"] = json!({"rope_type": "yarn", "factor": 4.0});
        write_json(&path, &config).unwrap();
        assert!(read_config(folder.path()).unwrap_err().to_string().contains("scaling of rotary positions"));
        // As GPT-2's folder has it.
        write_json(&path, &json!({"model_type": "gpt2", "n_embd": 768})).unwrap();
        let refused = read_config(folder.path()).unwrap_err().to_string();
        assert!(refused.contains("model_type is \"gpt2\", supported is \"qwen3\""), "{refused}");
        fs::remove_file(&path).unwrap();
        let refused = read_config(folder.path()).unwrap_err().to_string();
        assert!(refused.contains("config.json") && refused.contains("no such file"), "{refused}");
    }
}
