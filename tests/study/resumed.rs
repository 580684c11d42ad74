//! Training resumed at every place there is: at the end of a pass, inside a pass, many times in a row.

use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Duration;

use sbp_pipeline::{Error, Options, Progress, Reporter, run};
use sbp_recipe::{Overrides, Plan, load};
use sbp_runtime::{TorchRuntime, device};
use serde_json::Value;

use super::smoke;

const STAGE: &str = "train repetition seed 1";

/// Asks to stop after every few steps of one stage.
struct Impatient {
    patience: Option<usize>,
    steps: usize,
}

impl Reporter for Impatient {
    fn show(&mut self, _: &str) {}
    fn stage_started(&mut self, _: &str) {}
    fn progress(&mut self, progress: &Progress<'_>) {
        self.steps += usize::from(progress.stage == STAGE);
    }
    fn stage_finished(&mut self, stage: &str, _: bool) {
        if stage == STAGE {
            self.patience = None;
        }
    }
    fn warn(&mut self, _: &str) {}
    fn stop_requested(&self) -> bool {
        self.patience.is_some_and(|most| self.steps >= most)
    }
}

/// What a study came to: the results of its arms, the models, and how often it was stopped.
struct Ended {
    arms: Value,
    curves: Value,
    trained: Vec<Vec<u8>>,
    /// What the trackers were told.
    told: Vec<Value>,
    stops: usize,
}

/// Three passes of training without synthetic documents, stopped after every `patience` steps.
fn study(tokens_per_step: u64, patience: Option<usize>) -> Ended {
    study_with(tokens_per_step, patience, &[])
}

fn study_with(tokens_per_step: u64, patience: Option<usize>, more: &[&str]) -> Ended {
    let home = tempfile::tempdir().expect("a folder");
    let mut sets = vec![
        "budget.duration={ passes = 3.0 }".to_owned(),
        format!("training.tokens_per_step={tokens_per_step}"),
    ];
    sets.extend(more.iter().map(|set| (*set).to_owned()));
    let overrides = Overrides { profiles: Vec::new(), sets };
    let plan = Plan::new(load(&smoke(), &overrides).expect("the recipe is right"));
    let ready = device::init(device::Device::Cpu, NonZeroUsize::new(1)).expect("a CPU");
    let mut runtime = TorchRuntime::alone(ready);
    let options = Options { home: home.path(), recipe_folder: home.path(), elapsed: &|| Duration::ZERO };
    let mut stops = 0;
    let finished = loop {
        match run(&plan, &mut runtime, &mut Impatient { patience, steps: 0 }, &options) {
            Ok(finished) => break finished,
            Err(Error::Stopped { .. }) => stops += 1,
            Err(error) => panic!("{error}"),
        }
    };
    let results = std::fs::read(finished.folder.path.join("report/results.json")).expect("results");
    let results: Value = serde_json::from_slice(&results).expect("JSON");
    let curves = results["curves"].clone();
    let told = std::fs::read_to_string(finished.folder.path.join("metrics.jsonl")).unwrap_or_default();
    let told = told.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    Ended { arms: results["arms"].clone(), curves, trained: trained(home.path()), told, stops }
}

/// The bytes of every trained model of a store and of its log of steps, in the order of their names.
fn trained(home: &Path) -> Vec<Vec<u8>> {
    let mut folders: Vec<_> = std::fs::read_dir(home.join("store/train"))
        .expect("models were trained")
        .map(|entry| entry.expect("it can be read").path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    let files = folders
        .iter()
        .flat_map(|path| ["checkpoint/model.safetensors", "metrics.jsonl"].map(|file| path.join(file)));
    files.map(|file| std::fs::read(file).expect("a trained model and its log")).collect()
}

#[test]
fn training_ends_alike_wherever_it_was_resumed() {
    let straight = study(700, None);
    let source = &straight.arms["repetition"]["sources"][0];
    let pass = source["unique_tokens"].as_u64().unwrap_or_else(|| panic!("no unique_tokens in {source}"));
    assert!(!pass.is_multiple_of(700) && pass > 1400, "a step must cross the end of a pass");

    // After every single step, so also many times in a row and inside every pass; then after every second.
    for patience in [1, 2] {
        let resumed = study(700, Some(patience));
        assert!(resumed.stops > 1, "it was never stopped");
        assert_eq!(resumed.arms, straight.arms);
        assert!(resumed.trained == straight.trained, "weights or logged steps differ");
    }

    // A step is a pass: every stop is at the end of one.
    let (straight, resumed) = (study(pass, None), study(pass, Some(1)));
    assert_eq!(resumed.stops, 2, "one after each pass but the last");
    assert_eq!(resumed.arms, straight.arms);
    assert!(resumed.trained == straight.trained, "weights or logged steps differ");
}

#[test]
fn scores_on_the_way_leave_no_trace_and_are_taken_once() {
    let straight = study(700, None);
    let dynamics = [
        "dynamics={ every = { passes = 1.0 }, at = [{ tokens = 1400 }], evaluators = [{ kind = 'bits_per_byte' }] }",
    ];
    let scored = study_with(700, None, &dynamics);
    assert_eq!(scored.arms, straight.arms);
    let sorted = |ended: &Ended| {
        let mut models = ended.trained.clone();
        models.sort();
        models
    };
    assert!(sorted(&scored) == sorted(&straight), "weights or logged steps differ");

    let points = scored.curves["repetition"][0]["evaluations"].as_array().expect("points");
    assert_eq!((points.len(), &points[0]["tokens"]), (4, &Value::from(1400)), "{points:?}");
    let bits = |point: &Value| point["metrics"]["val/heldout/bpb"].as_f64().expect("a score");
    assert!(points.windows(2).all(|two| bits(&two[1]) < bits(&two[0])), "training does not help: {points:?}");
    assert_eq!(bits(&points[3]), straight.arms["repetition"]["seeds"][0]["metrics"]["val/heldout/bpb"]);

    let scores = |ended: &Ended| -> Vec<Value> {
        let is_scored = |point: &&Value| point["arm"] == "repetition" && !point["val/heldout/bpb"].is_null();
        ended.told.iter().filter(is_scored).map(|point| point["tokens"].clone()).collect()
    };
    let tokens: Vec<Value> = points.iter().map(|point| point["tokens"].clone()).collect();
    assert_eq!(scores(&scored), tokens, "trackers are told each score");

    let resumed = study_with(700, Some(3), &dynamics);
    assert_eq!(scores(&resumed), tokens, "trackers are told each score once");
    assert!(resumed.stops > 1, "it was never stopped");
    assert_eq!(resumed.curves, scored.curves);
    assert!(sorted(&resumed) == sorted(&scored), "weights or logged steps differ");
}
