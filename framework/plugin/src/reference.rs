//! What there is to say about each plugin, from the one struct that is the plugin.
//!
//! `sbp plugins` and the pages in `docs/reference/` are both made from these cards.

use std::fmt::Write as _;

use schemars::SchemaGenerator;
use serde_json::Value;

use crate::registry::{Slot, entries};
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
        cards.extend(entries::<S>().into_iter().map(|entry| Card {
            slot: S::NAME,
            slot_summary: S::SUMMARY,
            kind: entry.kind,
            version: entry.version,
            schema: (entry.schema)(&mut SchemaGenerator::default()).to_value(),
            example: (entry.example)(),
        }));
    }
    let mut cards = Vec::new();
    of::<slots::Corpus>(&mut cards);
    of::<slots::Embedder>(&mut cards);
    of::<slots::Retriever>(&mut cards);
    of::<slots::PairFilter>(&mut cards);
    of::<slots::Objective>(&mut cards);
    of::<slots::Synthesizer>(&mut cards);
    of::<slots::DocumentFilter>(&mut cards);
    of::<slots::Mixer>(&mut cards);
    of::<slots::Arm>(&mut cards);
    of::<slots::Schedule>(&mut cards);
    of::<slots::Evaluator>(&mut cards);
    of::<slots::Tracker>(&mut cards);
    cards
}

impl Card {
    /// Everything the plugin's doc comment says.
    pub fn description(&self) -> &str {
        self.schema["description"].as_str().unwrap_or_default()
    }

    /// The first paragraph of the description, on one line.
    pub fn summary(&self) -> String {
        self.description().split("\n\n").next().unwrap_or_default().replace('\n', " ")
    }

    /// The options: name, default as JSON if there is one, description on one line.
    pub fn options(&self) -> Vec<(&str, Option<String>, String)> {
        let required: Vec<&str> =
            self.schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let properties = self.schema["properties"].as_object().into_iter().flatten();
        properties
            .map(|(name, property)| {
                let default = match property.get("default") {
                    Some(Value::Null) => Some("none".to_owned()),
                    Some(value) => Some(value.to_string()),
                    None if required.contains(&name.as_str()) => None,
                    None => Some("none".to_owned()),
                };
                let about = property["description"].as_str().unwrap_or_default().replace('\n', " ");
                (name.as_str(), default, about)
            })
            .collect()
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

    /// A section of a reference page, in Markdown.
    pub fn markdown(&self) -> String {
        let mut text = format!("## `{}`\n\n{}\n\n", self.kind, self.description());
        if !self.options().is_empty() {
            text.push_str("| option | default | meaning |\n|---|---|---|\n");
            for (name, default, about) in self.options() {
                let default = default.map_or_else(|| "(needed)".to_owned(), |default| format!("`{default}`"));
                let _ = writeln!(text, "| `{name}` | {default} | {} |", about.replace('|', "\\|"));
            }
            text.push('\n');
        }
        let _ = writeln!(text, "```toml\n{}```\n\nVersion {}.\n", self.example_toml(), self.version);
        text
    }
}
