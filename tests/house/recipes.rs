//! Every shipped recipe loads, checks and resolves; its resolved form and its plan are snapshots.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sbp_recipe::{Loaded, Overrides, Plan, load, load_points};

/// Options that a shipped recipe leaves to the command line.
fn overrides_for(path: &Path) -> Overrides {
    let sets = if reads_a_file(path) { vec!["corpus.path=corpus.jsonl".to_owned()] } else { Vec::new() };
    Overrides { profiles: Vec::new(), sets }
}

fn reads_a_file(path: &Path) -> bool {
    let text = fs::read_to_string(path).expect("a recipe can be read");
    text.contains("[corpus]\nkind = \"jsonl\"")
}

/// As snapshots are called: `desk-arxiv.toml`.
fn name(path: &Path) -> String {
    let inside = path.strip_prefix(super::root().join("recipes")).expect("inside recipes");
    inside.to_string_lossy().replace('/', "-")
}

fn shipped() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![super::root().join("recipes")];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).expect("recipes can be listed") {
            let path = entry.expect("recipes can be listed").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "toml") && is_recipe(&path) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Whether a file is a study; what has no name is a layer for others to extend.
fn is_recipe(path: &Path) -> bool {
    fs::read_to_string(path).expect("a recipe can be read").lines().any(|line| line == "[recipe]")
}

/// A recipe, or the first point of its sweep.
fn first_point(path: &Path, overrides: &Overrides) -> Loaded {
    let points =
        load_points(path, overrides).unwrap_or_else(|errors| panic!("{:?}", miette::Report::new(errors)));
    points.into_iter().next().expect("a sweep has a point")
}

#[test]
fn shipped_recipes_resolve() {
    let recipes = shipped();
    assert!(!recipes.is_empty());
    for path in recipes {
        let loaded = first_point(&path, &overrides_for(&path));
        let resolved = Plan::new(loaded).resolved_toml();
        // Paths are anchored at the folder of whoever checks.
        let resolved: String = resolved
            .lines()
            .filter(|line| !["path =", "file =", "data ="].iter().any(|path| line.starts_with(path)))
            .map(|line| format!("{line}\n"))
            .collect();
        insta::assert_snapshot!(format!("resolved-{}", name(&path)), resolved);
    }
}

#[test]
fn a_resolved_recipe_is_its_own_resolved_form() {
    for path in shipped() {
        let plan = Plan::new(first_point(&path, &overrides_for(&path)));
        let folder = tempfile::tempdir().expect("a temporary folder");
        let again = folder.path().join("again.toml");
        fs::write(&again, plan.resolved_toml()).expect("it can be written");
        let resolved = Plan::new(load(&again, &Overrides::default()).expect("a resolved recipe loads"));
        assert_eq!(resolved.recipe, plan.recipe, "{}", path.display());
        assert_eq!(resolved.id, plan.id);
    }
}

#[test]
fn shipped_recipes_name_their_schema_to_editors() {
    for path in shipped() {
        let text = fs::read_to_string(&path).expect("a recipe can be read");
        let named = text.lines().next().and_then(|line| line.strip_prefix("#:schema "));
        let named = named.unwrap_or_else(|| panic!("{} does not begin with `#:schema`", path.display()));
        let extends = text.lines().any(|line| line.starts_with("extends"));
        let schema = if extends { "schemas/layer.schema.json" } else { "schemas/recipe.schema.json" };
        let folder = path.parent().expect("a file has a folder");
        assert_eq!(
            folder.join(named).canonicalize().ok(),
            super::root().join(schema).canonicalize().ok(),
            "the first line of {} leads to {named}",
            path.display()
        );
    }
}

