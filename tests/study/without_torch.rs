//! The whole method on the counting bigram runtime: milliseconds, no tensors, both readings of "compute-matched".

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use parquet::file::reader::SerializedFileReader;
use sbp_pipeline::report::{Reported, read};
use sbp_pipeline::{Finished, Options, Quiet};
use sbp_recipe::{Overrides, Plan, load};
use sbp_testkit::BigramRuntime;

use super::smoke;

/// The plan of a recipe.
pub(super) fn plan(recipe: &Path, sets: &[&str]) -> Plan {
    let sets = sets.iter().map(|set| (*set).to_owned()).collect();
    Plan::new(load(recipe, &Overrides { profiles: Vec::new(), sets }).expect("the recipe loads"))
}

pub(super) fn study(home: &Path, sets: &[&str]) -> Finished {
    study_of(&plan(&smoke(), sets), home)
}

pub(super) fn study_of(plan: &Plan, home: &Path) -> Finished {
    let options = Options { home, recipe_folder: home, elapsed: &|| Duration::ZERO };
    sbp_pipeline::run(plan, &mut BigramRuntime::default(), &mut Quiet(|| false), &options).expect("it runs")
}

#[test]
fn every_part_of_the_report_is_there() {
    let home = tempfile::tempdir().expect("a folder");
    let finished = study(home.path(), &[]);
    for part in [
        "val/heldout/bpb",
        "eval/questions/acc",
        "## Ledger",
        "compute match: MATCHED",
        "seed:",
        "synthetic:",
    ] {
        assert!(finished.table.contains(part), "{part} is missing in\n{}", finished.table);
    }
    for name in ["table.md", "table.csv", "table.tex", "report.html"] {
        assert!(finished.folder.path.join("report").join(name).exists(), "{name} is missing");
    }
    match read(&finished.folder.path).expect("results are read back") {
        (_, Reported::Run(results)) => assert_eq!(*results, finished.results),
        (path, Reported::Sweep(_)) => panic!("{} is taken for a sweep", path.display()),
    }
    assert!(finished.results.scale.parameters > 0 && finished.results.scale.unique_tokens > 0);
    assert_eq!(finished.results.samples.len(), 5);
    assert!(
        finished.results.comparisons.iter().any(|c| c.arm == "sbp" && c.oracle.as_deref() == Some("oracle"))
    );
}

#[test]
fn several_seeds_are_averaged() {
    let home = tempfile::tempdir().expect("a folder");
    let results = study(home.path(), &["recipe.seeds=[1, 2]"]).results;
    let arm = &results.arms["sbp"];
    assert_eq!(arm.seeds.len(), 2);
    let metric = &arm.metrics["val/heldout/bpb"];
    let values: Vec<f64> = arm.seeds.iter().map(|seed| seed.metrics["val/heldout/bpb"]).collect();
    assert!((metric.mean - (values[0] + values[1]) / 2.0).abs() < 1e-12);
    assert_eq!(metric.n, 2);
}

#[test]
fn under_total_flops_the_arm_with_overhead_trains_on_fewer_tokens() {
    let home = tempfile::tempdir().expect("a folder");
    // Small steps, so that whole steps come close to the budget, and one that the overhead fits into.
    let sets =
        ["budget.match=total_flops", "budget.duration={ passes = 40 }", "training.tokens_per_step=256"];
    let results = study(home.path(), &sets).results;
    let train = |arm: &str| results.ledger[arm]["train"].tokens;
    assert!(train("sbp") < train("repetition"));
    assert_eq!(train("repetition"), train("oracle"));
    assert!(results.compute_match.matched, "{:?}", results.compute_match);
}

#[test]
fn a_study_may_do_without_an_oracle() {
    let home = tempfile::tempdir().expect("a folder");
    let text = std::fs::read_to_string(smoke()).expect("the smoke recipe is there");
    let recipe = home.path().join("recipe.toml");
    std::fs::write(&recipe, text.replace("oracle = { kind = \"oracle\" }\n", "")).expect("it can be written");
    let plan = Plan::new(load(&recipe, &Overrides::default()).expect("it loads"));
    let options = Options { home: home.path(), recipe_folder: home.path(), elapsed: &|| Duration::ZERO };
    let finished = sbp_pipeline::run(&plan, &mut BigramRuntime::default(), &mut Quiet(|| false), &options)
        .expect("it runs");
    assert!(finished.results.comparisons.iter().all(|c| c.oracle.is_none() && c.recovered.is_none()));
}

