//! The commands of the documentation, as they are written there and in their order.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::smoke;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The commands of a page: lines of its code blocks that begin with `cargo sbp`.
fn commands(page: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join("docs").join(page)).expect("the page is there");
    let blocks = text.split("```").skip(1).step_by(2);
    let lines = blocks.flat_map(str::lines).filter_map(|line| line.strip_prefix("cargo sbp "));
    lines.map(str::to_owned).collect()
}

/// Words as a shell sees them: parted by spaces, but for what stands in double quotes.
fn words(command: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for character in command.chars() {
        match character {
            '"' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            other => words.last_mut().expect("there is one").push(other),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

fn run(command: &str, folder: &Path, home: &Path) -> Output {
    let mut sbp = Command::new(env!("CARGO_BIN_EXE_sbp-under-test"));
    let output =
        sbp.args(words(command)).current_dir(folder).env("SBP_HOME", home).output().expect("it starts");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "sbp {command}: {}\n{out}\n{err}", output.status);
    output
}

#[test]
fn the_tutorial_works_as_written() {
    let home = tempfile::tempdir().expect("a folder");
    let commands = commands("tutorial.md");
    assert!(commands.len() > 8, "{commands:?}");
    let recipe = smoke();
    assert!(commands.iter().any(|it| it.contains("smoke.toml")) && recipe.exists());
    for command in commands {
        let output = run(&command, &root(), home.path());
        assert!(!output.stdout.is_empty() || !output.stderr.is_empty(), "sbp {command} says nothing");
    }
    let runs = fs::read_dir(home.path().join("runs")).expect("runs").count();
    assert_eq!(runs, 2, "the recipe, and the one that changes its retriever");
}

#[test]
fn a_corpus_of_ones_own_is_looked_at_as_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let documents: String = (0..800)
        .map(|index| {
            let (subject, thing) = (index % 40, index / 40);
            let text = format!("Report {index}: subject {subject} was measured with instrument {thing}, and subject {subject} held.");
            format!("{}\n", serde_json::json!({"id": index.to_string(), "text": text}))
        })
        .collect();
    let packed = zstd::encode_all(documents.as_bytes(), 1).expect("packed");
    fs::write(folder.path().join("documents.jsonl.zst"), packed).expect("written");
    let recipes = root().join("recipes").canonicalize().expect("recipes");
    let commands = commands("own-corpus.md");
    assert!(commands.iter().any(|command| command.starts_with("run ")));
    // All but the run itself, which takes its time; small splits, for the documents that there are.
    for command in commands.iter().filter(|command| !command.starts_with("run ")) {
        let command = command.replace("recipes/", &format!("{}/", recipes.display()));
        let small = "--set splits.pretrain_documents=200 --set splits.oracle_factor=2 --set splits.heldout_documents=20";
        run(&format!("{command} {small}"), folder.path(), &folder.path().join("home"));
    }
}