/// Each recipe alone, then under each of its profiles.
#[test]
fn shipped_recipes_plan() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let corpus = home.path().join("corpus.jsonl");
    fs::write(&corpus, documents()).expect("it can be written");
    for path in shipped() {
        for profile in std::iter::once(None).chain(profiles(&path).into_iter().map(Some)) {
            let mut sbp = Command::new(env!("CARGO_BIN_EXE_sbp-under-test"));
            sbp.arg("plan").arg(&path).env("SBP_HOME", home.path()).current_dir(home.path());
            if reads_a_file(&path) {
                sbp.args(["--set", "corpus.path=corpus.jsonl"]);
            }
            if let Some(profile) = &profile {
                sbp.args(["--profile", profile]);
            }
            let output = sbp.output().expect("it starts");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let suffix = profile.map_or_else(String::new, |profile| format!("-{profile}"));
            // A warning names a file, and a plan one that is not at hand, wherever the repository lies.
            let roots = [super::root(), super::root().canonicalize().expect("a folder")];
            let plan =
                roots.iter().fold(String::from_utf8_lossy(&output.stdout).into_owned(), |plan, root| {
                    plan.replace(&format!("{}/", root.display()), "")
                });
            insta::assert_snapshot!(format!("plan-{}{suffix}", name(&path)), plan);
        }
    }
}

/// A corpus as large as the largest study on a file asks for, of documents as short as can be.
fn documents() -> String {
    let document = |id| {
        format!("{{\"id\": \"{id}\", \"text\": \"Document {id} says that {id} comes after {}.\"}}\n", id - 1)
    };
    (1..66_000).map(document).collect()
}

fn profiles(path: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(path).expect("a recipe can be read");
    let names = text.lines().filter_map(|line| line.strip_prefix("[profiles.")?.split([']', '.']).next());
    names.map(str::to_owned).collect()
}

#[test]
fn profiles_of_shipped_recipes_resolve() {
    for path in shipped() {
        for profile in profiles(&path) {
            let mut overrides = overrides_for(&path);
            overrides.profiles.push(profile.clone());
            let loaded = first_point(&path, &overrides);
            let alone = first_point(&path, &overrides_for(&path));
            assert_ne!(
                loaded.recipe,
                alone.recipe,
                "profile {profile} of {} changes nothing",
                path.display()
            );
        }
    }
}

/// Vocabulary that a preset is meant for, as its comment says.
fn vocabulary(preset: &str) -> usize {
    let (_, rest) = preset.split_once("vocabulary of ").expect("a preset says its vocabulary");
    let digits = rest.chars().take_while(|c| c.is_ascii_digit() || *c == ',').filter(char::is_ascii_digit);
    digits.collect::<String>().parse().expect("a number")
}

#[test]
fn presets_of_models_lie_over_a_recipe_and_have_the_size_they_say() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut sizes = Vec::new();
    let models = super::root().join("recipes/models");
    for entry in fs::read_dir(&models).expect("presets can be listed") {
        let path = entry.expect("presets can be listed").path();
        let recipe = folder.path().join("recipe.toml");
        let quickstart = super::root().join("recipes/quickstart.toml");
        fs::write(&recipe, format!("extends = [{quickstart:?}, {path:?}]\n[recipe]\nname = \"sized\"\n"))
            .expect("written");
        let Loaded { recipe, .. } = load(&recipe, &Overrides::default()).expect("a preset fits a recipe");
        let text = fs::read_to_string(&path).expect("a preset can be read");
        let vocab_size = vocabulary(&text);
        let parameters = recipe.model.num_parameters(vocab_size);
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let (number, unit) = name.split_at(name.len() - 1);
        let said = number.parse::<f64>().expect("a size") * if unit == "b" { 1e9 } else { 1e6 };
        let off = parameters as f64 / said - 1.0;
        assert!(off.abs() < 0.15, "{name} has {parameters} parameters");
        sizes
            .push((parameters, format!("{name}: {parameters} parameters with a vocabulary of {vocab_size}")));
    }
    sizes.sort();
    let sizes: Vec<String> = sizes.into_iter().map(|(_, line)| line).collect();
    insta::assert_snapshot!("sizes-of-presets", sizes.join("\n"));
}
