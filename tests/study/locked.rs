//! `--lock` and `--locked`, as a user types them.

use std::path::Path;
use std::process::{Command, Output};

fn plan(recipe: &Path, extra: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sbp-under-test"));
    command.arg("plan").arg(recipe).args(extra).output().expect("it starts")
}

/// A recipe on a corpus of its own.
fn recipe(folder: &Path) -> std::path::PathBuf {
    let documents: String = (0..300)
        .map(|number| format!("{{\"text\": \"document {number} about subject {}\"}}\n", number % 7))
        .collect();
    std::fs::write(folder.join("corpus.jsonl"), documents).expect("it can be written");
    let text = format!(
        "extends = [{:?}]\ncorpus = {{ kind = \"jsonl\", path = \"corpus.jsonl\" }}\n",
        super::smoke().canonicalize().expect("it is there")
    );
    let path = folder.join("study.toml");
    std::fs::write(&path, text).expect("it can be written");
    path
}

#[test]
fn a_locked_recipe_refuses_what_changes_a_result_and_says_which() {
    let folder = tempfile::tempdir().expect("a folder");
    let recipe = recipe(folder.path());
    let missing = plan(&recipe, &["--locked"]);
    assert_eq!(missing.status.code(), Some(78));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("there is no"));

    let locked = plan(&recipe, &["--lock"]);
    assert!(locked.status.success(), "{}", String::from_utf8_lossy(&locked.stderr));
    assert!(folder.path().join("study.lock.json").exists());
    assert!(plan(&recipe, &["--locked"]).status.success());
    // Where it runs and who watches change no result.
    assert!(plan(&recipe, &["--locked", "--set", "execution.num_threads=1"]).status.success());

    let changed = plan(&recipe, &["--locked", "--set", "training.peak_lr=0.25"]);
    assert_eq!(changed.status.code(), Some(78));
    let text = String::from_utf8_lossy(&changed.stderr).into_owned();
    assert!(text.contains("recipe.training.peak_lr: 0.005 is locked, 0.25 found"), "{text}");

    let corpus = folder.path().join("corpus.jsonl");
    let documents = std::fs::read_to_string(&corpus).expect("it is there");
    std::fs::write(&corpus, documents.replacen("document 5 ", "document five ", 1))
        .expect("it can be written");
    let changed = plan(&recipe, &["--locked"]);
    assert_eq!(changed.status.code(), Some(78));
    assert!(String::from_utf8_lossy(&changed.stderr).contains("inputs.corpus: "));
}

#[test]
fn a_lock_does_not_depend_on_where_it_was_made() {
    let folders = [tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder")];
    let [one, other] = folders.each_ref().map(|folder| {
        let recipe = recipe(folder.path());
        assert!(plan(&recipe, &["--lock"]).status.success());
        std::fs::read_to_string(folder.path().join("study.lock.json")).expect("it was written")
    });
    assert_eq!(one, other);
}
