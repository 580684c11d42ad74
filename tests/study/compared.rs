//! Runs beside each other, by `sbp compare` and by what is behind it.

use std::path::PathBuf;
use std::process::{Command, Output};

use sbp_pipeline::{Finished, Outcome, RunsCompared, compare_runs};
use serde_json::Value;

use super::without_torch::study;

fn folders(runs: &[&Finished]) -> Vec<PathBuf> {
    runs.iter().map(|run| run.folder.path.clone()).collect()
}

fn sbp_compare(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sbp-under-test"));
    command.arg("compare").args(arguments).output().expect("it starts")
}

/// Why each metric of the only pair of runs is not comparable; nothing for one that is.
fn obstacles(compared: &RunsCompared) -> Vec<(String, String)> {
    let [against] = compared.against_first.as_slice() else { panic!("two runs") };
    let scores = against.scores.iter().filter(|score| score.arm == "repetition");
    scores
        .map(|score| match &score.outcome {
            Outcome::Compared { .. } => (score.metric.clone(), String::new()),
            Outcome::NotComparable(reason) => (score.metric.clone(), reason.clone()),
        })
        .collect()
}

#[test]
fn options_and_scores_of_two_runs_stand_beside_each_other() {
    let home = tempfile::tempdir().expect("a folder");
    let first = study(home.path(), &[]);
    let other = study(home.path(), &["arms.sbp.synthetic_share=0.5"]);
    let compared = compare_runs(&folders(&[&first, &other])).expect("they can be compared");
    let mut text = compared.markdown().replace(&home.path().display().to_string(), "[home]");
    for (number, run) in compared.runs.iter().enumerate() {
        text = text.replace(&run.plan[..8], &format!("<plan {}>", number + 1));
    }
    // The interval is the report's own business, and so are its columns' widths.
    let lines: Vec<String> =
        text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    for line in [
        "1. smoke/<plan 1> in [home]/runs/smoke/<plan 1>",
        "2. smoke/<plan 2> in [home]/runs/smoke/<plan 2>",
        "## 2 against 1",
        "| arms.sbp.synthetic_share | 0.25 | 0.5 |",
        "| metric | arm | 1 | 2 | 2 - 1 [95%] | p |",
        "Differences are paired over the same documents and questions; seeds [1].",
    ] {
        assert!(lines.iter().any(|found| found == line), "{line:?} is not in\n{text}");
    }
    assert!(!text.contains("NOT COMPARABLE") && !text.contains("only in"), "{text}");

    let [against] = compared.against_first.as_slice() else { panic!("one against the first") };
    assert_eq!(against.options.len(), 1);
    let metric = "val/heldout/bpb";
    for score in against.scores.iter().filter(|score| score.metric == metric) {
        let Outcome::Compared { values, comparison } = &score.outcome else { panic!("{score:?}") };
        let of = |run: &Finished| run.results.arms[&score.arm].metrics[metric].mean;
        assert_eq!(*values, [of(&first), of(&other)], "{}", score.arm);
        assert!((comparison.delta - (of(&other) - of(&first))).abs() < 1e-12);
        // The share of synthetic documents is a matter of one arm.
        assert_eq!(comparison.delta != 0.0, score.arm == "sbp", "{comparison:?}");
    }
    assert_eq!(obstacles(&compared).len(), 3, "every metric of the recipe");
}

#[test]
fn what_was_asked_of_other_texts_or_otherwise_is_not_compared() {
    let home = tempfile::tempdir().expect("a folder");
    let first = study(home.path(), &[]);
    let against = |sets: &[&str]| {
        let other = study(home.path(), sets);
        obstacles(&compare_runs(&folders(&[&first, &other])).expect("they can be compared"))
    };
    let reasons = |bpb: &str, questions: &str| {
        [("eval/questions/acc", questions), ("eval/questions/nll", questions), ("val/heldout/bpb", bpb)]
            .map(|(metric, reason)| (metric.to_owned(), reason.to_owned()))
            .to_vec()
    };
    assert_eq!(against(&["training.peak_lr=1e-3"]), reasons("", ""));
    assert_eq!(against(&["splits.heldout_documents=20"]), reasons("other held-out documents", ""));
    assert_eq!(against(&["corpus.max_questions=20"]), reasons("", "other questions"));
    assert_eq!(
        against(&[
            "evaluators=[{ kind = 'bits_per_byte', max_documents = 7 }, { kind = 'multiple_choice' }]"
        ]),
        reasons("another evaluator, or other options of it", "")
    );
    assert_eq!(against(&["recipe.seeds=[2]"]), reasons("no seed in common", "no seed in common"));
}

