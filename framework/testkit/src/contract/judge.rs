use sbp_plugin::{Selected, slots};

use super::{build, documents, strange_texts};
use crate::synthetic;

/// Checks that a judge says what it is, and that strange texts bring it to an opinion or an error and never down.
///
/// # Panics
/// When the contract is broken.
pub fn judge(selected: &Selected<slots::Judge>) {
    let kind = selected.kind();
    let mut judge = build(selected);
    let card = judge.card();
    assert!(
        card.as_object().is_some_and(|card| !card.is_empty()),
        "{kind}: it does not say what judges: {card}"
    );
    for seed in documents(2) {
        for text in strange_texts() {
            let _ = judge.judge(&synthetic(&seed, &text), &seed);
        }
    }
    assert_eq!(card, judge.card(), "{kind}: it becomes another judge");
}
