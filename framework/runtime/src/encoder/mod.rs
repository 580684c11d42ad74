//! Text encoders in the Hugging Face layout: a text in, a row of unit length out.
//!
//! [`folder`] reads what a folder says of itself, [`reader`] turns texts into tokens, [`bert`] and [`decoder`] are the
//! models, [`pool`] makes their hidden states rows.
//!
//! Texts of equal length stand in one block, so that nothing is padded and attention needs no mask; everything but
//! attention runs on the flat tokens of a group. While a group is computed, the texts after it are tokenized.

mod bert;
mod decoder;
mod folder;
#[cfg(test)]
mod parity;
mod pool;
mod reader;
#[cfg(test)]
mod tests;
mod weights;

use std::path::Path;
use std::sync::mpsc;
use std::thread;

use sbp_core::{Cost, TokenId};
use sbp_plugin::ports::{EncoderOptions, Pooling, Precision, TextEncoder};
use tch::{Device, Kind, Tensor};

use self::bert::Bert;
use self::decoder::Decoder;
use self::folder::Folder;
use self::reader::Reader;
use crate::blocks::Layout;
use crate::error::{Error, Result};
use crate::language_model::to_vec;

/// Texts tokenized at once.
const CHUNK: usize = 256;
/// Tokens run through the model at once on a CPU: few enough for what lies between two matrix products to stay in the
/// cache.
const CPU_GROUP_TOKENS: usize = 2048;
/// On a GPU, whose kernels want to be large.
const GPU_GROUP_TOKENS: usize = 32_768;

/// The model of an encoder.
#[expect(clippy::large_enum_variant, reason = "one exists an encoder, so its size is no concern")]
enum Model {
    Bert(Bert),
    Decoder(Decoder),
}

/// An opened folder.
pub(crate) struct OpenedEncoder {
    reader: Reader,
    model: Model,
    pooling: Pooling,
    group_tokens: usize,
    device: Device,
    cost: Cost,
}

/// Texts as tokens, and the flat places they are given.
struct Group {
    layout: Layout,
    ids_n: Tensor,
    positions_n: Tensor,
}

impl Group {
    fn lay_out(sequences: &[&[TokenId]], device: Device) -> Result<Self> {
        let layout = Layout::exact(&sequences.iter().map(|sequence| sequence.len()).collect::<Vec<_>>());
        let tensor = |values: &[i64]| Tensor::f_from_slice(values)?.f_to_device(device);
        let ids_n = tensor(&layout.spread(sequences, 0, i64::from))?;
        let positions_n = tensor(&layout.positions())?;
        Ok(Self { layout, ids_n, positions_n })
    }
}

impl OpenedEncoder {
    /// Opens a folder.
    pub(crate) fn open(path: &Path, options: &EncoderOptions, device: Device) -> Result<Self> {
        let _guard = tch::no_grad_guard();
        let folder = Folder::read(path)?;
        let kind = match options.precision {
            Precision::Fp32 => Kind::Float,
            Precision::Bf16 => Kind::BFloat16,
        };
        let most = folder.max_positions;
        let max_tokens = options.max_tokens.unwrap_or(folder.max_tokens.unwrap_or(most).min(most));
        if max_tokens > most {
            return Err(Error::Invalid(format!(
                "max_tokens is {max_tokens}, the encoder in {} reads {most} at most",
                path.display()
            )));
        }
        let model = match folder.model_type.as_str() {
            "bert" => Model::Bert(Bert::open(path, kind, device)?),
            _ => Model::Decoder(Decoder::open(path, max_tokens, kind, device)?),
        };
        let vocab_size = match &model {
            Model::Bert(bert) => bert.vocab_size(),
            Model::Decoder(decoder) => decoder.vocab_size(),
        };
        let reader = Reader::open(path, &options.prefix, max_tokens, vocab_size)?;
        let pooling = match options.pooling {
            Some(pooling) => pooling,
            None => folder.pooling()?,
        };
        let group_tokens = if device == Device::Cpu { CPU_GROUP_TOKENS } else { GPU_GROUP_TOKENS };
        Ok(Self { reader, model, pooling, group_tokens, device, cost: Cost::default() })
    }

