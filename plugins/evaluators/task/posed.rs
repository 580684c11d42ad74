//! An item as the model is asked about it: what it is given, and what is right.

use std::sync::Arc;

use minijinja::value::Value;
use sbp_plugin::prelude::*;
use serde_json::json;

use super::definition::{Definition, Metric, Scoring};
use super::language::{Expression, items_of, text_of};
use super::rows::Row;

/// An item, ready to be asked.
#[derive(Debug, PartialEq)]
pub(super) struct Posed {
    /// Contexts, each with the continuation whose probability is asked.
    pub(super) pairs: Vec<(Arc<str>, String)>,
    /// What the model is to go on from by itself.
    pub(super) prompt: Option<Arc<str>>,
    pub(super) right: Right,
}

/// What is right.
#[derive(Debug, PartialEq)]
pub(super) enum Right {
    /// Some of several texts, by their places; more than one where any of several answers is accepted.
    Choices(Vec<String>, Vec<usize>),
    /// The continuation.
    Continuation(String),
    /// Any of these texts.
    Texts(Vec<String>),
}

impl Right {
    /// As an item records it.
    pub(super) fn target(&self) -> serde_json::Value {
        match self {
            Self::Choices(_, places) if places.len() == 1 => json!(places[0]),
            Self::Choices(_, places) => json!(places),
            Self::Continuation(text) => json!(text),
            Self::Texts(texts) => json!(texts),
        }
    }
}

/// Poses an item behind its examples.
///
/// # Errors
/// When the row does not fit the definition.
pub(super) fn pose(definition: &Definition, row: &Row, names: &Value, examples: &str) -> Result<Posed> {
    let description = match &definition.description {
        Some(description) => text(definition, "description", row, description.text(names))?,
        None => String::new(),
    };
    let before = description + examples;
    let delimiter = &definition.target_delimiter;
    let right = right(definition, row, names)?;
    let behind = |continuation: &str| format!("{delimiter}{continuation}");
    let context = || -> Result<Arc<str>> { Ok((before.clone() + &context(definition, row, names)?).into()) };
    let (pairs, prompt) = match &right {
        Right::Choices(choices, _) if definition.scoring == Scoring::Partial => {
            let continuation = behind(&continuation(definition, row, names)?);
            let pair = |choice: &String| ((before.clone() + choice).into(), continuation.clone());
            (choices.iter().map(pair).collect(), None)
        }
        Right::Choices(choices, _) => {
            let context = context()?;
            (choices.iter().map(|choice| (Arc::clone(&context), behind(choice))).collect(), None)
        }
        Right::Continuation(word) => (vec![(context()?, behind(word))], None),
        Right::Texts(texts) => {
            let context = context()?;
            let is_likelihood_asked =
                [Metric::Nll, Metric::Ppl].iter().any(|metric| definition.metrics.contains(metric));
            let first = is_likelihood_asked.then(|| (Arc::clone(&context), behind(&texts[0])));
            let is_answer_asked = definition.metrics.contains(&Metric::ExactMatch);
            (first.into_iter().collect(), is_answer_asked.then_some(context))
        }
    };
    Ok(Posed { pairs, prompt, right })
}

/// An item with its answer, as an example shows it.
///
/// # Errors
/// When the row does not fit the definition.
pub(super) fn solved(definition: &Definition, row: &Row, names: &Value) -> Result<String> {
    let (context, answer) = match right(definition, row, names)? {
        Right::Choices(choices, places) => {
            let choice = choices.into_iter().nth(places[0]).unwrap_or_default();
            match definition.scoring {
                Scoring::Partial => (choice, continuation(definition, row, names)?),
                _ => (context(definition, row, names)?, choice),
            }
        }
        Right::Continuation(text) => (context(definition, row, names)?, text),
        Right::Texts(texts) => {
            (context(definition, row, names)?, texts.into_iter().next().unwrap_or_default())
        }
    };
    Ok(context + &definition.target_delimiter + &answer)
}

fn text(
    definition: &Definition,
    key: &str,
    row: &Row,
    text: std::result::Result<String, String>,
) -> Result<String> {
    text.map_err(|error| definition.explain(key, row, &error))
}

fn context(definition: &Definition, row: &Row, names: &Value) -> Result<String> {
    let context = definition.context.as_ref().ok_or("`context` is missing")?;
    text(definition, "context", row, context.text(names))
}

fn continuation(definition: &Definition, row: &Row, names: &Value) -> Result<String> {
    let continuation = definition.continuation.as_ref().ok_or("`continuation` is missing")?;
    text(definition, "continuation", row, continuation.text(names))
}

fn right(definition: &Definition, row: &Row, names: &Value) -> Result<Right> {
    let explain = |key: &str, error: String| definition.explain(key, row, &error);
    let answer = &definition.answer;
    match definition.scoring {
        Scoring::MultipleChoice | Scoring::Partial => {
            let choices = definition.choices.as_ref().ok_or("`choices` is missing")?;
            let choices = choices.texts(names).map_err(|error| explain("choices", error))?;
            let places = places(answer, names, &choices).map_err(|error| explain("answer", error))?;
            Ok(Right::Choices(choices, places))
        }
        Scoring::LastWord => {
            Ok(Right::Continuation(answer.text(names).map_err(|error| explain("answer", error))?))
        }
        Scoring::Generate => {
            let texts = accepted(answer, names).map_err(|error| explain("answer", error))?;
            Ok(Right::Texts(texts))
        }
    }
}

/// The places of the right choices: a number, digits, the very text of a choice, or a list of these.
fn places(answer: &Expression, names: &Value, choices: &[String]) -> std::result::Result<Vec<usize>, String> {
    let answer = answer.value(names)?;
    let answers = match answer.as_str().is_some() || answer.is_number() {
        true => vec![answer],
        false => items_of(&answer)?,
    };
    let place = |answer: &Value| {
        let text = text_of(answer)?;
        let place = text.parse().ok().or_else(|| choices.iter().position(|choice| *choice == text));
        place.filter(|place| *place < choices.len()).ok_or_else(|| {
            format!(
                "{text:?} is neither a place among the {} choices, from 0, nor one of them",
                choices.len()
            )
        })
    };
    let places: Vec<usize> = answers.iter().map(place).collect::<std::result::Result<_, _>>()?;
    if places.is_empty() { Err("no answer is right".to_owned()) } else { Ok(places) }
}

/// The accepted texts: one, or a list.
fn accepted(answer: &Expression, names: &Value) -> std::result::Result<Vec<String>, String> {
    let answer = answer.value(names)?;
    let texts: Vec<String> = match text_of(&answer) {
        Ok(text) => vec![text],
        Err(_) => items_of(&answer)?.iter().map(text_of).collect::<std::result::Result<_, _>>()?,
    };
    if texts.is_empty() { Err("no answer is right".to_owned()) } else { Ok(texts) }
}
