use sbp_core::{Document, Pair, SyntheticDocument};
use sbp_plugin::slots::pair_filter::Verdict;
use sbp_plugin::{Selected, slots};

use super::{build, documents, is_snake_case, strange_texts};
use crate::synthetic;

/// Checks that verdicts are stable, prepared or not, and give reasons, on ordinary and strange texts.
///
/// # Panics
/// When the contract is broken.
pub fn pair_filter(selected: &Selected<slots::PairFilter>) {
    let (filter, mut again) = (build(selected), build(selected));
    let pairs = pairs();
    let documents: Vec<Document> = pairs.iter().map(|(seed, _)| seed.clone()).collect();
    again.prepare(&documents);
    for (seed, target) in pairs {
        for similarity in [-1.0, 0.0, 0.5, 1.0, f32::NAN] {
            let pair = Pair { seed: seed.id, target: target.id, similarity, rank: 3 };
            let verdict = filter.judge(&pair, &seed, &target);
            check(selected.kind(), &verdict, &again.judge(&pair, &seed, &target));
        }
    }
}

/// Checks that verdicts are stable and give reasons, on ordinary and strange texts.
///
/// # Panics
/// When the contract is broken.
pub fn document_filter(selected: &Selected<slots::DocumentFilter>) {
    let (filter, again) = (build(selected), build(selected));
    for (seed, target) in pairs() {
        for finished in [true, false] {
            let document = SyntheticDocument { finished, ..synthetic(&seed, &target.text) };
            let verdict = filter.judge(&document, &seed);
            check(selected.kind(), &verdict, &again.judge(&document, &seed));
        }
    }
}

fn check(kind: &str, verdict: &Verdict, again: &Verdict) {
    assert_eq!(verdict, again, "{kind}: judging twice gives two verdicts");
    if let Verdict::Drop(reason) = verdict {
        assert!(is_snake_case(reason), "{kind}: the reason {reason:?} is not snake_case");
    }
}

fn pairs() -> Vec<(Document, Document)> {
    let mut all = documents(6);
    all.extend(strange_texts().iter().map(|text| Document::new(text, text)));
    all.iter().flat_map(|seed| all.iter().map(|target| (seed.clone(), target.clone()))).collect()
}
