//! The report as one page: no script, nothing fetched, readable in light and in dark.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use serde::Serialize;
use serde_json::Value;

use super::figures::{self, Figure};
use super::ledger;
use super::numbers;
use super::paper::Paper;
use super::plot;
use super::quality;
use super::results::Results;
use super::scores::{self, Recovered, Row};
use super::table;
use crate::stages::quality::Sample;

/// What the template shows. Cells of tables are text; only figures are markup.
#[derive(Serialize)]
struct Page<'r> {
    recipe: &'r str,
    description: &'r str,
    /// The study in figures.
    facts: Vec<(&'static str, String)>,
    not_comparable: Option<String>,
    /// The arms in table order: an arm's place is the number of its colour.
    arms: &'r [String],
    scores: Vec<OfMetric>,
    note: String,
    loss: Vec<Figure>,
    dynamics: Vec<Figure>,
    has_bands: bool,
    similarity: Vec<Figure>,
    quality: Vec<Vec<Vec<String>>>,
    tokens: Vec<Vec<String>>,
    flops: Vec<Vec<String>>,
    verdict: String,
    left_out: Option<String>,
    samples: &'r [Sample],
    paper: Option<&'r Paper>,
    provenance: Vec<(String, String)>,
}

/// The rows of one metric.
#[derive(Serialize)]
struct OfMetric {
    metric: String,
    rows: Vec<OfArm>,
}

/// One arm on it.
#[derive(Serialize)]
struct OfArm {
    arm: String,
    style: usize,
    value: String,
    is_baseline: bool,
    difference: String,
    interval: String,
    strip: Option<String>,
    p_holm: String,
    recovered: String,
    recovered_interval: String,
    /// Whether `recovered` says why there is no share.
    is_reason: bool,
    is_comparable: bool,
}

/// The whole page; the published study is a section of it if it is asked for.
pub(crate) fn html(results: &Results, paper: Option<&Paper>) -> String {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    environment.set_syntax(syntax.expect("the usual tags, with lines of their own"));
    environment.add_filter("typeset", |cell: String| typeset(&cell));
    environment.add_filter("together", |cell: String| together(&cell));
    environment.add_filter("alignments", |rows: Vec<Vec<String>>| alignments(&rows));
    environment
        .add_filter("alignment", |cell: String, of_column: String| alignment(&cell, &of_column).to_owned());
    environment
        .render_str(include_str!("page.html"), Serde(page(results, paper)))
        .expect("the template names what the page has, as a test shows")
}

fn page<'r>(results: &'r Results, paper: Option<&'r Paper>) -> Page<'r> {
    Page {
        recipe: &results.recipe,
        description: results.description.trim(),
        facts: facts(results),
        not_comparable: scores::not_comparable(results),
        arms: &results.arm_order,
        scores: scores::metrics(results).into_iter().map(|metric| of_metric(results, metric)).collect(),
        note: scores::note(results),
        loss: figures::loss(results),
        dynamics: figures::dynamics(results),
        has_bands: results.arms.values().any(|arm| arm.seeds.len() > 1),
        similarity: figures::similarity(results),
        quality: [quality::figures(results), quality::texts(results)].into_iter().flatten().collect(),
        tokens: ledger::tokens(results),
        flops: ledger::flops(results),
        verdict: ledger::sentence(results),
        left_out: table::left_out(results).map(|left_out| ledger::capitalized(&left_out)),
        samples: &results.samples,
        paper,
        provenance: provenance(results),
    }
}

fn facts(results: &Results) -> Vec<(&'static str, String)> {
    let scale = results.scale;
    let seeds = results.arms.values().map(|arm| arm.seeds.len()).max().unwrap_or(0);
    vec![
        ("parameters", numbers::magnitude(scale.parameters)),
        ("unique tokens", numbers::magnitude(scale.unique_tokens)),
        ("training tokens an arm", numbers::magnitude(scale.train_tokens)),
        ("vocabulary", numbers::count(scale.vocabulary as u64)),
        ("context", numbers::count(scale.context as u64)),
        ("seeds", seeds.to_string()),
        ("plan", results.short_plan().to_owned()),
    ]
}

