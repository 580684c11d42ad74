//! Checking: the merged value against the schema, then the typed recipe for meaning. All problems at once.

use jsonschema::error::{TypeKind, ValidationErrorKind};
use serde_json::Value;

use crate::Recipe;
use crate::diagnostic::Problem;
use crate::load::Layers;
use crate::meaning::meaning;
use crate::schema::{allowed, applicable, choices, recipe_schema};
use crate::source::{dotted, escape};

/// Checks the merged layers and decodes them.
pub(crate) fn check(layers: &Layers) -> Result<Recipe, Vec<Problem>> {
    let problems = against_schema(layers);
    if !problems.is_empty() {
        return Err(in_order(problems));
    }
    let recipe: Recipe = serde_json::from_value(layers.merged.clone()).map_err(|error| {
        vec![Problem::new("sbp::recipe::undecodable", format!("the recipe does not decode: {error}"))]
    })?;
    let problems = meaning(&recipe, layers);
    if problems.is_empty() { Ok(recipe) } else { Err(in_order(problems)) }
}

fn in_order(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.sort_by_key(Problem::position);
    problems
}

fn against_schema(layers: &Layers) -> Vec<Problem> {
    let schema = recipe_schema();
    let validator = match jsonschema::validator_for(schema) {
        Ok(validator) => validator,
        Err(error) => {
            return vec![Problem::new("sbp::recipe::schema", format!("the schema itself is wrong: {error}"))];
        }
    };
    let mut problems = Vec::new();
    for error in validator.iter_errors(&layers.merged) {
        let pointer = error.instance_path().as_str().to_owned();
        let here = applicable(
            schema,
            layers.merged.pointer(&pointer).unwrap_or(&Value::Null),
            &pointer,
            &layers.merged,
        );
        match error.kind() {
            ValidationErrorKind::AdditionalProperties { unexpected } => {
                for key in unexpected {
                    problems.push(unknown_field(layers, &pointer, key, &allowed(&here)));
                }
            }
            ValidationErrorKind::Required { property } => {
                let missing = property.as_str().unwrap_or_default();
                problems.push(missing_field(layers, &pointer, missing, &here));
            }
            ValidationErrorKind::Enum { .. } if pointer.ends_with("/kind") => {
                problems.push(unknown_kind(layers, &pointer, error.instance(), &choices(&here)));
            }
            kind => problems.push(wrong_value(layers, &pointer, kind, error.instance(), &here)),
        }
    }
    problems
}

fn unknown_field(layers: &Layers, pointer: &str, key: &str, allowed: &[String]) -> Problem {
    let full = format!("{pointer}/{}", escape(key));
    let place = if pointer.is_empty() { "a recipe".to_owned() } else { format!("`{}`", dotted(pointer)) };
    let problem = Problem::new("sbp::recipe::unknown_field", format!("{place} has no option `{key}`"));
    let problem = at_key(layers, problem, &full).label("not known");
    problem.help(suggest(key, allowed, "the options are"))
}

fn missing_field(layers: &Layers, pointer: &str, missing: &str, here: &[&Value]) -> Problem {
    let place = if pointer.is_empty() { "the recipe".to_owned() } else { format!("`{}`", dotted(pointer)) };
    let problem = Problem::new("sbp::recipe::missing_field", format!("{place} needs `{missing}`"));
    let description = here
        .iter()
        .find_map(|schema| schema.pointer(&format!("/properties/{}/description", escape(missing))))
        .and_then(Value::as_str)
        .unwrap_or_default();
    let problem = match layers.find_nearest(pointer) {
        Some((source, place)) if !pointer.is_empty() => {
            let span = place.key.clone().or_else(|| place.value.clone());
            problem.at(&source.name, &source.text, span).label("in here")
        }
        _ => match layers.last_file() {
            Some(source) => problem.at(&source.name, &source.text, Some(0..0)),
            None => problem,
        },
    };
    problem.help(if description.is_empty() {
        format!("add `{missing}`")
    } else {
        format!("add `{missing}`: {description}")
    })
}

fn unknown_kind(layers: &Layers, pointer: &str, found: &Value, known: &[String]) -> Problem {
    let found = found.as_str().map_or_else(|| found.to_string(), str::to_owned);
    let slot = dotted(pointer.trim_end_matches("/kind"));
    let problem =
        Problem::new("sbp::recipe::unknown_kind", format!("`{slot}`: no plugin is called \"{found}\""));
    at_value(layers, problem, pointer).label("not known").help(suggest(&found, known, "the plugins are"))
}

