//! `sbp plugins`: what a recipe can choose, from the same structs that do the work.

use sbp_plugin::reference::{Card, cards};

use crate::args::{PluginsArgs, PluginsVerb};
use crate::exit::{Done, Failure};
use crate::say::say;

/// Prints the list or one plugin.
pub(crate) fn run(args: &PluginsArgs) -> Result<Done, Failure> {
    let cards = cards();
    match &args.verb {
        PluginsVerb::Ls { slot } => {
            let wanted = |card: &&Card| slot.as_ref().is_none_or(|slot| slot == card.slot);
            let mut chosen = cards.iter().filter(wanted).peekable();
            if chosen.peek().is_none() {
                let mut slots: Vec<_> = cards.iter().map(|card| card.slot).collect();
                slots.dedup();
                return Err(Failure::Other(format!(
                    "there is no such slot; the slots are {}",
                    slots.join(", ")
                )));
            }
            let mut last = "";
            for card in chosen {
                if card.slot != last {
                    say(format_args!("{}: {}", card.slot, card.slot_summary));
                    last = card.slot;
                }
                say(format_args!("  {:<20} {}", card.kind, card.summary()));
            }
        }
        PluginsVerb::Show { kind } => {
            let found: Vec<_> = cards.iter().filter(|card| card.kind == kind).collect();
            if found.is_empty() {
                return Err(Failure::Other(format!("no plugin is called \"{kind}\"; see `sbp plugins ls`")));
            }
            for card in found {
                say(page(card));
            }
        }
    }
    Ok(Done::Fully)
}

fn page(card: &Card) -> String {
    let mut text =
        format!("{} (a {}, version {})\n\n{}\n\n", card.kind, card.slot, card.version, card.description());
    for (name, default, about) in card.options() {
        let default = default.map_or_else(|| "needed".to_owned(), |default| format!("default {default}"));
        text.push_str(&format!("  {name:<24} {about} ({default})\n"));
    }
    let example: String = card.example_toml().lines().map(|line| format!("  {line}\n")).collect();
    format!("{text}\nexample\n{example}")
}
