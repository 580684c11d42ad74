//! Corpus: which documents are D_pretrain, the oracle's pool and held out; and the corpus's own questions.
//!
//! D_pretrain is the beginning of the corpus, the oracle's pool a longer beginning. Documents that contain held-out
//! text are left out of both, and those that nearly repeat an earlier one where the recipe says so. Records that cannot
//! be read go to `quarantine.jsonl`.

mod near_duplicates;

use std::path::Path;

use sbp_core::Document;
use sbp_plugin::registry::BuildContext;
use sbp_plugin::slots::corpus::{BadRecord, Corpus, Question, Records};
use sbp_recipe::SplitsSection;
use serde::{Deserialize, Serialize};
use serde_json::json;

use self::near_duplicates::NearDuplicates;
use super::{Study, failed};
use crate::leakage::LeakageGuard;
use crate::store::Artifact;
use crate::{Error, Result, files};

const LABEL: &str = "corpus";

/// The corpus as the study uses it.
pub(crate) struct CorpusData {
    pub(crate) artifact: Artifact,
    pub(crate) source: Box<dyn Corpus>,
    pub(crate) pretrain: Vec<Document>,
    pub(crate) heldout: Vec<Document>,
    pub(crate) questions: Vec<Question>,
    pub(crate) summary: Summary,
}

/// Counts of what was read, kept and left out.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Summary {
    pub(crate) pretrain_documents: usize,
    pub(crate) oracle_documents: usize,
    pub(crate) heldout_documents: usize,
    pub(crate) questions: usize,
    /// Left out of the pool because they contain held-out text.
    pub(crate) contaminated: usize,
    /// Left out of the pool because they are nearly the same as an earlier document.
    #[serde(default)]
    pub(crate) near_duplicates: usize,
    /// Unreadable, see `quarantine.jsonl`.
    pub(crate) quarantined: usize,
    /// Bytes of text in D_pretrain.
    pub(crate) pretrain_bytes: u64,
}

pub(crate) fn make(study: &mut Study<'_>) -> Result<CorpusData> {
    let plan = study.plan;
    let source = plan.recipe.corpus.build(&BuildContext::default()).map_err(failed(LABEL))?;
    let content = source.fingerprint().map_err(failed(LABEL))?;
    let inputs = json!({
        "corpus": plan.recipe.corpus.identity(),
        "content": content,
        "splits": plan.recipe.splits,
    });
    let artifact = study.make(LABEL, "corpus", &inputs, &mut |study, folder| {
        let summary = split(source.as_ref(), &plan.recipe.splits, folder)?;
        if summary.oracle_documents < plan.recipe.splits.pretrain_documents * plan.recipe.splits.oracle_factor {
            study.watch.warn(&format!(
                "the corpus has {} documents for the oracle's pool instead of {}; the oracle will read them more than once",
                summary.oracle_documents,
                plan.recipe.splits.pretrain_documents * plan.recipe.splits.oracle_factor,
            ));
        }
        if summary.heldout_documents < plan.recipe.splits.heldout_documents {
            study.watch.warn(&format!(
                "the corpus keeps {} documents for evaluation, splits.heldout_documents asks for {}",
                summary.heldout_documents, plan.recipe.splits.heldout_documents,
            ));
        }
        if summary.quarantined > 0 {
            study.watch.warn(&format!(
                "{} records could not be read; they are listed in stages/corpus/quarantine.jsonl of the run folder",
                summary.quarantined
            ));
        }
        files::write_json(&folder.join("summary.json"), &summary)
    })?;
    Ok(CorpusData {
        pretrain: files::read_lines(&artifact.file("pretrain.jsonl"))?,
        heldout: files::read_lines(&artifact.file("heldout.jsonl"))?,
        questions: files::read_lines(&artifact.file("questions.jsonl"))?,
        summary: files::read_json(&artifact.file("summary.json"))?,
        source,
        artifact,
    })
}

impl CorpusData {
    /// The documents of the oracle's pool that are not in D_pretrain.
    pub(crate) fn oracle_rest(&self) -> Result<Vec<Document>> {
        files::read_lines(&self.artifact.file("oracle_rest.jsonl"))
    }
}