#[test]
fn a_study_without_synthetic_documents_needs_no_synthesizer() {
    let home = tempfile::tempdir().expect("a folder");
    let recipe = home.path().join("recipe.toml");
    let text = std::fs::read_to_string(smoke()).expect("the smoke recipe is there");
    let mut text: toml::Table = text.parse().expect("it is TOML");
    for section in ["embedder", "retriever", "pairs", "base", "synthesizer"] {
        text.remove(section);
    }
    text["arms"].as_table_mut().expect("a table").remove("sbp");
    std::fs::write(&recipe, text.to_string()).expect("it can be written");
    let plan = Plan::new(load(&recipe, &Overrides::default()).expect("it loads"));
    let options = Options { home: home.path(), recipe_folder: home.path(), elapsed: &|| Duration::ZERO };
    let finished = sbp_pipeline::run(&plan, &mut BigramRuntime::default(), &mut Quiet(|| false), &options)
        .expect("it runs");
    assert_eq!(finished.results.arm_order, ["repetition", "oracle"]);
    assert!(!home.path().join("store/synthesize").exists());
}

#[test]
fn an_arm_may_train_with_settings_of_its_own() {
    let home = tempfile::tempdir().expect("a folder");
    let trained = || std::fs::read_dir(home.path().join("store/train")).expect("it is there").count();
    study(home.path(), &[]);
    let before = trained();
    study(home.path(), &["arms.repetition.training={ max_grad_norm = 0.3 }"]);
    // One artifact and its lock: the other arms are the same as before.
    assert_eq!(trained(), before + 2);
}

#[test]
fn arms_are_compared_on_the_metrics_that_the_recipe_lists() {
    let home = tempfile::tempdir().expect("a folder");
    let finished = study(home.path(), &["comparison.metrics=[\"val/heldout/bpb\"]"]);
    assert!(finished.results.comparisons.iter().all(|comparison| comparison.metric == "val/heldout/bpb"));
    assert!(!finished.table.contains("eval/questions/acc"), "{}", finished.table);
}

#[test]
fn pairs_can_be_had_alone_and_the_study_goes_on_from_them() {
    let home = tempfile::tempdir().expect("a folder");
    let sets = ["retriever={kind='lexical'}", "pairs.symmetric=true", "pairs.max_targets_per_seed=1"];
    let overrides = Overrides { profiles: Vec::new(), sets: sets.map(str::to_owned).to_vec() };
    let plan = Plan::new(load(&smoke(), &overrides).expect("the smoke recipe loads"));
    let options = Options { home: home.path(), recipe_folder: home.path(), elapsed: &|| Duration::ZERO };
    let mut runtime = BigramRuntime::default();
    let found =
        sbp_pipeline::pairs(&plan, &mut runtime, &mut Quiet(|| false), &options, 3).expect("there are pairs");
    assert_eq!(found.samples.len(), 3);
    assert!(found.samples.iter().all(|sample| sample.seed != sample.target));
    let written = File::open(found.path.join("part-00000.parquet")).expect("the pairs are there");
    let rows = SerializedFileReader::new(written).expect("it is Parquet").into_iter();
    let pairs: Vec<(String, String)> = rows
        .map(|row| {
            let row = row.expect("a row").to_json_value();
            (row["seed_id"].to_string(), row["target_id"].to_string())
        })
        .collect();
    assert!(!pairs.is_empty());
    assert!(pairs.iter().all(|(seed, target)| pairs.contains(&(target.clone(), seed.clone()))));
    assert!(!home.path().join("store/tune").exists(), "nothing is tuned");

    let finished = study(home.path(), &sets);
    assert_eq!(
        std::fs::read_dir(home.path().join("store/pair")).expect("a stage").count(),
        2,
        "one artifact and its lock"
    );
    assert!(finished.table.contains("pairs kept"));
}

#[test]
fn what_an_approximate_retriever_finds_stands_in_the_report() {
    let home = tempfile::tempdir().expect("a folder");
    let exact = study(home.path(), &["retriever={kind='exact'}"]);
    let approximate = study(home.path(), &["retriever={kind='arroy'}"]);
    let line = "true neighbors found (recall, on a sample)";
    assert!(!exact.table.contains(line) && approximate.table.contains(line), "{}", approximate.table);
}
