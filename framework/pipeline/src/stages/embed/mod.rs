//! Embeddings: d -> e(d) for every document of D_pretrain.

mod shards;
mod storage;

use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use sbp_core::{Cost, Document};
use sbp_plugin::Selected;
use sbp_plugin::ports::Precision;
use sbp_plugin::registry::BuildContext;
use sbp_plugin::slots;
use sbp_plugin::slots::embedder::{EmbedContext, Embedder, Embeddings};
use sbp_recipe::Storage;
use serde::{Deserialize, Serialize};
use serde_json::json;

use self::shards::Shards;
use self::storage::StorageRecall;
pub(crate) use self::storage::row_bytes;
use super::corpus::CorpusData;
use super::tokenize::Tokens;
use super::{Study, caught, failed};
use crate::store::Artifact;
use crate::together::each_piece;
use crate::watch::Progress;
use crate::{Error, Result, files};

/// Documents in one shard: the work that a kill can lose.
const SHARD: usize = 2048;

/// A storage that keeps a smaller share of the nearest neighbors is warned of.
const LOW_RECALL: f64 = 0.9;

/// Rows on disk: [a file](storage::file_of) of them and this, `embeddings.json`.
#[derive(Serialize, Deserialize)]
struct Header {
    dim: usize,
    documents: usize,
    cost: Cost,
    #[serde(flatten)]
    stored: Stored,
}

/// How rows were kept, and what that did to them.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Stored {
    pub(crate) storage: Storage,
    /// None where rows are kept as they are.
    pub(crate) recall: Option<StorageRecall>,
}

/// The embedded D_pretrain, on the disk.
pub(crate) struct Embedded {
    pub(crate) artifact: Artifact,
    pub(crate) dim: usize,
    /// How many rows there are.
    pub(crate) len: usize,
    pub(crate) cost: Cost,
    pub(crate) stored: Stored,
}

impl Embedded {
    fn open(artifact: Artifact) -> Result<Self> {
        let header = artifact.file("embeddings.json");
        let Header { dim, documents, cost, stored } = files::read_json(&header)?;
        if dim == 0 {
            return Err(files::invalid(&header, &"rows of no numbers"));
        }
        Ok(Self { artifact, dim, len: documents, cost, stored })
    }

    /// Rows of some documents.
    pub(crate) fn rows(&self, documents: Range<usize>) -> Result<Embeddings> {
        let (dim, storage) = (self.dim, self.stored.storage);
        let path = self.artifact.file(&storage::file_of(storage));
        let row = storage::row_bytes(dim, storage);
        let failed = Error::file("read", &path);
        let read = || {
            let mut file = fs::File::open(&path)?;
            if file.metadata()?.len() != (self.len * row) as u64 {
                return Ok(None);
            }
            file.seek(SeekFrom::Start((documents.start * row) as u64))?;
            let mut bytes = vec![0; documents.len() * row];
            file.read_exact(&mut bytes)?;
            Ok(Some(bytes))
        };
        match read().map_err(failed)? {
            Some(bytes) => Ok(storage::decode(&bytes, dim, storage)),
            None => Err(files::invalid(&path, &"its length does not fit embeddings.json")),
        }
    }
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
    let storage = study.plan.recipe.embeddings.storage;
    let inputs = json!({
        "corpus": corpus.artifact.fingerprint,
        "embedder": selected.identity(),
        "content": embedder.content().map_err(failed(&label))?,
        "base": base.map(|base| &base.fingerprint),
        "storage": storage,
    });
    let artifact = study.share(&label, "embed", &inputs, &mut |study, folder| {
        let found = embed(study, embedder.as_mut(), corpus, tokens, base, &label, folder)?;
        let Some((embeddings, cost)) = found else { return Ok(()) };
        let bytes = storage::encode(&embeddings, storage);
        let recall = match storage {
            Storage::F32 => None,
            Storage::F16 | Storage::Int8 => {
                let stored = storage::decode(&bytes, embeddings.dim, storage);
                let recall = storage::recall(&embeddings, &stored, study.runtime.top_k());
                Some(recall.map_err(failed(&label))?)
            }
        };
        if let Some(recall) = recall.filter(|recall| recall.share < LOW_RECALL) {
            study.watch.warn(&format!(
                "stored as {}, embeddings keep {:.0}% of the true {} nearest neighbors; let embeddings.storage be finer",
                storage.name(),
                100.0 * recall.share,
                recall.k
            ));
        }
        files::write_whole(&folder.join(storage::file_of(storage)), &bytes)?;
        let stored = Stored { storage, recall };
        let header = Header { dim: embeddings.dim, documents: embeddings.len(), cost, stored };
        files::write_json(&folder.join("embeddings.json"), &header)?;
        shards::remove(folder)
    })?;
    Embedded::open(artifact)
}

/// Embeds in shards, of which those of an earlier attempt are used again. Each process takes the next that nobody has; the
/// leader has all in the end.
fn embed(
    study: &mut Study<'_>,
    embedder: &mut dyn Embedder,
    corpus: &CorpusData,
    tokens: &Tokens,
    base: Option<&Artifact>,
    label: &str,
    folder: &Path,
) -> Result<Option<(Embeddings, Cost)>> {
    let fail = failed(label);
    let team = Arc::clone(&study.team);
    embedder.prepare(&corpus.pretrain).map_err(&fail)?;
    let mut model = match base {
        Some(base) => Some(study.runtime.open(&base.file("checkpoint"), Precision::Fp32).map_err(&fail)?),
        None => None,
    };
    let total = corpus.pretrain.len();
    let runtime = &mut *study.runtime;
    let reporter = &mut study.watch.reporter;
    let mut embed_shard = |first: usize, documents: &[Document]| {
        if reporter.stop_requested() {
            return Err(Error::Stopped { stage: label.to_owned() });
        }
        let mut cost = Cost::default();
        let mut progress = |done: usize| {
            reporter.progress(&Progress::of(label, (first + done) as u64, total as u64, "documents"));
        };
        let mut context = EmbedContext {
            base: match &mut model {
                Some(model) => Some(model.as_mut()),
                None => None,
            },
            tokenizer: tokens.tokenizer.as_ref(),
            open_encoder: &mut |folder, options| runtime.open_encoder(folder, options),
            cost: &mut cost,
            progress: &mut progress,
        };
        let embeddings = embedder.embed(documents, &mut context).map_err(&fail)?;
        cost.add(model.as_mut().map(|model| model.take_cost()).unwrap_or_default());
        Ok((embeddings, cost))
    };
    let shards = Shards { folder, documents: &corpus.pretrain, size: SHARD };
    each_piece(team.as_ref(), label, shards.count(), |number| {
        shards.embed(number, &mut embed_shard).map(|_| ())
    })?;
    if !team.is_leader() {
        return Ok(None);
    }
    let (embeddings, cost) = shards.all(&mut embed_shard)?;
    Ok(Some((embedder.finish(embeddings).map_err(&fail)?, cost)))
}
