//! How near synthetic documents are to their seeds, between random pairs and true ones, by the study's own embedder.

use std::collections::HashMap;

use sbp_core::{Cost, DocId, Document, RootSeed, SyntheticDocument};
use sbp_plugin::ports::{LanguageModel, Precision};
use sbp_plugin::registry::BuildContext;
use sbp_plugin::slots::embedder::{EmbedContext, Embeddings};
use serde::{Deserialize, Serialize};

use super::Sources;
use crate::Result;
use crate::stages::{Study, failed};

/// Most synthetic documents that are compared with their seeds.
const COMPARED: usize = 500;
/// A pair is related when it is nearer than this share of random pairs.
const RELATED: f64 = 0.99;

/// Similarities of documents to a seed document, as the study's embedder sees them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Relevance {
    /// Synthetic documents that were compared.
    pub(crate) compared: usize,
    /// Mean similarity of a seed document to another one at random.
    pub(crate) random: f64,
    /// To what the synthesizer wrote for it.
    pub(crate) synthetic: f64,
    /// To its first target, for those that have one.
    pub(crate) paired: Option<f64>,
    /// Where `synthetic` stands between `random` (0) and `paired` (1).
    pub(crate) position: Option<f64>,
    /// The share of synthetic documents that are no nearer to their seed than 99 in 100 random documents are.
    pub(crate) irrelevant: f64,
}

pub(super) fn measure(
    study: &mut Study<'_>,
    from: Sources<'_>,
    synthetic: &[SyntheticDocument],
    seed: u64,
    label: &str,
) -> Result<Option<Relevance>> {
    let fail = failed(label);
    let Sources { corpus, tokens, pairs, base, embedder, .. } = from;
    let rows: HashMap<DocId, usize> =
        corpus.pretrain.iter().enumerate().map(|(row, document)| (document.id, row)).collect();
    let mut targets: HashMap<DocId, DocId> = HashMap::new();
    for pair in &pairs.pairs {
        targets.entry(pair.seed).or_insert(pair.target);
    }
    let mut rng = RootSeed(seed).stream("relevance", &[]);
    let order = rng.permutation(synthetic.len());
    let chosen: Vec<&SyntheticDocument> =
        order.into_iter().take(COMPARED).map(|place| &synthetic[place as usize]).collect();
    if chosen.is_empty() || corpus.pretrain.len() < 2 {
        return Ok(None);
    }
    // Seeds, what was written for them, one at random, and a target where there is one: embedded together, so that what an
    // embedder does over all documents it does to them alike.
    let mut documents: Vec<Document> = Vec::new();
    let mut places = Vec::new();
    for (index, synthetic) in chosen.iter().enumerate() {
        let row = rows[&synthetic.seed];
        let mut other = rng.below(corpus.pretrain.len() as u64 - 1) as usize;
        other += usize::from(other >= row);
        let mut place = |document: Document| {
            documents.push(document);
            documents.len() - 1
        };
        places.push((
            place(corpus.pretrain[row].clone()),
            place(Document::new(&format!("synthetic {index}"), synthetic.text.clone())),
            place(corpus.pretrain[other].clone()),
            targets.get(&synthetic.seed).map(|target| place(corpus.pretrain[rows[target]].clone())),
        ));
    }
    let mut embedder = embedder.build(&BuildContext { seed }).map_err(&fail)?;
    // An embedder may know only documents that it was prepared with; a document of D_pretrain that stands among them twice is
    // the same one.
    let synthetic = places.iter().map(|&(_, synthetic, ..)| documents[synthetic].clone());
    let known: Vec<Document> = corpus.pretrain.iter().cloned().chain(synthetic).collect();
    embedder.prepare(&known).map_err(&fail)?;
    let mut model: Option<Box<dyn LanguageModel>> = match base {
        Some(base) if embedder.needs_base_model() => {
            Some(study.runtime.open(&base.file("checkpoint"), Precision::Fp32).map_err(&fail)?)
        }
        _ => None,
    };
    let runtime = &mut *study.runtime;
    let mut cost = Cost::default();
    let mut context = EmbedContext {
        base: match &mut model {
            Some(model) => Some(model.as_mut()),
            None => None,
        },
        tokenizer: tokens.tokenizer.as_ref(),
        open_encoder: &mut |folder, options| runtime.open_encoder(folder, options),
        cost: &mut cost,
        progress: &mut |_| {},
    };
    let embeddings = embedder.embed(&documents, &mut context).map_err(&fail)?;
    let embeddings = embedder.finish(embeddings).map_err(&fail)?;
    Ok(Some(of_places(&embeddings, &places)))
}

/// From the places of (seed, synthetic, random, target).
fn of_places(embeddings: &Embeddings, places: &[(usize, usize, usize, Option<usize>)]) -> Relevance {
    let similarity = |a, b| f64::from(embeddings.similarity(a, b));
    let synthetic: Vec<f64> = places.iter().map(|&(seed, it, ..)| similarity(seed, it)).collect();
    let mut random: Vec<f64> = places.iter().map(|&(seed, _, it, _)| similarity(seed, it)).collect();
    let paired: Vec<f64> =
        places.iter().filter_map(|&(seed, .., it)| it.map(|it| similarity(seed, it))).collect();
    let mean = |of: &[f64]| of.iter().sum::<f64>() / of.len() as f64;
    random.sort_by(f64::total_cmp);
    let limit = random[((random.len() as f64 * RELATED) as usize).min(random.len() - 1)];
    let paired = (!paired.is_empty()).then(|| mean(&paired));
    let (low, own) = (mean(&random), mean(&synthetic));
    Relevance {
        compared: places.len(),
        random: low,
        synthetic: own,
        paired,
        position: paired.filter(|high| *high > low).map(|high| (own - low) / (high - low)),
        irrelevant: synthetic.iter().filter(|it| **it <= limit).count() as f64 / places.len() as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_synthetic_document_stands_between_random_and_paired_ones() {
        let angle = |degrees: f64| [degrees.to_radians().cos() as f32, degrees.to_radians().sin() as f32];
        let rows = [0.0, 60.0, 90.0, 0.0].map(angle).concat();
        let embeddings = Embeddings { dim: 2, rows };
        let found = of_places(&embeddings, &[(0, 1, 2, Some(3))]);
        assert!((found.position.unwrap() - 0.5).abs() < 1e-6, "{found:?}");
        assert_eq!((found.irrelevant, found.compared), (0.0, 1));
        let found = of_places(&embeddings, &[(0, 2, 1, None)]);
        assert_eq!((found.irrelevant, found.position), (1.0, None));
    }
}
