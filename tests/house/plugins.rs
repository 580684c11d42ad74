//! `sbp plugins`: the same of every plugin, for people and for programs.

use std::process::{Command, Output};

use sbp_plugin::reference::cards;
use serde_json::Value;

fn plugins(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sbp-under-test"));
    command.arg("plugins").args(arguments).output().expect("it starts")
}

fn json(arguments: &[&str]) -> Vec<Value> {
    serde_json::from_slice(&plugins(arguments).stdout).expect("a JSON list")
}

fn refusal(arguments: &[&str]) -> String {
    let output = plugins(arguments);
    assert!(!output.status.success(), "{arguments:?} was not refused");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn the_list_for_programs_tells_all_of_every_plugin() {
    let listed = json(&["ls", "--json"]);
    assert_eq!(listed.len(), cards().len());
    for plugin in &listed {
        for part in ["slot", "kind", "summary", "description", "cost"] {
            assert!(plugin[part].as_str().is_some_and(|text| !text.is_empty()), "no {part}: {plugin}");
        }
        for option in plugin["options"].as_array().expect("options") {
            assert!(option["type"].is_string() && option["required"].is_boolean(), "{option}");
        }
    }
    assert!(json(&["ls", "retriever", "--json"]).iter().all(|plugin| plugin["slot"] == "retriever"));
}

#[test]
fn a_kind_may_exist_in_two_slots() {
    let slots =
        |asked| json(&["show", asked, "--json"]).iter().map(|it| it["slot"].clone()).collect::<Vec<_>>();
    assert_eq!(slots("jsonl"), ["corpus", "tracker"]);
    assert_eq!(slots("tracker/jsonl"), ["tracker"]);
}

#[test]
fn a_page_tells_limits_default_and_cost() {
    let page = String::from_utf8(plugins(&["show", "tfidf"]).stdout).expect("text");
    for part in
        ["embedder/tfidf (version 1)", "cost: ", "(integer from 1 to 1048576, default ", "kind = \"tfidf\""]
    {
        assert!(page.contains(part), "no {part:?} in\n{page}");
    }
}

#[test]
fn what_is_misspelt_is_guessed() {
    assert!(refusal(&["ls", "retreiver"]).contains("did you mean `retriever`?"));
    assert!(refusal(&["show", "exakt"]).contains("did you mean `exact`?"));
    assert!(refusal(&["show", "retriever/exakt"]).contains("did you mean `retriever/exact`?"));
}
