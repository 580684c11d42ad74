//! Quality of the synthetic documents that were kept, beside a few of them with their seeds.
//!
//! Where the corpus knows the truth, facts are checked, not judged by a model.

use std::collections::HashMap;

use sbp_core::{DocId, Document};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::corpus::CorpusData;
use super::synthesize::Synthetic;

/// Most documents that are checked against the truth.
const CHECKED: usize = 2_000;
/// Synthetic documents shown beside their seeds.
const SHOWN: usize = 5;

/// Figures over the accepted synthetic documents of one seed. Shares are of documents unless named otherwise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Quality {
    /// Draws made and kept.
    pub drawn: usize,
    /// Draws that the filters kept.
    pub accepted: usize,
    /// Dropped draws by reason.
    pub dropped: std::collections::BTreeMap<String, usize>,
    /// Training tokens kept and asked for.
    pub tokens: u64,
    /// Training tokens asked for.
    pub tokens_wanted: u64,
    /// Mean words in a kept document, and in a document of D_pretrain.
    pub mean_words: f64,
    /// Mean words in a document of D_pretrain.
    pub real_mean_words: f64,
    /// Share of kept documents identical to another kept document.
    pub duplicate: f64,
    /// Share of kept documents identical to a document of D_pretrain.
    pub corpus_copy: f64,
    /// What checking against the truth found; absent where the truth is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub facts: Option<Facts>,
}

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

/// A synthetic document beside its seed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Sample {
    /// The seed document's text.
    pub seed: String,
    /// What the synthesizer wrote.
    pub synthetic: String,
}

pub(crate) fn assess(corpus: &CorpusData, synthetic: &Synthetic) -> (Quality, Vec<Sample>) {
    let by_id: HashMap<DocId, &Document> =
        corpus.pretrain.iter().map(|document| (document.id, document)).collect();
    let documents = &synthetic.documents;
    let mut times: HashMap<&str, usize> = HashMap::new();
    for document in documents {
        *times.entry(document.text.trim()).or_default() += 1;
    }
    let real: std::collections::HashSet<&str> =
        corpus.pretrain.iter().map(|document| document.text.trim()).collect();
    let share = |count: usize| count as f64 / documents.len().max(1) as f64;
    let quality = Quality {
        drawn: synthetic.summary.drawn,
        accepted: synthetic.summary.accepted,
        dropped: synthetic.summary.dropped.clone(),
        tokens: synthetic.summary.tokens,
        tokens_wanted: synthetic.summary.wanted,
        mean_words: mean_words(documents.iter().map(|document| document.text.as_str())),
        real_mean_words: mean_words(corpus.pretrain.iter().map(|document| document.text.as_str())),
        duplicate: share(documents.iter().filter(|document| times[document.text.trim()] > 1).count()),
        corpus_copy: share(documents.iter().filter(|document| real.contains(document.text.trim())).count()),
        facts: facts(corpus, synthetic, &by_id),
    };
    let stride = (documents.len() / SHOWN).max(1);
    let samples = documents
        .iter()
        .step_by(stride)
        .take(SHOWN)
        .map(|document| Sample { seed: by_id[&document.seed].text.clone(), synthetic: document.text.clone() })
        .collect();
    (quality, samples)
}

fn facts(corpus: &CorpusData, synthetic: &Synthetic, by_id: &HashMap<DocId, &Document>) -> Option<Facts> {
    let truth = corpus.source.truth()?;
    let checked: Vec<_> = synthetic.documents.iter().take(CHECKED).collect();
    let judgements: Vec<_> =
        checked.iter().map(|document| truth.judge(&by_id[&document.seed].text, &document.text)).collect();
    let count = |of: &dyn Fn(&sbp_plugin::slots::corpus::Judgement) -> u32| {
        judgements.iter().map(|judgement| u64::from(of(judgement))).sum::<u64>() as f64
    };
    let ratio = |n: f64, of: f64| (of > 0.0).then(|| n / of);
    let share = |n: f64, of: f64| ratio(n, of).unwrap_or(0.0);
    let stating = judgements.iter().filter(|judgement| judgement.claims > 0).count() as f64;
    let false_of =
        |judgement: &sbp_plugin::slots::corpus::Judgement| judgement.claims > judgement.true_claims;
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

fn mean_words<'t>(texts: impl Iterator<Item = &'t str>) -> f64 {
    let (mut words, mut count) = (0usize, 0usize);
    for text in texts {
        words += text.split_whitespace().count();
        count += 1;
    }
    if count == 0 { 0.0 } else { words as f64 / count as f64 }
}
