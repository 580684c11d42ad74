//! Between two rounds of synthesis: what was written becomes what is paired.

use sbp_core::{DocId, Document};
use sbp_plugin::ports::Tokenizer as _;
use sbp_recipe::Keep;
use serde_json::json;

use super::corpus::CorpusData;
use super::synthesize::Synthetic;
use super::tokenize::Tokens;
use super::{Study, failed};
use crate::Result;
use crate::token_store::{SHARD_DOCUMENTS, TokenStore, Writer};

const DOCUMENTS: &str = "documents";

/// The documents of the next round in place of D_pretrain, and their tokens.
pub(crate) fn next(
    study: &mut Study<'_>,
    (corpus, tokens): (&CorpusData, &Tokens),
    synthetic: &Synthetic,
    keep: Keep,
    label: &str,
) -> Result<(CorpusData, Tokens)> {
    let written = synthetic.documents.iter().map(|document| Document {
        id: DocId::of(&format!("{} {} {}", synthetic.artifact.fingerprint, document.seed, document.draw)),
        text: document.text.clone(),
        source: "synthetic".to_owned(),
    });
    let documents: Vec<Document> = match keep {
        Keep::Accumulate => corpus.pretrain.iter().cloned().chain(written).collect(),
        Keep::Replace => written.collect(),
    };
    let inputs = json!({
        "corpus": corpus.artifact.fingerprint,
        "tokens": tokens.artifact.fingerprint,
        "synthetic": synthetic.artifact.fingerprint,
        "keep": keep,
    });
    let artifact = study.make(label, "round", &inputs, &mut |_, folder| {
        let mut writer = Writer::new(folder, DOCUMENTS, tokens.tokenizer.vocab_size())?;
        for shard in documents.chunks(SHARD_DOCUMENTS) {
            writer.shard(|| tokens.tokenizer.encode_all(shard).map_err(failed(label)))?;
        }
        Ok(())
    })?;
    let next_tokens = Tokens {
        artifact: artifact.clone(),
        pretrain: TokenStore::open(&artifact.path, &[DOCUMENTS])?,
        oracle: TokenStore::default(),
        tokenizer: tokens.tokenizer.clone(),
        tokenizer_artifact: tokens.tokenizer_artifact.clone(),
    };
    let next_corpus = CorpusData {
        artifact,
        source: corpus.source.clone(),
        pretrain: documents,
        heldout: corpus.heldout.clone(),
        questions: corpus.questions.clone(),
        evaluation_sets: corpus.evaluation_sets.clone(),
        summary: corpus.summary.clone(),
    };
    Ok((next_corpus, next_tokens))
}