#[test]
fn runs_that_did_not_spend_the_same_say_so_first() {
    let home = tempfile::tempdir().expect("a folder");
    let first = study(home.path(), &[]);
    let longer = study(home.path(), &["budget.duration={ passes = 8 }"]);
    let fewer = study(home.path(), &["evaluators=[{ kind = 'bits_per_byte' }]"]);
    let compared = compare_runs(&folders(&[&first, &longer, &fewer])).expect("they can be compared");
    let [longer_against, fewer_against] = compared.against_first.as_slice() else {
        panic!("each against the first")
    };
    assert_eq!((longer_against.run, fewer_against.run), (1, 2));
    for ledger in &longer_against.ledgers {
        assert!(!ledger.verdict.matched, "{ledger:?}");
        assert_eq!(
            ledger.train_tokens,
            [&first, &longer].map(|run| run.results.ledger[&ledger.arm]["train"].tokens)
        );
    }
    let text = compared.markdown();
    let (_, longer_text) = text.split_once("## 2 against 1").expect("the second");
    let (longer_text, fewer_text) = longer_text.split_once("## 3 against 1").expect("the third");
    let starts = longer_text.trim_start();
    assert!(starts.starts_with("NOT COMPARABLE on train_tokens: repetition took "), "{longer_text}");
    assert!(!fewer_text.contains("NOT COMPARABLE"), "{fewer_text}");
    assert!(
        fewer_text
            .contains("only in 1: repetition: eval/questions/acc, repetition: eval/questions/nll, sbp: "),
        "{fewer_text}"
    );
}

#[test]
fn the_program_compares_without_libtorch_and_tells_scripts() {
    let home = tempfile::tempdir().expect("a folder");
    let (first, other) = (study(home.path(), &[]), study(home.path(), &["training.peak_lr=1e-3"]));
    let [one, two] = [&first, &other].map(|run| run.folder.path.display().to_string());
    let results = other.folder.results().display().to_string();
    let output = sbp_compare(&[&one, &results, "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let answer: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(answer["runs"][1]["run_dir"], two);
    let options = &answer["against_first"][0]["options"];
    assert_eq!(*options, serde_json::json!([{"option": "training.peak_lr", "first": 0.005, "other": 0.001}]));
    assert!(answer["against_first"][0]["scores"][0]["outcome"]["compared"]["comparison"]["p"].is_f64());
    assert_eq!(sbp_compare(&[&one]).status.code(), Some(2));
}

#[test]
fn what_is_no_finished_run_is_told_with_the_remedy() {
    let home = tempfile::tempdir().expect("a folder");
    let finished = study(home.path(), &[]).folder.path;
    let unfinished = home.path().join("unfinished");
    std::fs::create_dir(&unfinished).expect("it can be made");
    std::fs::write(unfinished.join("recipe.toml"), "").expect("it can be written");
    let sweep = home.path().join("sweep/report");
    std::fs::create_dir_all(&sweep).expect("it can be made");
    std::fs::write(sweep.join("results.json"), r#"{"points": [{"run_dir": "../1"}, {"run_dir": "../2"}]}"#)
        .expect("it can be written");
    let alone = home.path().join("alone");
    std::fs::create_dir_all(alone.join("report")).expect("it can be made");
    for file in ["recipe.resolved.toml", "report/results.json"] {
        std::fs::copy(finished.join(file), alone.join(file)).expect("it can be copied");
    }
    let mut told = String::new();
    for other in [home.path().join("absent"), unfinished, home.path().join("sweep"), alone] {
        let error = compare_runs(&[finished.clone(), other]).expect_err("it is no finished run").to_string();
        told.push_str(&format!("{}\n", error.replace(&home.path().display().to_string(), "[home]")));
    }
    insta::assert_snapshot!("no_finished_run", told);
}
