//! Embeddings: d -> e(d) for every document of D_pretrain.

use std::fs;

use sbp_core::Cost;
use sbp_plugin::Selected;
use sbp_plugin::registry::BuildContext;
use sbp_plugin::slots;
use sbp_plugin::slots::embedder::{EmbedContext, Embeddings};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::corpus::CorpusData;
use super::tokenize::Tokens;
use super::{Study, caught, failed};
use crate::store::Artifact;
use crate::watch::Progress;
use crate::{Error, Result, files};

/// Rows on disk: `rows.f32` (little-endian) and this, `embeddings.json`.
#[derive(Serialize, Deserialize)]
struct Header {
    dim: usize,
    documents: usize,
    cost: Cost,
}

/// The embedded D_pretrain.
pub(crate) struct Embedded {
    pub(crate) artifact: Artifact,
    pub(crate) embeddings: Embeddings,
    pub(crate) cost: Cost,
}

/// Whether the base model has to be there first.
pub(crate) fn needs_base(selected: &Selected<slots::Embedder>, seed: u64) -> Result<bool> {
    let embedder = selected.build(&BuildContext { seed }).map_err(failed("embed"))?;
    caught("embed", || Ok(embedder.needs_base_model()))
}

/// Embeds, or reuses. `base` must be there if the embedder [needs it](needs_base).
pub(crate) fn make(
    study: &mut Study<'_>,
    selected: &Selected<slots::Embedder>,
    corpus: &CorpusData,
    tokens: &Tokens,
    base: Option<&Artifact>,
    seed: u64,
) -> Result<Embedded> {
    let mut embedder = selected.build(&BuildContext { seed }).map_err(failed("embed"))?;
    let base = if needs_base(selected, seed)? { base } else { None };
    let label = if base.is_some() { format!("embed seed {seed}") } else { "embed".to_owned() };
    let inputs = json!({
        "corpus": corpus.artifact.fingerprint,
        "embedder": selected.identity(),
        "base": base.map(|base| &base.fingerprint),
    });
    let artifact = study.make(&label, "embed", &inputs, &mut |study, folder| {
        let fail = failed(&label);
        let mut model = match base {
            Some(base) => Some(study.runtime.open(&base.file("checkpoint")).map_err(&fail)?),
            None => None,
        };
        let total = corpus.pretrain.len() as u64;
        let reporter = &mut study.watch.reporter;
        let mut progress = |done: usize| {
            reporter.progress(&Progress {
                stage: &label,
                done: done as u64,
                total,
                unit: "documents",
                tokens: 0,
                flops: 0,
                peak_flops: None,
                loss: None,
            });
        };
        let mut context = EmbedContext {
            base: match &mut model {
                Some(model) => Some(model.as_mut()),
                None => None,
            },
            tokenizer: &tokens.tokenizer,
            progress: &mut progress,
        };
        let embeddings = embedder.embed(&corpus.pretrain, &mut context).map_err(&fail)?;
        let cost = model.map(|mut model| model.take_cost()).unwrap_or_default();
        let bytes: Vec<u8> = embeddings.rows.iter().flat_map(|number| number.to_le_bytes()).collect();
        files::write_whole(&folder.join("rows.f32"), &bytes)?;
        files::write_json(
            &folder.join("embeddings.json"),
            &Header { dim: embeddings.dim, documents: embeddings.len(), cost },
        )
    })?;
    let header: Header = files::read_json(&artifact.file("embeddings.json"))?;
    let path = artifact.file("rows.f32");
    let bytes = fs::read(&path).map_err(Error::file("read", &path))?;
    let rows: Vec<f32> = bytes.as_chunks::<4>().0.iter().map(|&number| f32::from_le_bytes(number)).collect();
    if rows.len() != header.dim * header.documents {
        return Err(files::invalid(&path, &"its length does not fit embeddings.json"));
    }
    Ok(Embedded { artifact, embeddings: Embeddings { dim: header.dim, rows }, cost: header.cost })
}
