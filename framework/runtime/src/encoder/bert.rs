//! BERT (Devlin et al., arXiv 1810.04805) without its pooler: embeddings, then layers that normalise after each sum.
//!
//! Letters of the shape suffixes: `n` flat tokens, `d` width, `h` heads, `k` head width, `m` feed-forward width,
//! `s` rows of a block, `l` its length, `t` positions, `v` vocabulary.

use std::fs;
use std::path::Path;

use serde::Deserialize;
use tch::{Device, Kind, Tensor};

use super::Group;
use super::weights::Weights;
use crate::blocks::Layout;
use crate::error::{Error, Result, at};
use crate::shape::ensure_shape;

/// What is read of `config.json`.
#[derive(Deserialize)]
struct Config {
    hidden_size: i64,
    num_hidden_layers: i64,
    num_attention_heads: i64,
    intermediate_size: i64,
    max_position_embeddings: i64,
    type_vocab_size: i64,
    vocab_size: i64,
    layer_norm_eps: f64,
    hidden_act: String,
    #[serde(default)]
    position_embedding_type: Option<String>,
    #[serde(default)]
    is_decoder: bool,
}

/// The model, ready to compute.
pub(super) struct Bert {
    config: Config,
    words_vd: Tensor,
    /// Positions, with what is added to every token of a first segment.
    positions_td: Tensor,
    norm: Norm,
    layers: Vec<Layer>,
}

struct Layer {
    /// Query, key and value projections in one.
    qkv: Linear,
    attended: Linear,
    attention_norm: Norm,
    up: Linear,
    down: Linear,
    norm: Norm,
}

struct Linear {
    weight: Tensor,
    bias: Tensor,
}

struct Norm {
    gain_d: Tensor,
    bias_d: Tensor,
    eps: f64,
}

impl Linear {
    fn read(weights: &mut Weights, name: &str, out: i64, into: i64) -> Result<Self> {
        let weight = weights.take(&format!("{name}.weight"), &[out, into])?;
        Ok(Self { weight, bias: weights.take(&format!("{name}.bias"), &[out])? })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(x.f_linear(&self.weight, Some(&self.bias))?)
    }
}

impl Norm {
    fn read(weights: &mut Weights, name: &str, config: &Config) -> Result<Self> {
        let mut take = |part: &str| weights.take(&format!("{name}.LayerNorm.{part}"), &[config.hidden_size]);
        Ok(Self { gain_d: take("weight")?, bias_d: take("bias")?, eps: config.layer_norm_eps })
    }

    /// `layer_norm(x)`, whose mean and deviation are over a token.
    fn forward(&self, x_nd: &Tensor) -> Result<Tensor> {
        let d = self.gain_d.size();
        Ok(x_nd.f_layer_norm(d, Some(&self.gain_d), Some(&self.bias_d), self.eps, false)?)
    }
}

impl Layer {
    fn read(weights: &mut Weights, index: i64, config: &Config) -> Result<Self> {
        let (d, m) = (config.hidden_size, config.intermediate_size);
        let of = |rest: &str| format!("encoder.layer.{index}.{rest}");
        let mut projection = |name: &str| Linear::read(weights, &of(&format!("attention.self.{name}")), d, d);
        let qkv = [projection("query")?, projection("key")?, projection("value")?];
        Ok(Self {
            qkv: Linear {
                weight: Tensor::f_cat(&qkv.each_ref().map(|it| &it.weight), 0)?,
                bias: Tensor::f_cat(&qkv.each_ref().map(|it| &it.bias), 0)?,
            },
            attended: Linear::read(weights, &of("attention.output.dense"), d, d)?,
            attention_norm: Norm::read(weights, &of("attention.output"), config)?,
            up: Linear::read(weights, &of("intermediate.dense"), m, d)?,
            down: Linear::read(weights, &of("output.dense"), d, m)?,
            norm: Norm::read(weights, &of("output"), config)?,
        })
    }

    fn forward(&self, x_nd: &Tensor, layout: &Layout, heads: i64) -> Result<Tensor> {
        let attended_nd = self.attended.forward(&self.attend(x_nd, layout, heads)?)?.f_add_(x_nd)?;
        let x_nd = self.attention_norm.forward(&attended_nd)?;
        let up_nm = self.up.forward(&x_nd)?.f_gelu_("none")?;
        let y_nd = self.down.forward(&up_nm)?.f_add_(&x_nd)?;
        self.norm.forward(&y_nd)
    }

