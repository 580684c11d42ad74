//! What a judge thinks of synthetic documents.

use std::collections::HashMap;

use sbp_core::{DocId, Document, RootSeed, SyntheticDocument};
use sbp_plugin::registry::BuildContext;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::stages::{Study, failed};
use crate::{Error, Result};

/// A judge's opinions. Shares are of the documents that it could tell something of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Judged {
    /// Documents that it gave an opinion of.
    pub(crate) documents: usize,
    /// Documents that it failed on.
    pub(crate) failed: usize,
    pub(crate) non_factual: Option<f64>,
    pub(crate) irrelevant: Option<f64>,
    /// What judged.
    pub(crate) judge: Value,
}

/// Asks the recipe's judge, if there is one. What it fails on is warned of and left out.
pub(super) fn ask(
    study: &mut Study<'_>,
    synthetic: &[SyntheticDocument],
    by_id: &HashMap<DocId, &Document>,
    seed: u64,
    label: &str,
) -> Result<Option<Judged>> {
    let section = &study.plan.recipe.quality;
    let Some(selected) = &section.judge else { return Ok(None) };
    let mut judge = selected.build(&BuildContext { seed }).map_err(failed(label))?;
    let order = RootSeed(seed).stream("judged", &[]).permutation(synthetic.len());
    let (mut opinions, mut failures) = (Vec::new(), Vec::new());
    for place in order.into_iter().take(section.judged_documents) {
        if study.watch.reporter.stop_requested() {
            return Err(Error::Stopped { stage: label.to_owned() });
        }
        let document = &synthetic[place as usize];
        match judge.judge(document, by_id[&document.seed]) {
            Ok(opinion) => opinions.push(opinion),
            Err(error) => failures.push(error.to_string()),
        }
    }
    if let Some(first) = failures.first() {
        let asked = opinions.len() + failures.len();
        study
            .watch
            .warn(&format!("{label}: {} of {asked} documents were not judged: {first}", failures.len()));
    }
    let share_of_no = |of: &dyn Fn(&sbp_plugin::slots::judge::Opinion) -> Option<bool>| {
        let told: Vec<bool> = opinions.iter().filter_map(of).collect();
        (!told.is_empty()).then(|| told.iter().filter(|yes| !**yes).count() as f64 / told.len() as f64)
    };
    Ok(Some(Judged {
        documents: opinions.len(),
        failed: failures.len(),
        non_factual: share_of_no(&|opinion| opinion.factual),
        irrelevant: share_of_no(&|opinion| opinion.relevant),
        judge: judge.card(),
    }))
}
