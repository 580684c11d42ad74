//! Values that an option cannot take.

use jsonschema::error::{TypeKind, ValidationErrorKind};
use serde_json::Value;

use super::{at_value, below};
use crate::code::Code;
use crate::diagnostic::Problem;
use crate::load::Layers;
use crate::schema::{self, keyword};
use crate::source::dotted;
use crate::suggest::{listed, nearest};

/// A value that breaks a rule of the schema.
pub(super) fn wrong_value(
    layers: &Layers,
    pointer: &str,
    kind: &ValidationErrorKind,
    found: &Value,
    here: &[&'static Value],
) -> Problem {
    let units = schema::units(here);
    let given: Vec<&str> = found.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    let (code, message, label) = match kind {
        ValidationErrorKind::Type { kind } => {
            let expected = named_types(kind);
            (
                Code::WrongType,
                format!("must be {expected}, not {}", describe(found)),
                format!("expected {expected}"),
            )
        }
        ValidationErrorKind::Minimum { .. }
        | ValidationErrorKind::Maximum { .. }
        | ValidationErrorKind::ExclusiveMinimum { .. }
        | ValidationErrorKind::ExclusiveMaximum { .. } => {
            let range = range(found, here);
            (Code::OutOfRange, format!("must be {range}, not {}", plain(found)), range)
        }
        ValidationErrorKind::MinItems { limit } => {
            (Code::OutOfRange, format!("must list at least {limit}"), format!("at least {limit}"))
        }
        ValidationErrorKind::MaxItems { limit } => {
            (Code::OutOfRange, format!("must list at most {limit}"), format!("at most {limit}"))
        }
        ValidationErrorKind::MinProperties { .. } if !units.is_empty() => {
            (Code::WrongValue, "needs a unit".to_owned(), "no unit".to_owned())
        }
        ValidationErrorKind::MaxProperties { .. } if !units.is_empty() => {
            let message = format!("has {} units at once: {}", given.len(), listed(given.iter().copied()));
            (Code::WrongValue, message, "one of them is enough".to_owned())
        }
        ValidationErrorKind::MinProperties { limit } => {
            (Code::OutOfRange, format!("must have at least {limit}"), format!("at least {limit}"))
        }
        ValidationErrorKind::Enum { .. } | ValidationErrorKind::OneOfNotValid { .. } => {
            (Code::WrongValue, format!("cannot be {found}"), "not one of the choices".to_owned())
        }
        _ => (Code::WrongValue, format!("cannot be {found}"), "not of the form asked for".to_owned()),
    };
    let problem = Problem::new(code, format!("`{}` {message}", dotted(pointer)));
    let problem = at_value(layers, problem, pointer).label(label);
    let hint = match kind {
        ValidationErrorKind::Type { .. } => other_notation(pointer, found, here),
        ValidationErrorKind::MinProperties { .. } | ValidationErrorKind::MaxProperties { .. } => {
            (!units.is_empty()).then(|| give_a_unit("…", &units))
        }
        _ => None,
    };
    let help = [hint, about(pointer, found, here)];
    match help.into_iter().flatten().collect::<Vec<_>>().join("\n") {
        none if none.is_empty() => problem,
        help => problem.help(help),
    }
}

/// The choices, or what the option is for.
fn about(pointer: &str, found: &Value, here: &[&'static Value]) -> Option<String> {
    let choices = schema::choices(here);
    if choices.is_empty() {
        let name = pointer.rsplit('/').find(|part| part.parse::<usize>().is_err())?;
        return Some(format!("{name}: {}", schema::purpose(here)?));
    }
    let near = nearest(found.as_str().unwrap_or_default(), choices.iter().copied());
    let list = format!("choices: {}", listed(choices));
    Some(near.map_or(list.clone(), |near| format!("did you mean `{near}`?\n{list}")))
}

/// Values that TOML can write and no option can take; they are null in the merged value.
pub(super) fn unusable(layers: &Layers, value: &Value, pointer: String, problems: &mut Vec<Problem>) {
    match value {
        Value::Null => {
            let written =
                layers.find(&pointer).and_then(|(source, place)| source.text.get(place.value.clone()?));
            let (code, what, help) = match written {
                Some(text) if text.contains("nan") || text.contains("inf") => {
                    (Code::OutOfRange, "must be a finite number", "a number is written like 0.5 or 1e6")
                }
                _ => (Code::WrongType, "cannot be a date or time", "put it in quotes if text is meant"),
            };
            let problem = Problem::new(code, format!("`{}` {what}", dotted(&pointer)));
            problems.push(at_value(layers, problem, &pointer).help(help));
        }
        Value::Object(object) => {
            for (key, value) in object {
                unusable(layers, value, below(&pointer, key), problems);
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                unusable(layers, value, format!("{pointer}/{index}"), problems);
            }
        }
        _ => {}
    }
}

/// How a value of the wrong type might have been meant.
fn other_notation(pointer: &str, found: &Value, here: &[&'static Value]) -> Option<String> {
    let name = pointer.rsplit('/').next().unwrap_or_default();
    let types = keyword(here, "type");
    let is = |json: &str| {
        types.is_some_and(|types| {
            types == json || types.as_array().is_some_and(|any| any.contains(&json.into()))
        })
    };
    let (units, items) = (schema::units(here), schema::items(here));
    match found {
        Value::Object(object) if is("array") && object.keys().all(|key| key.parse::<usize>().is_ok()) => {
            Some("a list is replaced as a whole: give all of it".to_owned())
        }
        Value::Object(_) if schema::slot(&items).is_some() => {
            Some(format!("there may be several: write [[{}]] with double brackets", dotted(pointer)))
        }
        Value::String(text) if schema::slot(&items).is_some() => {
            Some(format!("write {name} = [{{ kind = \"{text}\" }}]"))
        }
        Value::Array(items) if items.len() == 1 && schema::slot(here).is_some() => Some(format!(
            "there is one, not a list of them: write [{}] with single brackets",
            dotted(pointer)
        )),
        _ if is("array") && !is("string") => Some(format!("put it in brackets: [{found}]")),
        Value::String(text) if schema::slot(here).is_some() => {
            let written = format!("{{ kind = \"{text}\" }}");
            let in_a_list = name.parse::<usize>().is_ok();
            Some(if in_a_list { format!("write {written}") } else { format!("write {name} = {written}") })
        }
        _ if !units.is_empty() => {
            Some(give_a_unit(&if found.is_number() { plain(found) } else { "…".to_owned() }, &units))
        }
        Value::String(text)
            if !is("string") && (text.parse::<f64>().is_ok() || text.parse::<bool>().is_ok()) =>
        {
            Some(format!("write {text} without quotes"))
        }
        Value::Number(_) | Value::Bool(_) if is("string") => Some(format!("put it in quotes: \"{found}\"")),
        _ => None,
    }
}

/// What a value in one of several units looks like.
pub(super) fn give_a_unit(number: &str, units: &[&str]) -> String {
    let written: Vec<String> = units.iter().map(|unit| format!("{{ {unit} = {number} }}")).collect();
    format!("write one of {}", written.join(", "))
}

fn range(found: &Value, here: &[&'static Value]) -> String {
    let limit = |name| keyword(here, name).map(plain);
    let least = limit("minimum").map(|least| format!("at least {least}"));
    let least = limit("exclusiveMinimum").map(|least| format!("above {least}")).or(least);
    // A limit of the type alone is worth no words until it is passed.
    let is_of_type = |most: &&Value| most.as_i64().is_some_and(|most| most >= i64::from(u32::MAX));
    let most = keyword(here, "maximum").filter(|most| !is_of_type(most) || found.as_f64() > most.as_f64());
    let most = most.map(plain).map(|most| format!("at most {most}"));
    let most = limit("exclusiveMaximum").map(|most| format!("below {most}")).or(most);
    match (limit("minimum"), limit("maximum"), least, most) {
        (Some(from), Some(to), Some(_), Some(most)) if most.starts_with("at most") => {
            format!("between {from} and {to}")
        }
        (_, _, least, most) => [least, most].into_iter().flatten().collect::<Vec<_>>().join(" and "),
    }
}

/// A number as people write it: `1.0` is 1.
fn plain(number: &Value) -> String {
    match number.as_f64() {
        Some(float) if number.is_f64() && float.abs() < 1e15 => float.to_string(),
        _ => number.to_string(),
    }
}

fn named_types(kind: &TypeKind) -> String {
    let names: Vec<String> = match kind {
        TypeKind::Single(one) => vec![one.to_string()],
        TypeKind::Multiple(many) => many.iter().map(|one| one.to_string()).collect(),
    };
    let named = names.iter().filter(|name| *name != "null").map(|name| match name.as_str() {
        "object" => "a table",
        "array" => "a list",
        "integer" => "a whole number",
        "number" => "a number",
        "string" => "text in quotes",
        "boolean" => "true or false",
        other => other,
    });
    named.collect::<Vec<_>>().join(" or ")
}

fn describe(value: &Value) -> String {
    match value {
        Value::Object(_) => "a table".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::String(text) => format!("the text \"{text}\""),
        other => other.to_string(),
    }
}
