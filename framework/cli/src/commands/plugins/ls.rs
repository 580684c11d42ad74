//! `sbp plugins ls`: every plugin in a line.

use super::{find, json};
use crate::say::say;

pub(super) fn run(slot: Option<&str>, as_json: bool) -> Result<(), String> {
    let wanted = |name: &str| slot.is_none_or(|slot| slot == name);
    let cards =
        find("slot", slot.unwrap_or_default(), |card| wanted(card.slot), |card| card.slot.to_owned())?;
    if as_json {
        say(json(&cards));
        return Ok(());
    }
    let mut last = "";
    for card in &cards {
        if card.slot != last {
            say(format_args!("{}: {}", card.slot, card.slot_summary));
            last = card.slot;
        }
        say(format_args!("  {:<20} {}", card.kind, card.summary()));
    }
    Ok(())
}
