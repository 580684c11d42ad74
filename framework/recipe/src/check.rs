//! Checking: the merged value against the schema, then the typed recipe for meaning. All problems at once.

mod names;
mod values;

use std::collections::HashSet;

use jsonschema::error::ValidationErrorKind;
use serde_json::Value;

use crate::Recipe;
use crate::code::Code;
use crate::diagnostic::Problem;
use crate::load::Layers;
use crate::meaning::meaning;
use crate::schema::{applicable, violations};
use crate::source::escape;

/// Checks the merged layers and decodes them.
pub(crate) fn check(layers: &Layers) -> Result<Recipe, Vec<Problem>> {
    let mut problems = layers.problems.clone();
    let mut wrong = against_schema(layers, "");
    if wrong.is_empty() {
        match serde_json::from_value::<Recipe>(layers.merged.clone()) {
            Ok(recipe) => {
                problems.extend(meaning(&recipe, layers));
                if problems.is_empty() {
                    return Ok(recipe);
                }
            }
            Err(error) => {
                let message = format!("the recipe does not decode: {error}");
                problems.push(Problem::new(Code::Undecodable, message));
            }
        }
    } else if !problems.is_empty() {
        // What is missing may be in the layer that could not be read.
        wrong.retain(|problem| problem.stable_code() != Code::MissingField);
    }
    problems.extend(wrong);
    Err(in_order(problems))
}

/// Checks the merged layers under one pointer, and nothing else of them.
pub(crate) fn check_under(layers: &Layers, pointer: &str) -> Result<(), Vec<Problem>> {
    let problems = against_schema(layers, pointer);
    if problems.is_empty() { Ok(()) } else { Err(in_order(problems)) }
}

/// Problems in the order in which a reader meets their places.
pub(crate) fn in_order(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.sort_by_cached_key(Problem::order);
    problems
}

fn against_schema(layers: &Layers, under: &str) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut missing = Vec::new();
    // What is there under a wrong name is not missing as well: one mistake, one problem.
    let mut misnamed = HashSet::new();
    let mut told = HashSet::new();
    for violation in violations(&layers.merged) {
        let pointer = violation.instance_path().as_str();
        if !pointer.starts_with(under) {
            continue;
        }
        let here = applicable(&layers.merged, pointer);
        match violation.kind() {
            ValidationErrorKind::AdditionalProperties { unexpected } => {
                for key in unexpected {
                    let (problem, meant) = names::unknown_field(layers, pointer, key, &here);
                    problems.push(problem);
                    misnamed.extend(meant.map(|meant| (pointer.to_owned(), meant)));
                }
            }
            ValidationErrorKind::Required { property } => {
                missing.push((pointer.to_owned(), property.as_str().unwrap_or_default().to_owned(), here));
            }
            ValidationErrorKind::Enum { .. } if pointer.ends_with("/kind") => {
                problems.push(names::unknown_kind(layers, pointer, violation.instance()));
            }
            // A slot and each of its plugins say that they are tables.
            kind if violation.instance().is_null()
                || !told.insert((pointer.to_owned(), kind.keyword().to_owned())) => {}
            kind => problems.push(values::wrong_value(layers, pointer, kind, violation.instance(), &here)),
        }
    }
    let extends = misnamed.iter().any(|(_, meant)| meant == "extends");
    for (pointer, name, here) in missing {
        if !extends && !misnamed.contains(&(pointer.clone(), name.clone())) {
            problems.push(names::missing_field(layers, &pointer, &name, &here));
        }
    }
    values::unusable(layers, &layers.merged, String::new(), &mut problems);
    problems
}

fn at_key(layers: &Layers, problem: Problem, pointer: &str) -> Problem {
    match layers.find_nearest(pointer) {
        Some((source, place)) => problem.at(source, place.key.clone().or_else(|| place.value.clone())),
        None => problem,
    }
}

/// Points at the value of `pointer`, or of what encloses it.
pub(crate) fn at_value(layers: &Layers, problem: Problem, pointer: &str) -> Problem {
    match layers.find_nearest(pointer) {
        Some((source, place)) => problem.at(source, place.value.clone().or_else(|| place.key.clone())),
        None => problem,
    }
}

fn below(pointer: &str, key: &str) -> String {
    format!("{pointer}/{}", escape(key))
}

fn get<'a>(layers: &'a Layers, pointer: &str) -> &'a Value {
    layers.merged.pointer(pointer).unwrap_or(&Value::Null)
}
