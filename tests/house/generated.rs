//! Generated files: schemas, reference pages, an example of a report. `cargo xtask gen` writes them, this test checks them.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use sbp_pipeline::report::{self, Format, Paper, Reported};
use sbp_plugin::reference::{Card, cards};
use sbp_recipe::Code;

#[test]
fn generated_files_are_current() {
    let write = std::env::var_os("SBP_GENERATE").is_some_and(|mode| mode == "write");
    let mut stale = Vec::new();
    for (path, text) in files() {
        let full = super::root().join(&path);
        if fs::read_to_string(&full).ok().as_deref() == Some(text.as_str()) {
            continue;
        }
        if write {
            fs::create_dir_all(full.parent().expect("a file has a folder")).expect("the folder can be made");
            fs::write(&full, text).expect("the file can be written");
        } else {
            stale.push(path);
        }
    }
    assert!(stale.is_empty(), "not current: {stale:?}; run `cargo xtask gen` and commit what it writes");
}

fn files() -> BTreeMap<PathBuf, String> {
    let mut files = BTreeMap::new();
    files.insert("schemas/recipe.schema.json".into(), format!("{:#}\n", sbp_recipe::recipe_schema()));
    files.insert("schemas/layer.schema.json".into(), format!("{:#}\n", sbp_recipe::layer_schema()));
    files.insert("schemas/results.schema.json".into(), format!("{:#}\n", sbp_pipeline::results_schema()));
    files.insert("schemas/sweep.schema.json".into(), format!("{:#}\n", sbp_pipeline::sweep_schema()));
    let cards = cards();
    let mut slots: Vec<&Card> = cards.iter().collect();
    slots.dedup_by_key(|card| card.slot);
    let mut index = "# Plugins\n\nGenerated from the plugins themselves; do not edit. One page a slot, in the order of the method.\n[Diagnostics](diagnostics.md) lists what can be wrong with a recipe.\n\n| slot | what it does | plugins |\n|---|---|---|\n".to_owned();
    for first in slots {
        let of_slot: Vec<&Card> = cards.iter().filter(|card| card.slot == first.slot).collect();
        let kinds: Vec<String> = of_slot.iter().map(|card| format!("`{}`", card.kind)).collect();
        index.push_str(&format!(
            "| [{0}]({0}.md) | {1} | {2} |\n",
            first.slot,
            first.slot_summary,
            kinds.join(", ")
        ));
        let sections: String = of_slot.iter().map(|card| card.markdown()).collect();
        let page = format!(
            "# {}\n\n{} Generated; do not edit.\n\n{}",
            first.slot,
            first.slot_summary,
            sections.trim_end()
        );
        files.insert(format!("docs/reference/{}.md", first.slot).into(), page + "\n");
    }
    files.insert("docs/reference/README.md".into(), index);
    files.insert("docs/reference/diagnostics.md".into(), diagnostics());
    files.insert("docs/example-report.html".into(), example_report());
    files
}

/// The page of the results that the report's tests use, with all sections that a page can have.
fn example_report() -> String {
    let path = super::root().join("tests/fixtures/results.json");
    let Ok((_, Reported::Run(results))) = report::read(&path) else {
        panic!("{path:?} are the results of a run")
    };
    let page = Format::Html.render(&results, Some(&Paper::beside(&[&results])));
    assert!(page.len() < 300_000, "a page of {} bytes is no small example", page.len());
    page
}

fn diagnostics() -> String {
    let mut page = "# Diagnostics\n\nWhat `sbp validate` and every command that reads a recipe can find wrong with it. Generated; do not edit.\n\nAll problems are told at once, each with its code, its place and a remedy, in the layer that wrote the value: a\nfile, a profile of a file, or a `--set`. `sbp validate --json` gives the same as `problems`, a list of `code`,\n`message`, `help`, `layer`, `file`, `line`, `column`, `end_line`, `end_column` (the end not included) and `length`;\nlines and columns count from 1, columns and lengths in characters.\n\n| code | what it means | what to do |\n|---|---|---|\n".to_owned();
    for code in Code::ALL {
        page.push_str(&format!("| `{code}` | {} | {} |\n", code.meaning(), code.remedy()));
    }
    page
}
