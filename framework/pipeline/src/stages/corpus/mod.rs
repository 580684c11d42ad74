//! Corpus: which documents are D_pretrain, the oracle's pool and held out; and the corpus's own questions.
//!
//! D_pretrain is the beginning of the corpus, the oracle's pool a longer beginning. Documents that contain held-out
//! text or text of an evaluation set are left out of both. Records that cannot be read go to `quarantine.jsonl`.

mod evaluation_sets;
mod near_duplicates;
mod quarantine;
mod split;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use sbp_core::Document;
use sbp_plugin::registry::BuildContext;
use sbp_plugin::slots::corpus::{Corpus, Question};
use sbp_recipe::SplitsSection;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub(crate) use self::evaluation_sets::EvaluationSets;
pub(crate) use self::quarantine::Quarantine;
pub(crate) use self::split::{HELDOUT, split};
use super::{Study, failed};
use crate::store::Artifact;
use crate::{Result, files};

const LABEL: &str = "corpus";

/// The corpus as the study uses it.
pub(crate) struct CorpusData {
    pub(crate) artifact: Artifact,
    pub(crate) source: Arc<dyn Corpus>,
    pub(crate) pretrain: Vec<Document>,
    pub(crate) heldout: Vec<Document>,
    pub(crate) questions: Vec<Question>,
    pub(crate) evaluation_sets: EvaluationSets,
    pub(crate) summary: Summary,
}

/// Counts of what was read, kept and left out.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Summary {
    pub(crate) pretrain_documents: usize,
    pub(crate) oracle_documents: usize,
    pub(crate) heldout_documents: usize,
    pub(crate) questions: usize,
    /// Records with the very text of another document, passed over.
    pub(crate) duplicates: usize,
    /// Left out of the pool because they contain evaluation text.
    pub(crate) contaminated: usize,
    /// How many of these because of each set; `heldout` are the held-out documents.
    pub(crate) contaminated_by: BTreeMap<String, usize>,
    /// Left out of the pool because they are near-duplicates of documents before them.
    pub(crate) near_duplicates: usize,
    /// Unreadable records.
    pub(crate) quarantined: usize,
    /// How many of these are listed in `quarantine.jsonl`: the first ones.
    pub(crate) quarantine_listed: usize,
    /// Bytes of text in D_pretrain.
    pub(crate) pretrain_bytes: u64,
}

pub(crate) fn make(study: &mut Study<'_>) -> Result<CorpusData> {
    let plan = study.plan;
    let source = plan.recipe.corpus.build(&BuildContext::default()).map_err(failed(LABEL))?;
    let content = source.fingerprint().map_err(failed(LABEL))?;
    let evaluation_sets = EvaluationSets::read(&plan.recipe.splits)?;
    let inputs = json!({
        "corpus": plan.recipe.corpus.identity(),
        "content": content,
        "splits": without_paths(&plan.recipe.splits),
        "evaluation_sets": evaluation_sets.identity(),
    });
    let artifact = study.make(LABEL, "corpus", &inputs, &mut |study, folder| {
        let summary = write(source.as_ref(), &plan.recipe.splits, &evaluation_sets, folder)?;
        if summary.oracle_documents < plan.recipe.splits.pool_documents() {
            study.watch.warn(&format!(
                "the corpus has {} documents for the oracle's pool instead of {}; the oracle will read them more than once",
                summary.oracle_documents,
                plan.recipe.splits.pool_documents(),
            ));
        }
        if summary.heldout_documents < plan.recipe.splits.heldout_documents {
            study.watch.warn(&format!(
                "the corpus keeps {} documents for evaluation, splits.heldout_documents asks for {}",
                summary.heldout_documents, plan.recipe.splits.heldout_documents,
            ));
        }
        if summary.quarantined > 0 {
            let which = match summary.quarantine_listed < summary.quarantined {
                true => format!("the first {} are", summary.quarantine_listed),
                false => "they are".to_owned(),
            };
            study.watch.warn(&format!(
                "{} records could not be read; {which} listed in stages/corpus/quarantine.jsonl of the run folder",
                summary.quarantined
            ));
        }
        files::write_json(&folder.join("summary.json"), &summary)
    })?;
    let summary: Summary = files::read_json(&artifact.file("summary.json"))?;
    if let Some(left_out) = summary.left_out() {
        study.watch.reporter.show(&format!("  {left_out}"));
    }
    Ok(CorpusData {
        pretrain: files::read_lines(&artifact.file("pretrain.jsonl"))?,
        heldout: files::read_lines(&artifact.file("heldout.jsonl"))?,
        questions: files::read_lines(&artifact.file("questions.jsonl"))?,
        summary,
        evaluation_sets,
        source: Arc::from(source),
        artifact,
    })
}

impl CorpusData {
    /// The documents of the oracle's pool that are not in D_pretrain.
    pub(crate) fn oracle_rest(&self) -> Result<impl Iterator<Item = Result<Document>>> {
        files::lines(&self.artifact.file("oracle_rest.jsonl"))
    }
}

impl Summary {
    /// What was left out, in a line; nothing when nothing was.
    pub(crate) fn left_out(&self) -> Option<String> {
        let by: Vec<String> =
            self.contaminated_by.iter().map(|(set, count)| format!("{set} {count}")).collect();
        let parts = [
            (self.duplicates, "duplicates".to_owned()),
            (self.near_duplicates, "near-duplicates".to_owned()),
            (self.contaminated, format!("contaminated ({})", by.join(", "))),
            (self.quarantined, "unreadable".to_owned()),
        ];
        let parts: Vec<String> = parts
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        (!parts.is_empty()).then(|| format!("left out of the corpus: {}", parts.join(", ")))
    }
}

/// The splits as the recipe says them, but for where evaluation sets lie and what a plan expects.
fn without_paths(splits: &SplitsSection) -> Value {
    let mut splits = json!(splits);
    if let Some(splits) = splits.as_object_mut() {
        splits.remove("evaluation_sets");
        splits.remove("expected");
    }
    splits
}

fn write(
    source: &dyn Corpus,
    splits: &SplitsSection,
    sets: &EvaluationSets,
    folder: &Path,
) -> Result<Summary> {
    let mut rest = files::LineWriter::create(&folder.join("oracle_rest.jsonl"))?;
    let found = split(source, splits, sets, &mut |document| rest.write(document))?;
    rest.finish()?;
    found.check(splits)?;
    let questions = source.questions(&found.pretrain).map_err(failed(LABEL))?;
    files::write_lines(&folder.join("pretrain.jsonl"), &found.pretrain)?;
    files::write_lines(&folder.join("heldout.jsonl"), &found.heldout)?;
    files::write_lines(&folder.join("questions.jsonl"), &questions)?;
    found.quarantine.write(folder)?;
    Ok(Summary {
        pretrain_documents: found.pretrain.len(),
        oracle_documents: found.num_pool,
        heldout_documents: found.heldout.len(),
        questions: questions.len(),
        duplicates: found.quarantine.duplicates,
        contaminated: found.contaminated.values().sum(),
        near_duplicates: found.near_duplicates,
        contaminated_by: found.contaminated,
        quarantined: found.quarantine.bad,
        quarantine_listed: found.quarantine.listed().len(),
        pretrain_bytes: found.pretrain.iter().map(|document| document.text.len() as u64).sum(),
    })
}
