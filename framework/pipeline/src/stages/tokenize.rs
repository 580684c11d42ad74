//! Tokenizer and tokens: a byte-level BPE learned from D_pretrain alone, and every split as tokens.

use std::path::Path;
use std::sync::Arc;

use sbp_core::Document;
use sbp_plugin::input;
use sbp_plugin::ports::Tokenizer as _;
use sbp_plugin::slots::arm::Supply;
use serde_json::json;

use super::corpus::CorpusData;
use super::{Study, failed};
use crate::store::Artifact;
use crate::token_store::{SHARD_DOCUMENTS, TokenStore, Writer};
use crate::tokenizer::Tokenizer;
use crate::{Error, Result};

/// The tokenised splits.
pub(crate) struct Tokens {
    pub(crate) artifact: Artifact,
    pub(crate) tokenizer: Arc<Tokenizer>,
    /// `tokenizer.json`, to lay beside checkpoints.
    pub(crate) tokenizer_artifact: Artifact,
    pub(crate) pretrain: TokenStore,
    /// D_pretrain first, then the rest of the pool.
    pub(crate) oracle: TokenStore,
}

impl Tokens {
    /// Unique training tokens at hand, synthetic ones not yet.
    pub(crate) fn supply(&self) -> Supply {
        Supply {
            pretrain: self.pretrain.num_training_tokens(),
            oracle: self.oracle.num_training_tokens(),
            synthetic: 0,
        }
    }
}

pub(crate) fn make(study: &mut Study<'_>, corpus: &CorpusData) -> Result<Tokens> {
    let section = &study.plan.recipe.tokenizer;
    let how = match &section.file {
        Some(file) => {
            let bytes = input::bytes(file.as_ref()).map_err(failed("tokenizer"))?;
            json!({"file": sbp_core::Fingerprint::of_bytes(&bytes)})
        }
        None => json!({"corpus": corpus.artifact.fingerprint, "vocab_size": section.vocab_size}),
    };
    let label = "tokenizer";
    let tokenizer_artifact = study.make(label, "tokenizer", &how, &mut |study, folder| {
        let section = &study.plan.recipe.tokenizer;
        let tokenizer = match &section.file {
            Some(file) => Tokenizer::open(file.as_ref()),
            None => Tokenizer::train(&corpus.pretrain, section.vocab_size),
        };
        let tokenizer = tokenizer.map_err(failed(label))?;
        if section.file.is_none() && tokenizer.vocab_size() < section.vocab_size {
            study.watch.warn(&format!(
                "D_pretrain gives {} different tokens, tokenizer.vocab_size asks for {}",
                tokenizer.vocab_size(),
                section.vocab_size
            ));
        }
        tokenizer.save(&folder.join("tokenizer.json")).map_err(failed(label))
    })?;
    let tokenizer = Tokenizer::open(&tokenizer_artifact.file("tokenizer.json")).map_err(failed(label))?;

    let inputs = json!({"corpus": corpus.artifact.fingerprint, "tokenizer": tokenizer_artifact.fingerprint});
    let artifact = study.make("tokens", "tokens", &inputs, &mut |study, folder| {
        let mut pretrain = corpus.pretrain.iter().cloned().map(Ok);
        write_tokens(study, folder, PRETRAIN, &tokenizer, &mut pretrain)?;
        write_tokens(study, folder, ORACLE_REST, &tokenizer, &mut corpus.oracle_rest()?)
    })?;
    Ok(Tokens {
        pretrain: TokenStore::open(&artifact.path, &[PRETRAIN])?,
        oracle: TokenStore::open(&artifact.path, &[PRETRAIN, ORACLE_REST])?,
        artifact,
        tokenizer: Arc::new(tokenizer),
        tokenizer_artifact,
    })
}

const PRETRAIN: &str = "pretrain";
const ORACLE_REST: &str = "oracle_rest";

/// Tokenises documents shard by shard, on all cores; what an earlier attempt wrote is kept.
fn write_tokens(
    study: &Study<'_>,
    folder: &Path,
    name: &str,
    tokenizer: &Tokenizer,
    documents: &mut dyn Iterator<Item = Result<Document>>,
) -> Result<()> {
    let mut writer = Writer::new(folder, name, tokenizer.vocab_size())?;
    loop {
        let shard = documents.take(SHARD_DOCUMENTS).collect::<Result<Vec<_>>>()?;
        if shard.is_empty() {
            return Ok(());
        }
        if study.watch.reporter.stop_requested() {
            return Err(Error::Stopped { stage: "tokens".to_owned() });
        }
        writer.shard(|| tokenizer.encode_all(&shard).map_err(failed("tokens")))?;
    }
}
