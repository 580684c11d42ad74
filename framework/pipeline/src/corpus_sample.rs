//! Some documents of a corpus to read: `sbp corpus sample`.

use sbp_core::{Document, RootSeed};
use sbp_plugin::registry::BuildContext;
use sbp_plugin::slots::corpus::Corpus;
use sbp_recipe::Plan;

use crate::Result;
use crate::stages::corpus::Quarantine;
use crate::stages::{caught, failed};

/// Documents that are drawn from at most: every beginning of a corpus is a fair sample of it.
const LOOKED_AT: u64 = 100_000;

/// Draws documents of a recipe's corpus at random, the same for the same seed.
///
/// # Errors
/// When the corpus cannot be read.
pub fn corpus_sample(plan: &Plan, num_documents: usize, seed: u64) -> Result<Vec<Document>> {
    caught("corpus", || {
        let source = plan.recipe.corpus.build(&BuildContext::default()).map_err(failed("corpus"))?;
        draw(source.as_ref(), num_documents, seed)
    })
}

/// Vitter's algorithm R: after n documents, each of them is among the drawn ones with the same probability.
fn draw(source: &dyn Corpus, num_documents: usize, seed: u64) -> Result<Vec<Document>> {
    let mut stream = RootSeed(seed).stream("shown documents", &[]);
    let mut quarantine = Quarantine::default();
    let mut drawn = Vec::new();
    let mut seen = 0;
    for record in source.documents().map_err(failed("corpus"))? {
        let Some(document) = quarantine.sift(record)? else { continue };
        seen += 1;
        if drawn.len() < num_documents {
            drawn.push(document);
        } else if let Some(place) = drawn.get_mut(stream.below(seen) as usize) {
            *place = document;
        }
        if seen == LOOKED_AT {
            break;
        }
    }
    Ok(drawn)
}

#[cfg(test)]
mod tests {
    use sbp_testkit::{TinyConfig, TinyCorpus};

    use super::*;

    #[test]
    fn a_seed_draws_the_same_documents_and_all_are_drawn_alike() {
        let corpus = TinyCorpus(TinyConfig { documents: 20, bad_every: Some(10), ..TinyConfig::default() });
        let draw = |count, seed| draw(&corpus, count, seed).expect("it can be read");
        assert_eq!(draw(5, 1), draw(5, 1));
        assert_ne!(draw(5, 1), draw(5, 2));
        assert_eq!(draw(50, 1).len(), 18);
        let mut times = std::collections::BTreeMap::new();
        for seed in 0..900 {
            for document in draw(4, seed) {
                *times.entry(document.id).or_insert(0) += 1;
            }
        }
        // Each of 18 documents is expected 200 times, give or take 12.5.
        assert_eq!(times.len(), 18);
        assert!(times.values().all(|times| (140..260).contains(times)), "{times:?}");
    }
}