fn split(source: &dyn Corpus, splits: &SplitsSection, folder: &Path) -> Result<Summary> {
    let mut quarantine = Quarantine::default();
    let mut heldout = Vec::new();
    for document in quarantine.sift(source.heldout().map_err(failed(LABEL))?) {
        heldout.push(document);
        if heldout.len() == splits.heldout_documents {
            break;
        }
    }
    if heldout.is_empty() {
        return Err(Error::Corpus(
            "there is no held-out document; name a file for them or let the corpus set some aside".to_owned(),
        ));
    }
    let guard = LeakageGuard::new(
        heldout.iter().map(|document| document.text.as_str()),
        splits.contamination_ngram,
        splits.contamination_share,
    );
    let wanted = splits.pretrain_documents * splits.oracle_factor;
    let mut pool = Vec::new();
    let mut contaminated = 0;
    let mut near_duplicates = NearDuplicates::new(splits.near_duplicates.as_ref());
    for document in quarantine.sift(source.documents().map_err(failed(LABEL))?) {
        if guard.is_contaminated(&document.text) {
            contaminated += 1;
            // An unlimited corpus that only repeats held-out text would never fill the pool.
            if contaminated > 100 + 10 * wanted {
                return Err(Error::Corpus(format!(
                    "{contaminated} documents contain held-out text and only {} do not; raise splits.contamination_share or splits.contamination_ngram",
                    pool.len()
                )));
            }
            continue;
        }
        if near_duplicates.keep_out(&document.text) {
            // An unlimited corpus that only repeats itself would never fill the pool.
            if near_duplicates.count > 100 + 10 * wanted {
                return Err(Error::Corpus(format!(
                    "{} documents are near-duplicates of the {} others; raise splits.near_duplicates.max_jaccard or lower splits.pretrain_documents or splits.oracle_factor",
                    near_duplicates.count,
                    pool.len()
                )));
            }
            continue;
        }
        pool.push(document);
        if pool.len() == wanted {
            break;
        }
    }
    quarantine.check(splits.max_bad_share)?;
    if pool.len() < splits.pretrain_documents {
        return Err(Error::Corpus(format!(
            "it has {} usable documents, D_pretrain needs {}; lower splits.pretrain_documents or add documents",
            pool.len(),
            splits.pretrain_documents
        )));
    }
    let (pretrain, rest) = pool.split_at(splits.pretrain_documents);
    let questions = source.questions(pretrain).map_err(failed(LABEL))?;
    files::write_lines(&folder.join("pretrain.jsonl"), pretrain)?;
    files::write_lines(&folder.join("oracle_rest.jsonl"), rest)?;
    files::write_lines(&folder.join("heldout.jsonl"), &heldout)?;
    files::write_lines(&folder.join("questions.jsonl"), &questions)?;
    files::write_lines(&folder.join("quarantine.jsonl"), &quarantine.bad)?;
    Ok(Summary {
        pretrain_documents: pretrain.len(),
        oracle_documents: pool.len(),
        heldout_documents: heldout.len(),
        questions: questions.len(),
        contaminated,
        near_duplicates: near_duplicates.count,
        quarantined: quarantine.bad.len(),
        pretrain_bytes: pretrain.iter().map(|document| document.text.len() as u64).sum(),
    })
}

/// Bad records, aside.
#[derive(Default)]
struct Quarantine {
    bad: Vec<BadRecord>,
    good: usize,
}

impl Quarantine {
    fn sift<'q>(&'q mut self, records: Records<'q>) -> impl Iterator<Item = Document> + 'q {
        records.filter_map(|record| match record {
            Ok(document) => {
                self.good += 1;
                Some(document)
            }
            Err(bad) => {
                self.bad.push(bad);
                None
            }
        })
    }

    fn check(&self, max_share: f64) -> Result<()> {
        let share = self.bad.len() as f64 / (self.bad.len() + self.good).max(1) as f64;
        match self.bad.first() {
            Some(first) if share > max_share => Err(Error::Corpus(format!(
                "{} of {} records cannot be read ({:.1}%, allowed are {:.1}%), the first is {} line {}: {}; mend the file or raise splits.max_bad_share",
                self.bad.len(),
                self.bad.len() + self.good,
                100.0 * share,
                100.0 * max_share,
                first.file,
                first.line,
                first.reason
            ))),
            _ => Ok(()),
        }
    }
}
