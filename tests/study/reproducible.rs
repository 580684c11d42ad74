//! One seed, one result; a second run makes nothing.

use super::{answer, comparable_results, sbp_run, smoke};

#[test]
fn a_second_run_reuses_every_stage_and_a_second_store_gives_the_same_numbers() {
    let (one, two) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let first = sbp_run(&smoke(), one.path(), &[]).output().expect("it starts");
    assert_eq!(answer(&first)["exit"], 0);
    assert_eq!(answer(&first)["compute_matched"], true);
    let results = comparable_results(&first);

    let again = sbp_run(&smoke(), one.path(), &[]).output().expect("it starts");
    let said = String::from_utf8_lossy(&again.stderr);
    assert!(!said.contains("done in"), "a stage was made again:\n{said}");
    assert_eq!(comparable_results(&again), results);

    let elsewhere = sbp_run(&smoke(), two.path(), &[]).output().expect("it starts");
    assert_eq!(comparable_results(&elsewhere), results);

    let other_seed =
        sbp_run(&smoke(), one.path(), &["--set", "recipe.seeds=[2]"]).output().expect("it starts");
    let other = comparable_results(&other_seed);
    let loss = |results: &serde_json::Value| {
        results["arms"]["repetition"]["seeds"][0]["metrics"]["train/loss"].clone()
    };
    assert_ne!(loss(&other), loss(&results));
}

#[test]
fn arms_train_on_the_same_number_of_tokens() {
    let home = tempfile::tempdir().expect("a folder");
    let results = comparable_results(&sbp_run(&smoke(), home.path(), &[]).output().expect("it starts"));
    let tokens = |arm: &str| results["ledger"][arm]["train"]["tokens"].as_u64().expect("a count");
    assert!(tokens("repetition") > 0);
    assert_eq!(tokens("repetition"), tokens("sbp"));
    assert_eq!(tokens("repetition"), tokens("oracle"));
    assert_eq!(results["ledger"]["repetition"]["tune"]["tokens"], 0);
    assert!(results["ledger"]["sbp"]["tune"]["tokens"].as_u64() > Some(0));
    assert!(results["ledger"]["sbp"]["generate"]["tokens"].as_u64() > Some(0));
}
