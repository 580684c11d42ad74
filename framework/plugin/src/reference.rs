//! What there is to say about each plugin, from the one struct that is the plugin.
//!
//! `sbp plugins` and the pages in `docs/reference/` are both made from these cards.

use std::fmt::Write as _;

use schemars::SchemaGenerator;
use serde::Serialize;
use serde_json::{Value, json};

use crate::registry::{Entry, Slot, entries};
use crate::slots;

/// One registered plugin, whatever its slot.
#[derive(Debug, Clone)]
pub struct Card {
    /// Name of the slot.
    pub slot: &'static str,
    /// What the slot is for.
    pub slot_summary: &'static str,
    /// Name in recipes.
    pub kind: &'static str,
    /// Version of its results.
    pub version: u32,
    /// JSON Schema of its options.
    pub schema: Value,
    /// Example options.
    pub example: Value,
}

/// A card for every plugin linked into this program, by slot in the order of the method, then by kind.
pub fn cards() -> Vec<Card> {
    fn of<S: Slot>(cards: &mut Vec<Card>) {
        cards.extend(entries::<S>().into_iter().map(Card::of));
    }
    let mut cards = Vec::new();
    of::<slots::Corpus>(&mut cards);
    of::<slots::Embedder>(&mut cards);
    of::<slots::Retriever>(&mut cards);
    of::<slots::PairFilter>(&mut cards);
    of::<slots::Objective>(&mut cards);
    of::<slots::Synthesizer>(&mut cards);
    of::<slots::DocumentFilter>(&mut cards);
    of::<slots::Judge>(&mut cards);
    of::<slots::Mixer>(&mut cards);
    of::<slots::Arm>(&mut cards);
    of::<slots::Optimizer>(&mut cards);
    of::<slots::Schedule>(&mut cards);
    of::<slots::Evaluator>(&mut cards);
    of::<slots::Tracker>(&mut cards);
    cards
}

/// One option of a plugin.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OptionCard {
    /// Name in recipes.
    pub name: String,
    /// What its value is, in words: `integer`, `path`, `list of string`.
    #[serde(rename = "type")]
    pub value: String,
    /// Its default; none when it is needed or is left out by default.
    pub default: Option<Value>,
    /// Whether a recipe must give it.
    pub required: bool,
    /// Its doc comment, on one line.
    pub description: String,
    /// Its least value.
    pub minimum: Option<Value>,
    /// Its greatest value.
    pub maximum: Option<Value>,
    /// What it may be, where that is a short list of words.
    pub choices: Vec<Value>,
}

/// What begins the paragraph of a config's doc comment that says what the plugin costs.
const COST: &str = "Cost: ";

impl Card {
    /// The card of a registered plugin.
    pub fn of<S: Slot>(entry: &Entry<S>) -> Self {
        let mut generator = SchemaGenerator::default();
        let mut schema = (entry.schema)(&mut generator).to_value();
        // What the options refer to.
        schema["$defs"] = Value::Object(generator.take_definitions(true));
        Self {
            slot: S::NAME,
            slot_summary: S::SUMMARY,
            kind: entry.kind,
            version: entry.version,
            schema,
            example: (entry.example)(),
        }
    }

    /// The paragraphs of the config's doc comment.
    fn paragraphs(&self) -> impl Iterator<Item = &str> {
        self.schema["description"].as_str().unwrap_or_default().split("\n\n")
    }

    /// What the plugin's doc comment says of it, its cost left out.
    pub fn description(&self) -> String {
        let paragraphs: Vec<_> = self.paragraphs().filter(|paragraph| !paragraph.starts_with(COST)).collect();
        paragraphs.join("\n\n")
    }

    /// The first paragraph of the description, on one line.
    pub fn summary(&self) -> String {
        self.paragraphs().next().unwrap_or_default().replace('\n', " ")
    }

    /// Time and memory in terms of what it works on, on one line: the paragraph that begins `Cost: `. Empty when
    /// there is none, which breaks the contract.
    pub fn cost(&self) -> String {
        let cost = self.paragraphs().find_map(|paragraph| paragraph.strip_prefix(COST));
        cost.unwrap_or_default().replace('\n', " ")
    }

    /// The options, by name.
    pub fn options(&self) -> Vec<OptionCard> {
        let required = self.schema["required"].as_array();
        let is_required = |name: &str| required.is_some_and(|names| names.iter().any(|it| it == name));
        let properties = self.schema["properties"].as_object().into_iter().flatten();
        properties.map(|(name, property)| self.option(name, property, is_required(name))).collect()
    }

    fn option(&self, name: &str, property: &Value, required: bool) -> OptionCard {
        let schema = self.inner(property);
        OptionCard {
            name: name.to_owned(),
            value: self.type_of(schema),
            default: property.get("default").filter(|default| !default.is_null()).cloned(),
            required,
            description: property["description"].as_str().unwrap_or_default().replace('\n', " "),
            minimum: schema.get("minimum").cloned(),
            maximum: schema.get("maximum").cloned(),
            choices: choices(schema),
        }
    }

    /// A schema without the wrappings of `Option` and of named types.
    fn inner<'s>(&'s self, schema: &'s Value) -> &'s Value {
        if let Some(path) = schema["$ref"].as_str() {
            return self
                .schema
                .pointer(path.trim_start_matches('#'))
                .map_or(schema, |named| self.inner(named));
        }
        let any = schema["anyOf"].as_array();
        let present = any.into_iter().flatten().find(|one| one["type"] != "null");
        present.map_or(schema, |one| self.inner(one))
    }

