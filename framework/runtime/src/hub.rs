//! The Hugging Face folder of `Qwen3ForCausalLM`, in and out: `config.json`, `generation_config.json`,
//! `model.safetensors` (or several with an index).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use sbp_core::ModelConfig;
use serde::Deserialize;
use serde_json::{Value, json};
use tch::{Device, Tensor};

use crate::checkpoint::{read_tensors, write_json, write_tensors};
use crate::error::{Error, Result, at};
use crate::model::{Dims, Parameters};

/// Writes a model into an existing folder.
pub(crate) fn export(
    folder: &Path,
    model: &ModelConfig,
    vocab_size: usize,
    parameters: &Parameters,
) -> Result<()> {
    write_json(&folder.join("config.json"), &config_json(model, vocab_size))?;
    // Present so that `generate` of other programs does not guess; decoding is chosen by the caller.
    write_json(&folder.join("generation_config.json"), &json!({"do_sample": true}))?;
    let tensors = parameters.iter().map(|(name, tensor)| (name.to_owned(), tensor));
    write_tensors(&folder.join("model.safetensors"), tensors)?;
    Ok(())
}

fn config_json(model: &ModelConfig, vocab_size: usize) -> Value {
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
    model_type: String,
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
    let text = fs::read(&path).map_err(at(&path))?;
    let config: HubConfig = serde_json::from_slice(&text).map_err(|error| refuse(error.to_string()))?;
    if config.model_type != "qwen3" {
        return Err(refuse(format!("model_type is `{}`, supported is `qwen3`", config.model_type)));
    }
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
    Parameters::from_tensors(dims, read_all_tensors(folder)?, device).map_err(refuse)
}

fn read_all_tensors(folder: &Path) -> Result<BTreeMap<String, Tensor>> {
    let index = folder.join("model.safetensors.index.json");
    if !index.exists() {
        return read_tensors(&folder.join("model.safetensors"));
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
        tensors.extend(read_tensors(&folder.join(file))?);
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
    fn what_cannot_be_computed_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        let mut config = config_json(&ModelConfig::default(), 10);
        config["rope_scaling"] = json!({"rope_type": "yarn", "factor": 4.0});
        write_json(&path, &config).unwrap();
        assert!(read_config(folder.path()).unwrap_err().to_string().contains("scaling of rotary positions"));
        config["model_type"] = json!("gpt2");
        write_json(&path, &config).unwrap();
        assert!(read_config(folder.path()).unwrap_err().to_string().contains("`gpt2`"));
    }
}
