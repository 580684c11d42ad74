//! Names that are not known, and names that are missing.

use std::collections::{BTreeMap, BTreeSet};

use sbp_plugin::reference::{Card, cards};
use serde_json::Value;

use super::{at_key, at_value, below, get};
use crate::code::Code;
use crate::diagnostic::Problem;
use crate::load::Layers;
use crate::schema::{self, Home, applicable, homes};
use crate::source::dotted;
use crate::suggest::{listed, nearest};

/// An option or section that nobody knows, and the one of this table that was meant, if that is clear.
pub(super) fn unknown_field(
    layers: &Layers,
    pointer: &str,
    key: &str,
    here: &[&'static Value],
) -> (Problem, Option<String>) {
    let full = below(pointer, key);
    let (options, value) = (schema::options(here), get(layers, &full));
    let is_table = |value: &Value| value.is_object();
    let is_section = pointer.is_empty() && (is_table(value) || value.get(0).is_some_and(is_table));
    let kind = get(layers, pointer).get("kind").and_then(Value::as_str);
    let place = match kind {
        _ if pointer.is_empty() => "a recipe".to_owned(),
        Some(kind) => format!("`{}` of kind `{kind}`", dotted(pointer)),
        None => format!("`{}`", dotted(pointer)),
    };
    let thing = if is_section { format!("section `[{key}]`") } else { format!("option `{key}`") };
    let lists = if pointer.is_empty() { "a recipe has" } else { "options here:" };
    let list = format!("{lists} {}", listed(options.keys().copied()));
    let near = nearest(key, options.keys().copied()).or_else(|| described_as(key, &options));
    // A name that another table knows is no typo.
    let (hint, meant) = match (belongs_to(key, pointer, here), near) {
        (Some(belongs), _) => (Some(belongs), Some(key).filter(|key| *key == "extends")),
        (None, Some(near)) => (Some(format!("did you mean `{near}`?")), Some(near)),
        (None, None) => (belongs_by_options(key, value), None),
    };
    let pointer_of_kind = below(pointer, "kind");
    let layer = |pointer: &str| layers.find(pointer).map(|(source, _)| &source.name);
    let other_layer = match kind {
        Some(kind) if layer(&pointer_of_kind) != layer(&full) => {
            layers.origin(&pointer_of_kind).map(|origin| format!("kind = \"{kind}\" is set in {origin}"))
        }
        _ => None,
    };
    let help = [hint, Some(list), other_layer].into_iter().flatten().collect::<Vec<_>>().join("\n");
    let problem = Problem::new(Code::UnknownField, format!("{place} has no {thing}"));
    (at_key(layers, problem, &full).label("not known").help(help), meant.map(str::to_owned))
}

/// The option whose description has every word of `key`.
fn described_as<'a>(key: &str, options: &BTreeMap<&'a str, &str>) -> Option<&'a str> {
    let has = |description: &str, wanted: &str| {
        let mut words = description.split(|c: char| !c.is_alphanumeric());
        words.any(|word| word.eq_ignore_ascii_case(wanted))
    };
    let mut described = options
        .iter()
        .filter(|(_, description)| key.split('_').all(|word| word.len() > 3 && has(description, word)));
    described.next().map(|(name, _)| *name)
}

