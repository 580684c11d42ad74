//! What goes on around a run: from a template, explained, exported, and freed when nobody needs it.

use std::path::Path;

use sbp_pipeline::explain::{Explained, Fate, explain, explain_run};
use sbp_pipeline::export::{Model, export};
use sbp_pipeline::gc::{Choice, free, unneeded};
use sbp_pipeline::{Run, find_run, home_of, runs};

use super::without_torch::{plan, study, study_of};
use super::{sbp, smoke};

const ANOTHER_RATE: [&str; 1] = ["training.peak_lr=4e-3"];

fn run_of(home: &Path, finished: &sbp_pipeline::Finished) -> Run {
    find_run(home, finished.folder.path.to_str()).expect("it is there")
}

fn stage<'a>(stages: &'a [Explained], name: &str) -> &'a Explained {
    stages.iter().find(|it| it.stage == name).unwrap_or_else(|| panic!("{name} is not in {stages:#?}"))
}

#[test]
fn before_a_run_its_first_stage_is_to_be_made_and_after_it_all_are_reused() {
    let home = tempfile::tempdir().expect("a folder");
    let plan = plan(&smoke(), &[]);
    let before = explain(&plan, home.path()).expect("it can be looked at");
    assert!(!before.is_complete);
    let [corpus] = before.stages.as_slice() else { panic!("{before:#?}") };
    assert_eq!((corpus.stage.as_str(), corpus.fate, &corpus.nearest), ("corpus", Fate::ToMake, &None));
    assert_eq!(std::fs::read_dir(home.path()).expect("a folder").count(), 0, "looking leaves nothing");

    study_of(&plan, home.path());
    let after = explain(&plan, home.path()).expect("it can be looked at");
    assert!(after.is_complete && after.stages.iter().all(|it| it.fate == Fate::Reused), "{after:#?}");
    let told: Vec<&str> = after.stages.iter().map(|it| it.stage.as_str()).collect();
    let run = find_run(home.path(), None).expect("it is there");
    let status = run.status.expect("it says what it did");
    let made: Vec<&str> = status.stages.iter().map(|it| it.stage.as_str()).collect();
    assert_eq!(told, made, "the stages that were looked at are those of the run");
}

#[test]
fn a_changed_option_is_named_where_it_counts_before_the_run_and_after_it() {
    let home = tempfile::tempdir().expect("a folder");
    study(home.path(), &[]);
    let changed = plan(&smoke(), &ANOTHER_RATE);
    let before = explain(&changed, home.path()).expect("it can be looked at");
    let first = before.stages.last().expect("a stage");
    assert_eq!((first.stage.as_str(), first.fate), ("base seed 1", Fate::ToMake));
    assert!(!before.is_complete);
    assert_eq!(stage(&before.stages, "tokens").fate, Fate::Reused);
    let expected = ["training.peak_lr: 0.005 stored, 0.004 now"];
    assert_eq!(first.nearest.as_ref().expect("one is stored").differences, expected);

    let finished = study_of(&changed, home.path());
    let after = explain_run(&run_of(home.path(), &finished)).expect("it can be read");
    assert!(after.is_complete);
    assert_eq!(stage(&after.stages, "corpus").fate, Fate::Reused);
    let base = stage(&after.stages, "base seed 1");
    assert_eq!(base.fate, Fate::Made);
    assert_eq!(base.nearest.as_ref().expect("one is stored").differences, expected);
    // The synthesizer is another because its base is.
    let tune = stage(&after.stages, "tune seed 1").nearest.as_ref().expect("one is stored");
    assert_eq!(tune.differences, ["init.base > training.peak_lr: 0.005 stored, 0.004 now"]);
}

#[test]
fn what_only_a_removed_run_referred_to_is_freed_and_the_others_go_on() {
    let home = tempfile::tempdir().expect("a folder");
    let first = study(home.path(), &[]);
    let second = study(home.path(), &ANOTHER_RATE);
    let choice = Choice::default();
    assert_eq!(unneeded(home.path(), &choice).expect("it can be read"), []);
    assert_eq!(runs(home.path()).expect("they can be read").len(), 2);

    run_of(home.path(), &first).remove().expect("nobody works on it");
    let told = unneeded(home.path(), &choice).expect("it can be read");
    let stages: std::collections::BTreeSet<&str> = told.iter().map(|it| it.stage.as_str()).collect();
    assert!(stages.contains("train") && stages.contains("base"), "{stages:?}");
    assert!(!stages.contains("corpus") && !stages.contains("tokens"), "{stages:?}");
    let outcome = free(home.path(), &choice).expect("it can be freed");
    assert_eq!((outcome.freed, outcome.kept), (told, Vec::new()));

    study(home.path(), &ANOTHER_RATE);
    let again = run_of(home.path(), &second).status.expect("it says what it did");
    assert!(again.stages.iter().all(|it| it.reused), "{again:#?}");
}

