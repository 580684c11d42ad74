//! From the registry to JSON Schema.
//!
//! A slot's schema says `if kind is X, then <schema of X>`, never `oneOf`: a validator then names the very field
//! that is wrong instead of "not valid under any of the schemas".

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

use crate::registry::{Slot, entries};

/// The schema of a slot: an object with a `kind` out of the registry and the options of that kind.
pub fn slot_schema<S: Slot>(generator: &mut SchemaGenerator) -> Schema {
    let mut kinds = Vec::new();
    let mut branches = Vec::new();
    for entry in entries::<S>() {
        let mut options = (entry.schema)(generator).to_value();
        let object =
            options.as_object_mut().expect("plugin options are a struct, so their schema is an object");
        object.remove("$schema");
        object.remove("$defs");
        let properties = object.entry("properties").or_insert_with(|| Value::Object(Map::new()));
        if let Some(properties) = properties.as_object_mut() {
            properties
                .insert("kind".to_owned(), json!({"const": entry.kind, "description": "The plugin to use."}));
        }
        object.insert("additionalProperties".to_owned(), Value::Bool(false));
        kinds.push(entry.kind);
        branches.push(json!({
            "if": {"properties": {"kind": {"const": entry.kind}}, "required": ["kind"]},
            "then": options,
        }));
    }
    json_schema!({
        "type": "object",
        "description": S::SUMMARY,
        "required": ["kind"],
        "properties": {"kind": {"enum": kinds, "description": "The plugin to use."}},
        // Said aloud for editors that take a list of properties for the whole of it; the branches close it.
        "additionalProperties": true,
        "allOf": branches,
    })
}

/// Keyword of an option that cannot change a result and stays out of fingerprints:
/// `#[schemars(extend("x-identity" = false))]`.
const IDENTITY: &str = "x-identity";

/// Whether what this schema describes stays out of fingerprints: a path, whose content counts, or an option that says so.
pub fn is_outside_identity(schema: &Value) -> bool {
    schema.get("format").and_then(Value::as_str) == Some("path")
        || schema.get(IDENTITY) == Some(&false.into())
}

/// The names of the top-level properties that stay out of fingerprints.
pub fn fields_outside_identity(schema: &Value) -> Vec<String> {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
        return Vec::new();
    };
    properties
        .iter()
        .filter(|(_, property)| {
            let any = property.get("anyOf").and_then(Value::as_array);
            is_outside_identity(property)
                || property.get("items").is_some_and(is_outside_identity)
                || any.is_some_and(|any| any.iter().any(is_outside_identity))
        })
        .map(|(name, _)| name.clone())
        .collect()
}