    fn encode_all(&mut self, texts: &[&str], progress: &mut dyn FnMut(usize)) -> Result<Vec<f32>> {
        let _guard = tch::no_grad_guard();
        let dim = self.dim();
        let mut rows = vec![0.0; texts.len() * dim];
        let Self { reader, model, pooling, group_tokens, device, cost } = self;
        thread::scope(|scope| {
            let (sender, receiver) = mpsc::sync_channel(1);
            scope.spawn(move || {
                for chunk in texts.chunks(CHUNK) {
                    // Nobody waits for more once the model has failed.
                    if sender.send(reader.read(chunk)).is_err() {
                        break;
                    }
                }
            });
            for (index, sequences) in receiver.iter().enumerate() {
                let first = index * CHUNK;
                let sequences: Vec<Vec<TokenId>> = sequences?;
                for group in groups(&sequences, *group_tokens) {
                    let views: Vec<&[TokenId]> =
                        group.iter().map(|&place| sequences[place].as_slice()).collect();
                    let found = model.rows(&Group::lay_out(&views, *device)?, *pooling)?;
                    for (&place, row) in group.iter().zip(found.chunks_exact(dim)) {
                        rows[(first + place) * dim..][..dim].copy_from_slice(row);
                    }
                    views.iter().for_each(|view| cost.add(model.cost(view.len())));
                }
                progress(first + sequences.len());
            }
            Ok(rows)
        })
    }
}

/// Places of the sequences, longest first, in groups that stay within so many tokens or hold one sequence. Empty ones
/// are left out.
fn groups(sequences: &[Vec<TokenId>], most_tokens: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..sequences.len()).filter(|&place| !sequences[place].is_empty()).collect();
    order.sort_by_key(|&place| std::cmp::Reverse(sequences[place].len()));
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut held = usize::MAX;
    for place in order {
        let length = sequences[place].len();
        match groups.last_mut() {
            Some(group) if held + length <= most_tokens => {
                group.push(place);
                held += length;
            }
            _ => {
                groups.push(vec![place]);
                held = length;
            }
        }
    }
    groups
}

impl Model {
    fn dim(&self) -> usize {
        match self {
            Self::Bert(bert) => bert.dim(),
            Self::Decoder(decoder) => decoder.dim(),
        }
    }

    /// One row for each sequence of a group, in the order of their places.
    fn rows(&self, group: &Group, pooling: Pooling) -> Result<Vec<f32>> {
        let hidden_nd = match self {
            Self::Bert(bert) => bert.hidden(group)?,
            Self::Decoder(decoder) => decoder.hidden(group)?,
        };
        let dim = self.dim();
        let flat = to_vec(&pool::rows(&hidden_nd, &group.layout, pooling)?)?;
        let mut rows = vec![0.0; flat.len()];
        for ((place, _, _), row) in group.layout.rows().zip(flat.chunks_exact(dim)) {
            rows[place * dim..][..dim].copy_from_slice(row);
        }
        Ok(rows)
    }

    /// What it takes to read a text of so many tokens.
    fn cost(&self, tokens: usize) -> Cost {
        let flops = match self {
            Self::Bert(bert) => bert.flops_per_token(tokens),
            Self::Decoder(decoder) => decoder.flops_per_token(tokens),
        };
        Cost { tokens: tokens as u64, flops: (flops * tokens as f64).round() }
    }
}

impl TextEncoder for OpenedEncoder {
    fn dim(&self) -> usize {
        self.model.dim()
    }

    fn encode(&mut self, texts: &[&str], progress: &mut dyn FnMut(usize)) -> sbp_plugin::Result<Vec<f32>> {
        Ok(self.encode_all(texts, progress)?)
    }

    fn take_cost(&mut self) -> Cost {
        std::mem::take(&mut self.cost)
    }
}
