//! Checking: the merged value against the schema, then the typed recipe for meaning. All problems at once.

use std::sync::LazyLock;

use jsonschema::error::{TypeKind, ValidationErrorKind};
use sbp_plugin::registry::BuildContext;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::diagnostic::Problem;
use crate::load::Layers;
use crate::source::{dotted, escape};
use crate::{ComparisonSection, Recipe};

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
            json!({"type": "object", "additionalProperties": {"type": "object"}, "default": {},
                   "description": "Named sets of values to lay over the recipe with --profile."}),
        );
    }
    schema
});

/// The JSON Schema of a recipe, for the plugins linked into this program.
pub fn recipe_schema() -> &'static Value {
    &SCHEMA
}

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

fn suggest(found: &str, known: &[String], lead: &str) -> String {
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

fn at_value(layers: &Layers, problem: Problem, pointer: &str) -> Problem {
    match layers.find_nearest(pointer) {
        Some((source, place)) => {
            let span = place.value.clone().or_else(|| place.key.clone());
            problem.at(&source.name, &source.text, span)
        }
        None => problem,
    }
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
fn applicable<'a>(root: &'a Value, instance: &Value, pointer: &str, merged: &Value) -> Vec<&'a Value> {
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

fn allowed(schemas: &[&Value]) -> Vec<String> {
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

fn choices(schemas: &[&Value]) -> Vec<String> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let mut names = Vec::new();
    for schema in schemas {
        names.extend(schema.get("enum").and_then(Value::as_array).into_iter().flatten().filter_map(text));
        let branches = schema.get("oneOf").and_then(Value::as_array).into_iter().flatten();
        names.extend(branches.filter_map(|branch| branch.get("const")).filter_map(text));
    }
    names
}

/// What a schema cannot say.
fn meaning(recipe: &Recipe, layers: &Layers) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut report = |pointer: &str, code, message: String, help: &str| {
        let problem =
            at_value(layers, Problem::new(code, format!("`{}`: {message}", dotted(pointer))), pointer);
        problems.push(problem.help(help.to_owned()));
    };
    if let Err(error) = recipe.model.check() {
        let pointer = format!("/model/{}", error.field);
        report(&pointer, "sbp::plan::model_shape", error.message, "choose sizes that fit together");
    }
    for (role, name) in [("baseline", &recipe.comparison.baseline), ("oracle", &recipe.comparison.oracle)] {
        // A study without an oracle is a study; one that names an absent arm is a mistake.
        let is_default = *name == ComparisonSection::default().oracle;
        if !recipe.arms.contains_key(name) && (role == "baseline" || !is_default) {
            report(
                &format!("/comparison/{role}"),
                "sbp::plan::unknown_arm",
                format!("no arm is called \"{name}\""),
                &format!("the arms are {}", recipe.arms.keys().cloned().collect::<Vec<_>>().join(", ")),
            );
        }
    }
    for (name, _) in recipe.arms.iter().filter(|(name, _)| !is_file_name(name)) {
        report(
            &format!("/arms/{}", escape(name)),
            "sbp::plan::arm_name",
            "an arm's name becomes a folder".to_owned(),
            "use letters, digits, `-` and `_`",
        );
    }
    if let Ok(sampling) = recipe.synthesizer.sampling.build(&BuildContext::default()) {
        let (longest, context) = (sampling.max_new_tokens(), recipe.model.context_length);
        if longest + 2 >= context {
            report(
                "/synthesizer/sampling/max_new_tokens",
                "sbp::plan::no_room_for_seed",
                format!(
                    "completions of up to {longest} tokens leave no room for a seed document in a context of {context}"
                ),
                "lower it or raise model.context_length",
            );
        }
    }
    let mut seeds = recipe.recipe.seeds.clone();
    seeds.sort_unstable();
    seeds.dedup();
    if seeds.len() != recipe.recipe.seeds.len() {
        report(
            "/recipe/seeds",
            "sbp::plan::repeated_seed",
            "a seed is listed twice".to_owned(),
            "list each seed once",
        );
    }
    for (pointer, message) in plugin_problems(recipe) {
        report(&pointer, "sbp::plan::option", message, "see `sbp plugins show` for what each option means");
    }
    problems
}

fn is_file_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

/// What the plugins themselves say of their options: `(pointer, message)`.
fn plugin_problems(recipe: &Recipe) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut add = |at: &str, problems: Vec<(&'static str, String)>| {
        found.extend(problems.into_iter().map(|(field, message)| (format!("{at}/{field}"), message)));
    };
    add("/corpus", recipe.corpus.check());
    add("/embedder", recipe.embedder.check());
    add("/retriever", recipe.retriever.check());
    add("/mixer", recipe.mixer.check());
    add("/synthesizer/objective", recipe.synthesizer.objective.check());
    add("/synthesizer/sampling", recipe.synthesizer.sampling.check());
    add("/synthesizer/tuning/schedule", recipe.synthesizer.tuning.schedule.check());
    add("/training/schedule", recipe.training.schedule.check());
    for (index, filter) in recipe.pairs.filters.iter().enumerate() {
        add(&format!("/pairs/filters/{index}"), filter.check());
    }
    for (index, filter) in recipe.synthesizer.filters.iter().enumerate() {
        add(&format!("/synthesizer/filters/{index}"), filter.check());
    }
    for (name, arm) in &recipe.arms {
        add(&format!("/arms/{}", escape(name)), arm.check());
    }
    for (index, evaluator) in recipe.evaluators.iter().enumerate() {
        add(&format!("/evaluators/{index}"), evaluator.check());
    }
    for (index, tracker) in recipe.trackers.iter().enumerate() {
        add(&format!("/trackers/{index}"), tracker.check());
    }
    found
}
