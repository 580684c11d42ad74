//! The JSON Schema of recipes, and what it says about one place in a recipe.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use jsonschema::{ValidationError, Validator};
use sbp_plugin::reference::cards;
use sbp_plugin::schema::is_outside_identity;
use schemars::Schema;
use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use serde_json::{Value, json};

use crate::Recipe;
use crate::source::escape;
use crate::sweep::SweepSection;

static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    let settings = SchemaSettings::draft2020_12()
        .with_transform(RecursiveTransform(limit_to_its_type))
        .with_transform(RecursiveTransform(none_by_default));
    let mut generator = settings.into_generator();
    let mut sweep = generator.subschema_for::<SweepSection>().to_value();
    sweep["description"] = "Values to run the recipe with, each giving a study of its own.".into();
    sweep["default"] = Value::Null;
    let mut schema = generator.into_root_schema_for::<Recipe>().to_value();
    let properties = schema.pointer_mut("/properties").and_then(Value::as_object_mut);
    if let Some(properties) = properties {
        properties.insert("sweep".to_owned(), sweep);
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

/// A whole number too large for its type is out of range: said by the schema, it is told with its place.
fn limit_to_its_type(schema: &mut Schema) {
    let is_integer = schema.get("type").is_some_and(|types| {
        types == "integer" || types.as_array().is_some_and(|any| any.contains(&"integer".into()))
    });
    let most = match schema.get("format").and_then(Value::as_str) {
        Some("uint8") => u8::MAX.into(),
        Some("uint16") => u16::MAX.into(),
        Some("uint32") => u32::MAX.into(),
        // TOML has no larger ones.
        _ if is_integer => i64::MAX,
        _ => return,
    };
    if schema.get("maximum").is_none() {
        schema.insert("maximum".to_owned(), most.into());
    }
}

/// TOML has no null: what may be nothing is left out, and that is its default.
fn none_by_default(schema: &mut Schema) {
    if let Some([kinds @ .., Value::String(null)]) =
        schema.get("type").and_then(Value::as_array).map(Vec::as_slice)
        && null == "null"
    {
        let present = if let [kind] = kinds { kind.clone() } else { kinds.into() };
        schema.insert("type".to_owned(), present);
    }
    let one_of_them = schema.get("maxProperties") == Some(&json!(1));
    let required = schema.get("required").cloned().unwrap_or_default();
    let properties = schema.get_mut("properties").and_then(Value::as_object_mut).into_iter().flatten();
    for (name, property) in properties.filter(|(name, _)| !one_of_them && *name != "kind") {
        let needed = required.as_array().is_some_and(|names| names.contains(&json!(name)));
        if !needed && let Some(property) = property.as_object_mut() {
            property.entry("default").or_insert(Value::Null);
        }
    }
}

static VALIDATOR: LazyLock<Validator> = LazyLock::new(|| {
    jsonschema::validator_for(recipe_schema()).expect("the schema of the recipe's own types is a schema")
});

/// What the schema has against a value.
pub(crate) fn violations(value: &Value) -> Vec<ValidationError<'_>> {
    VALIDATOR.iter_errors(value).collect()
}

/// Version of the recipe language: raised when an option changes its meaning or is taken away.
pub const SCHEMA_VERSION: u32 = 1;

/// The JSON Schema of a recipe, for the plugins linked into this program.
pub fn recipe_schema() -> &'static Value {
    &SCHEMA
}

/// Pointers of all values in `instance` that the schema calls paths.
pub(crate) fn path_pointers(instance: &Value) -> Vec<String> {
    let mut found = Vec::new();
    walk(&[recipe_schema()], instance, String::new(), &mut |pointer, schemas, _| {
        if schemas.iter().any(|schema| schema.get("format").and_then(Value::as_str) == Some("path")) {
            found.push(pointer.to_owned());
        }
    });
    found
}

/// Pointers of all values in `instance` that stay out of fingerprints.
pub(crate) fn pointers_outside_identity(instance: &Value) -> Vec<String> {
    let mut found = Vec::new();
    walk(&[recipe_schema()], instance, String::new(), &mut |pointer, schemas, _| {
        if schemas.iter().any(|schema| is_outside_identity(schema)) {
            found.push(pointer.to_owned());
        }
    });
    found
}