    fn type_of(&self, schema: &Value) -> String {
        let schema = self.inner(schema);
        if schema["format"] == "path" {
            let or_list = if schema.get("items").is_some() { " or list of path" } else { "" };
            return format!("path{or_list}");
        }
        // `Option` adds "null" to the type.
        let name = match &schema["type"] {
            Value::Array(names) => names.iter().find(|name| *name != "null"),
            name => Some(name),
        };
        match name.and_then(Value::as_str) {
            Some("array") => format!("list of {}", self.type_of(&schema["items"])),
            Some("object") => "table".to_owned(),
            Some(name) => name.to_owned(),
            None => "string".to_owned(),
        }
    }

    /// The example as it would stand in a recipe.
    pub fn example_toml(&self) -> String {
        let mut text = format!("kind = \"{}\"\n", self.kind);
        for (name, value) in
            self.example.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null())
        {
            let _ = writeln!(text, "{name} = {value}");
        }
        text
    }

    /// Everything about the plugin, for programs.
    pub fn json(&self) -> Value {
        json!({
            "slot": self.slot,
            "kind": self.kind,
            "version": self.version,
            "summary": self.summary(),
            "description": self.description(),
            "cost": self.cost(),
            "options": self.options(),
            "example": self.example,
        })
    }

    /// A section of a reference page, in Markdown.
    pub fn markdown(&self) -> String {
        let mut text =
            format!("## `{}`\n\n{}\n\n**Cost:** {}\n\n", self.kind, self.description(), self.cost());
        let options = self.options();
        if !options.is_empty() {
            text.push_str("| option | type | default | meaning |\n|---|---|---|---|\n");
            for option in options {
                let default = match &option.default {
                    Some(default) => format!("`{default}`"),
                    None => option.no_default().to_owned(),
                };
                let about = option.description.replace('|', "\\|");
                let _ = writeln!(text, "| `{}` | {} | {default} | {about} |", option.name, option.range());
            }
            text.push('\n');
        }
        let _ = writeln!(text, "```toml\n{}```\n\nVersion {}.\n", self.example_toml(), self.version);
        text
    }
}

impl OptionCard {
    /// What its value may be, in words: `number from 0.0 to 1.0`.
    pub fn range(&self) -> String {
        let mut text = self.value.clone();
        if !self.choices.is_empty() {
            let choices: Vec<String> = self.choices.iter().map(Value::to_string).collect();
            return format!("one of {}", choices.join(", "));
        }
        if let Some(minimum) = &self.minimum {
            let _ = write!(text, " from {minimum}");
        }
        if let Some(maximum) = &self.maximum {
            let _ = write!(text, " to {maximum}");
        }
        text
    }

    /// What stands where a default would.
    pub fn no_default(&self) -> &'static str {
        if self.required { "needed" } else { "none" }
    }
}

/// The words of an enumeration, whether they have descriptions of their own or not.
fn choices(schema: &Value) -> Vec<Value> {
    let words = schema["enum"].as_array().into_iter().flatten();
    let described = schema["oneOf"].as_array().into_iter().flatten();
    let mut choices: Vec<Value> = words.filter(|word| !word.is_null()).cloned().collect();
    for one in described {
        match one.get("const") {
            Some(word) => choices.push(word.clone()),
            None => choices.extend(one["enum"].as_array().into_iter().flatten().cloned()),
        }
    }
    choices
}

#[cfg(test)]
mod tests {
    use schemars::JsonSchema;

    use super::*;
    use crate::input::RecipePaths;
    use crate::registry::RecipePath;

    /// What it is.
    ///
    /// More of it.
    ///
    /// Cost: n * n
    /// and no more.
    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema is looked at")]
    struct Config {
        /// A share.
        #[schemars(range(min = 0.0, max = 1.0))]
        #[serde(default)]
        share: f64,
        /// A count.
        count: Option<usize>,
        /// A file.
        path: Option<RecipePath>,
        /// A word.
        how: How,
        /// Files.
        paths: Option<RecipePaths>,
        /// Words.
        words: Vec<String>,
    }

    #[derive(JsonSchema)]
    #[serde(rename_all = "snake_case")]
    #[expect(dead_code, reason = "only its schema is looked at")]
    enum How {
        /// Well.
        Well,
        /// Very well.
        VeryWell,
    }

    fn card() -> Card {
        let schema = schemars::schema_for!(Config).to_value();
        Card { slot: "arm", slot_summary: "", kind: "it", version: 1, schema, example: json!({"share": 0.5}) }
    }

    #[test]
    fn the_doc_comment_is_taken_apart() {
        let card = card();
        assert_eq!(card.summary(), "What it is.");
        assert_eq!(card.description(), "What it is.\n\nMore of it.");
        assert_eq!(card.cost(), "n * n and no more.");
    }

    #[test]
    fn options_tell_type_limits_and_choices() {
        let options = card().options();
        let about: Vec<_> =
            options.iter().map(|it| format!("{} {} {}", it.name, it.range(), it.no_default())).collect();
        assert_eq!(
            about,
            [
                "count integer from 0 none",
                "how one of \"well\", \"very_well\" needed",
                "path path none",
                "paths path or list of path none",
                "share number from 0.0 to 1.0 none",
                "words list of string needed",
            ]
        );
        assert_eq!(card().json()["options"][4]["default"], 0.0);
        assert_eq!(card().json()["options"][0]["type"], "integer");
    }
}
