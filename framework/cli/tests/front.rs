//! The program `sbp`: what it does without its engine, and how it turns into it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// `sbp` alone in a folder.
fn alone() -> TempDir {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    fs::hard_link(env!("CARGO_BIN_EXE_sbp"), folder.path().join("sbp")).expect("on the same disk");
    folder
}

/// `sbp` beside an engine that tells how it was started.
fn with_engine() -> TempDir {
    let folder = alone();
    let engine = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/engine.sh");
    symlink(engine, folder.path().join("sbp-engine")).expect("a link can be made");
    folder
}

fn sbp(folder: &TempDir, arguments: &[&str]) -> Command {
    let mut command = Command::new(folder.path().join("sbp"));
    command.args(arguments).current_dir(folder).env_remove("GOMP_SPINCOUNT").env_remove("OMP_WAIT_POLICY");
    command
}

fn output(folder: &TempDir, arguments: &[&str]) -> Output {
    sbp(folder, arguments).output().expect("it starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn quickstart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../recipes/quickstart.toml")
}

#[test]
fn a_recipe_is_checked_without_the_engine() {
    let folder = alone();
    let recipe = quickstart();
    let recipe = recipe.to_str().expect("a path in UTF-8");
    let valid = output(&folder, &["validate", recipe]);
    assert_eq!(valid.status.code(), Some(0), "{}", text(&valid.stderr));
    assert_eq!(text(&valid.stdout), format!("{recipe} is a valid recipe\n"));

    let invalid = output(&folder, &["validate", recipe, "--json", "--set", "retriever.kind=exakt"]);
    assert_eq!(invalid.status.code(), Some(78));
    let answer: serde_json::Value = serde_json::from_slice(&invalid.stdout).expect("JSON");
    assert_eq!(answer["valid"], false);
    assert!(answer["problems"][0].to_string().contains("exakt"), "{answer}");
}

#[test]
fn what_needs_no_tensors_needs_no_engine() {
    let folder = alone();
    let recipe = quickstart();
    let recipe = recipe.to_str().expect("a path in UTF-8");
    for (arguments, part) in [
        (&["plan", recipe][..], "oracle"),
        (&["plugins", "ls"], "tfidf"),
        (&["schema"], "\"$schema\""),
        (&["run", "--help"], "Usage: sbp run"),
    ] {
        let output = output(&folder, arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}\n{}", text(&output.stderr));
        assert!(text(&output.stdout).contains(part), "{arguments:?}\n{}", text(&output.stdout));
    }
    assert_eq!(output(&folder, &["run"]).status.code(), Some(2));
}

