//! Wrong recipes, and exactly what a user is told about each.
//!
//! A fixture is a fragment laid over the smoke recipe by `--set` lines, or a whole file of its own.

use std::fs;

use miette::{GraphicalReportHandler, GraphicalTheme};
use sbp_recipe::{Overrides, load};

/// What a user sees, without colours and at a fixed width.
fn rendered(recipe: &str, sets: &[&str], profiles: &[&str]) -> String {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("recipe.toml");
    fs::write(&path, recipe).expect("it can be written");
    let text = |list: &[&str]| list.iter().map(|item| (*item).to_owned()).collect();
    let overrides = Overrides { profiles: text(profiles), sets: text(sets) };
    let Err(errors) = load(&path, &overrides) else { return "valid".to_owned() };
    let mut out = String::new();
    let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor()).with_width(100);
    handler.render_report(&mut out, &errors).expect("it renders");
    out.replace(&format!("{}/", folder.path().display()), "")
}

fn smoke() -> String {
    fs::read_to_string(super::root().join("recipes/tiny/smoke.toml")).expect("the smoke recipe is there")
}

macro_rules! wrong {
    ($($name:ident: $recipe:expr, $sets:expr, $profiles:expr;)*) => {
        $(
            #[test]
            fn $name() {
                insta::assert_snapshot!(rendered($recipe, $sets, $profiles));
            }
        )*
    };
}

wrong! {
    not_toml: "[recipe\nname = 1", &[], &[];
    empty: "", &[], &[];
    misspelt_option: &smoke().replace("neighbors = 2", "neighbours = 2"), &[], &[];
    misspelt_option_of_a_plugin: &smoke().replace("top_p = 0.9", "topp = 0.9"), &[], &[];
    unknown_kind: &smoke().replace("kind = \"exact\"", "kind = \"exakt\""), &[], &[];
    wrong_type: &smoke().replace("hidden_size = 32", "hidden_size = \"wide\""), &[], &[];
    out_of_range: &smoke().replace("synthetic_share = 0.25", "synthetic_share = 1.5"), &[], &[];
    two_units: &smoke().replace("duration = { passes = 4 }", "duration = { passes = 4, steps = 10 }"), &[], &[];
    unit_misspelt: &smoke().replace("duration = { passes = 4 }", "duration = { epochs = 4 }"), &[], &[];
    heads_do_not_divide: &smoke().replace("num_heads = 2", "num_heads = 3").replace("num_kv_heads = 1", "num_kv_heads = 2"), &[], &[];
    unknown_baseline: &(smoke() + "\n[comparison]\nbaseline = \"repeat\"\n"), &[], &[];
    wrong_choice: &smoke().replace("match = \"train_tokens\"", "match = \"tokens\""), &[], &[];
    wrong_in_set: &smoke(), &["model.hidden_size=0"], &[];
    unknown_in_set: &smoke(), &["model.hiden_size=64"], &[];
    set_without_value: &smoke(), &["model.hidden_size"], &[];
    unknown_profile: &smoke(), &[], &["gpu"];
    extends_itself: "extends = [\"recipe.toml\"]", &[], &[];
    extends_nothing: "extends = [\"absent.toml\"]", &[], &[];
    five_at_once: &smoke()
        .replace("neighbors = 2", "neighbours = 2")
        .replace("kind = \"exact\"", "kind = \"exakt\"")
        .replace("hidden_size = 32", "hidden_size = \"wide\"")
        .replace("synthetic_share = 0.25", "synthetic_share = 1.5")
        .replace("seeds = [1]", "seed = 1"), &[], &[];
}
