//! Checking against the truth, where the corpus knows it: facts are checked, not judged by a model.

use std::collections::HashMap;

use sbp_core::{DocId, Document, SyntheticDocument};
use sbp_plugin::slots::corpus::Judgement;
use serde::{Deserialize, Serialize};

use crate::stages::corpus::CorpusData;

/// Most documents that are checked against the truth.
const CHECKED: usize = 2_000;

/// What checking against the truth found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Facts {
    /// Documents checked.
    pub checked: usize,
    /// Share of checked documents that state anything.
    pub stating: f64,
    /// Share of the stating documents with at least one false statement; none when there is none.
    pub non_factual: Option<f64>,
    /// Share of statements that are true; none when nothing was stated.
    pub fact_accuracy: Option<f64>,
    /// Share of checked documents about what their seed document is about.
    pub relevance: f64,
    /// Share of the seed documents' statements that are restated rightly.
    pub carried: f64,
    /// Share of D_pretrain documents with a false statement, by the same reader: its own error.
    pub real_non_factual: f64,
}

pub(super) fn facts(
    corpus: &CorpusData,
    documents: &[SyntheticDocument],
    by_id: &HashMap<DocId, &Document>,
) -> Option<Facts> {
    let truth = corpus.source.truth()?;
    let checked: Vec<_> = documents.iter().take(CHECKED).collect();
    let judgements: Vec<_> =
        checked.iter().map(|document| truth.judge(&by_id[&document.seed].text, &document.text)).collect();
    let count = |of: &dyn Fn(&Judgement) -> u32| {
        judgements.iter().map(|judgement| u64::from(of(judgement))).sum::<u64>() as f64
    };
    let ratio = |n: f64, of: f64| (of > 0.0).then(|| n / of);
    let share = |n: f64, of: f64| ratio(n, of).unwrap_or(0.0);
    let stating = judgements.iter().filter(|judgement| judgement.claims > 0).count() as f64;
    let false_of = |judgement: &Judgement| judgement.claims > judgement.true_claims;
    let real: Vec<_> = corpus
        .pretrain
        .iter()
        .take(CHECKED)
        .map(|document| truth.judge(&document.text, &document.text))
        .collect();
    let n = judgements.len() as f64;
    Some(Facts {
        checked: judgements.len(),
        stating: share(stating, n),
        non_factual: ratio(judgements.iter().filter(|judgement| false_of(judgement)).count() as f64, stating),
        fact_accuracy: ratio(count(&|judgement| judgement.true_claims), count(&|judgement| judgement.claims)),
        relevance: share(judgements.iter().filter(|judgement| judgement.relevant).count() as f64, n),
        carried: share(
            count(&|judgement| judgement.carried_claims),
            count(&|judgement| judgement.seed_claims),
        ),
        real_non_factual: share(
            real.iter().filter(|judgement| false_of(judgement)).count() as f64,
            real.len() as f64,
        ),
    })
}
