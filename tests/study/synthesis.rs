//! Synthesis as recipes vary it: rounds, held-out pairs, where the synthesizer starts, and stops in the middle of a shard.

use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Duration;

use sbp_pipeline::{Error, Finished, Options, Progress, Reporter, run};
use sbp_plugin::ports::Runtime;
use sbp_recipe::{Overrides, Plan, load};
use sbp_runtime::{TorchRuntime, device};
use sbp_testkit::BigramRuntime;
use serde_json::Value;

use super::smoke;

/// Asks to stop after every few signs of progress in the stages whose names begin so.
struct Impatient {
    stages: &'static str,
    patience: Option<usize>,
    signs: usize,
}

impl Reporter for Impatient {
    fn show(&mut self, _: &str) {}
    fn stage_started(&mut self, _: &str) {}
    fn progress(&mut self, progress: &Progress<'_>) {
        self.signs += usize::from(progress.stage.starts_with(self.stages));
    }
    fn stage_finished(&mut self, _: &str, _: bool) {}
    fn warn(&mut self, _: &str) {}
    fn stop_requested(&self) -> bool {
        self.patience.is_some_and(|most| self.signs >= most)
    }
}

/// A study, gone on with as often as it was stopped, and how often that was.
fn study(
    home: &Path,
    sets: &[&str],
    runtime: &mut dyn Runtime,
    stages: &'static str,
    patience: Option<usize>,
) -> (Finished, usize) {
    let sets = sets.iter().map(|set| (*set).to_owned()).collect();
    let plan = Plan::new(load(&smoke(), &Overrides { profiles: Vec::new(), sets }).expect("it loads"));
    let options = Options { home, recipe_folder: home, elapsed: &|| Duration::ZERO };
    let mut stops = 0;
    loop {
        match run(&plan, runtime, &mut Impatient { stages, patience, signs: 0 }, &options) {
            Ok(finished) => return (finished, stops),
            Err(Error::Stopped { .. }) => stops += 1,
            Err(error) => panic!("{error}"),
        }
    }
}

fn counted(sets: &[&str]) -> Value {
    let home = tempfile::tempdir().expect("a folder");
    let (finished, _) = study(home.path(), sets, &mut BigramRuntime::default(), "", None);
    serde_json::json!(finished.results)
}

fn torch() -> TorchRuntime {
    TorchRuntime::alone(device::init(device::Device::Cpu, NonZeroUsize::new(1)).expect("a CPU"))
}

#[test]
fn synthesis_stopped_inside_a_shard_ends_alike() {
    let sets = ["synthesizer.draws_at_once=3"];
    let ended = |patience| {
        let home = tempfile::tempdir().expect("a folder");
        let (finished, stops) = study(home.path(), &sets, &mut torch(), "synthesize", patience);
        (finished.results, stops)
    };
    let (straight, none) = ended(None);
    let (resumed, stops) = ended(Some(100));
    assert_eq!(none, 0);
    // A shard is 512 draws at first, so that most stops are inside one.
    assert!(stops > 3, "{stops} stops");
    assert_eq!(
        (resumed.arms["sbp"].seeds[0].metrics.clone(), resumed.quality, resumed.ledger),
        (straight.arms["sbp"].seeds[0].metrics.clone(), straight.quality, straight.ledger)
    );
}

#[test]
fn the_budget_of_synthetic_tokens_is_met_exactly() {
    let results = counted(&[]);
    let synthetic = &results["quality"]["seed-1"]["synthetic"];
    assert_eq!(synthetic["tokens"], synthetic["tokens_wanted"], "{synthetic}");
    assert!(synthetic["dropped"]["beyond_budget"].as_u64() > Some(0));
}

#[test]
fn tuning_takes_what_is_best_for_held_out_pairs_and_resumes_to_the_same() {
    let heldout = "synthesizer.heldout={ share = 0.2, every_steps = 4, patience = 2 }";
    // A rate at which the synthesizer soon forgets.
    let sets = [heldout, "synthesizer.tuning.peak_lr=0.5", "synthesizer.duration={ steps = 40 }"];
    let ended = |patience| {
        let home = tempfile::tempdir().expect("a folder");
        let (finished, stops) = study(home.path(), &sets, &mut torch(), "tune", patience);
        let tuned = finished.folder.path.join("stages/tune-seed-1");
        let read = |name: &str| std::fs::read(tuned.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        let weights = read("checkpoint/model.safetensors");
        let log: Vec<Value> = read("heldout.jsonl")
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).expect("JSON"))
            .collect();
        let training: Value = serde_json::from_slice(&read("training.json")).expect("JSON");
        (weights, log, training, stops, finished.results)
    };
    let (weights, log, training, _, results) = ended(None);
    let loss = |entry: &Value| entry["loss"].as_f64().expect("a loss");
    let best = log.iter().min_by(|a, b| loss(a).total_cmp(&loss(b))).expect("it was measured");
    assert_eq!(training["steps"], best["trained"]["steps"], "{log:?}");
    let last = log.last().expect("it was measured");
    assert!(last["trained"]["steps"].as_u64() < Some(40), "it ends before its last step: {log:?}");
    // What was spent is what was trained, the steps beyond the best too, and the measurements.
    let spent = |of: &Value| of["tokens"].as_u64().expect("a count");
    assert_eq!(spent(&training["cost"]), spent(&last["trained"]["cost"]) + spent(&last["cost"]));
    assert_eq!(serde_json::json!(results.ledger["sbp"]["tune"].tokens), training["cost"]["tokens"]);

    let (resumed_weights, resumed_log, resumed_training, stops, _) = ended(Some(3));
    assert!(stops > 2, "{stops} stops");
    assert_eq!((resumed_log, resumed_training), (log, training));
    assert!(resumed_weights == weights, "weights differ");
}

