//! Going through a study's stages without making any.

use std::path::Path;

use sbp_core::{Fingerprint, Neighbor};
use sbp_plugin::ports::{
    Block, EncoderOptions, LanguageModel, Precision, Runtime, RuntimeFacts, TextEncoder, TopK, TrainJob,
    TrainOutcome,
};
use serde_json::Value;

use super::Fate;
use crate::store::{Artifact, Manifest};
use crate::{Error, Result};

/// Notes what every stage is made from.
#[derive(Debug, Default)]
pub(crate) struct Look {
    pub(super) seen: Vec<Seen>,
}

/// A stage that was come to.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) label: String,
    pub(super) fingerprint: Fingerprint,
    pub(super) manifest: Manifest,
    pub(super) fate: Fate,
}

impl Look {
    /// The artifact of a stage, if it is made.
    pub(crate) fn at(
        &mut self,
        label: &str,
        stage: &str,
        inputs: &Value,
        artifact: Artifact,
    ) -> Result<Artifact> {
        let is_made = artifact.is_made();
        self.seen.push(Seen {
            label: label.to_owned(),
            fingerprint: artifact.fingerprint.clone(),
            manifest: Manifest::of(stage, inputs),
            fate: if is_made { Fate::Reused } else { Fate::ToMake },
        });
        if is_made { Ok(artifact) } else { Err(Error::NotMade { stage: label.to_owned() }) }
    }
}

/// A runtime for where nothing is computed. It answers as one on a CPU does.
pub(super) struct NoRuntime;

fn refused<T>() -> sbp_plugin::Result<T> {
    Err("nothing is computed here".into())
}

impl Runtime for NoRuntime {
    fn facts(&self) -> RuntimeFacts {
        RuntimeFacts { library: "none".to_owned(), device: "cpu".to_owned(), num_threads: 1 }
    }

    fn train(&mut self, _: TrainJob<'_>) -> sbp_plugin::Result<TrainOutcome> {
        refused()
    }

    fn open(&mut self, _: &Path, _: Precision) -> sbp_plugin::Result<Box<dyn LanguageModel>> {
        refused()
    }

    fn open_encoder(&mut self, _: &Path, _: &EncoderOptions) -> sbp_plugin::Result<Box<dyn TextEncoder>> {
        refused()
    }

    fn peak_flops(&mut self, _: Precision) -> Option<f64> {
        None
    }

    fn top_k(&mut self) -> &mut dyn TopK {
        self
    }
}

impl TopK for NoRuntime {
    fn top_k(&mut self, _: &[f32], _: usize, _: &[u32], _: usize) -> sbp_plugin::Result<Vec<Vec<Neighbor>>> {
        refused()
    }

    fn top_k_within(
        &mut self,
        _: Block<'_>,
        _: usize,
        _: Block<'_>,
        _: usize,
    ) -> sbp_plugin::Result<Vec<Vec<Neighbor>>> {
        refused()
    }
}