fn of_metric(results: &Results, metric: &str) -> OfMetric {
    let rows = scores::rows_of(results, metric);
    let ends = || rows.iter().filter_map(|row| row.comparison).flat_map(|found| found.ci95);
    let range = [ends().fold(f64::INFINITY, f64::min), ends().fold(f64::NEG_INFINITY, f64::max)];
    let style = |arm: &str| results.arm_order.iter().position(|it| it == arm).unwrap_or(0);
    OfMetric {
        metric: scores::directed(results, metric),
        rows: rows.iter().map(|row| of_arm(row, style(row.arm), range)).collect(),
    }
}

fn of_arm(row: &Row<'_>, style: usize, range: [f64; 2]) -> OfArm {
    let found = row.recovered();
    let is_reason = !matches!(found, Recovered::Share(..));
    let (recovered, recovered_interval) = match found {
        Recovered::Share(share, interval) => (share, interval),
        Recovered::Oracle => ("oracle".to_owned(), String::new()),
        other => (other.text(), String::new()),
    };
    OfArm {
        arm: row.arm.to_owned(),
        style: style % STYLES,
        value: row.value(),
        is_baseline: row.is_baseline(),
        difference: row.difference(),
        interval: row.interval(),
        strip: row.comparison.and_then(|it| plot::interval(it.delta, it.ci95, range, style % STYLES)),
        p_holm: row.p_holm(),
        recovered,
        recovered_interval,
        is_reason,
        is_comparable: row.comparison.is_none_or(|it| it.comparable),
    }
}

/// Colours and dashes that the style sheet knows.
pub(crate) const STYLES: usize = 8;

/// Every circumstance by its path, those of the clock last.
fn provenance(results: &Results) -> Vec<(String, String)> {
    let mut all = vec![("schema_version".to_owned(), results.schema_version.to_string())];
    leaves("", &results.provenance, &mut all);
    leaves("", &results.timing, &mut all);
    all
}

fn leaves(path: &str, value: &Value, found: &mut Vec<(String, String)>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                leaves(&path, value, found);
            }
        }
        Value::Null => {}
        Value::String(text) => found.push((path.to_owned(), text.clone())),
        other => found.push((path.to_owned(), other.to_string())),
    }
}

/// The class of each column of a table: `n` for numbers, which are set to the right, `w` for words. The first names the rows,
/// and a name such as `5-grams` is no number.
fn alignments(rows: &[Vec<String>]) -> Vec<&'static str> {
    let columns = rows.first().map_or(0, Vec::len);
    let body = rows.get(1..).unwrap_or_default();
    let holds_number = |column: usize| {
        let mut cells = body.iter().filter_map(|row| row.get(column)).filter(|cell| !cell.is_empty());
        cells.any(|cell| is_number(cell))
    };
    (0..columns).map(|column| if column > 0 && holds_number(column) { "n" } else { "w" }).collect()
}

/// The class of a cell: that of its column, but `t` for a text among numbers, which may not be as wide as it likes.
fn alignment<'c>(cell: &str, of_column: &'c str) -> &'c str {
    if of_column == "n" && !cell.is_empty() && !is_number(cell) { "t" } else { of_column }
}

/// Whether a cell holds a number.
fn is_number(cell: &str) -> bool {
    let first = cell.trim_start_matches(['+', '-', '<', '[']).chars().next();
    cell == "–" || first.is_some_and(|first| first.is_ascii_digit())
}

