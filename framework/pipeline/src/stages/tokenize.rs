//! Tokenizer and tokens: a byte-level BPE learned from D_pretrain alone, and every split as tokens.

use sbp_plugin::ports::Tokenizer as _;
use sbp_plugin::slots::arm::Supply;
use serde_json::json;

use super::corpus::CorpusData;
use super::{Study, failed};
use crate::store::Artifact;
use crate::token_store::TokenStore;
use crate::tokenizer::Tokenizer;
use crate::{Error, Result};

/// The tokenised splits.
pub(crate) struct Tokens {
    pub(crate) artifact: Artifact,
    pub(crate) tokenizer: Tokenizer,
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
            let bytes = std::fs::read(file.as_ref()).map_err(Error::file("read", file.as_ref()))?;
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
    let label = "tokens";
    let artifact = study.make(label, "tokens", &inputs, &mut |_, folder| {
        let mut all = tokenizer.encode_all(&corpus.pretrain).map_err(failed(label))?;
        TokenStore::from_documents(all.iter().cloned()).write(folder, "pretrain")?;
        all.extend(tokenizer.encode_all(&corpus.oracle_rest()?).map_err(failed(label))?);
        TokenStore::from_documents(all).write(folder, "oracle")
    })?;
    Ok(Tokens {
        pretrain: TokenStore::read(&artifact.path, "pretrain")?,
        oracle: TokenStore::read(&artifact.path, "oracle")?,
        artifact,
        tokenizer,
        tokenizer_artifact,
    })
}
