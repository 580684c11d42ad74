//! What holds for every plugin, whatever its slot.

use sbp_plugin::reference::Card;
use sbp_plugin::{Entry, Selected, Slot, entries};
use serde_json::{Value, json};

/// Checks a slot as a whole: it has plugins, and no two share a kind.
///
/// # Panics
/// When it is empty, which mostly means that no crate of plugins is linked, or two plugins share a kind.
pub fn slot<S: Slot>() {
    let kinds: Vec<&str> = entries::<S>().iter().map(|entry| entry.kind).collect();
    assert!(
        !kinds.is_empty(),
        "no plugin for slot `{}`: is the crate linked with `use its_name as _;`?",
        S::NAME
    );
    for pair in kinds.windows(2) {
        assert_ne!(pair[0], pair[1], "two plugins of slot `{}` are called so", S::NAME);
    }
}

/// Checks a registered plugin's name, schema and example, and selects it with its example options.
///
/// # Panics
/// When the kind is not snake case, the plugin does not say what it does or costs, an option has no description, the example does not validate or does
/// not come back from JSON as it was, or an unknown option is accepted.
pub fn plugin<S: Slot>(entry: &Entry<S>) -> Selected<S> {
    let kind = entry.kind;
    let of = format!("{} \"{kind}\"", S::NAME);
    assert!(is_snake_case(kind), "{of}: its kind is not snake_case");
    assert!(entry.version > 0, "{of}: versions begin with 1");

    let schema = schemars::schema_for!(Selected<S>).to_value();
    let own = own_schema(&schema, kind);
    assert!(own["description"].is_string(), "{of}: its config has no doc comment");
    assert!(
        !Card::of(entry).cost().is_empty(),
        "{of}: its doc comment does not say what it costs; add a paragraph `Cost: ...`, time and memory in terms of \
         documents, tokens and the like"
    );
    assert_eq!(undescribed(&schema), Vec::<String>::new(), "{of}: options without a doc comment");

    let mut example = (entry.example)();
    example["kind"] = kind.into();
    let validator = jsonschema::validator_for(&schema).expect("a slot's schema is a schema");
    let problems: Vec<String> = validator.iter_errors(&example).map(|error| error.to_string()).collect();
    assert_eq!(problems, Vec::<String>::new(), "{of}: its example does not fit its schema");
    let selected: Selected<S> = match serde_json::from_value(example.clone()) {
        Ok(selected) => selected,
        Err(error) => panic!("{of}: its example cannot be decoded: {error}"),
    };
    let written = serde_json::to_value(&selected).expect("plugin options have a JSON form");
    assert_eq!(written, example, "{of}: its example changes on the way through JSON");

    let mut misspelt = example;
    misspelt["no_such_option"] = json!(1);
    assert!(!validator.is_valid(&misspelt), "{of}: the schema allows an option that does not exist");
    let decoded = serde_json::from_value::<Selected<S>>(misspelt);
    assert!(decoded.is_err(), "{of}: it lacks #[serde(deny_unknown_fields)]");
    selected
}

/// The options of one kind within a slot's schema.
fn own_schema<'a>(schema: &'a Value, kind: &str) -> &'a Value {
    let branches = schema["allOf"].as_array().expect("a slot's schema has a branch a kind");
    let branch = branches.iter().find(|branch| branch["if"]["properties"]["kind"]["const"] == kind);
    &branch.expect("every kind has a branch")["then"]
}

/// The paths of all properties anywhere in a schema that have no description.
pub fn undescribed(schema: &Value) -> Vec<String> {
    let mut found = Vec::new();
    collect_undescribed(schema, "", &mut found);
    found
}

fn collect_undescribed(schema: &Value, path: &str, found: &mut Vec<String>) {
    match schema {
        Value::Object(object) => {
            for (key, value) in object {
                // The condition of a branch names `kind` to compare it, not to describe it.
                if key == "if" {
                    continue;
                }
                let path = format!("{path}/{key}");
                if key == "properties"
                    && let Value::Object(properties) = value
                {
                    for (name, property) in properties {
                        if !property["description"].is_string() {
                            found.push(format!("{path}/{name}"));
                        }
                    }
                }
                collect_undescribed(value, &path, found);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                collect_undescribed(item, &format!("{path}/{index}"), found);
            }
        }
        _ => {}
    }
}

/// Whether a name is lower-case words of letters and digits joined by single underscores.
pub fn is_snake_case(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && !name.contains("__")
        && !name.ends_with('_')
}

#[cfg(test)]
mod tests {
    use sbp_plugin::prelude::*;
    use sbp_plugin::slots::schedule::Schedule;

    use super::*;

    /// Says what it does, and not what it costs.
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct CostlessConfig {}

    impl Plugin<slots::Schedule> for CostlessConfig {
        const KIND: &'static str = "costless";
        fn example() -> Self {
            Self {}
        }
        fn build(&self, _: &BuildContext) -> Result<Box<dyn Schedule>> {
            Err("only its doc comment is looked at".into())
        }
    }
    register!(slots::Schedule => CostlessConfig);

    #[test]
    #[should_panic(expected = "schedule \"costless\": its doc comment does not say what it costs")]
    fn a_plugin_says_what_it_costs() {
        plugin(entries::<slots::Schedule>()[0]);
    }

    #[test]
    fn properties_without_a_description_are_found_at_any_depth() {
        let schema = json!({
            "properties": {"a": {"description": "x", "properties": {"b": {}}}, "c": true},
            "if": {"properties": {"kind": {}}},
        });
        assert_eq!(undescribed(&schema), ["/properties/c", "/properties/a/properties/b"]);
    }

    #[test]
    fn snake_case_is_narrow() {
        assert!(["a", "near_duplicate", "top5"].into_iter().all(is_snake_case));
        assert!(!["", "A", "a-b", "a__b", "a_", "_a", "5a"].into_iter().any(is_snake_case));
    }
}
