//! Every shipped recipe loads, checks and resolves; its resolved form is a snapshot.

use std::fs;
use std::path::{Path, PathBuf};

use sbp_recipe::{Loaded, Overrides, Plan, load, load_points};

/// Options that a shipped recipe leaves to the command line.
fn overrides_for(path: &Path) -> Overrides {
    let text = fs::read_to_string(path).expect("a recipe can be read");
    let sets = if text.contains("[corpus]\nkind = \"jsonl\"") {
        vec!["corpus.path=corpus.jsonl".to_owned()]
    } else {
        Vec::new()
    };
    Overrides { profiles: Vec::new(), sets }
}

fn shipped() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![super::root().join("recipes")];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).expect("recipes can be listed") {
            let path = entry.expect("recipes can be listed").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "toml") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
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
            .filter(|line| !line.starts_with("path ="))
            .map(|line| format!("{line}\n"))
            .collect();
        let name = path
            .strip_prefix(super::root().join("recipes"))
            .expect("inside recipes")
            .to_string_lossy()
            .replace('/', "-");
        insta::assert_snapshot!(format!("resolved-{name}"), resolved);
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
fn profiles_of_shipped_recipes_resolve() {
    for path in shipped() {
        let text = fs::read_to_string(&path).expect("a recipe can be read");
        let profiles =
            text.lines().filter_map(|line| line.strip_prefix("[profiles.")?.split([']', '.']).next());
        for profile in profiles {
            let mut overrides = overrides_for(&path);
            overrides.profiles.push(profile.to_owned());
            first_point(&path, &overrides);
        }
    }
}