/// Where an option of this name stands, if that is one place or two.
fn belongs_to(key: &str, pointer: &str, here: &[&'static Value]) -> Option<String> {
    let other_kinds = schema::kinds_with(here, key);
    if !other_kinds.is_empty() {
        return Some(format!("`{key}` is an option of kind {}", listed(other_kinds)));
    }
    if let (false, Some(home)) = (pointer.is_empty(), schema::homes_below(here, key).first()) {
        return Some(format!("`{key}` belongs to `[{}.{}]`", dotted(pointer), home.table));
    }
    match homes(key).as_slice() {
        [Home { table, .. }] if table.is_empty() && key == "extends" => {
            Some("`extends` stands at the top of a file, before the first [section]".to_owned())
        }
        [Home { table, .. }] if table.is_empty() => Some(format!("`{key}` is a section of its own: [{key}]")),
        [one] => Some(format!("`{key}` belongs to {}", named(one))),
        [one, two] => Some(format!("`{key}` belongs to {} or {}", named(one), named(two))),
        _ => None,
    }
}

fn named(home: &Home) -> String {
    match home.kind {
        Some(kind) => format!("`{}` of kind `{kind}`", home.table),
        None => format!("`[{}]`", home.table),
    }
}

/// Where most of the options in an unknown table stand.
fn belongs_by_options(key: &str, value: &Value) -> Option<String> {
    let mut tables: Vec<(usize, String)> = Vec::new();
    for option in value.as_object()?.keys().filter(|option| *option != "kind") {
        // Several plugins of one slot may know it.
        for table in homes(option).into_iter().map(|home| home.table).collect::<BTreeSet<_>>() {
            match tables.iter_mut().find(|(_, other)| *other == table) {
                Some((count, _)) => *count += 1,
                None => tables.push((1, table)),
            }
        }
    }
    let most = tables.iter().map(|(count, _)| *count).max()?;
    let mut best: Vec<String> =
        tables.into_iter().filter(|(count, _)| *count == most).map(|(_, table)| table).collect();
    // A table of that name, in one of the recipe's own sections.
    let is_it = |table: &String| table.ends_with(&format!(".{key}")) && !table.contains("NAME");
    if best.iter().any(is_it) {
        best.retain(is_it);
    }
    let best: Vec<String> = best.iter().map(|table| format!("`[{table}]`")).collect();
    (best.len() <= 2).then(|| format!("the options in `[{key}]` belong to {}", best.join(" or ")))
}

/// A plugin that the slot does not have.
pub(super) fn unknown_kind(layers: &Layers, pointer: &str, found: &Value) -> Problem {
    let table = pointer.trim_end_matches("/kind");
    let slot = schema::slot(&applicable(&layers.merged, table)).unwrap_or_default();
    let cards = cards();
    let known: Vec<&str> = cards.iter().filter(|card| card.slot == slot).map(|card| card.kind).collect();
    let list = format!("plugins here: {}", listed(known.iter().copied()));
    let text = found.as_str().map_or_else(|| found.to_string(), str::to_owned);
    let other = cards.iter().find(|card| card.kind == text);
    let absent = sbp_plugin::registry::absent().find(|it| it.slot == slot && it.kind == text);
    let help = match (other, nearest(&text, known)) {
        _ if let Some(absent) = absent => format!("`{text}` is not built in: {}\n{list}", absent.how),
        (Some(other), _) => format!("`{text}` is {}\n{list}", with_article(other.slot)),
        (None, Some(near)) => format!("did you mean `{near}`?\n{list}"),
        (None, None) => list,
    };
    let message = format!("`{}`: no {} is called \"{text}\"", dotted(table), slot.replace('_', " "));
    at_value(layers, Problem::new(Code::UnknownKind, message), pointer).label("not known").help(help)
}

fn with_article(slot: &str) -> String {
    let article = if slot.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{article} {}", slot.replace('_', " "))
}

/// A required option or section that no layer gives.
pub(super) fn missing_field(
    layers: &Layers,
    pointer: &str,
    missing: &str,
    here: &[&'static Value],
) -> Problem {
    let wanted = schema::option(here, missing);
    let full = below(pointer, missing);
    let is_table =
        !schema::options(&wanted).is_empty() || schema::keyword(&wanted, "type") == Some(&"object".into());
    let purpose = schema::purpose(&wanted).unwrap_or_default();
    let help = match write_it(&full, &wanted) {
        Some(text) => format!("{missing}: {purpose} {text}"),
        None => format!("{missing}: {purpose}"),
    };
    if pointer.is_empty() {
        let message = match is_table {
            true => format!("the section `[{missing}]` is missing"),
            false => format!("the list `[[{missing}]]` is missing"),
        };
        let problem = Problem::new(Code::MissingField, message);
        return match layers.last_file() {
            Some(source) => {
                let end = source.text.trim_end().len();
                problem.at(source, Some(end..end)).label("add it below")
            }
            None => problem,
        }
        .help(help);
    }
    let misspelt = get(layers, pointer).as_object().and_then(|object| {
        // Without a kind, no option of a plugin is known to be wrong.
        object.keys().find(|key| missing == "kind" && nearest(key, ["kind"]).is_some())
    });
    let problem = Problem::new(Code::MissingField, format!("`{}` needs `{missing}`", dotted(pointer)));
    match misspelt {
        Some(key) => at_key(layers, problem, &below(pointer, key))
            .label("not known")
            .help(format!("did you mean `kind`? {help}")),
        None => at_key(layers, problem, pointer).label(format!("`{missing}` is missing")).help(help),
    }
}

/// How a missing option is written, where that is not plain.
fn write_it(pointer: &str, wanted: &[&'static Value]) -> Option<String> {
    let name = dotted(pointer);
    let (items, named) = (schema::items(wanted), schema::named_values(wanted));
    let units = schema::units(wanted);
    if let Some(slot) = schema::slot(wanted) {
        return Some(format!("For example:\n  [{name}]\n  {}", simplest(slot)?.1));
    }
    if let Some(slot) = schema::slot(&items) {
        return Some(format!("For example:\n  [[{name}]]\n  {}", simplest(slot)?.1));
    }
    if let Some(slot) = schema::slot(&named) {
        let (card, example) = simplest(slot)?;
        return Some(format!("For example:\n  [{name}.{}]\n  {example}", card.kind));
    }
    if !units.is_empty() {
        return Some(super::values::give_a_unit("…", &units));
    }
    let (required, choices) = (schema::required(wanted), schema::choices(wanted));
    match (required.is_empty(), choices.is_empty()) {
        (false, _) => Some(format!("It needs {}.", listed(required))),
        (_, false) => Some(format!("One of {}.", listed(choices))),
        _ => None,
    }
}

/// The plugin of a slot with the fewest options, and how a recipe chooses it.
fn simplest(slot: &str) -> Option<(Card, String)> {
    let of_slot = cards().into_iter().filter(|card| card.slot == slot);
    let needed = |card: &Card| -> Vec<String> {
        card.options().into_iter().filter(|option| option.required).map(|option| option.name).collect()
    };
    let card = of_slot.min_by_key(|card| (needed(card).len(), card.options().len(), card.kind))?;
    let mut example = format!("kind = \"{}\"", card.kind);
    for name in needed(&card) {
        example.push_str(&format!("\n  {name} = {}", card.example[&name]));
    }
    Some((card, example))
}
