//! `sbp pairs`: the pairs of a recipe, counted, and some of them to read.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;

use sbp_pipeline::{FoundPairs, Options, Reporter as _, RunFolder, home_of};
use sbp_plugin::engine::Engine;
use sbp_plugin::team::Team;
use sbp_recipe::Plan;
use serde_json::{Value, json};

use super::run::{folder_of_recipe, home_from_env, joined, listen, quietly, ready, told};
use crate::args::PairsArgs;
use crate::exit::{Done, Failure};
use crate::handover;
use crate::say::say;

/// Characters of a document that are shown.
const SHOWN_CHARS: usize = 300;

/// Makes, or reuses, the pairs and shows them.
pub(crate) fn run(args: &PairsArgs, engine: &dyn Engine) -> Result<Done, Failure> {
    handover::for_threads();
    let started = Instant::now();
    let mut overrides = args.recipe.overrides();
    overrides.sets.extend(args.device.iter().map(|device| format!("execution.device=\"{device}\"")));
    let plan = Plan::new(sbp_recipe::load(&args.recipe.recipe, &overrides)?);
    let home = home_of(&args.recipe.recipe, home_from_env());
    let elapsed = || started.elapsed();
    let options = Options { home: &home, recipe_folder: folder_of_recipe(&args.recipe), elapsed: &elapsed };
    let team = joined(engine, &RunFolder::of(&home, &plan))?;
    let outcome = match team.is_leader() {
        true => lead(args, &plan, engine, &options, Arc::clone(&team)),
        false => listen().and_then(|stop| {
            quietly(&plan, engine, Arc::clone(&team), &stop, |runtime, reporter| {
                sbp_pipeline::pairs(&plan, runtime, reporter, &options, 0).map(|_| ())
            })
        }),
    };
    told(&*team, outcome)
}

fn lead(
    args: &PairsArgs,
    plan: &Plan,
    engine: &dyn Engine,
    options: &Options<'_>,
    team: Arc<dyn Team>,
) -> Result<Done, Failure> {
    let (mut runtime, mut screen) = ready(plan, engine, args.recipe.json, team)?;
    let found = sbp_pipeline::pairs(plan, &mut *runtime, &mut screen, options, args.show)?;
    if args.recipe.json {
        say(json!({"pairs": found.path, "summary": found.summary, "samples": found.samples}));
    } else {
        screen.show(&text(&found));
    }
    Ok(Done::Fully)
}

fn text(found: &FoundPairs) -> String {
    let summary = &found.summary;
    let count = |name: &str| summary[name].as_u64().unwrap_or(0);
    let mut text = format!(
        "\n{} pairs of {} found, for {} seed documents\n",
        count("kept"),
        count("found"),
        count("seeds")
    );
    for (reason, count) in summary["dropped"].as_object().into_iter().flatten() {
        let _ = writeln!(text, "  dropped {count}: {reason}");
    }
    if let Some(choice) = summary["choice"].as_str() {
        let _ = writeln!(text, "  retriever: {choice}");
    }
    if let Some(share) = summary["recall"]["share"].as_f64() {
        let (k, documents) = (&summary["recall"]["k"], &summary["recall"]["documents"]);
        let _ = writeln!(
            text,
            "  {:.1}% of the true {k} nearest found (exact search for {documents} documents)",
            100.0 * share
        );
    }
    let stored = &summary["embeddings"];
    if let (Some(storage), Some(share)) = (stored["storage"].as_str(), stored["recall"]["share"].as_f64()) {
        let (k, documents) = (&stored["recall"]["k"], &stored["recall"]["documents"]);
        let _ = writeln!(
            text,
            "  {:.1}% of the true {k} nearest kept by {storage} embeddings (exact search for {documents} documents)",
            100.0 * share
        );
    }
    text.push_str(&histogram(&summary["similarity_histogram"]));
    for (number, sample) in found.samples.iter().enumerate() {
        let _ = write!(
            text,
            "\n{}. similarity {:.3}\n   seed:   {}\n   target: {}\n",
            number + 1,
            sample.similarity,
            shown(&sample.seed),
            shown(&sample.target)
        );
    }
    let _ = write!(text, "\npairs    {}", found.path.display());
    text
}

/// Bars of the similarities, between the first and the last that there is.
fn histogram(counts: &Value) -> String {
    let counts: Vec<u64> = counts.as_array().into_iter().flatten().filter_map(Value::as_u64).collect();
    let most = counts.iter().copied().max().unwrap_or(0).max(1);
    let is_some = |count: &u64| *count > 0;
    let (Some(first), Some(last)) = (counts.iter().position(is_some), counts.iter().rposition(is_some))
    else {
        return String::new();
    };
    let mut text = "\nsimilarity   pairs\n".to_owned();
    for (place, count) in counts.iter().enumerate().take(last + 1).skip(first) {
        let bar = "#".repeat((count * 40).div_ceil(most) as usize);
        let _ = writeln!(text, "{:>10.2}  {count:>6}  {bar}", place as f64 * 0.05 - 1.0);
    }
    text
}

/// A document's beginning, on one line.
fn shown(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{} …", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_bars_and_samples_are_shown() {
        let mut histogram = vec![0; 40];
        (histogram[24], histogram[26]) = (10, 5);
        let found = FoundPairs {
            path: "store/pair/x/pairs".into(),
            summary: json!({
                "choice": "exact: 9 documents on a CPU", "kept": 15, "found": 20, "seeds": 9, "dropped": {"too_short": 5}, "similarity_histogram": histogram,
                "recall": {"k": 4, "documents": 9, "share": 0.975},
                "embeddings": {"storage": "int8", "recall": {"k": 10, "documents": 9, "share": 0.9}},
            }),
            samples: vec![sbp_pipeline::PairSample {
                similarity: 0.25,
                seed: "one\n two".to_owned(),
                target: "x".repeat(400),
            }],
        };
        let text = text(&found);
        for line in [
            "15 pairs of 20 found, for 9 seed documents",
            "  dropped 5: too_short",
            "  97.5% of the true 4 nearest found (exact search for 9 documents)",
            "  90.0% of the true 10 nearest kept by int8 embeddings (exact search for 9 documents)",
            "      0.20      10  ########################################",
            "      0.25       0  ",
            "      0.30       5  ####################",
            "1. similarity 0.250",
            "   seed:   one two",
            "  retriever: exact: 9 documents on a CPU",
            "pairs    store/pair/x/pairs",
        ] {
            assert!(text.lines().any(|found| found == line), "{line:?} is not in\n{text}");
        }
        assert!(text.contains(&format!("{} …", "x".repeat(300))));
    }
}
