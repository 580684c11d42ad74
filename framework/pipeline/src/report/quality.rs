//! Figures of pairs and of synthetic documents.

use serde_json::Value;

use super::numbers;
use super::published::{self, PUBLISHED};
use super::results::Results;

/// What the stages from pairing to quality counted, a column for each seed; the first row is the header. Nothing without
/// synthetic documents.
pub(crate) fn figures(results: &Results) -> Option<Vec<Vec<String>>> {
    if results.quality.is_empty() {
        return None;
    }
    let mut rows = vec![vec!["figure".to_owned()]];
    rows[0].extend(results.quality.keys().cloned());
    let mut row = |name: &str, of: &dyn Fn(&Value) -> Option<String>| {
        let cells: Vec<Option<String>> = results.quality.values().map(of).collect();
        if cells.iter().any(Option::is_some) {
            let mut row = vec![name.to_owned()];
            row.extend(cells.into_iter().map(Option::unwrap_or_default));
            rows.push(row);
        }
    };
    let number = |pointer: &'static str| move |value: &Value| value.pointer(pointer).and_then(Value::as_f64);
    let count = |pointer: &'static str| {
        move |value: &Value| value.pointer(pointer).and_then(Value::as_u64).map(numbers::count)
    };
    let fine = |pointer: &'static str| move |value: &Value| number(pointer)(value).map(|n| format!("{n:.3}"));
    let share = |pointer: &'static str| {
        move |value: &Value| number(pointer)(value).map(|n| format!("{:.1}%", 100.0 * n))
    };
    let reasons = |pointer: &'static str| {
        move |value: &Value| {
            let dropped = value.pointer(pointer)?.as_object()?;
            let list: Vec<String> =
                dropped.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
            Some(if list.is_empty() { "none".to_owned() } else { list.join(", ") })
        }
    };
    row(
        "nearest neighbors kept by the storage of embeddings (recall, on a sample)",
        &share("/embeddings/recall/share"),
    );
    row("pairs kept", &count("/pairs/kept"));
    row("seed documents with a pair", &count("/pairs/seeds"));
    row("pairs dropped", &reasons("/pairs/dropped"));
    row("true neighbors found (recall, on a sample)", &share("/pairs/recall/share"));
    row("pairs longer than the context", &count("/tuning/too_long"));
    row("draws", &count("/synthetic/drawn"));
    row("draws kept", &count("/synthetic/accepted"));
    row("draws dropped", &reasons("/synthetic/dropped"));
    row("synthetic tokens asked for", &count("/synthetic/tokens_wanted"));
    row("synthetic tokens kept", &count("/synthetic/tokens"));
    row("held-out pairs: nats a token that the seed tells", &fine("/synthetic/pair_information/information"));
    row("the same of a random seed (control)", &fine("/synthetic/pair_information/control"));
    row("similarity to the seed: random document", &fine("/synthetic/relevance/random"));
    row("similarity to the seed: synthetic document", &fine("/synthetic/relevance/synthetic"));
    row("similarity to the seed: its first target", &fine("/synthetic/relevance/paired"));
    row("documents that state a fact", &share("/synthetic/facts/stating"));
    row("of these, non-factual (checked against the world)", &share("/synthetic/facts/non_factual"));
    row("statements that are true", &share("/synthetic/facts/fact_accuracy"));
    row("about the seed's subject", &share("/synthetic/facts/relevance"));
    row("seed's statements restated rightly", &share("/synthetic/facts/carried"));
    row("non-factual real documents (the reader's own error)", &share("/synthetic/facts/real_non_factual"));
    Some(rows)
}

