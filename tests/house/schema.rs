//! The recipe's schema keeps its promises: every option is described, and every default is the one that is used.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use sbp_recipe::{Recipe, layer_schema, recipe_schema};
use serde_json::{Map, Value, json};

/// What a file may say besides the recipe itself.
pub(super) const OF_LAYERS: [&str; 3] = ["extends", "profiles", "sweep"];

#[test]
fn the_schemas_are_schemas() {
    jsonschema::draft202012::meta::validate(recipe_schema()).expect("draft 2020-12");
    jsonschema::draft202012::meta::validate(&layer_schema()).expect("draft 2020-12");
}

#[test]
fn a_layer_may_leave_out_anything_but_not_misspell_it() {
    let layers = jsonschema::draft202012::new(&layer_schema()).expect("a schema");
    for valid in [json!({}), json!({"training": {"peak_lr": 0.1}}), json!({"retriever": {"num_trees": 3}})] {
        assert!(layers.is_valid(&valid), "{valid}");
    }
    for wrong in [
        json!({"trainings": {}}),
        json!({"training": {"lr": 0.1}}),
        json!({"training": {"peak_lr": "high"}}),
        json!({"retriever": {"kind": "exact", "num_trees": 3}}),
    ] {
        assert!(!layers.is_valid(&wrong), "{wrong}");
    }
}

#[test]
fn every_option_has_a_description_and_is_needed_or_has_a_default() {
    let mut bare = Vec::new();
    every_table(recipe_schema(), String::new(), &mut |at, table| {
        // Of a table with one entry, such as a duration in some unit, no entry has a default.
        let one_of_them = table["maxProperties"] == 1;
        for (name, option) in properties(table) {
            if option.get("description").is_none() {
                bare.push(format!("{at}: {name} has no description"));
            }
            let defaulted = option.get("default").is_some() || name == "kind" || one_of_them;
            if !defaulted && !needed(table, name) {
                bare.push(format!("{at}: {name} is not needed but has no default"));
            }
        }
    });
    assert!(bare.is_empty(), "{}", bare.join("\n"));
}

#[test]
fn the_defaults_in_the_schema_are_those_that_are_filled_in() {
    let root = recipe_schema();
    let mut wrong = Vec::new();
    let mut compared = 0;
    // Of each slot another kind in every turn, until the slot of the most kinds has shown them all; first with
    // nothing but what is needed, then with every table there, so that the defaults inside are seen.
    let most_kinds =
        branches_of_slots(root).map(|branches| branches.len()).max().expect("slots have plugins");
    for turn in 0..most_kinds {
        for tables in [false, true] {
            let written = Writer { root, turn, tables }.value(root);
            let recipe: Recipe = serde_json::from_value(written.clone())
                .unwrap_or_else(|error| panic!("{error}: {written:#}"));
            let filled = serde_json::to_value(recipe).expect("a recipe has a JSON form");
            compare(root, &[root], &written, &filled, "", &mut |at, said, found| {
                compared += 1;
                if said != found {
                    wrong.push(format!("{at}: the schema says {said}, serde fills in {found}"));
                }
            });
        }
    }
    assert!(compared > 100, "only {compared} defaults were compared");
    wrong.sort();
    wrong.dedup();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn shape_of_the_recipe() {
    let root = recipe_schema();
    let mut text = String::new();
    outline(root, root, 0, &mut BTreeSet::new(), &mut text);
    insta::assert_snapshot!(text);
}

/// Calls `visit` for every schema that lists properties, but for conditions, which only test them.
fn every_table(schema: &Value, at: String, visit: &mut dyn FnMut(&str, &Value)) {
    if schema.get("properties").is_some() {
        visit(&at, schema);
    }
    match schema {
        Value::Object(object) => {
            for (key, value) in object.iter().filter(|(key, _)| *key != "if") {
                every_table(value, format!("{at}/{key}"), visit);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                every_table(item, format!("{at}/{index}"), visit);
            }
        }
        _ => {}
    }
}

pub(super) fn properties(table: &Value) -> impl Iterator<Item = (&String, &Value)> {
    table["properties"].as_object().into_iter().flatten()
}

pub(super) fn needed(table: &Value, name: &str) -> bool {
    table["required"].as_array().is_some_and(|names| names.contains(&json!(name)))
}

/// `schema`, or what it refers to: where it may be nothing, what it is otherwise.
pub(super) fn followed<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = root.pointer(reference.trim_start_matches('#'));
        return followed(root, target.expect("references lead somewhere"));
    }
    let something = |any: &&Value| **any != json!({"type": "null"});
    match schema["anyOf"].as_array().and_then(|any| any.iter().find(something)) {
        Some(it) => followed(root, it),
        None => schema,
    }
}