/// Pointers of all values in a layer that are not laid over what a lower layer says, but stand in its stead.
pub(crate) fn replaced_as_a_whole(layer: &Value) -> Vec<String> {
    let mut found = Vec::new();
    walk(&[recipe_schema()], layer, String::new(), &mut |pointer, schemas, value| {
        if !value.is_object() || !units(schemas).is_empty() {
            found.push(pointer.to_owned());
        }
    });
    found
}

fn walk<'a>(
    schemas: &[&'a Value],
    instance: &Value,
    pointer: String,
    visit: &mut dyn FnMut(&str, &[&'a Value], &Value),
) {
    let schemas = expand(schemas, instance);
    visit(&pointer, &schemas, instance);
    match instance {
        Value::Object(object) => {
            for (key, value) in object {
                walk(&step(&schemas, key), value, format!("{pointer}/{}", escape(key)), visit);
            }
        }
        Value::Array(items) => {
            let of_items = of_items(&schemas);
            for (index, value) in items.iter().enumerate() {
                walk(&of_items, value, format!("{pointer}/{index}"), visit);
            }
        }
        _ => {}
    }
}

fn of_items<'a>(schemas: &[&'a Value]) -> Vec<&'a Value> {
    schemas.iter().filter_map(|schema| schema.get("items")).collect()
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
fn expand<'a>(schemas: &[&'a Value], instance: &Value) -> Vec<&'a Value> {
    let mut open: Vec<&Value> = schemas.iter().rev().copied().collect();
    let mut all = Vec::new();
    while let Some(schema) = open.pop() {
        all.push(schema);
        open.extend(referred(schema));
        for key in ["allOf", "anyOf"] {
            open.extend(schema.get(key).and_then(Value::as_array).into_iter().flatten());
        }
        if let (Some(kind), Some(then)) = (kind_of_branch(schema), schema.get("then"))
            && instance.get("kind").and_then(Value::as_str) == Some(kind)
        {
            open.push(then);
        }
    }
    all
}

fn referred(schema: &Value) -> Option<&'static Value> {
    recipe_schema().pointer(schema.get("$ref")?.as_str()?.trim_start_matches('#'))
}

fn kind_of_branch(schema: &Value) -> Option<&str> {
    schema.pointer("/if/properties/kind/const")?.as_str()
}

/// The schemas that speak about the value at `pointer` of a recipe.
pub(crate) fn applicable(recipe: &Value, pointer: &str) -> Vec<&'static Value> {
    let mut schemas = expand(&[recipe_schema()], recipe);
    let mut value = recipe;
    for part in pointer.split('/').skip(1) {
        let key = part.replace("~1", "/").replace("~0", "~");
        let (next_schemas, next) = match value {
            Value::Array(items) => {
                (of_items(&schemas), key.parse::<usize>().ok().and_then(|index| items.get(index)))
            }
            _ => (step(&schemas, &key), value.get(&key)),
        };
        value = next.unwrap_or(&Value::Null);
        schemas = expand(&next_schemas, value);
    }
    schemas
}

