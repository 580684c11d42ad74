//! Which documents are held out, D_pretrain and the rest of the oracle's pool.

use std::collections::BTreeMap;

use sbp_core::Document;
use sbp_plugin::slots::corpus::Corpus;
use sbp_recipe::SplitsSection;

use super::evaluation_sets::EvaluationSets;
use super::near_duplicates::NearDuplicates;
use super::quarantine::Quarantine;
use crate::leakage::LeakageGuard;
use crate::stages::failed;
use crate::{Error, Result};

/// What a guard calls the held-out documents.
pub(crate) const HELDOUT: &str = "heldout";

/// A corpus divided.
pub(crate) struct Split {
    pub(crate) pretrain: Vec<Document>,
    /// Documents of the oracle's pool, D_pretrain included.
    pub(crate) num_pool: usize,
    pub(crate) heldout: Vec<Document>,
    /// Documents left out of the pool because of evaluation text, by the set it is of.
    pub(crate) contaminated: BTreeMap<String, usize>,
    /// Near-duplicates left out of the pool.
    pub(crate) near_duplicates: usize,
    pub(crate) quarantine: Quarantine,
}

/// Documents that the arms may see, as many as are asked for.
struct Pool<'r> {
    guard: LeakageGuard,
    num_pretrain: usize,
    num_wanted: usize,
    pretrain: Vec<Document>,
    num_documents: usize,
    contaminated: BTreeMap<String, usize>,
    near_duplicates: NearDuplicates,
    /// Takes what comes after D_pretrain, which may be much.
    rest: &'r mut dyn FnMut(&Document) -> Result<()>,
}

impl Pool<'_> {
    /// Accepts a document, unless something speaks against it.
    fn offer(&mut self, document: Document) -> Result<()> {
        if let Some(set) = self.guard.contaminated_by(&document.text) {
            *self.contaminated.entry(set.to_owned()).or_default() += 1;
            return self.check_that_some_are_new();
        }
        if self.near_duplicates.keep_out(&document.text) {
            return self.check_that_some_are_new();
        }
        self.num_documents += 1;
        if self.pretrain.len() < self.num_pretrain {
            self.pretrain.push(document);
            return Ok(());
        }
        (self.rest)(&document)
    }

    fn is_full(&self) -> bool {
        self.num_documents == self.num_wanted
    }

    /// An unlimited corpus that only repeats evaluation text or itself would never fill the pool.
    fn check_that_some_are_new(&self) -> Result<()> {
        let contaminated: usize = self.contaminated.values().sum();
        let near_duplicates = self.near_duplicates.count;
        if contaminated + near_duplicates <= 100 + 10 * self.num_wanted {
            return Ok(());
        }
        Err(Error::Corpus(format!(
            "{contaminated} documents contain evaluation text, {near_duplicates} are near-duplicates, and only {} are \
             neither; raise splits.contamination_share, splits.contamination_ngram or splits.near_duplicates.max_jaccard",
            self.num_documents
        )))
    }
}

/// Divides a corpus. Documents of the pool that are not in D_pretrain are given to `rest`, in order.
pub(crate) fn split(
    source: &dyn Corpus,
    splits: &SplitsSection,
    sets: &EvaluationSets,
    rest: &mut dyn FnMut(&Document) -> Result<()>,
) -> Result<Split> {
    let mut quarantine = Quarantine::default();
    let mut heldout = Vec::new();
    for record in source.heldout().map_err(failed("corpus"))? {
        heldout.extend(quarantine.sift(record)?);
        if heldout.len() == splits.heldout_documents {
            break;
        }
    }
    let mut guard = LeakageGuard::new(splits.contamination_ngram, splits.contamination_share);
    guard.guard(HELDOUT, heldout.iter().map(|document| document.text.as_str()));
    sets.guard(&mut guard);
    let mut pool = Pool {
        guard,
        num_pretrain: splits.pretrain_documents,
        num_wanted: splits.pool_documents(),
        pretrain: Vec::new(),
        num_documents: 0,
        contaminated: BTreeMap::new(),
        near_duplicates: NearDuplicates::new(splits.near_duplicates.as_ref()),
        rest,
    };
    for record in source.documents().map_err(failed("corpus"))? {
        if let Some(document) = quarantine.sift(record)? {
            pool.offer(document)?;
        }
        if pool.is_full() {
            break;
        }
    }
    Ok(Split {
        pretrain: pool.pretrain,
        num_pool: pool.num_documents,
        heldout,
        contaminated: pool.contaminated,
        near_duplicates: pool.near_duplicates.count,
        quarantine,
    })
}

impl Split {
    /// An error when the corpus does not give what the recipe asks for.
    pub(crate) fn check(&self, splits: &SplitsSection) -> Result<()> {
        self.quarantine.check(splits.max_bad_share)?;
        if self.heldout.is_empty() {
            return Err(Error::Corpus(
                "there is no held-out document; name a file for them or let the corpus set some aside"
                    .to_owned(),
            ));
        }
        if self.num_pool < splits.pretrain_documents {
            return Err(Error::Corpus(format!(
                "it has {} usable documents, D_pretrain needs {}; lower splits.pretrain_documents or add documents",
                self.num_pool, splits.pretrain_documents
            )));
        }
        Ok(())
    }
}