/// The kinds of a slot and the schema of each one's options.
pub(super) fn branches(schema: &Value) -> Vec<(&str, &Value)> {
    let all = schema["allOf"].as_array().into_iter().flatten();
    all.filter_map(|branch| Some((branch.pointer("/if/properties/kind/const")?.as_str()?, &branch["then"])))
        .collect()
}

fn branches_of_slots(root: &Value) -> impl Iterator<Item = Vec<(&str, &Value)>> {
    root["$defs"].as_object().into_iter().flatten().map(|(_, schema)| branches(schema))
}

/// Writes the least that a schema asks for.
struct Writer<'a> {
    root: &'a Value,
    /// Which kind is chosen for a slot.
    turn: usize,
    /// Whether tables that may be left out are there, each with the least it asks for.
    tables: bool,
}

impl Writer<'_> {
    fn value(&self, schema: &Value) -> Value {
        let schema = followed(self.root, schema);
        let kinds = branches(schema);
        if !kinds.is_empty() {
            let (kind, options) = kinds[self.turn % kinds.len()];
            let mut table = self.table(options);
            table.insert("kind".to_owned(), json!(kind));
            return Value::Object(table);
        }
        if let Some(constant) = schema.get("const") {
            return constant.clone();
        }
        if let Some(first) = schema.pointer("/enum/0").or_else(|| schema.pointer("/oneOf/0/const")) {
            return first.clone();
        }
        // Of several types the first is as good as any.
        let kind = schema.pointer("/type/0").unwrap_or(&schema["type"]);
        match kind.as_str().unwrap_or("object") {
            "object" => Value::Object(self.table(schema)),
            "array" => {
                let least = schema["minItems"].as_u64().unwrap_or(0).max(1);
                Value::Array((0..least).map(|_| self.value(&schema["items"])).collect())
            }
            "integer" => json!(schema["minimum"].as_u64().unwrap_or(0).max(1)),
            "number" => json!(schema["minimum"].as_f64().unwrap_or(0.0).max(0.5)), // within every bound in use
            "boolean" => json!(false),
            // The patterns in use take this; `Recipe` would not decode were it otherwise.
            _ => json!("x"),
        }
    }

    fn table(&self, schema: &Value) -> Map<String, Value> {
        let mut table = Map::new();
        for (name, option) in properties(schema).filter(|(name, _)| *name != "kind") {
            let of_layers = OF_LAYERS.contains(&name.as_str());
            if needed(schema, name) {
                table.insert(name.clone(), self.value(option));
            } else if self.tables && !of_layers {
                let value = self.value(option);
                if value.is_object() || value[0].is_object() {
                    table.insert(name.clone(), value);
                }
            }
        }
        if let Some(others) = schema.get("additionalProperties").filter(|others| others.is_object()) {
            table.insert("x".to_owned(), self.value(others));
        }
        if schema["maxProperties"] == 1
            && let Some((name, option)) = properties(schema).next()
        {
            table.insert(name.clone(), self.value(option));
        }
        table
    }
}

/// Calls `visit` with the default that the schema gives and the value that stands there, for every option that
/// was not written.
fn compare(
    root: &Value,
    schemas: &[&Value],
    written: &Value,
    filled: &Value,
    at: &str,
    visit: &mut dyn FnMut(&str, &Value, &Value),
) {
    for schema in schemas {
        let schema = followed(root, schema);
        for (kind, options) in branches(schema) {
            if filled["kind"] == kind {
                compare(root, &[options], written, filled, &format!("{at}({kind})"), visit);
            }
        }
        for (name, option) in properties(schema) {
            match (written.get(name), option.get("default")) {
                (Some(value), _) => {
                    compare(root, &[option], value, &filled[name], &format!("{at}.{name}"), visit);
                }
                (None, Some(_)) if OF_LAYERS.contains(&name.as_str()) => {}
                (None, Some(default)) => visit(&format!("{at}.{name}"), default, &filled[name]),
                (None, None) => {}
            }
        }
        if let Value::Array(items) = written {
            for (index, item) in items.iter().enumerate() {
                compare(root, &[&schema["items"]], item, &filled[index], at, visit);
            }
        }
        if schema["additionalProperties"].is_object() && schema.get("properties").is_none() {
            for (name, value) in written.as_object().into_iter().flatten() {
                let others = &schema["additionalProperties"];
                compare(root, &[others], value, &filled[name], &format!("{at}.{name}"), visit);
            }
        }
    }
}

