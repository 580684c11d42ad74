//! The JSON Schema of recipes, and what it says about one place in a recipe.

use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::Recipe;
use crate::source::escape;

static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    let mut schema =
        SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Recipe>().to_value();
    let properties = schema.pointer_mut("/properties").and_then(Value::as_object_mut);
    if let Some(properties) = properties {
        properties.insert(
            "extends".to_owned(),
            json!({"type": "array", "items": {"type": "string"}, "default": [],
                   "description": "Recipes to start from, in order; paths from this file's folder."}),
        );
        properties.insert(
            "profiles".to_owned(),
            json!({"type": "object", "default": {},
                   "additionalProperties": {"type": "object", "additionalProperties": true},
                   "description": "Named sets of values to lay over the recipe with --profile."}),
        );
    }
    none_is_a_default(&mut schema);
    schema
});

/// The schema of a file that `extends` another: the same, but everything may be left out.
pub fn layer_schema() -> Value {
    let mut schema = recipe_schema().clone();
    schema["title"] = json!("Layer");
    schema["description"] = json!("What a recipe changes of the recipes that it extends.");
    nothing_is_needed(&mut schema);
    schema
}

fn nothing_is_needed(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            object.remove("required");
            // A condition needs its `kind` in order to hold of that kind only.
            object.iter_mut().filter(|(key, _)| *key != "if").for_each(|(_, value)| nothing_is_needed(value));
        }
        Value::Array(items) => items.iter_mut().for_each(nothing_is_needed),
        _ => {}
    }
}

/// What may be nothing and need not be given is nothing by default: `null`, which TOML writes by leaving it out.
fn none_is_a_default(schema: &mut Value) {
    if let Some(required) = schema.get("properties").map(|_| schema["required"].clone()) {
        let properties = schema["properties"].as_object_mut().into_iter().flatten();
        for (name, property) in properties {
            let needed = required.as_array().is_some_and(|names| names.contains(&json!(name)));
            let nullable = property["type"].as_array().is_some_and(|types| types.contains(&json!("null")))
                || property["anyOf"].as_array().is_some_and(|any| any.contains(&json!({"type": "null"})));
            if nullable && !needed && property.get("default").is_none() {
                property["default"] = Value::Null;
            }
        }
    }
    match schema {
        Value::Object(object) => object.values_mut().for_each(none_is_a_default),
        Value::Array(items) => items.iter_mut().for_each(none_is_a_default),
        _ => {}
    }
}

/// The JSON Schema of a recipe, for the plugins linked into this program.
pub fn recipe_schema() -> &'static Value {
    &SCHEMA
}

/// Pointers of all values in `instance` that the schema calls paths.
pub(crate) fn path_pointers(instance: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let root = recipe_schema();
    walk(root, &[root], instance, String::new(), &mut |pointer, schemas| {
        if schemas.iter().any(|schema| schema.get("format").and_then(Value::as_str) == Some("path")) {
            found.push(pointer.to_owned());
        }
    });
    found
}

fn walk<'a>(
    root: &'a Value,
    schemas: &[&'a Value],
    instance: &Value,
    pointer: String,
    visit: &mut dyn FnMut(&str, &[&'a Value]),
) {
    let schemas = expand(root, schemas, instance);
    visit(&pointer, &schemas);
    match instance {
        Value::Object(object) => {
            for (key, value) in object {
                walk(root, &step(&schemas, key), value, format!("{pointer}/{}", escape(key)), visit);
            }
        }
        Value::Array(items) => {
            let of_items: Vec<_> = schemas.iter().filter_map(|schema| schema.get("items")).collect();
            for (index, value) in items.iter().enumerate() {
                walk(root, &of_items, value, format!("{pointer}/{index}"), visit);
            }
        }
        _ => {}
    }
}

fn step<'a>(schemas: &[&'a Value], key: &str) -> Vec<&'a Value> {
    schemas
        .iter()
        .filter_map(|schema| {
            schema
                .pointer(&format!("/properties/{}", escape(key)))
                .or_else(|| schema.get("additionalProperties").filter(|other| other.is_object()))
        })
        .collect()
}

/// The schemas that speak about `instance`: references followed, `allOf` entered, `then` where its `if` holds.
fn expand<'a>(root: &'a Value, schemas: &[&'a Value], instance: &Value) -> Vec<&'a Value> {
    let mut open: Vec<&Value> = schemas.to_vec();
    let mut all = Vec::new();
    while let Some(schema) = open.pop() {
        all.push(schema);
        if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
            open.extend(root.pointer(reference.trim_start_matches('#')));
        }
        for key in ["allOf", "anyOf"] {
            open.extend(schema.get(key).and_then(Value::as_array).into_iter().flatten());
        }
        if let (Some(condition), Some(then)) = (schema.get("if"), schema.get("then")) {
            let wanted = condition.pointer("/properties/kind/const");
            if wanted.is_some() && wanted == instance.get("kind") {
                open.push(then);
            }
        }
    }
    all
}

/// The schemas that speak about the value at `pointer`.
pub(crate) fn applicable<'a>(
    root: &'a Value,
    instance: &Value,
    pointer: &str,
    merged: &Value,
) -> Vec<&'a Value> {
    let mut schemas = expand(root, &[root], merged);
    let mut value = merged;
    for part in pointer.split('/').skip(1) {
        let key = part.replace("~1", "/").replace("~0", "~");
        let (next_schemas, next) = match value {
            Value::Array(items) => (
                schemas.iter().filter_map(|schema| schema.get("items")).collect(),
                key.parse::<usize>().ok().and_then(|index| items.get(index)),
            ),
            _ => (step(&schemas, &key), value.get(&key)),
        };
        value = next.unwrap_or(instance);
        schemas = expand(root, &next_schemas, value);
    }
    schemas
}

/// Names of the options that these schemas know.
pub(crate) fn allowed(schemas: &[&Value]) -> Vec<String> {
    let mut names: Vec<String> = schemas
        .iter()
        .filter_map(|schema| schema.get("properties").and_then(Value::as_object))
        .flat_map(Map::keys)
        .cloned()
        .collect();
    names.sort();
    names.dedup();
    names
}

/// The texts that these schemas let one choose from.
pub(crate) fn choices(schemas: &[&Value]) -> Vec<String> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let mut names = Vec::new();
    for schema in schemas {
        names.extend(schema.get("enum").and_then(Value::as_array).into_iter().flatten().filter_map(text));
        let branches = schema.get("oneOf").and_then(Value::as_array).into_iter().flatten();
        names.extend(branches.filter_map(|branch| branch.get("const")).filter_map(text));
    }
    names
}