#[test]
fn a_model_leaves_the_store_whole_with_its_card_or_not_at_all() {
    let home = tempfile::tempdir().expect("a folder");
    let finished = study(home.path(), &["recipe.seeds=[1, 2]"]);
    let run = run_of(home.path(), &finished);
    let to = home.path().join("models/sbp");

    let several = export(&run, Model::Arm("sbp"), None, &to).expect_err("two seeds");
    assert!(several.to_string().contains("choose one with --seed"), "{several}");
    let absent = export(&run, Model::Arm("sbpp"), Some(1), &to).expect_err("no such arm");
    assert!(absent.to_string().contains("oracle, repetition, sbp"), "{absent}");
    assert!(export(&run, Model::Arm("sbp"), Some(3), &to).is_err());

    let exported = export(&run, Model::Arm("sbp"), Some(2), &to).expect("it is there");
    let original = finished.folder.path.join("arms/sbp/seed-2/hf");
    for file in exported.files.keys() {
        let bytes = |folder: &Path| std::fs::read(folder.join(file)).expect("it is there");
        assert_eq!(bytes(&to), bytes(&original), "{file}");
    }
    assert!(exported.files.contains_key("tokenizer.json"), "{:?}", exported.files);
    let card = std::fs::read_to_string(to.join("README.md")).expect("it has a card");
    let plan = &finished.results.plan;
    for part in ["# smoke, arm `sbp`, seed 2", plan, "`concepts`", "val/heldout/bpb", "Whoever publishes"] {
        assert!(card.contains(part), "{part} is not in\n{card}");
    }
    let again = export(&run, Model::Arm("sbp"), Some(2), &to).expect_err("it is there");
    assert!(again.to_string().contains("already there"), "{again}");

    let synthesizer = home.path().join("models/synthesizer");
    export(&run, Model::Synthesizer, Some(1), &synthesizer).expect("it is there");
    let weights = |folder: &Path| std::fs::read(folder.join("bigram.json")).expect("it has weights");
    assert_eq!(weights(&synthesizer), weights(&finished.folder.path.join("stages/tune-seed-1/checkpoint")));

    let damaged = original.join("bigram.json");
    let mut bytes = std::fs::read(&damaged).expect("it is there");
    *bytes.last_mut().expect("it is not empty") ^= 1;
    std::fs::write(&damaged, bytes).expect("it can be written");
    let other = home.path().join("models/other");
    let refused = export(&run, Model::Arm("sbp"), Some(2), &other).expect_err("it is damaged");
    assert!(refused.to_string().contains("damaged") && !other.exists(), "{refused}");
}

#[test]
fn templates_come_to_a_table() {
    for (template, sets) in [
        (
            "quickstart",
            &[
                "corpus.concepts=40",
                "corpus.heldout_documents=40",
                "corpus.max_questions=20",
                "splits.pretrain_documents=120",
                "splits.oracle_factor=4",
                "splits.heldout_documents=40",
                "tokenizer.vocab_size=512",
                "budget.duration={ passes = 4 }",
                "base.duration={ passes = 2 }",
                "pairs.filters=[]",
                "synthesizer.filters=[]",
            ][..],
        ),
        (
            "jsonl",
            &[
                "corpus.heldout_share=0.2",
                "splits.pretrain_documents=60",
                "splits.oracle_factor=2",
                "splits.heldout_documents=20",
                "tokenizer.vocab_size=300",
                "training.tokens_per_step=512",
                "budget.duration={ passes = 4 }",
                "base.duration={ passes = 2 }",
                "pairs.filters=[]",
                "synthesizer.filters=[]",
                "synthesizer.tuning.tokens_per_step=512",
            ],
        ),
    ] {
        let place = tempfile::tempdir().expect("a folder");
        let folder = place.path().join("study");
        let written = sbp(place.path(), &["init", folder.to_str().expect("UTF-8"), "--template", template])
            .output()
            .expect("it starts");
        assert_eq!(written.status.code(), Some(0), "{}", String::from_utf8_lossy(&written.stderr));
        let documents: String = (0..200)
            .map(|n| {
                format!("{{\"text\": \"document {n} tells of town {} and of river {}\"}}\n", n % 20, n * n)
            })
            .collect();
        std::fs::write(folder.join("documents.jsonl"), documents).expect("it can be written");
        let recipe = folder.join("recipe.toml");
        let home = home_of(&recipe, None);
        assert!(home.ends_with("study/.sbp"), "{}", home.display());
        let finished = study_of(&plan(&recipe, sets), &home);
        assert!(finished.table.contains("val/heldout/bpb"), "{}", finished.table);
    }
}