/// A number as it is printed: a true minus sign, powers of ten in full.
fn typeset(cell: &str) -> String {
    if let Some((factor, power)) = cell.split_once('e')
        && factor.parse::<f64>().is_ok()
        && power.parse::<i32>().is_ok()
    {
        let power: String = power.chars().map(plot::raised).collect();
        return whole(&format!("{} × 10{power}", typeset(factor)));
    }
    let mut typeset = String::new();
    let mut before = None;
    let mut chars = cell.chars().peekable();
    while let Some(c) = chars.next() {
        let begins_number = before.is_none_or(|before| matches!(before, ' ' | '[' | '('))
            && chars.peek().is_some_and(char::is_ascii_digit);
        typeset.push(if c == '-' && begins_number { '−' } else { c });
        before = Some(c);
    }
    if is_number(cell) { whole(&typeset) } else { together(&typeset) }
}

/// A number on one line, its interval perhaps on the next.
fn whole(number: &str) -> String {
    let spaced = number.replace(' ', &NO_BREAK.to_string());
    match spaced.rsplit_once(&format!("{NO_BREAK}[")) {
        Some((value, interval)) if interval.contains(',') => format!("{value} [{interval}"),
        _ => spaced,
    }
}

/// A text that breaks into lines neither before a number or an arrow nor beside a times sign: in `too_short 27, empty 2` only
/// after the comma.
fn together(text: &str) -> String {
    let mut together = String::new();
    let mut chars = text.chars().peekable();
    let mut before = None;
    while let Some(c) = chars.next() {
        let holds = |next: &char| next.is_ascii_digit() || matches!(next, '×' | '↑' | '↓');
        let is_held = before == Some('×') || (before != Some(',') && chars.peek().is_some_and(holds));
        together.push(if c == ' ' && is_held { NO_BREAK } else { c });
        before = Some(c);
    }
    together
}

/// A space at which no line ends.
const NO_BREAK: char = '\u{a0}';

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_typeset() {
        assert_eq!(typeset("-0.25 [-0.30, -0.20]"), "−0.25 [−0.30,\u{a0}−0.20]");
        assert_eq!(typeset("2.904 ± 0.039"), "2.904\u{a0}±\u{a0}0.039");
        assert_eq!(typeset("68.94 [M+]"), "68.94\u{a0}[M+]");
        assert_eq!(typeset("1.256e10"), "1.256\u{a0}×\u{a0}10¹⁰");
        assert_eq!(typeset("similarity-band"), "similarity-band");
        assert_eq!(typeset("the-1 e5"), "the-1 e5");
    }

    #[test]
    fn a_number_stays_with_what_it_counts() {
        assert_eq!(together("too_short 27, empty 2"), "too_short\u{a0}27, empty\u{a0}2");
        assert_eq!(
            together("pretrain × 2.96 + synthetic × 1.00"),
            "pretrain\u{a0}×\u{a0}2.96 + synthetic\u{a0}×\u{a0}1.00"
        );
        assert_eq!(together("SciQ (0-shot), % ↑"), "SciQ (0-shot), %\u{a0}↑");
        assert_eq!(together("published, 1T, 3B"), "published, 1T, 3B");
    }

    #[test]
    fn a_text_among_numbers_is_told_from_them() {
        assert_eq!(alignment("too_short 27, empty 2", "n"), "t");
        for (cell, of_column) in [("12", "n"), ("", "n"), ("pretrain × 3", "w")] {
            assert_eq!(alignment(cell, of_column), of_column, "{cell}");
        }
    }

    #[test]
    fn numbers_are_told_from_words() {
        for cell in ["–", "12", "50,176", "1.256e10", "-0.25", "42% [31%, 55%]", "47.66 [V]", "<0.001"] {
            assert!(is_number(cell), "{cell}");
        }
        for cell in ["", "none", "too_short 5, empty 2", "repetition", "pretrain × 2.96"] {
            assert!(!is_number(cell), "{cell}");
        }
        let rows = [["figure", "on", "train"], ["5-grams", "pretrain × 3", "12"], ["oracle", "", "–"]];
        assert_eq!(alignments(&rows.map(|row| row.map(str::to_owned).to_vec())), ["w", "w", "n"]);
    }
}
