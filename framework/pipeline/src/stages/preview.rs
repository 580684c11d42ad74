//! What a plan can say of token counts before anything is made.

use sbp_plugin::registry::BuildContext;
use sbp_plugin::slots::arm::Supply;
use sbp_recipe::Plan;

use super::{caught, failed};
use crate::{Error, Result};

/// Documents looked at for the estimate.
const LOOKED_AT: usize = 200;

/// An estimate of the unique training tokens, from the first documents' bytes and a guess of bytes per token.
///
/// Exact counts replace it as soon as the corpus is tokenised; it only has to be good enough to judge a plan by.
///
/// # Errors
/// When the corpus cannot be read.
pub fn estimate_supply(plan: &Plan) -> Result<Supply> {
    let corpus = plan.recipe.corpus.build(&BuildContext::default()).map_err(failed("corpus"))?;
    let (bytes, documents) = caught("corpus", || {
        let records = corpus.documents().map_err(failed("corpus"))?;
        let first = records.filter_map(std::result::Result::ok).take(LOOKED_AT);
        Ok(first.fold((0, 0), |(bytes, documents), document| (bytes + document.text.len(), documents + 1)))
    })?;
    if documents == 0 {
        return Err(Error::Corpus("there is no document in it".to_owned()));
    }
    let tokens_each =
        bytes as f64 / documents as f64 / bytes_per_token(plan.recipe.tokenizer.vocab_size) + 1.0;
    let splits = &plan.recipe.splits;
    let pretrain = (splits.pretrain_documents as f64 * tokens_each) as u64;
    Ok(Supply { pretrain, oracle: pretrain * splits.oracle_factor as u64, synthetic: 0 })
}

/// English under a byte-level BPE trained on the same text. A line through two measurements: 3.8 bytes a token with
/// 1,536 tokens on the world of concepts, 4.5 with 4,096 on abstracts of papers.
fn bytes_per_token(vocab_size: usize) -> f64 {
    (3.0 + 1.5 * (vocab_size as f64 / 512.0).log(8.0)).clamp(1.0, 5.0)
}
