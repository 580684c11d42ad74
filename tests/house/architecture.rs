//! The floor plan: who may import whom, read from `cargo metadata`.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// Every package of the workspace, and what it may depend on outside tests.
const ALLOWED: [(&str, &[&str]); 11] = [
    ("sbp-core", &[]),
    ("sbp-plugin", &["sbp-core"]),
    ("sbp-recipe", &["sbp-plugin", "sbp-core"]),
    ("sbp-runtime", &["sbp-plugin", "sbp-core"]),
    ("sbp-plugins", &["sbp-plugin", "sbp-core"]),
    ("sbp-testkit", &["sbp-plugin", "sbp-core"]),
    ("sbp-pipeline", &["sbp-recipe", "sbp-plugin", "sbp-core"]),
    ("sbp-cli", &["sbp-pipeline", "sbp-recipe", "sbp-plugins", "sbp-plugin", "sbp-core"]),
    ("sbp-engine", &["sbp-cli", "sbp-plugins", "sbp-runtime"]),
    ("sbp-tests", &["sbp-cli", "sbp-plugins", "sbp-runtime"]),
    ("xtask", &[]),
];

#[test]
fn floors_import_downwards_only() {
    for (name, dependencies) in packages() {
        let allowed = ALLOWED.iter().find(|(package, _)| *package == name);
        let (_, allowed) = allowed.unwrap_or_else(|| panic!("{name} has no place in the floor plan"));
        let ours: BTreeSet<&str> =
            dependencies.normal.iter().map(String::as_str).filter(|name| name.starts_with("sbp-")).collect();
        let extra: Vec<_> = ours.iter().filter(|dependency| !allowed.contains(dependency)).collect();
        assert!(extra.is_empty(), "{name} must not depend on {extra:?}");
    }
}

#[test]
fn one_crate_names_torch() {
    for (name, dependencies) in packages() {
        let torch: Vec<_> =
            dependencies.all.iter().filter(|name| *name == "tch" || *name == "torch-sys").collect();
        assert!(
            torch.is_empty() || name == "sbp-runtime",
            "{name} depends on {torch:?}; only sbp-runtime may"
        );
    }
}

#[test]
fn every_package_has_its_place() {
    let present: BTreeSet<String> = packages().into_keys().collect();
    let planned: BTreeSet<String> = ALLOWED.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(present, planned);
}

struct Dependencies {
    /// Those of the package itself, tests left out.
    normal: Vec<String>,
    all: Vec<String>,
}

fn packages() -> BTreeMap<String, Dependencies> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(super::root())
        .output()
        .expect("cargo runs");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut packages = BTreeMap::new();
    for package in metadata["packages"].as_array().expect("packages") {
        let dependencies = package["dependencies"].as_array().expect("dependencies");
        let normal = dependencies.iter().filter(|dependency| dependency["kind"].is_null());
        packages.insert(
            text(&package["name"]),
            Dependencies {
                normal: normal.map(|dependency| text(&dependency["name"])).collect(),
                all: dependencies.iter().map(|dependency| text(&dependency["name"])).collect(),
            },
        );
    }
    packages
}
