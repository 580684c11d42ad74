//! Wrong recipes, and exactly what a user is told about each.
//!
//! A fixture is a recipe in `fixtures/wrong/`; lines `# set: a.b=value` and `# profile: name` in it say with what on the
//! command line it is read. `snapshots/wrong/` holds what is told. Those in `fixtures/warned/` are right, but not for
//! their documents; `snapshots/warned/` holds what a plan says of them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme};
use sbp_recipe::{Code, Overrides, Plan, Problem, RecipeErrors, load};
use serde_json::Value;

// Paths are relative (tests run in their package's folder), as they are when people type them.
fn fixtures(folder: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(Path::new("fixtures").join(folder))
        .expect("the fixtures are there")
        .map(|entry| entry.expect("they can be listed").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    found.sort();
    found
}

fn fixture(name: &str) -> PathBuf {
    Path::new("fixtures/wrong").join(name)
}

fn errors(path: &Path) -> RecipeErrors {
    // A folder has no text, and one fixture is no text.
    let bytes = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let after = |start: &str| -> Vec<String> {
        text.lines().filter_map(|line| Some(line.strip_prefix(start)?.to_owned())).collect()
    };
    let overrides = Overrides { profiles: after("# profile: "), sets: after("# set: ") };
    match load(path, &overrides) {
        Ok(_) => panic!("{} is not wrong", path.display()),
        Err(errors) => errors,
    }
}

/// What a user sees, without colours and at a fixed width.
fn rendered(errors: &dyn Diagnostic) -> String {
    let mut out = String::new();
    let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor()).with_width(100);
    handler.render_report(&mut out, errors).expect("it renders");
    out
}

#[test]
fn every_wrong_recipe_is_told_what_is_wrong() {
    for path in fixtures("wrong") {
        snapshot("snapshots/wrong", &path, &rendered(&errors(&path)));
    }
    let snapshots = fs::read_dir("house/snapshots/wrong").expect("the snapshots are there");
    let snapshots = snapshots
        .filter(|entry| entry.as_ref().is_ok_and(|entry| entry.path().extension() == Some("snap".as_ref())));
    assert_eq!(
        snapshots.count(),
        fixtures("wrong").len(),
        "a snapshot's fixture is gone: delete the snapshot"
    );
}

