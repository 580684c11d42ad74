//! Quality of what the synthesizer wrote: before the filters and after them, beside real documents.

mod facts;
mod judged;
mod pair_information;
mod relevance;
mod texts;

use std::collections::{BTreeMap, HashMap, HashSet};

use sbp_core::{DocId, Document, RootSeed, SyntheticDocument};
use sbp_plugin::{Selected, slots};
use sbp_recipe::SynthesizerSection;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use self::facts::Facts;
use self::judged::Judged;
use self::pair_information::PairInformation;
use self::relevance::Relevance;
use self::texts::{CorpusNgrams, Texts};
use super::Study;
use super::corpus::CorpusData;
use super::pair::Pairs;
use super::synthesize::Synthetic;
use super::tokenize::Tokens;
use crate::store::Artifact;
use crate::{Result, files};

/// Most texts of each set that are looked at, at random.
const TEXTS: usize = 10_000;
/// Synthetic documents shown beside their seeds.
const SHOWN: usize = 5;

/// What quality is assessed from.
#[derive(Clone, Copy)]
pub(crate) struct Sources<'a> {
    pub(crate) section: &'a SynthesizerSection,
    pub(crate) embedder: &'a Selected<slots::Embedder>,
    pub(crate) corpus: &'a CorpusData,
    pub(crate) tokens: &'a Tokens,
    pub(crate) pairs: &'a Pairs,
    pub(crate) tuned: &'a Artifact,
    pub(crate) base: Option<&'a Artifact>,
}

/// Figures over the synthetic documents of one seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Quality {
    /// Draws made.
    pub(crate) drawn: usize,
    /// Draws that the filters kept.
    pub(crate) accepted: usize,
    /// Dropped draws by reason.
    pub(crate) dropped: BTreeMap<String, usize>,
    /// Training tokens kept.
    pub(crate) tokens: u64,
    /// Training tokens asked for.
    pub(crate) tokens_wanted: u64,
    /// All draws that hold any text, with their seed documents.
    pub(crate) as_drawn: Texts,
    /// The draws that were kept, with their seed documents.
    pub(crate) kept: Texts,
    /// Targets of pairs, with theirs: what the synthesizer was to learn to write.
    pub(crate) paired: Texts,
    /// How near kept documents are to their seeds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) relevance: Option<Relevance>,
    /// What held-out pairs say of the synthesizer; absent where none are held out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pair_information: Option<PairInformation>,
    /// What checking against the truth found; absent where the truth is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) facts: Option<Facts>,
    /// What a judge thinks of kept documents; absent where none is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) judged: Option<Judged>,
}

/// A synthetic document beside its seed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Sample {
    /// The seed document's text.
    pub seed: String,
    /// What the synthesizer wrote.
    pub synthetic: String,
}

/// Assesses, or reuses. What that computes is charged to nobody: no arm needs it.
pub(crate) fn make(
    study: &mut Study<'_>,
    from: Sources<'_>,
    synthetic: &Synthetic,
    seed: u64,
) -> Result<(Quality, Vec<Sample>)> {
    let label = format!("quality seed {seed}");
    let inputs = json!({
        "synthetic": synthetic.artifact.fingerprint,
        "pairs": from.pairs.artifact.fingerprint,
        "corpus": from.corpus.artifact.fingerprint,
        "embedder": from.embedder.identity(),
        "base": from.base.map(|base| &base.fingerprint),
        "heldout": from.section.heldout,
        "judge": study.plan.recipe.quality.judge.as_ref().map(|judge| judge.identity()),
        "judged_documents": study.plan.recipe.quality.judged_documents,
        "seed": seed,
    });
    let artifact = study.make(&label, "quality", &inputs, &mut |study, folder| {
        let quality = assess(study, from, synthetic, seed, &label)?;
        files::write_json(&folder.join("quality.json"), &quality)
    })?;
    let by_id = by_id(from.corpus);
    let documents = &synthetic.documents;
    let stride = (documents.len() / SHOWN).max(1);
    let samples = documents
        .iter()
        .step_by(stride)
        .take(SHOWN)
        .map(|document| Sample { seed: by_id[&document.seed].text.clone(), synthetic: document.text.clone() })
        .collect();
    Ok((files::read_json(&artifact.file("quality.json"))?, samples))
}

fn by_id(corpus: &CorpusData) -> HashMap<DocId, &Document> {
    corpus.pretrain.iter().map(|document| (document.id, document)).collect()
}

fn assess(
    study: &mut Study<'_>,
    from: Sources<'_>,
    synthetic: &Synthetic,
    seed: u64,
    label: &str,
) -> Result<Quality> {
    let by_id = by_id(from.corpus);
    let ngrams = CorpusNgrams::of(&from.corpus.pretrain);
    let some = |name: &str, of: usize| {
        let order = RootSeed(seed).stream(name, &[]).permutation(of);
        order.into_iter().take(TEXTS).map(|place| place as usize)
    };
    let with_seed = |document: &'_ SyntheticDocument| by_id[&document.seed].text.as_str();
    let texts = |name: &str, documents: &[SyntheticDocument]| {
        let texts: Vec<(&str, &str)> = some(name, documents.len())
            .map(|place| &documents[place])
            .map(|document| (document.text.as_str(), with_seed(document)))
            .collect();
        Texts::of(&texts, Some(&ngrams))
    };
    let drawn = synthetic.all_draws()?;
    // Each target once, so that it is no duplicate of itself.
    let mut targets = HashSet::new();
    let pairs: Vec<_> = from.pairs.pairs.iter().filter(|pair| targets.insert(pair.target)).collect();
    let paired: Vec<(&str, &str)> = some("quality paired", pairs.len())
        .map(|place| pairs[place])
        .map(|pair| (by_id[&pair.target].text.as_str(), by_id[&pair.seed].text.as_str()))
        .collect();
    Ok(Quality {
        drawn: synthetic.summary.drawn,
        accepted: synthetic.summary.accepted,
        dropped: synthetic.summary.dropped.clone(),
        tokens: synthetic.summary.tokens,
        tokens_wanted: synthetic.summary.wanted,
        as_drawn: texts("quality drawn", &drawn),
        kept: texts("quality kept", &synthetic.documents),
        paired: Texts::of(&paired, None),
        relevance: relevance::measure(study, from, &synthetic.documents, seed, label)?,
        pair_information: pair_information::measure(study, from, seed, label)?,
        facts: facts::facts(from.corpus, &synthetic.documents, &by_id),
        judged: judged::ask(study, &synthetic.documents, &by_id, seed, label)?,
    })
}
