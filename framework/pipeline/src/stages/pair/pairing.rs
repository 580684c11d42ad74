//! From neighbors to pairs: filters, the most targets of a seed, both directions, and the counts of all that.

use std::collections::{BTreeMap, HashMap, HashSet};

use sbp_core::{DocId, Document, Neighbor, Pair};
use sbp_plugin::registry::BuildContext;
use sbp_plugin::slots::pair_filter::{PairFilter, Verdict};
use sbp_recipe::PairsSection;
use serde::{Deserialize, Serialize};

use super::recall::Recall;

/// Counts of the pairing, `summary.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Summary {
    /// Kind of the retriever.
    pub(crate) retriever: String,
    /// What a retriever that chooses among others chose, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) choice: Option<String>,
    /// Neighbors asked for each document.
    pub(crate) neighbors: usize,
    pub(crate) found: usize,
    pub(crate) kept: usize,
    /// Documents that are the seed of at least one pair.
    pub(crate) seeds: usize,
    /// Dropped pairs by reason.
    pub(crate) dropped: BTreeMap<String, usize>,
    /// Number of kept pairs by similarity, in steps of 0.05 from -1.
    pub(crate) similarity_histogram: Vec<usize>,
    /// Number of documents by how many pairs they are the seed of.
    pub(crate) targets_per_seed: BTreeMap<usize, usize>,
    /// Number of documents by how many pairs they are the target of.
    pub(crate) times_a_target: BTreeMap<usize, usize>,
    /// What an approximate retriever finds of the true neighbors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) recall: Option<Recall>,
}

/// Neighbors on their way to pairs.
pub(super) struct Pairing<'a> {
    section: &'a PairsSection,
    documents: &'a [Document],
    filters: Vec<Box<dyn PairFilter>>,
    found: usize,
    kept: Vec<Pair>,
    dropped: BTreeMap<String, usize>,
}

impl<'a> Pairing<'a> {
    pub(super) fn new(
        section: &'a PairsSection,
        documents: &'a [Document],
        context: &BuildContext,
    ) -> sbp_plugin::Result<Self> {
        let filters = section.filters.iter().map(|filter| filter.build(context));
        let mut filters = filters.collect::<sbp_plugin::Result<Vec<_>>>()?;
        filters.iter_mut().for_each(|filter| filter.prepare(documents));
        Ok(Self { section, documents, filters, found: 0, kept: Vec::new(), dropped: BTreeMap::new() })
    }

    /// Judges the neighbors of one document, best first.
    pub(super) fn add(&mut self, query: u32, neighbors: &[Neighbor]) {
        let seed = &self.documents[query as usize];
        let most = self.section.max_targets_per_seed.unwrap_or(usize::MAX);
        let mut taken = 0;
        for (rank, neighbor) in neighbors.iter().enumerate() {
            self.found += 1;
            let target = &self.documents[neighbor.row as usize];
            let similarity = neighbor.similarity;
            let pair = Pair { seed: seed.id, target: target.id, similarity, rank: rank as u32 };
            match self.verdict(&pair, seed, target) {
                Verdict::Keep if taken < most => {
                    taken += 1;
                    self.kept.push(pair);
                }
                Verdict::Keep => self.drop("more_targets_than_asked_for".to_owned()),
                Verdict::Drop(reason) => self.drop(reason),
            }
        }
    }

    fn verdict(&self, pair: &Pair, seed: &Document, target: &Document) -> Verdict {
        let verdicts = self.filters.iter().map(|filter| filter.judge(pair, seed, target));
        verdicts.into_iter().find(|verdict| !verdict.is_keep()).unwrap_or(Verdict::Keep)
    }

    fn drop(&mut self, reason: String) {
        *self.dropped.entry(reason).or_insert(0) += 1;
    }

    /// Adds the reverse of every pair, or takes the pair out where its reverse is not kept.
    fn reverse(&mut self) {
        let by_id: HashMap<DocId, &Document> = self.documents.iter().map(|it| (it.id, it)).collect();
        let mut there: HashSet<(DocId, DocId)> = self.kept.iter().map(|it| (it.seed, it.target)).collect();
        for pair in std::mem::take(&mut self.kept) {
            let reverse = Pair { seed: pair.target, target: pair.seed, ..pair };
            if there.contains(&(reverse.seed, reverse.target)) {
                self.kept.push(pair);
                continue;
            }
            match self.verdict(&reverse, by_id[&reverse.seed], by_id[&reverse.target]) {
                Verdict::Keep => {
                    there.insert((reverse.seed, reverse.target));
                    self.kept.extend([pair, reverse]);
                }
                Verdict::Drop(reason) => self.drop(format!("reverse_{reason}")),
            }
        }
        // By seed as they were found, so that the pairs of a document stand together.
        let place: HashMap<DocId, usize> =
            self.documents.iter().enumerate().map(|(place, it)| (it.id, place)).collect();
        self.kept.sort_by(|a, b| {
            let order = place[&a.seed].cmp(&place[&b.seed]);
            order.then(b.similarity.total_cmp(&a.similarity)).then(place[&a.target].cmp(&place[&b.target]))
        });
    }