/// Figures of the first seed's texts: as drawn, kept, and the targets of pairs; the first row is the header.
pub(crate) fn texts(results: &Results) -> Option<Vec<Vec<String>>> {
    let quality = &results.quality.values().next()?["synthetic"];
    let n = quality.pointer("/kept/texts").and_then(Value::as_u64).unwrap_or(0);
    let header = ["figure", "as drawn", "kept", "targets of pairs"];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    let mut row = |name: String, cells: [String; 3]| {
        if cells.iter().any(|cell| !cell.is_empty()) {
            rows.push([vec![name], cells.to_vec()].concat());
        }
    };
    let number = |figure: &str, digits: usize| {
        SETS.map(|set| {
            let value = quality.pointer(&format!("/{set}/{figure}")).and_then(Value::as_f64);
            value.map_or_else(String::new, |n| format!("{n:.digits$}"))
        })
    };
    row("repetition".to_owned(), obtained(quality, "repetition"));
    row(format!("duplicate@{n}"), obtained(quality, "duplicate"));
    let judge = quality.pointer("/judged/judge/model").and_then(Value::as_str).unwrap_or("a judge");
    let judged = |figure: &str| [String::new(), share(quality, &format!("/judged/{figure}")), String::new()];
    row(format!("non-factual, by {judge}"), judged("non_factual"));
    row(format!("irrelevant to the seed, by {judge}"), judged("irrelevant"));
    row("non-factual".to_owned(), obtained(quality, "non_factual"));
    row("irrelevant to the seed".to_owned(), obtained(quality, "irrelevant"));
    row("copy of the seed".to_owned(), obtained(quality, "seed_copy"));
    row("copy of D_pretrain".to_owned(), obtained(quality, "corpus_copy"));
    row("5-grams that are new".to_owned(), obtained(quality, "novel_ngrams"));
    row("words that are the seed's (coverage)".to_owned(), obtained(quality, "coverage"));
    row("mean fragment of the seed, words (density)".to_owned(), number("density", 1));
    row("mean words".to_owned(), number("mean_words", 0));
    let words = |set| quality.pointer(&format!("/{set}/vocabulary")).and_then(Value::as_u64);
    row("different words".to_owned(), SETS.map(|set| words(set).map(numbers::count).unwrap_or_default()));
    Some(rows)
}

/// The same with the published figures in columns of their own.
pub(crate) fn beside_published(results: &Results) -> Option<Vec<Vec<String>>> {
    let mut rows = texts(results)?;
    for scale in &PUBLISHED.scales {
        rows[0].push(format!("published, {}", scale.name));
    }
    rows[0].push("published, real".to_owned());
    for row in &mut rows[1..] {
        // `duplicate@264` is what was published as `duplicate@1M`.
        let name = row[0].split('@').next().unwrap_or_default();
        let published = PUBLISHED.quality.iter().find(|it| it.name.split(['@', ',']).next() == Some(name));
        for scale in &PUBLISHED.scales {
            row.push(published::cell(published.and_then(|it| it.at.get(&scale.name))));
        }
        row.push(published::cell(published.and_then(|it| it.real.as_ref())));
    }
    Some(rows)
}

/// The sets of texts that are looked at.
const SETS: [&str; 3] = ["as_drawn", "kept", "paired"];

/// A figure of the three sets of texts, as far as there is one.
pub(crate) fn obtained(quality: &Value, figure: &str) -> [String; 3] {
    match figure {
        "non_factual" => {
            [String::new(), share(quality, "/facts/non_factual"), share(quality, "/facts/real_non_factual")]
        }
        "irrelevant" => [String::new(), share(quality, "/relevance/irrelevant"), String::new()],
        figure => SETS.map(|set| share(quality, &format!("/{set}/{figure}"))),
    }
}

/// A figure of kept texts and of targets of pairs to set beside a published one: a judge's opinion where there is one, since
/// the study asked a judge.
pub(crate) fn beside_judged(quality: &Value, figure: &str) -> [String; 2] {
    let judged = share(quality, &format!("/judged/{figure}"));
    if !judged.is_empty() {
        return [judged, String::new()];
    }
    let [_, kept, paired] = obtained(quality, figure);
    let of = |set: &str| quality.pointer(&format!("/{set}/texts")).and_then(Value::as_u64).unwrap_or(0);
    match figure {
        "duplicate" => [format!("{kept} (@{})", of("kept")), format!("{paired} (@{})", of("paired"))],
        _ => [kept, paired],
    }
}

fn share(quality: &Value, pointer: &str) -> String {
    let value = quality.pointer(pointer).and_then(Value::as_f64);
    value.map_or_else(String::new, |share| format!("{:.1}%", 100.0 * share))
}