#[test]
fn a_plan_is_reckoned_for_many_devices() {
    let folder = alone();
    let recipe = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../recipes/paper/200b-3b.toml");
    let recipe = recipe.to_str().expect("a path in UTF-8");
    let plan = |extra: &[&str]| {
        let arguments = [&["plan", recipe, "--devices", "64xH100"][..], extra].concat();
        let output = output(&folder, &arguments);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let said = plan(&[]);
    for part in
        ["on 64 x H100", "exchanging", "a device holds", "of 80 GB", "more devices help a training up to"]
    {
        assert!(said.contains(part), "{part} is missing in\n{said}");
    }
    let exchanged = |said: &str| {
        let line =
            said.lines().find(|line| line.starts_with("train sbp") && line.ends_with('%')).expect("a row");
        let share = line.rsplit_once(' ').expect("words").1.trim_end_matches('%');
        share.parse::<f64>().expect("a number")
    };
    assert!(exchanged(&plan(&["--bandwidth", "10"])) > exchanged(&said));
    let wrong = output(&folder, &["plan", recipe, "--devices", "64xTPU"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(text(&wrong.stderr).contains("such as 64xH100"), "{}", text(&wrong.stderr));
}

/// The results of a run, in the folder of its report.
fn run_in(folder: &TempDir, name: &str) -> PathBuf {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/results.json");
    let report = folder.path().join(name).join("report");
    fs::create_dir_all(&report).expect("it can be made");
    fs::copy(fixture, report.join("results.json")).expect("it can be copied");
    report
}

#[test]
fn a_report_is_made_of_results_alone() {
    let folder = alone();
    let report = run_in(&folder, "run");
    let names = ["table.md", "table.csv", "table.tex", "report.html"];
    for run in ["run", "run/report", "run/report/results.json"] {
        let said = output(&folder, &["report", run]);
        assert_eq!(said.status.code(), Some(0), "{}", text(&said.stderr));
        for name in names {
            assert!(text(&said.stdout).contains(&format!("run/report/{name}")), "{}", text(&said.stdout));
            fs::remove_file(report.join(name)).expect("it was written");
        }
        assert!(text(&said.stdout).contains("compute match: MATCHED"));
    }

    let said = output(&folder, &["report", "run", "--format", "csv", "--out", "there", "--json"]);
    let answer: serde_json::Value = serde_json::from_slice(&said.stdout).expect("JSON and nothing else");
    assert_eq!(answer["reports"][0]["written"], serde_json::json!(["there/table.csv"]));
    assert_eq!(answer["reports"][0]["compute_matched"], true);
    assert_eq!(fs::read_dir(folder.path().join("there")).expect("it was made").count(), 1);
}

#[test]
fn the_published_study_is_set_beside_several_runs() {
    let folder = alone();
    let reports = ["one", "two"].map(|name| run_in(&folder, name));
    let said = output(&folder, &["report", "--paper", "one", "two"]);
    assert_eq!(said.status.code(), Some(0), "{}", text(&said.stderr));
    for report in reports {
        let paper = fs::read_to_string(report.join("paper.md")).expect("it was written");
        assert!(paper.contains("47.66 [V]") && paper.contains("68.94 [M+]"), "{paper}");
        assert_eq!(paper.matches("plan 8f85d0ab").count(), 2, "{paper}");
        let page = fs::read_to_string(report.join("report.html")).expect("it was written");
        assert!(page.contains("id=\"paper\""));
    }
}

#[test]
fn what_cannot_be_reported_on_is_refused_with_a_remedy() {
    let folder = alone();
    run_in(&folder, "one");
    run_in(&folder, "two");
    fs::write(folder.path().join("old.json"), "{\"schema_version\": 1}").expect("it can be written");
    for (arguments, remedy) in [
        (&["report", "absent"][..], "`sbp run` on the same recipe goes on"),
        (
            &["report", "old.json"],
            "old.json: its schema_version is 1, and this sbp reads 2; run its recipe again",
        ),
        (&["report", "one", "two", "--out", "there"], "leave it out"),
    ] {
        let said = output(&folder, arguments);
        assert_eq!(said.status.code(), Some(1), "{arguments:?}");
        assert!(text(&said.stderr).contains(remedy), "{arguments:?}\n{}", text(&said.stderr));
    }
}

#[test]
fn what_is_wrong_with_an_evaluation_or_a_comparison_is_told_without_the_engine() {
    let folder = alone();
    let old = run_in(&folder, "old").join("results.json");
    fs::write(&old, "{\"schema_version\": 1}").expect("it can be written");
    let eval = ["eval", "--checkpoint", "model"];
    for (arguments, code, part) in [
        (&[&eval[..], &["--tasks", "sciq"]].concat()[..], 2, "--data"),
        (&[&eval[..], &["--perplexity", "owt2"]].concat(), 2, "a name and a path"),
        (&[&eval[..], &["--stride", "8"]].concat(), 2, "--perplexity"),
        (&eval, 2, "--tasks"),
        (&[&eval[..], &["--tasks", "sciq", "--data", "absent"]].concat(), 1, "there is no absent"),
        (&[&eval[..], &["--tasks", "my.toml", "--data", "."]].concat(), 1, "there is no my.toml"),
        (&[&eval[..], &["--tasks", "xyz", "--data", "."]].concat(), 1, "is called `xyz`; known are `"),
        (
            &[&eval[..], &["--tasks", "arc-esy", "--data", "."]].concat(),
            1,
            "did you mean `arc_easy`? known are `",
        ),
        (&["compare", "one"], 2, "2 values"),
        (&["compare", "one", "two"], 1, "one is no finished run"),
        (
            &["compare", "old", "two"],
            1,
            "old/report/results.json: its schema_version is 1, and this sbp reads 2",
        ),
    ] {
        let output = output(&folder, arguments);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{said}");
        assert!(said.contains(part), "{arguments:?}\n{said}");
    }
}

#[test]
fn it_turns_into_its_engine_to_compute() {
    let folder = with_engine();
    for arguments in [&["run", "a recipe.toml", "--device", "cpu"][..], &["doctor", "--json"]] {
        let child = sbp(&folder, arguments).stdout(Stdio::piped()).spawn().expect("it starts");
        let process = child.id();
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(output.status.code(), Some(42));
        let spins = if cfg!(target_os = "linux") { "1000" } else { "unset" };
        let expected = format!("process {process}, spins {spins}, arguments {}\n", arguments.join(" "));
        assert_eq!(text(&output.stdout), expected);
    }
}

#[test]
fn a_users_own_setting_for_waiting_threads_is_left_alone() {
    let folder = with_engine();
    for (name, value, spins) in [("GOMP_SPINCOUNT", "7", "7"), ("OMP_WAIT_POLICY", "active", "unset")] {
        let output = sbp(&folder, &["doctor"]).env(name, value).output().expect("it starts");
        let said = text(&output.stdout);
        assert!(said.contains(&format!("spins {spins},")), "{name}: {said}");
    }
}

#[test]
fn a_missing_engine_is_named_with_the_remedy() {
    let folder = alone();
    let output = output(&folder, &["doctor"]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    let path = folder.path().canonicalize().expect("it is there").join("sbp-engine");
    assert!(said.contains(path.to_str().expect("a path in UTF-8")), "{said}");
    assert!(said.contains("cargo xtask sbp"), "{said}");
}

#[test]
fn every_template_is_a_valid_recipe_and_nothing_is_overwritten() {
    let folder = alone();
    for template in ["quickstart", "jsonl"] {
        let written = output(&folder, &["init", template, "--template", template]);
        assert_eq!(written.status.code(), Some(0), "{}", text(&written.stderr));
        let next = text(&written.stdout);
        assert!(
            next.starts_with(&format!("cd {template}\n")) && next.contains("sbp run recipe.toml"),
            "{next}"
        );
        let recipe = format!("{template}/recipe.toml");
        let valid = output(&folder, &["validate", &recipe]);
        assert_eq!(text(&valid.stdout), format!("{recipe} is a valid recipe\n"), "{}", text(&valid.stderr));
        assert_eq!(fs::read_to_string(folder.path().join(template).join(".gitignore")).unwrap(), ".sbp/\n");

        let own = folder.path().join(template).join("README.md");
        fs::write(&own, "mine").unwrap();
        fs::remove_file(folder.path().join(&recipe)).unwrap();
        let refused = output(&folder, &["init", template]);
        assert_eq!(refused.status.code(), Some(1));
        assert!(
            text(&refused.stderr).contains("already has README.md, .gitignore"),
            "{}",
            text(&refused.stderr)
        );
        assert_eq!(fs::read_to_string(&own).unwrap(), "mine");
        assert!(!folder.path().join(&recipe).exists(), "half of a study was written");
    }
}

#[test]
fn where_there_are_no_runs_that_is_said() {
    let folder = alone();
    let said = |arguments: &[&str]| {
        let output = sbp(&folder, arguments).env("SBP_HOME", folder.path()).output().expect("it starts");
        (output.status.code(), text(&output.stdout) + &text(&output.stderr))
    };
    let (code, status) = said(&["status"]);
    assert!(code == Some(1) && status.contains("there are no runs in"), "{status}");
    let (code, export) = said(&["export", "quickstart", "--arm", "sbp", "--to", "model"]);
    assert!(code == Some(1) && export.contains("there is no run \"quickstart\""), "{export}");
    assert_eq!(said(&["export", "quickstart", "--to", "model"]).0, Some(2), "neither arm nor synthesizer");
    let (code, runs) = said(&["runs", "ls"]);
    assert!(code == Some(0) && runs.contains("there are no runs in"), "{runs}");
    let (code, gc) = said(&["gc"]);
    assert!(code == Some(0) && gc.contains("nothing to free"), "{gc}");
}

#[test]
fn a_recipe_is_explained_without_the_engine() {
    let folder = alone();
    let recipe = quickstart();
    let recipe = recipe.to_str().expect("a path in UTF-8");
    let explain = |extra: &[&str]| {
        let arguments = [&["explain", recipe], extra].concat();
        let output = sbp(&folder, &arguments).env("SBP_HOME", folder.path()).output().expect("it starts");
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let said = explain(&[]);
    assert!(said.contains("to be made") && said.contains("comes after \"corpus\""), "{said}");
    let answer: serde_json::Value = serde_json::from_str(&explain(&["--json"])).expect("JSON");
    assert_eq!(answer[0]["stages"][0]["fate"], "to_make");
    assert_eq!(output(&folder, &["explain", "absent.toml"]).status.code(), Some(78));
}

#[test]
fn completions_and_pages_know_the_verbs() {
    let folder = alone();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let output = output(&folder, &["completions", shell]);
        assert_eq!(output.status.code(), Some(0), "{shell}");
        let script = text(&output.stdout);
        assert!(script.contains("explain") && script.contains("stop-after"), "{shell}\n{script}");
    }
    assert_eq!(output(&folder, &["man", "--out", "pages/man1"]).status.code(), Some(0));
    for page in ["sbp.1", "sbp-run.1", "sbp-runs-ls.1"] {
        let page = fs::read_to_string(folder.path().join("pages/man1").join(page)).expect("it is there");
        assert!(page.contains(".TH"), "{page}");
    }
}

/// That the same question finds libtorch where it is linked is tested in `framework/engine/tests/`.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[test]
fn it_is_not_linked_to_libtorch() {
    let output = Command::new(env!("CARGO_BIN_EXE_sbp"))
        // Makes the loader list the libraries, and run nothing.
        .env("LD_TRACE_LOADED_OBJECTS", "1")
        .output()
        .expect("it starts");
    let libraries = text(&output.stdout);
    assert!(libraries.contains("libc.so"), "{libraries}");
    assert!(!libraries.contains("torch") && !libraries.contains("libc10"), "{libraries}");
}
