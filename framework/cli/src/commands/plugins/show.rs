//! `sbp plugins show`: a plugin's page of the reference.

use sbp_plugin::reference::Card;

use super::{find, json};
use crate::say::say;

pub(super) fn run(asked: &str, as_json: bool) -> Result<(), String> {
    let (slot, kind) = match asked.split_once('/') {
        Some((slot, kind)) => (Some(slot), kind),
        None => (None, asked),
    };
    let wanted = |card: &Card| card.kind == kind && slot.is_none_or(|slot| slot == card.slot);
    let name = |card: &Card| match slot {
        Some(_) => format!("{}/{}", card.slot, card.kind),
        None => card.kind.to_owned(),
    };
    let cards = find("plugin", asked, wanted, name)?;
    say(if as_json { json(&cards) } else { cards.iter().map(page).collect::<Vec<_>>().join("\n") });
    Ok(())
}

fn page(card: &Card) -> String {
    let mut text = format!(
        "{}/{} (version {})\n\n{}\n\ncost: {}\n",
        card.slot,
        card.kind,
        card.version,
        card.description(),
        card.cost()
    );
    let options = card.options();
    if !options.is_empty() {
        text.push_str("\noptions\n");
    }
    for option in options {
        let default = match &option.default {
            Some(default) => format!("default {default}"),
            None => option.no_default().to_owned(),
        };
        text.push_str(&format!(
            "  {:<24} {} ({}, {default})\n",
            option.name,
            option.description,
            option.range()
        ));
    }
    let example: String = card.example_toml().lines().map(|line| format!("  {line}\n")).collect();
    format!("{text}\nexample\n{example}")
}
