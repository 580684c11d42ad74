//! Sweeps: what points share is made once, a stop loses nothing, a failed point is a row.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sbp_pipeline::report::{Reported, read, table};
use sbp_pipeline::{
    Error, FinishedSweep, Options, Progress, Reporter, results_schema, run_sweep, sweep_schema,
};
use sbp_recipe::{Overrides, Plan, load, load_points};
use sbp_testkit::BigramRuntime;
use serde_json::Value;

use super::smoke;

/// Counts stages made and reused, and asks to stop once enough were made.
#[derive(Default)]
struct Counting {
    made: Vec<String>,
    stop_after: Option<usize>,
}

impl Reporter for Counting {
    fn show(&mut self, _: &str) {}
    fn stage_started(&mut self, _: &str) {}
    fn progress(&mut self, _: &Progress<'_>) {}
    fn stage_finished(&mut self, stage: &str, reused: bool) {
        if !reused {
            self.made.push(stage.to_owned());
        }
    }
    fn warn(&mut self, _: &str) {}
    fn stop_requested(&self) -> bool {
        self.stop_after.is_some_and(|most| self.made.len() >= most)
    }
}

/// The smoke recipe with a sweep over two options.
fn recipe(folder: &Path) -> PathBuf {
    let text = std::fs::read_to_string(smoke()).expect("the smoke recipe is there");
    let path = folder.join("recipe.toml");
    let sweep = "\n[sweep.axes]\nshare = { option = \"arms.sbp.synthetic_share\", values = [0.25, 0.5] }\nretriever = { option = \"retriever.kind\", values = [\"exact\", \"random\"] }\n";
    std::fs::write(&path, text + sweep).expect("it can be written");
    path
}

fn plans(recipe: &Path, sets: &[&str]) -> Vec<Plan> {
    let sets = sets.iter().map(|set| (*set).to_owned()).collect();
    let points = load_points(recipe, &Overrides { profiles: Vec::new(), sets }).expect("it loads");
    points.into_iter().map(Plan::new).collect()
}

fn sweep(home: &Path, plans: &[Plan], screen: &mut Counting) -> sbp_pipeline::Result<FinishedSweep> {
    let options = Options { home, recipe_folder: home, elapsed: &|| Duration::ZERO };
    run_sweep(plans, &mut BigramRuntime::default(), screen, &options)
}

/// The results in a file are as their schema says.
fn assert_follows(results: &Path, schema: &Value) {
    let text = std::fs::read(results).expect("results are written");
    let results: Value = serde_json::from_slice(&text).expect("JSON");
    let schema = jsonschema::draft202012::new(schema).expect("a schema");
    let problems: Vec<String> = schema.iter_errors(&results).map(|error| error.to_string()).collect();
    assert_eq!(problems, [""; 0]);
}

#[test]
fn what_points_share_is_made_once_and_every_point_is_a_row() {
    let home = tempfile::tempdir().expect("a folder");
    let plans = plans(&recipe(home.path()), &[]);
    assert_eq!(plans.len(), 4);
    let mut screen = Counting::default();
    let finished = sweep(home.path(), &plans, &mut screen).expect("it runs");
    let made = |name: &str| screen.made.iter().filter(|stage| stage.starts_with(name)).count();
    // Neither axis touches these.
    for shared in ["corpus", "tokenize", "base", "embed", "train repetition", "train oracle"] {
        assert_eq!(made(shared), 1, "{shared} in {:?}", screen.made);
    }
    // The retriever touches the pairs, the share does not.
    assert_eq!(made("pair"), 2);
    assert_eq!(made("tune"), 2);
    assert_eq!(made("train sbp"), 4);
    for row in ["| exact     | 0.25  |", "| random    | 0.5   |"] {
        assert!(finished.table.contains(row), "{row} is missing in\n{}", finished.table);
    }
    assert_follows(&finished.folder.path.join("report/results.json"), &sweep_schema());
    match read(&finished.folder.path).expect("results are read back") {
        (_, Reported::Sweep(results)) => assert_eq!(table::sweep(&results), finished.table),
        (path, Reported::Run(_)) => panic!("{} is taken for a run", path.display()),
    }
    for point in &finished.results.points {
        let report = finished.folder.path.join(&point.run_dir).join("report");
        assert!(report.join("table.md").exists());
        assert_follows(&report.join("results.json"), &results_schema());
    }
}

#[test]
fn a_sweep_stopped_and_started_again_goes_on() {
    let (straight, stopped) =
        (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let plans = plans(&recipe(straight.path()), &[]);
    let mut once = Counting::default();
    let whole = sweep(straight.path(), &plans, &mut once).expect("it runs");

    let mut first = Counting { stop_after: Some(12), ..Counting::default() };
    let error = sweep(stopped.path(), &plans, &mut first).expect_err("it is stopped");
    assert!(matches!(error, Error::Stopped { .. }), "{error}");
    let mut second = Counting::default();
    let resumed = sweep(stopped.path(), &plans, &mut second).expect("it goes on");
    assert_eq!(first.made.len() + second.made.len(), once.made.len(), "nothing is made twice");
    assert_eq!(resumed.table, whole.table);
}

#[test]
fn a_point_that_fails_is_a_row_and_the_others_finish() {
    let home = tempfile::tempdir().expect("a folder");
    let recipe = recipe(home.path());
    let sets = [
        "sweep.axes.retriever.values=[\"exact\"]",
        "sweep.axes.share.option=pairs.filters",
        "sweep.axes.share.values=[[{ kind = \"similarity_band\", similarity_min = 0.999, similarity_max = 1.0 }], []]",
    ];
    let finished = sweep(home.path(), &plans(&recipe, &sets), &mut Counting::default());
    let finished = finished.expect("the sweep itself succeeds");
    assert!(!finished.results.is_complete());
    assert!(
        finished.table.contains("failed: stage pair seed 1 failed: no pair is left"),
        "{}",
        finished.table
    );
    let metrics = finished.table.matches("\n## ").count() - 1;
    assert_eq!(finished.table.matches("| MATCHED").count(), metrics, "{}", finished.table);
}

#[test]
fn a_point_is_the_recipe_that_writes_its_values_out() {
    let home = tempfile::tempdir().expect("a folder");
    let points = plans(&recipe(home.path()), &[]);
    let last = &points[3];
    assert_eq!(last.point.to_string(), "retriever = random, share = 0.5");
    let sets = ["arms.sbp.synthetic_share=0.5", "retriever.kind=random"].map(str::to_owned).to_vec();
    let written = Plan::new(load(&smoke(), &Overrides { profiles: Vec::new(), sets }).expect("it loads"));
    assert_eq!(last.id, written.id);
    assert_eq!(last.recipe, written.recipe);
}

#[test]
fn zipped_axes_go_together() {
    let home = tempfile::tempdir().expect("a folder");
    let points = plans(&recipe(home.path()), &["sweep.mode=zip"]);
    let points: Vec<String> = points.iter().map(|plan| plan.point.to_string()).collect();
    assert_eq!(points, ["retriever = exact, share = 0.25", "retriever = random, share = 0.5"]);
}