    /// Every token attends over all tokens of its own text.
    fn attend(&self, x_nd: &Tensor, layout: &Layout, h: i64) -> Result<Tensor> {
        let d = x_nd.size()[1];
        let qkv_no = self.qkv.forward(x_nd)?;
        let mut outputs = Vec::with_capacity(layout.blocks.len());
        for (block, qkv_no) in layout.blocks.iter().zip(qkv_no.f_split_with_sizes(layout.block_tokens(), 0)?)
        {
            let (s, l) = (block.rows as i64, block.length as i64);
            let qkv_3shlk = qkv_no.f_view([s, l, 3, h, d / h])?.f_permute([2, 0, 3, 1, 4])?;
            let part = |index| qkv_3shlk.f_select(0, index);
            let y_shlk = Tensor::f_scaled_dot_product_attention(
                &part(0)?,
                &part(1)?,
                &part(2)?,
                None::<Tensor>,
                0.0,
                false,
                None,
                false,
            )?;
            outputs.push(y_shlk.f_transpose(1, 2)?.f_reshape([s * l, d])?);
        }
        Ok(if outputs.len() == 1 { outputs.remove(0) } else { Tensor::f_cat(&outputs, 0)? })
    }
}

impl Bert {
    /// Opens a folder.
    pub(super) fn open(folder: &Path, kind: Kind, device: Device) -> Result<Self> {
        let config = read_config(folder)?;
        let Config { hidden_size: d, max_position_embeddings: t, type_vocab_size, vocab_size: v, .. } =
            config;
        let mut weights = Weights::read(folder, "bert.", kind, device)?;
        let words_vd = weights.take("embeddings.word_embeddings.weight", &[v, d])?;
        let positions_td = weights.take("embeddings.position_embeddings.weight", &[t, d])?;
        let types = weights.take("embeddings.token_type_embeddings.weight", &[type_vocab_size, d])?;
        let norm = Norm::read(&mut weights, "embeddings", &config)?;
        let layer = |index| Layer::read(&mut weights, index, &config);
        let layers = (0..config.num_hidden_layers).map(layer).collect::<Result<_>>()?;
        Ok(Self { positions_td: positions_td.f_add(&types.f_select(0, 0)?)?, words_vd, norm, layers, config })
    }

    /// Last hidden states of the flat tokens.
    pub(super) fn hidden(&self, group: &Group) -> Result<Tensor> {
        let words_nd = Tensor::f_embedding(&self.words_vd, &group.ids_n, -1, false, false)?;
        let (n, d) = (group.layout.num_tokens as i64, self.config.hidden_size);
        ensure_shape!(words_nd, [n, d])?;
        let mut x_nd =
            self.norm.forward(&words_nd.f_add(&self.positions_td.f_index_select(0, &group.positions_n)?)?)?;
        for layer in &self.layers {
            x_nd = layer.forward(&x_nd, &group.layout, self.config.num_attention_heads)?;
        }
        Ok(x_nd)
    }

    pub(super) fn dim(&self) -> usize {
        self.config.hidden_size as usize
    }

    pub(super) fn vocab_size(&self) -> usize {
        self.config.vocab_size as usize
    }

    /// Model FLOPs for a token of a text of `context` tokens, by the convention of
    /// [`sbp_core::ModelConfig::forward_flops_per_token`].
    pub(super) fn flops_per_token(&self, context: usize) -> f64 {
        let (d, m) = (self.config.hidden_size as f64, self.config.intermediate_size as f64);
        let products = 2.0 * (4.0 * d * d + 2.0 * d * m);
        self.config.num_hidden_layers as f64 * (products + 4.0 * d * context as f64)
    }
}

fn read_config(folder: &Path) -> Result<Config> {
    let path = folder.join("config.json");
    let text = fs::read(&path).map_err(at(&path))?;
    let refuse = |reason: String| Error::NotACheckpoint { path: path.clone(), reason };
    let config: Config = serde_json::from_slice(&text).map_err(|error| refuse(error.to_string()))?;
    let has_other_positions = config.position_embedding_type.as_deref().is_some_and(|it| it != "absolute");
    for (unsupported, what) in [
        (has_other_positions, "a position_embedding_type other than absolute"),
        (config.is_decoder, "is_decoder"),
        (config.hidden_act != "gelu", "a hidden_act other than gelu"),
    ] {
        if unsupported {
            return Err(refuse(format!("{what} is not supported")));
        }
    }
    let (d, h) = (config.hidden_size, config.num_attention_heads);
    if d < 1 || h < 1 || d % h != 0 {
        return Err(refuse(format!("{h} heads do not divide a hidden_size of {d}")));
    }
    if config.type_vocab_size < 1 {
        return Err(refuse("type_vocab_size is 0".to_owned()));
    }
    Ok(config)
}