#[test]
fn held_out_pairs_tell_what_a_seed_tells() {
    let results = counted(&["synthesizer.heldout={ share = 0.2 }"]);
    let seed = &results["quality"]["seed-1"];
    let found = &seed["synthetic"]["pair_information"];
    assert_eq!(found["pairs"], seed["tuning"]["heldout"]);
    assert_eq!(
        seed["tuning"]["heldout"].as_u64().unwrap() + seed["tuning"]["examples"].as_u64().unwrap(),
        seed["pairs"]["kept"].as_u64().unwrap()
    );
    // Bigrams see no seed: whatever it is, the target is as probable.
    assert!(found["information"].as_f64().expect("a number").abs() < 1e-6, "{found}");
}

#[test]
fn a_synthesizer_from_scratch_costs_no_base_model() {
    let results = counted(&["synthesizer.init={ from = 'scratch' }", "embedder={ kind = 'tfidf' }"]);
    assert_eq!(results["ledger"]["sbp"]["base"]["tokens"], 0);
    assert!(results["ledger"]["sbp"]["tune"]["tokens"].as_u64() > Some(0));
}

#[test]
fn a_synthesizer_may_start_from_a_folder() {
    let home = tempfile::tempdir().expect("a folder");
    let (finished, _) = study(home.path(), &[], &mut BigramRuntime::default(), "", None);
    let folder = finished.folder.path.join("stages/base-seed-1/checkpoint");
    let init = format!("synthesizer.init={{ from = 'checkpoint', checkpoint = '{}' }}", folder.display());
    let results = counted(&[&init]);
    assert_eq!(results["ledger"]["sbp"]["base"]["tokens"], 0);
    let own = serde_json::json!(finished.results);
    assert_eq!(results["arms"]["sbp"]["seeds"], own["arms"]["sbp"]["seeds"], "the weights are the same");
}

#[test]
fn rounds_go_on_from_what_was_written() {
    for (keep, of_three) in [("accumulate", true), ("replace", false)] {
        let results = counted(&[&format!("synthesizer.rounds={{ count = 3, keep = '{keep}' }}")]);
        let rounds = results["quality"].as_object().expect("rounds");
        let names: Vec<&str> = rounds.keys().map(String::as_str).collect();
        assert_eq!(names, ["seed-1 round 1", "seed-1 round 2", "seed-1 round 3"]);
        let seeds = |round: &str| rounds[round]["pairs"]["found"].as_u64().expect("a count");
        // Two neighbors of every document: of what one round wrote, or of all rounds and D_pretrain.
        let grows = seeds("seed-1 round 3") as f64 / seeds("seed-1 round 2") as f64 > 1.4;
        assert_eq!(grows, of_three, "{keep}");
        // All rounds are paid for.
        let once = counted(&[]);
        let generated = |of: &Value| of["ledger"]["sbp"]["generate"]["tokens"].as_u64().expect("a count");
        assert!(2 * generated(&results) > 3 * generated(&once), "{keep}");
    }
}

#[test]
fn related_documents_are_read_in_one_context() {
    let results = counted(&["arms.related={ kind = 'related_context' }"]);
    let ledger = &results["ledger"];
    assert_eq!(ledger["related"]["train"]["tokens"], ledger["repetition"]["train"]["tokens"]);
    // It pays for pairs and for nothing that comes after them.
    assert_eq!(ledger["related"]["tune"]["tokens"], 0);
    assert_eq!(ledger["related"]["base"]["tokens"], 0, "words are counted without a base model");
    let source = &results["arms"]["related"]["sources"][0];
    assert_eq!(source["source"], "related");
    assert_eq!(source["unique_tokens"], results["arms"]["repetition"]["sources"][0]["unique_tokens"]);
    assert_eq!(results["compute_match"]["matched"], true);
}

#[test]
fn repeated_synthetic_documents_are_fewer() {
    let of = |sets: &[&str]| {
        let results = counted(sets);
        let source = results["arms"]["sbp"]["sources"][1].clone();
        (source["tokens"].as_u64().expect("a count"), source["passes"].as_f64().expect("a number"))
    };
    let (once, twice) = (of(&[]), of(&["arms.sbp.synthetic_passes=2"]));
    assert_eq!(once.0, twice.0, "as many synthetic tokens are seen");
    assert!((once.1 - 1.0).abs() < 1e-9 && (twice.1 - 2.0).abs() < 0.01, "{once:?} {twice:?}");
}

#[test]
fn a_base_model_on_the_budgets_schedule_is_the_repetition_arm_at_that_step() {
    let sets = [
        "budget.duration={ steps = 20 }",
        "base={ duration = { steps = 8 }, schedule_duration = { steps = 20 } }",
        "execution.keep_checkpoints.named={ early = 8 }",
    ];
    let home = tempfile::tempdir().expect("a folder");
    let (finished, _) = study(home.path(), &sets, &mut torch(), "", None);
    let weights = |path: &str| {
        let path = finished.folder.path.join("stages").join(path).join("model.safetensors");
        std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    };
    let early = weights("train-repetition-seed-1/checkpoints/early");
    assert!(weights("base-seed-1/checkpoint") == early, "another model");
    assert!(weights("train-repetition-seed-1/checkpoint") != early);
}