    pub(super) fn finish(mut self) -> (Vec<Pair>, Summary) {
        if self.section.symmetric {
            self.reverse();
        }
        let mut histogram = vec![0; 40];
        for pair in &self.kept {
            histogram[(((pair.similarity + 1.0) / 0.05) as usize).min(39)] += 1;
        }
        let targets_per_seed = by_times(self.documents, self.kept.iter().map(|pair| pair.seed));
        let summary = Summary {
            retriever: String::new(),
            choice: None,
            neighbors: 0,
            found: self.found,
            kept: self.kept.len(),
            seeds: targets_per_seed.range(1..).map(|(_, documents)| documents).sum(),
            dropped: self.dropped,
            similarity_histogram: histogram,
            targets_per_seed,
            times_a_target: by_times(self.documents, self.kept.iter().map(|pair| pair.target)),
            recall: None,
        };
        (self.kept, summary)
    }
}

/// Number of documents by how often they are among `ids`, those that never are included.
fn by_times(documents: &[Document], ids: impl Iterator<Item = DocId>) -> BTreeMap<usize, usize> {
    let mut times: HashMap<DocId, usize> = HashMap::new();
    for id in ids {
        *times.entry(id).or_default() += 1;
    }
    let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
    for document in documents {
        *counts.entry(times.get(&document.id).copied().unwrap_or(0)).or_default() += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn documents(count: usize) -> Vec<Document> {
        (0..count).map(|n| Document::new(&format!("d{n}"), format!("text {n}"))).collect()
    }

    fn pairs(section: &PairsSection, lists: &[Vec<(u32, u8)>]) -> (Vec<Pair>, Summary) {
        let documents = documents(lists.len());
        let mut pairing = Pairing::new(section, &documents, &BuildContext::default()).unwrap();
        for (query, list) in lists.iter().enumerate() {
            let mut neighbors: Vec<Neighbor> = Vec::new();
            for &(row, similarity) in list {
                let row = row % lists.len() as u32;
                if row != query as u32 && neighbors.iter().all(|it| it.row != row) {
                    neighbors.push(Neighbor { row, similarity: f32::from(similarity) / 256.0 });
                }
            }
            sbp_plugin::slots::retriever::sort_neighbors(&mut neighbors);
            pairing.add(query as u32, &neighbors);
        }
        pairing.finish()
    }

    proptest! {
        #[test]
        fn limits_hold_and_symmetric_pairs_are(
            lists in prop::collection::vec(prop::collection::vec((0_u32..20, any::<u8>()), 0..6), 2..20),
            most in prop::option::of(1_usize..4),
            symmetric in any::<bool>(),
        ) {
            let section = PairsSection { max_targets_per_seed: most, symmetric, ..PairsSection::default() };
            let (kept, summary) = pairs(&section, &lists);
            let all: HashSet<(DocId, DocId)> = kept.iter().map(|pair| (pair.seed, pair.target)).collect();
            prop_assert_eq!(all.len(), kept.len(), "a pair comes twice");
            prop_assert!(kept.iter().all(|pair| pair.seed != pair.target));
            if symmetric {
                prop_assert!(kept.iter().all(|pair| all.contains(&(pair.target, pair.seed))));
            } else {
                let dropped: usize = summary.dropped.values().sum();
                prop_assert_eq!(summary.found, kept.len() + dropped);
                for pair in &kept {
                    let own = kept.iter().filter(|other| other.seed == pair.seed).count();
                    prop_assert!(own <= most.unwrap_or(usize::MAX));
                }
            }
            prop_assert_eq!(summary.kept, kept.len());
            prop_assert_eq!(summary.similarity_histogram.iter().sum::<usize>(), kept.len());
            let seeds: HashSet<DocId> = kept.iter().map(|pair| pair.seed).collect();
            prop_assert_eq!(summary.seeds, seeds.len());
            for counts in [&summary.targets_per_seed, &summary.times_a_target] {
                prop_assert_eq!(counts.values().sum::<usize>(), lists.len());
                let pairs: usize = counts.iter().map(|(times, documents)| times * documents).sum();
                prop_assert_eq!(pairs, kept.len());
            }
        }
    }

    #[test]
    fn a_pair_whose_reverse_is_dropped_goes_with_it() {
        #[derive(Debug)]
        struct OneWay;
        impl PairFilter for OneWay {
            fn judge(&self, _: &Pair, seed: &Document, _: &Document) -> Verdict {
                if seed.text == "text 1" { Verdict::drop("seed_is_one") } else { Verdict::Keep }
            }
        }
        let documents = documents(3);
        let section = PairsSection { symmetric: true, ..PairsSection::default() };
        let mut pairing = Pairing::new(&section, &documents, &BuildContext::default()).unwrap();
        pairing.filters = vec![Box::new(OneWay)];
        let neighbor = |row| Neighbor { row, similarity: 0.5 };
        pairing.add(0, &[neighbor(1), neighbor(2)]);
        let (kept, summary) = pairing.finish();
        let found: Vec<(DocId, DocId)> = kept.iter().map(|pair| (pair.seed, pair.target)).collect();
        assert_eq!(found, [(documents[0].id, documents[2].id), (documents[2].id, documents[0].id)]);
        assert_eq!(summary.dropped, BTreeMap::from([("reverse_seed_is_one".to_owned(), 1)]));
    }
}
