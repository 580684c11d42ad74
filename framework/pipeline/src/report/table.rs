//! The table that a run ends with, in Markdown that reads well on a terminal.

use std::fmt::Write as _;

use serde_json::Value;

use super::published::PUBLISHED;
use super::results::{Results, first_digits};
use super::{ledger, numbers, quality, scores};
use crate::stages::corpus::Summary as CorpusSummary;
use crate::sweep::{Outcome, SweepResults};

/// Characters of a sample that are shown.
const SAMPLE_CHARS: usize = 320;

/// The report as Markdown: scores, ledger, verdict, quality, samples.
pub fn markdown(results: &Results) -> String {
    let mut text = format!("# {} (plan {})\n\n", results.recipe, results.short_plan());
    if !results.description.is_empty() {
        let _ = writeln!(text, "{}\n", results.description.trim());
    }
    scores(results, &mut text);
    ledger(results, &mut text);
    quality(results, &mut text);
    samples(results, &mut text);
    text
}

/// The report of a sweep: for every metric, a row per point.
pub fn sweep(results: &SweepResults) -> String {
    let mut text = format!("# {} (sweep {})\n", results.recipe, first_digits(&results.sweep));
    let finished = || {
        results.points.iter().filter_map(|point| match &point.outcome {
            Outcome::Finished(findings) => Some(findings.as_ref()),
            Outcome::Failed(_) => None,
        })
    };
    let axes: Vec<&String> =
        results.points.first().map(|point| point.values.0.keys().collect()).unwrap_or_default();
    let mut arms: Vec<&String> = Vec::new();
    let mut metrics: Vec<&str> = Vec::new();
    for findings in finished() {
        for arm in findings.arm_order.iter().filter(|arm| findings.arms.contains_key(*arm)) {
            if !arms.contains(&arm) {
                arms.push(arm);
            }
        }
        for comparison in &findings.comparisons {
            if !metrics.contains(&comparison.metric.as_str()) {
                metrics.push(&comparison.metric);
            }
        }
    }
    for metric in metrics {
        let _ = writeln!(text, "\n## {metric}\n");
        let mut header: Vec<String> = axes.iter().map(|axis| (*axis).clone()).collect();
        header.extend(arms.iter().map(|arm| (*arm).clone()));
        header.extend(["oracle's gain recovered [95%]", "compute match"].map(str::to_owned));
        let mut rows = vec![header];
        for point in &results.points {
            let mut row: Vec<String> =
                axes.iter().map(|axis| point.values.0.get(*axis).map(people).unwrap_or_default()).collect();
            match &point.outcome {
                Outcome::Finished(findings) => {
                    row.extend(arms.iter().map(|arm| {
                        let value = findings.arms.get(*arm).and_then(|metrics| metrics.get(metric));
                        value.map_or_else(String::new, |value| numbers::with_error(value.mean, value.stderr))
                    }));
                    let shares: Vec<String> = findings
                        .comparisons
                        .iter()
                        .filter(|one| one.metric == metric && one.oracle.as_ref() != Some(&one.arm))
                        .map(|one| format!("{} {}", one.arm, scores::recovered(one).text()))
                        .collect();
                    row.push(shares.join("; "));
                    row.push(
                        if findings.compute_match.matched { "MATCHED" } else { "NOT MATCHED" }.to_owned(),
                    );
                }
                Outcome::Failed(_) => {
                    row.extend(arms.iter().map(|_| String::new()));
                    row.extend([String::new(), "failed".to_owned()]);
                }
            }
            rows.push(row);
        }
        table(&rows, &mut text);
    }
    text.push_str("\n## Points\n\n");
    for point in &results.points {
        let _ = match &point.outcome {
            Outcome::Finished(_) => writeln!(text, "- {}: {}", point.values, point.run_dir.display()),
            Outcome::Failed(reason) => writeln!(text, "- {}: failed: {reason}", point.values),
        };
    }
    text
}

/// A value as it stands in a cell.
fn people(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn scores(results: &Results, text: &mut String) {
    if let Some(reason) = scores::not_comparable(results) {
        let _ = writeln!(text, "**NOT COMPARABLE**: {reason}\n");
    }
    table(&scores::table(results), text);
    let _ = writeln!(text, "\n{}\n", scores::note(results));
}

fn ledger(results: &Results, text: &mut String) {
    text.push_str("## Ledger\n\nTokens, by what they were processed for:\n\n");
    table(&ledger::tokens(results), text);
    text.push_str("\nFLOPs; end to end is all but evaluation:\n\n");
    table(&ledger::flops(results), text);
    let _ = writeln!(text, "\n{}\n{}\n", ledger::verdict(results), ledger::other_reading(results));
    if let Some(left_out) = left_out(results) {
        let _ = writeln!(text, "{left_out}\n");
    }
}

/// What of the corpus was not used, if anything.
pub(crate) fn left_out(results: &Results) -> Option<String> {
    serde_json::from_value::<CorpusSummary>(results.corpus.clone()).ok()?.left_out()
}

fn quality(results: &Results, text: &mut String) {
    if let Some(figures) = quality::figures(results) {
        text.push_str("## Pairs and synthetic documents\n\n");
        table(&figures, text);
        text.push('\n');
    }
    if let Some(texts) = quality::beside_published(results) {
        text.push_str("## Quality, beside the published figures\n\n");
        table(&texts, text);
        let _ = writeln!(text, "\npublished: {}, {}\n", PUBLISHED.study, PUBLISHED.version);
    }
}

fn samples(results: &Results, text: &mut String) {
    if results.samples.is_empty() {
        return;
    }
    text.push_str("## Synthetic documents beside their seeds\n\n");
    for (index, sample) in results.samples.iter().enumerate() {
        let _ = writeln!(text, "{}. seed:      {}", index + 1, shorten(&sample.seed));
        let _ = writeln!(text, "   synthetic: {}\n", shorten(&sample.synthetic));
    }
}

fn shorten(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(SAMPLE_CHARS) {
        Some((end, _)) => format!("{} …", &line[..end]),
        None => line,
    }
}

/// A Markdown table with padded columns; the first row is the header.
pub(crate) fn table(rows: &[Vec<String>], text: &mut String) {
    let columns = rows.first().map_or(0, Vec::len);
    let on_a_line = |cell: &String| cell.replace('|', "\\|").replace(['\r', '\n'], " ");
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(on_a_line).collect()).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for (index, row) in rows.iter().enumerate() {
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(text, "| {cell:<width$} ");
        }
        text.push_str("|\n");
        if index == 0 {
            for width in &widths {
                let _ = write!(text, "|{}", "-".repeat(width + 2));
            }
            text.push_str("|\n");
        }
    }
}
