//! `sbp eval`: any model in a Hugging Face folder on tasks and texts, without a recipe.

use std::path::Path;
use std::sync::Arc;

use sbp_pipeline::Reporter as _;
use sbp_plugin::engine::Engine;
use sbp_plugin::input::is_url;
use sbp_plugin::ports::Precision;
use sbp_plugin::team::Solo;
use sbp_plugin::{Selected, slots};
use serde_json::{Map, Value, json};

use super::run::open;
use crate::args::EvalArgs;
use crate::exit::{Done, Failure};
use crate::handover;
use crate::say::say;
use crate::screen::Screen;
use crate::stop::StopFlag;

/// Asks the model and prints the table. What is wrong with the questions is told before a tensor library is loaded.
pub(crate) fn run<'e>(
    args: &EvalArgs,
    engine: impl FnOnce() -> Result<&'e dyn Engine, Failure>,
) -> Result<Done, Failure> {
    let evaluators = evaluators(args)?;
    let engine = engine()?;
    handover::for_threads();
    // Nothing of an evaluation is kept on the way, so there is no better moment to stop than at once.
    let screen = Screen::new(StopFlag::never(), args.json);
    let (mut runtime, mut screen) = open(engine, &args.device, None, Arc::new(Solo::default()), screen)?;
    let precision = match args.precision.as_str() {
        "bf16" => Precision::Bf16,
        _ => Precision::Fp32,
    };
    let evaluation =
        sbp_pipeline::evaluate_folder(&mut *runtime, &args.checkpoint, precision, &evaluators, &mut screen)?;
    if let Some(output) = &args.output {
        evaluation.write(output)?;
    }
    if args.json {
        say(evaluation.results());
    } else {
        screen.show(&format!("\n{}", evaluation.table()));
        if let Some(output) = &args.output {
            screen.show(&format!("results  {}", output.join("results.json").display()));
        }
    }
    Ok(Done::Fully)
}

/// The evaluators that the arguments ask for, in their order: tasks, then texts.
fn evaluators(args: &EvalArgs) -> Result<Vec<Selected<slots::Evaluator>>, Failure> {
    let schema = sbp_recipe::recipe_schema();
    let mut evaluators = Vec::new();
    for name in &args.tasks {
        // Clap asks for it beside tasks.
        let data = args.data.as_deref().unwrap_or(Path::new("."));
        if !is_url(data) && !data.exists() {
            return Err(Failure::Other(format!(
                "there is no {}; --data names the folder (or the file) of the tasks' data",
                data.display()
            )));
        }
        let mut options = Map::from_iter([("data".to_owned(), json!(data))]);
        options.extend(args.limit.map(|limit| ("max_items".to_owned(), json!(limit))));
        options.extend(named(name, args, schema)?);
        evaluators.push(selected(&format!("--tasks {name}"), options)?);
    }
    for (name, path) in &args.perplexity {
        let mut options = Map::from_iter([
            ("kind".to_owned(), json!("perplexity")),
            ("name".to_owned(), json!(name)),
            ("path".to_owned(), json!(path)),
        ]);
        options.extend(args.stride.map(|stride| ("stride".to_owned(), json!(stride))));
        evaluators.push(selected(&format!("--perplexity {name}"), options)?);
    }
    Ok(evaluators)
}

/// What a recipe would write for the name of a task, of a suite, or of a task's file.
fn named(name: &str, args: &EvalArgs, schema: &Value) -> Result<Map<String, Value>, Failure> {
    let (tasks, suites) = (choices(schema, "task", "task"), choices(schema, "suite", "suite"));
    let mut options = Map::new();
    let mut set = |option: &str, value: Value| options.insert(option.to_owned(), value);
    if suites.iter().any(|suite| suite == name) {
        if args.num_fewshot.is_some() {
            return Err(Failure::Other(format!(
                "--num-fewshot is not for the suite {name}, which says for each of its tasks how many examples it \
                 shows; name the tasks instead"
            )));
        }
        set("kind", json!("suite"));
        set("suite", json!(name));
        return Ok(options);
    }
    set("kind", json!("task"));
    if let Some(num_fewshot) = args.num_fewshot {
        set("num_fewshot", json!(num_fewshot));
    }
    if name.ends_with(".toml") {
        if !Path::new(name).exists() {
            return Err(Failure::Other(format!(
                "there is no {name}; --tasks takes a task's file by its path"
            )));
        }
        set("definition", json!(name));
    } else if tasks.is_empty() || tasks.iter().any(|task| task == name) {
        set("task", json!(name));
    } else {
        let known = [tasks, suites].concat();
        return Err(Failure::Other(format!(
            "no task or suite is called `{name}`; {}",
            sbp_recipe::suggest(name, &known, "known are")
        )));
    }
    Ok(options)
}

/// Selects a plugin as a recipe would.
fn selected(wanted: &str, options: Map<String, Value>) -> Result<Selected<slots::Evaluator>, Failure> {
    let refused = |reason: String| Failure::Other(format!("{wanted}: {reason}"));
    let selected: Selected<slots::Evaluator> =
        serde_json::from_value(options.into()).map_err(|error| refused(error.to_string()))?;
    match selected.check().first() {
        Some((field, message)) => Err(refused(format!("{field}: {message}"))),
        None => Ok(selected),
    }
}

/// The names that an option of a kind of evaluator may have, as the schema of recipes lists them.
fn choices(schema: &Value, kind: &str, option: &str) -> Vec<String> {
    let branches = schema["$defs"]["evaluator"]["allOf"].as_array().into_iter().flatten();
    let of_kind = branches.filter(|branch| branch["if"]["properties"]["kind"]["const"] == kind);
    of_kind.flat_map(|branch| names(schema, &branch["then"]["properties"][option])).collect()
}

/// The texts that a part of a schema allows by name.
fn names(schema: &Value, part: &Value) -> Vec<String> {
    if let Some(reference) = part["$ref"].as_str().and_then(|reference| reference.strip_prefix('#')) {
        return schema.pointer(reference).map(|part| names(schema, part)).unwrap_or_default();
    }
    let listed = part["enum"].as_array().into_iter().flatten().chain([&part["const"]]);
    let listed = listed.filter_map(|name| name.as_str().map(str::to_owned));
    let alternatives = ["anyOf", "oneOf"].into_iter().filter_map(|way| part[way].as_array()).flatten();
    listed.chain(alternatives.flat_map(|part| names(schema, part))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_wherever_a_schema_lists_them() {
        let schema = json!({"$defs": {
            "Task": {"oneOf": [{"const": "arc_easy"}, {"const": "sciq"}]},
            "evaluator": {"allOf": [
                {"if": {"properties": {"kind": {"const": "task"}}},
                 "then": {"properties": {"task": {"anyOf": [{"$ref": "#/$defs/Task"}, {"type": "null"}]}}}},
                {"if": {"properties": {"kind": {"const": "suite"}}},
                 "then": {"properties": {"suite": {"enum": ["sbp-paper"]}}}},
            ]},
        }});
        assert_eq!(choices(&schema, "task", "task"), ["arc_easy", "sciq"]);
        assert_eq!(choices(&schema, "suite", "suite"), ["sbp-paper"]);
        assert_eq!(choices(&schema, "perplexity", "name"), [""; 0]);
    }
}
