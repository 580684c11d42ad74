//! Embedding as the pipeline does it.

use std::path::Path;

use sbp_core::{Cost, Document};
use sbp_plugin::Result;
use sbp_plugin::ports::{EncoderOptions, LanguageModel, Runtime as _};
use sbp_plugin::slots::embedder::{EmbedContext, Embedder, Embeddings};

use crate::{BigramRuntime, ByteTokenizer};

/// Embeds documents in parts of so many, with the encoders of [`BigramRuntime`]; the rows, and what encoders cost.
///
/// # Errors
/// When the embedder fails, or its rows do not fit each other.
///
/// # Panics
/// When progress goes back or does not reach the end of a part.
pub fn embed(
    embedder: &mut dyn Embedder,
    mut base: Option<&mut dyn LanguageModel>,
    documents: &[Document],
    part: usize,
) -> Result<(Embeddings, Cost)> {
    let mut runtime = BigramRuntime::default();
    let mut open_encoder = |folder: &Path, options: &EncoderOptions| runtime.open_encoder(folder, options);
    let mut cost = Cost::default();
    embedder.prepare(documents)?;
    let mut all = Embeddings { dim: 1, rows: Vec::new() };
    for documents in documents.chunks(part) {
        let mut done = 0;
        let mut progress = |count| {
            assert!(count > done, "progress goes from {done} to {count}");
            done = count;
        };
        let mut context = EmbedContext {
            base: match &mut base {
                Some(model) => Some(&mut **model),
                None => None,
            },
            tokenizer: &ByteTokenizer,
            open_encoder: &mut open_encoder,
            cost: &mut cost,
            progress: &mut progress,
        };
        let found = embedder.embed(documents, &mut context)?;
        assert_eq!(done, documents.len(), "progress does not reach the end");
        if found.len() != documents.len() || (!all.is_empty() && found.dim != all.dim) {
            return Err(
                format!("{} rows of {} for {} documents", found.len(), found.dim, documents.len()).into()
            );
        }
        all.dim = found.dim;
        all.rows.extend(found.rows);
    }
    Ok((embedder.finish(all)?, cost))
}