fn snapshot(folder: &str, fixture: &Path, text: &str) {
    let name = fixture.file_stem().expect("a fixture has a name").to_string_lossy().into_owned();
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(folder);
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

/// What a plan says of the documents at hand.
fn warnings(path: &Path) -> Vec<Problem> {
    let loaded = load(path, &Overrides::default()).unwrap_or_else(|errors| panic!("{}", rendered(&errors)));
    let preview = sbp_pipeline::preview(&Plan::new(loaded.clone())).expect("the corpus can be read");
    let told = preview.concerns.iter();
    told.map(|concern| loaded.warning(&concern.pointer, concern.code, &concern.message).help(concern.help))
        .collect()
}

#[test]
fn what_the_documents_do_not_allow_is_told_by_the_plan() {
    for path in fixtures("warned") {
        let warnings = warnings(&path);
        let name = path.file_stem().expect("a fixture has a name").to_string_lossy().into_owned();
        let codes: Vec<_> = warnings.iter().map(|warning| warning.stable_code().as_str()).collect();
        assert!(codes.contains(&format!("sbp::data::{name}").as_str()), "{name}: {codes:?}");
        let text: String = warnings.iter().map(|warning| rendered(warning)).collect();
        snapshot("snapshots/warned", &path, &text);
    }
}

#[test]
fn every_code_is_shown_by_a_fixture() {
    let warned = fixtures("warned");
    let shown: BTreeSet<&str> = fixtures("wrong")
        .iter()
        .flat_map(|path| errors(path).problems)
        .chain(warned.iter().flat_map(|path| warnings(path)))
        .map(|problem| problem.stable_code().as_str())
        .collect();
    // No recipe should ever see it: it takes a plugin whose schema allows what its type does not.
    let never = [Code::Undecodable.as_str()];
    let all: BTreeSet<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(all.len(), Code::ALL.len(), "two codes have one name");
    let without: Vec<_> = all.difference(&shown).filter(|code| !never.contains(code)).collect();
    assert!(without.is_empty(), "no recipe in tests/fixtures shows {without:?}");
}

#[test]
fn five_mistakes_are_five_located_problems() {
    let errors = errors(&fixture("five_at_once.toml"));
    let found: Vec<_> = errors
        .problems
        .iter()
        .map(|problem| {
            let json = problem.to_json();
            assert_eq!(json["file"], "fixtures/wrong/five_at_once.toml");
            assert_eq!(json["layer"], json["file"]);
            assert_eq!(json["line"], json["end_line"]);
            let number = |key: &str| json[key].as_u64().expect("a number");
            assert_eq!(number("end_column") - number("column"), number("length"), "{json}");
            (problem.stable_code(), number("line"), number("column"), number("length"))
        })
        .collect();
    let expected = [
        (Code::UnknownField, 4, 1, 4),
        (Code::WrongType, 21, 15, 6),
        (Code::UnknownKind, 34, 8, 7),
        (Code::UnknownField, 37, 1, 10),
        (Code::OutOfRange, 81, 41, 3),
    ];
    assert_eq!(found, expected);
}

#[test]
fn places_are_counted_in_characters() {
    let errors = errors(&fixture("after_multibyte.toml"));
    let (start, end) = errors.problems[0].place().expect("a place");
    let text = fs::read_to_string(fixture("after_multibyte.toml")).expect("it can be read");
    let line: Vec<char> = text.lines().nth(start.line - 1).expect("the line is there").chars().collect();
    let pointed: String = line[start.column - 1..end.column - 1].iter().collect();
    assert_eq!(pointed, "sinc");
}

#[test]
fn a_problem_names_the_layer_and_the_file() {
    let profile = errors(&fixture("wrong_in_a_profile.toml")).problems[0].to_json();
    assert_eq!(profile["layer"], "profile \"gpu\" of fixtures/wrong/wrong_in_a_profile.toml");
    assert_eq!(profile["file"], "fixtures/wrong/wrong_in_a_profile.toml");
    let parent = errors(&fixture("wrong_in_a_parent.toml")).problems[0].to_json();
    assert_eq!(parent["file"], "fixtures/wrong/parents/wide.toml");
    let set = errors(&fixture("set_unknown.toml")).problems[0].to_json();
    assert_eq!(set["layer"], "--set model.hiden_size=64");
    assert_eq!((&set["file"], &set["line"], &set["column"]), (&Value::Null, &1.into(), &7.into()));
}

const SMOKE: &str = "../recipes/tiny/smoke.toml";

#[test]
fn any_option_given_anything_is_taken_or_told_with_its_place() {
    let loaded = load(Path::new(SMOKE), &Overrides::default()).expect("the smoke recipe is valid");
    let odd = [
        "-1",
        "0",
        "2.5",
        "1e30",
        "1e400",
        "nan",
        "\"\"",
        "word",
        "true",
        "[]",
        "[[1]]",
        "[{}]",
        "{}",
        "{ x = 1 }",
    ];
    let names: BTreeSet<String> = loaded
        .origins()
        .into_iter()
        .map(|(name, ..)| name.split('[').next().expect("a name").to_owned())
        .collect();
    assert!(names.len() > 60, "{names:?}");
    for name in &names {
        // The option and every table around it.
        for (end, _) in name.match_indices('.').chain([(name.len(), "")]) {
            for value in odd {
                let sets = vec![format!("{}={value}", &name[..end])];
                let Err(errors) =
                    load(Path::new(SMOKE), &Overrides { sets: sets.clone(), ..Overrides::default() })
                else {
                    continue;
                };
                for problem in &errors.problems {
                    assert!(problem.place().is_some(), "{sets:?}: {problem}");
                    assert_ne!(problem.stable_code(), Code::Undecodable, "{sets:?}: {problem}");
                }
            }
        }
    }
}

#[test]
fn a_recipe_cut_off_anywhere_is_told_where() {
    let text = fs::read_to_string(SMOKE).expect("it can be read");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("cut.toml");
    for end in (0..text.len()).step_by(3) {
        fs::write(&path, &text[..end]).expect("it can be written");
        if let Err(errors) = load(&path, &Overrides::default()) {
            assert!(errors.problems.iter().all(|problem| problem.place().is_some()), "cut off at {end}");
        }
    }
}