/// `option: type [bounds] = default`, one line an option; what it holds below it, indented, but once only.
fn outline<'a>(
    root: &'a Value,
    table: &'a Value,
    depth: usize,
    shown: &mut BTreeSet<&'a str>,
    text: &mut String,
) {
    let indent = "  ".repeat(depth);
    for (name, option) in properties(table).filter(|(name, _)| *name != "kind") {
        let target = followed(root, option);
        let default = match option.get("default") {
            Some(Value::Null) => " = none".to_owned(),
            // Of a table, the entries say it.
            Some(Value::Object(_)) if target["maxProperties"] != 1 => String::new(),
            Some(value) => format!(" = {value}"),
            None => String::new(),
        };
        let default = if needed(table, name) { " (needed)".to_owned() } else { default };
        let _ = write!(text, "{indent}{name}: {}{default}", named(root, target, option));
        let known = option["$ref"].as_str().is_some_and(|reference| !shown.insert(reference));
        if known && target["maxProperties"] != 1 {
            text.push_str(", as above\n");
        } else {
            text.push('\n');
            within(root, target, depth + 1, shown, text);
        }
    }
}

fn within<'a>(
    root: &'a Value,
    schema: &'a Value,
    depth: usize,
    shown: &mut BTreeSet<&'a str>,
    text: &mut String,
) {
    for (kind, options) in branches(schema) {
        let _ = writeln!(text, "{}kind {kind}", "  ".repeat(depth));
        outline(root, options, depth + 1, shown, text);
    }
    if branches(schema).is_empty() && schema["maxProperties"] != 1 {
        outline(root, schema, depth, shown, text);
    }
    for inner in ["items", "additionalProperties"] {
        if let Some(inner) = schema.get(inner).filter(|inner| inner.is_object()) {
            within(root, followed(root, inner), depth, shown, text);
        }
    }
}

fn named(root: &Value, schema: &Value, option: &Value) -> String {
    let choices = schema["enum"].as_array().into_iter().flatten();
    let choices = choices.chain(schema["oneOf"].as_array().into_iter().flatten().map(|one| &one["const"]));
    let choices: Vec<&str> = choices.filter_map(Value::as_str).collect();
    let name = if !branches(schema).is_empty() {
        "a plugin".to_owned()
    } else if !choices.is_empty() {
        choices.join(" | ")
    } else if let Some(items) = schema.get("items") {
        let at_least =
            schema["minItems"].as_u64().map_or_else(String::new, |least| format!("{least} or more "));
        format!("list of {at_least}{}", named(root, followed(root, items), items))
    } else if schema["additionalProperties"].is_object() {
        format!("by name, {}", named(root, followed(root, &schema["additionalProperties"]), schema))
    } else if schema["maxProperties"] == 1 {
        properties(schema).map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(" | ")
    } else {
        schema["type"].as_str().unwrap_or("anything").replace("object", "table")
    };
    // Bounds stand beside a reference or behind it. What is only the type's own is left out.
    let bound = |key: &str| option.get(key).or_else(|| schema.get(key)).map(Value::to_string);
    let strict = |key: &str| bound(key).map(|it| format!("{it} excluded"));
    let least = bound("minimum").or_else(|| strict("exclusiveMinimum"));
    let own = [u64::from(u32::MAX), i64::MAX as u64].map(|it| it.to_string());
    let most = bound("maximum").filter(|it| !own.contains(it)).or_else(|| strict("exclusiveMaximum"));
    let bounds = match (least, most) {
        (None, None) => String::new(),
        (least, most) => format!(" [{}..{}]", least.unwrap_or_default(), most.unwrap_or_default()),
    };
    let pattern = bound("pattern").map_or_else(String::new, |pattern| format!(" {pattern}"));
    let format = if schema["format"] == "path" { " (path)" } else { "" };
    format!("{name}{format}{bounds}{pattern}")
}