fn wrong_value(
    layers: &Layers,
    pointer: &str,
    kind: &ValidationErrorKind,
    found: &Value,
    here: &[&Value],
) -> Problem {
    let option = dotted(pointer);
    let (code, message) = match kind {
        ValidationErrorKind::Type { kind } => {
            let expected = match kind {
                TypeKind::Single(one) => one.to_string(),
                TypeKind::Multiple(many) => {
                    many.iter().map(|one| one.to_string()).collect::<Vec<_>>().join(" or ")
                }
            };
            (
                "sbp::recipe::wrong_type",
                format!("expected {}, found {}", named_type(&expected), describe(found)),
            )
        }
        ValidationErrorKind::Minimum { limit } => {
            ("sbp::recipe::out_of_range", format!("{found} is below the least allowed, {limit}"))
        }
        ValidationErrorKind::Maximum { limit } => {
            ("sbp::recipe::out_of_range", format!("{found} is above the most allowed, {limit}"))
        }
        ValidationErrorKind::ExclusiveMinimum { limit } => {
            ("sbp::recipe::out_of_range", format!("{found} must be above {limit}"))
        }
        ValidationErrorKind::MinItems { limit } => {
            ("sbp::recipe::out_of_range", format!("at least {limit} must be listed"))
        }
        ValidationErrorKind::MinProperties { .. } | ValidationErrorKind::MaxProperties { .. } => {
            ("sbp::recipe::wrong_value", "give exactly one unit".to_owned())
        }
        ValidationErrorKind::Pattern { pattern } => {
            ("sbp::recipe::wrong_value", format!("{found} does not have the form {pattern}"))
        }
        ValidationErrorKind::Enum { .. } | ValidationErrorKind::OneOfNotValid { .. } => {
            ("sbp::recipe::wrong_value", format!("{found} is not one of the choices"))
        }
        other => ("sbp::recipe::wrong_value", format!("{found} is not allowed here ({})", other.keyword())),
    };
    let problem =
        at_value(layers, Problem::new(code, format!("`{option}`: {message}")), pointer).label(message);
    let known = choices(here);
    if known.is_empty() {
        match here.iter().find_map(|schema| schema.get("description")).and_then(Value::as_str) {
            Some(description) => problem.help(description.to_owned()),
            None => problem,
        }
    } else {
        problem.help(suggest(found.as_str().unwrap_or_default(), &known, "the choices are"))
    }
}

fn named_type(json: &str) -> String {
    json.replace("object", "a table")
        .replace("array", "a list")
        .replace("integer", "a whole number")
        .replace("number", "a number")
        .replace("string", "text in quotes")
        .replace("boolean", "true or false")
        .replace("a whole a number", "a whole number")
        .replace(" or null", "")
}

fn describe(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Object(_) => "a table".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::String(text) => format!("the text \"{text}\""),
        other => other.to_string(),
    }
}

/// What to write instead of a name that is not known: the nearest one, if it is near, and all of them after `lead`.
pub fn suggest(found: &str, known: &[String], lead: &str) -> String {
    let near = known
        .iter()
        .map(|name| (strsim::damerau_levenshtein(found, name), name))
        .filter(|(distance, name)| *distance <= 2.max(name.len() / 3))
        .min();
    let list =
        format!("{lead} {}", known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "));
    match near {
        Some((_, name)) => format!("did you mean `{name}`? {list}"),
        None => list,
    }
}

fn at_key(layers: &Layers, problem: Problem, pointer: &str) -> Problem {
    match layers.find_nearest(pointer) {
        Some((source, place)) => {
            let span = place.key.clone().or_else(|| place.value.clone());
            problem.at(&source.name, &source.text, span)
        }
        None => problem,
    }
}

pub(crate) fn at_value(layers: &Layers, problem: Problem, pointer: &str) -> Problem {
    match layers.find_nearest(pointer) {
        Some((source, place)) => {
            let span = place.value.clone().or_else(|| place.key.clone());
            problem.at(&source.name, &source.text, span)
        }
        None => problem,
    }
}
