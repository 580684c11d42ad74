//! `sbp plugins`: what a recipe can choose, from the same structs that do the work; and a plugin of one's own.

mod ls;
mod new;
mod show;

use std::collections::HashSet;

use sbp_plugin::reference::{Card, cards};

use crate::args::{PluginsArgs, PluginsVerb};
use crate::exit::{Done, Failure};

/// Lists, shows or begins plugins.
pub(crate) fn run(args: &PluginsArgs) -> Result<Done, Failure> {
    match &args.verb {
        PluginsVerb::Ls { slot, json } => ls::run(slot.as_deref(), *json),
        PluginsVerb::Show { kind, json } => show::run(kind, *json),
        PluginsVerb::New(args) => new::run(args),
    }
    .map(|()| Done::Fully)
    .map_err(Failure::Other)
}

/// The cards that are wanted; where there are none, what `asked` could have meant among `names`.
fn find(
    what: &str,
    asked: &str,
    wanted: impl Fn(&Card) -> bool,
    name: impl Fn(&Card) -> String,
) -> Result<Vec<Card>, String> {
    let cards = cards();
    let found: Vec<Card> = cards.iter().filter(|card| wanted(card)).cloned().collect();
    if found.is_empty() {
        let mut seen = HashSet::new();
        let names: Vec<String> = cards.iter().map(name).filter(|name| seen.insert(name.clone())).collect();
        let help = sbp_recipe::suggest(asked, &names, &format!("the {what}s are"));
        return Err(format!("no {what} is called \"{asked}\"; {help}"));
    }
    Ok(found)
}

/// The cards for programs.
fn json(cards: &[Card]) -> String {
    format!("{:#}", cards.iter().map(Card::json).collect::<serde_json::Value>())
}
