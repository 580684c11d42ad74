//! Decoders in the Qwen3 layout as encoders of text, such as Qwen3-Embedding: the runtime's own transformer without its
//! head.

use std::collections::BTreeMap;
use std::path::Path;

use sbp_core::ModelConfig;
use tch::{Device, Kind, Tensor};

use super::Group;
use super::weights::Weights;
use crate::error::{Error, Result};
use crate::hub;
use crate::model::parameters::HEAD;
use crate::model::rope::Rotary;
use crate::model::{Dims, Parameters, Tokens, Transformer};

/// The model, ready to compute.
pub(super) struct Decoder {
    config: ModelConfig,
    dims: Dims,
    transformer: Transformer,
    rotary: Rotary,
}

impl Decoder {
    /// Opens a folder, to read texts of up to `max_tokens`.
    pub(super) fn open(folder: &Path, max_tokens: usize, kind: Kind, device: Device) -> Result<Self> {
        let (config, vocab_size) = hub::read_config(folder)?;
        // Rows need no head; and rotations are kept for as many positions as there can be.
        let config = ModelConfig { tie_embeddings: true, context_length: max_tokens, ..config };
        let dims = Dims::new(&config, vocab_size)?;
        let mut tensors = Weights::read(folder, "model.", kind, device)?.into_all();
        tensors.remove(HEAD);
        let tensors: BTreeMap<String, Tensor> =
            tensors.into_iter().map(|(name, tensor)| (format!("model.{name}"), tensor)).collect();
        let parameters = Parameters::from_tensors(&dims, tensors, device).map_err(|error| match error {
            Error::Shape(reason) => Error::NotACheckpoint { path: folder.to_owned(), reason },
            other => other,
        })?;
        let transformer = Transformer::in_kind(parameters, &dims, kind)?;
        Ok(Self { config, dims, transformer, rotary: Rotary::new(&dims, device)? })
    }

    /// Last hidden states of the flat tokens.
    pub(super) fn hidden(&self, group: &Group) -> Result<Tensor> {
        let tokens = Tokens {
            layout: group.layout.clone(),
            ids_n: group.ids_n.shallow_clone(),
            rotations: self.rotary.at(group.positions_n.shallow_clone()),
            // Nothing is cached.
            slots_n: group.ids_n.f_narrow(0, 0, 0)?,
            masks: Vec::new(),
        };
        self.transformer.hidden(&tokens, None)
    }

    pub(super) fn dim(&self) -> usize {
        self.dims.d as usize
    }

    pub(super) fn vocab_size(&self) -> usize {
        self.dims.v as usize
    }

    /// Model FLOPs for a token of a text of `context` tokens, without a head.
    pub(super) fn flops_per_token(&self, context: usize) -> f64 {
        self.config.forward_flops_per_token(0, (context as f64 + 1.0) / 2.0)
    }
}
