//! Whatever stands in a recipe and after `--set`, it is loaded or told what is wrong with it.

#![no_main]

use std::fs;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use sbp_plugins as _;
use sbp_recipe::{Code, Overrides, Plan, load_points};
use tempfile::TempDir;

static FOLDER: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a temporary folder"));

// A recipe, then after each zero byte a `--set`.
fuzz_target!(|data: &[u8]| {
    let mut parts = data.split(|byte| *byte == 0);
    let path = FOLDER.path().join("recipe.toml");
    fs::write(&path, parts.next().unwrap_or_default()).expect("it can be written");
    let sets = parts.map(|set| String::from_utf8_lossy(set).into_owned()).collect();
    match load_points(&path, &Overrides { profiles: Vec::new(), sets }) {
        Ok(points) => {
            for point in points {
                point.origins();
                assert!(!Plan::new(point).resolved_toml().starts_with("# not"));
            }
        }
        Err(errors) => {
            for problem in &errors.problems {
                assert_ne!(problem.stable_code(), Code::Undecodable, "{}", problem.to_json());
            }
        }
    }
});