/// The options that these schemas know, in order of name, with what each is for.
pub(crate) fn options(schemas: &[&'static Value]) -> BTreeMap<&'static str, &'static str> {
    schemas
        .iter()
        .filter_map(|schema| schema.get("properties")?.as_object())
        .flatten()
        .map(|(name, schema)| (name.as_str(), schema["description"].as_str().unwrap_or_default()))
        .collect()
}

/// The schemas of the option `name` where these schemas speak.
pub(crate) fn option(schemas: &[&'static Value], name: &str) -> Vec<&'static Value> {
    expand(&step(schemas, name), &Value::Null)
}

/// The schemas of what a list holds.
pub(crate) fn items(schemas: &[&'static Value]) -> Vec<&'static Value> {
    expand(&of_items(schemas), &Value::Null)
}

/// The schemas of what a table of freely named values holds.
pub(crate) fn named_values(schemas: &[&'static Value]) -> Vec<&'static Value> {
    let others: Vec<_> = schemas.iter().filter_map(|schema| schema.get("additionalProperties")).collect();
    expand(&others, &Value::Null)
}

/// The options that must be given.
pub(crate) fn required(schemas: &[&'static Value]) -> Vec<&'static str> {
    let lists = schemas.iter().filter_map(|schema| schema.get("required")?.as_array());
    lists.flatten().filter_map(Value::as_str).collect()
}

/// What the value is for: the first paragraph of its description, on one line.
pub(crate) fn purpose(schemas: &[&Value]) -> Option<String> {
    let description = schemas.iter().find_map(|schema| schema.get("description")?.as_str())?;
    Some(description.split("\n\n").next().unwrap_or_default().replace('\n', " "))
}

/// A limit or another keyword that one of these schemas states.
pub(crate) fn keyword<'a>(schemas: &[&'a Value], name: &str) -> Option<&'a Value> {
    schemas.iter().find_map(|schema| schema.get(name))
}

/// The texts that these schemas let one choose from.
pub(crate) fn choices(schemas: &[&'static Value]) -> Vec<&'static str> {
    let mut names = Vec::new();
    for schema in schemas {
        names.extend(schema.get("enum").and_then(Value::as_array).into_iter().flatten());
        let branches = schema.get("oneOf").and_then(Value::as_array).into_iter().flatten();
        names.extend(branches.filter_map(|branch| branch.get("const")));
    }
    names.into_iter().filter_map(Value::as_str).collect()
}

/// The units of a table that takes exactly one of its options.
pub(crate) fn units(schemas: &[&'static Value]) -> Vec<&'static str> {
    let one = schemas.iter().filter(|schema| schema.get("maxProperties") == Some(&json!(1)));
    one.filter_map(|schema| schema.get("properties")?.as_object())
        .flatten()
        .map(|(name, _)| name.as_str())
        .collect()
}

/// The slot whose plugins are chosen from here.
pub(crate) fn slot(schemas: &[&'static Value]) -> Option<&'static str> {
    let references = schemas.iter().filter_map(|schema| schema.get("$ref")?.as_str()?.rsplit('/').next());
    references.into_iter().find(|name| cards().iter().any(|card| card.slot == *name))
}

/// The kinds of plugin in this slot that have an option `name`.
pub(crate) fn kinds_with(schemas: &[&'static Value], name: &str) -> Vec<&'static str> {
    let branches = schemas.iter().filter_map(|schema| schema.get("allOf")?.as_array()).flatten();
    let with = branches.filter(|branch| {
        branch.pointer("/then/properties").is_some_and(|properties| properties.get(name).is_some())
    });
    with.filter_map(kind_of_branch).collect()
}

/// Where an option stands: a table, and the kind of plugin in it whose option it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Home {
    pub(crate) table: String,
    pub(crate) kind: Option<&'static str>,
}

/// Every table that has an option `name`.
pub(crate) fn homes(name: &str) -> Vec<Home> {
    let mut found = Vec::new();
    find_homes(recipe_schema(), name, "", None, &mut found);
    found
}

/// Where an option of this name stands in the tables below some, by their names from there; nearest first.
pub(crate) fn homes_below(here: &[&'static Value], name: &str) -> Vec<Home> {
    let mut found = Vec::new();
    for schema in here {
        find_homes(schema, name, "", None, &mut found);
    }
    found.sort_by_key(|home| home.table.split('.').count());
    found
}

fn find_homes(
    schema: &'static Value,
    name: &str,
    table: &str,
    kind: Option<&'static str>,
    found: &mut Vec<Home>,
) {
    let below = |part: &str| if table.is_empty() { part.to_owned() } else { format!("{table}.{part}") };
    if let Some(target) = referred(schema) {
        find_homes(target, name, table, kind, found);
    }
    for branch in schema.get("allOf").and_then(Value::as_array).into_iter().flatten() {
        if let (Some(kind), Some(then)) = (kind_of_branch(branch), branch.get("then")) {
            find_homes(then, name, table, Some(kind), found);
        }
    }
    for (option, schema) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        if option == name {
            found.push(Home { table: table.to_owned(), kind });
        }
        find_homes(schema, name, &below(option), None, found);
    }
    if let Some(items) = schema.get("items") {
        find_homes(items, name, table, None, found);
    }
    if let Some(others) = schema.get("additionalProperties").filter(|others| others.is_object()) {
        find_homes(others, name, &below("NAME"), None, found);
    }
}
