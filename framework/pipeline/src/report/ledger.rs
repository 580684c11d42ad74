//! What the arms spent, by cause, and whether it was the same.

use std::collections::BTreeMap;

use sbp_core::{Cause, Cost, Ledger};
use sbp_recipe::MatchOn;
use sbp_recipe::match_compute::{self, Verdict};
use serde_json::Value;

use super::numbers;
use super::results::Results;

/// Tokens by arm and cause; the first row is the header.
pub(crate) fn tokens(results: &Results) -> Vec<Vec<String>> {
    let mut header = vec!["arm".to_owned(), "trained on".to_owned()];
    header.extend(ORDER.iter().map(|cause| cause.name().to_owned()));
    let row = |arm: &String| {
        let mut row = vec![arm.clone(), sources(results, arm)];
        row.extend(ORDER.iter().map(|cause| match cost(results, arm, *cause).tokens {
            0 => "–".to_owned(),
            tokens => numbers::count(tokens),
        }));
        row
    };
    std::iter::once(header).chain(results.arm_order.iter().map(row)).collect()
}

/// FLOPs by arm and cause, and end to end; the first row is the header.
pub(crate) fn flops(results: &Results) -> Vec<Vec<String>> {
    let mut header = vec!["arm".to_owned()];
    header.extend(ORDER.iter().map(|cause| cause.name().to_owned()));
    header.push("end to end".to_owned());
    let row = |arm: &String| {
        let mut row = vec![arm.clone()];
        row.extend(ORDER.iter().map(|cause| numbers::flops(cost(results, arm, *cause).flops)));
        row.push(numbers::flops(of_arm(results, arm).end_to_end_flops()));
        row
    };
    std::iter::once(header).chain(results.arm_order.iter().map(row)).collect()
}

/// Causes in the order of the tables: what is matched comes first.
const ORDER: [Cause; 6] =
    [Cause::Train, Cause::Base, Cause::Embed, Cause::Tune, Cause::Generate, Cause::Evaluate];

/// What the match that the recipe asks for came to.
pub(crate) fn verdict(results: &Results) -> String {
    let verdict = &results.compute_match;
    format!(
        "compute match: {} on {} (greatest difference {:.4}%, allowed {:.4}%)",
        if verdict.matched { "MATCHED" } else { "NOT MATCHED: the arms are not comparable" },
        verdict.mode.name(),
        100.0 * verdict.residual,
        100.0 * verdict.tolerance,
    )
}

/// What the match that the recipe does not ask for would have come to.
pub(crate) fn other_reading(results: &Results) -> String {
    let mode = match results.compute_match.mode {
        MatchOn::TrainTokens => MatchOn::TotalFlops,
        MatchOn::TotalFlops => MatchOn::TrainTokens,
    };
    let ledgers: BTreeMap<String, Ledger> =
        results.arm_order.iter().map(|arm| (arm.clone(), of_arm(results, arm))).collect();
    let Verdict { residual, .. } = match_compute::verdict(mode, &ledgers);
    format!("by the other reading, {}, the greatest difference is {:.4}%", mode.name(), 100.0 * residual)
}

/// Both readings in a sentence.
pub(crate) fn sentence(results: &Results) -> String {
    format!("{}; {}.", capitalized(&verdict(results)), other_reading(results))
}

/// With a capital letter, to begin a sentence.
pub(crate) fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// FLOPs of making an arm's documents, before it is trained.
pub(crate) fn overhead(results: &Results, arm: &str) -> f64 {
    of_arm(results, arm).end_to_end_flops() - cost(results, arm, Cause::Train).flops
}

fn cost(results: &Results, arm: &str, cause: Cause) -> Cost {
    results.ledger.get(arm).and_then(|costs| costs.get(cause.name())).copied().unwrap_or_default()
}

fn of_arm(results: &Results, arm: &str) -> Ledger {
    let mut ledger = Ledger::default();
    for cause in Cause::ALL {
        ledger.charge(cause, cost(results, arm, cause));
    }
    ledger
}

/// The sources of an arm's training tokens, each with its passes.
fn sources(results: &Results, arm: &str) -> String {
    let sources = results.arms.get(arm).map(|arm| arm.sources.as_slice()).unwrap_or_default();
    let source = |source: &Value| {
        let passes = source["passes"].as_f64().unwrap_or(0.0);
        format!("{} × {passes:.2}", source["source"].as_str().unwrap_or_default())
    };
    sources.iter().map(source).collect::<Vec<_>>().join(" + ")
}
