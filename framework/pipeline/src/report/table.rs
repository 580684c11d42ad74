//! The table that a run ends with, in Markdown that reads well on a terminal.

use std::fmt::Write as _;

use serde_json::Value;

use super::compare::Comparison;
use super::results::Results;
use crate::stages::corpus::Summary as CorpusSummary;
use crate::sweep::{Outcome, SweepResults};

/// Characters of a sample that are shown.
const SAMPLE_CHARS: usize = 320;

/// The report as Markdown: scores, ledger, verdict, quality, samples.
pub fn markdown(results: &Results) -> String {
    let mut text = format!("# {} (plan {})\n\n", results.recipe, &results.plan[..8]);
    scores(results, &mut text);
    ledger(results, &mut text);
    quality(results, &mut text);
    samples(results, &mut text);
    text
}

/// The report of a sweep: for every metric, a row per point.
pub fn sweep(results: &SweepResults) -> String {
    let mut text = format!("# {} (sweep {})\n", results.recipe, &results.sweep[..8]);
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
            let mut row: Vec<String> = axes.iter().map(|axis| people(&point.values.0[*axis])).collect();
            match &point.outcome {
                Outcome::Finished(findings) => {
                    row.extend(arms.iter().map(|arm| {
                        let value = findings.arms.get(*arm).and_then(|metrics| metrics.get(metric));
                        value.map_or_else(String::new, |value| {
                            format!("{:.4} ± {:.4}", value.mean, value.stderr)
                        })
                    }));
                    let shares: Vec<String> = findings
                        .comparisons
                        .iter()
                        .filter(|one| one.metric == metric && one.oracle.as_ref() != Some(&one.arm))
                        .map(|one| format!("{} {}", one.arm, recovered(one)))
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
    let mut rows = vec![vec![
        "metric".to_owned(),
        "arm".to_owned(),
        "value ± s.e.".to_owned(),
        "difference [95%]".to_owned(),
        "oracle's gain recovered [95%]".to_owned(),
    ]];
    let metrics: Vec<&String> = results
        .arm_order
        .first()
        .and_then(|arm| results.arms.get(arm))
        .map(|arm| arm.metrics.keys().filter(|metric| is_compared(results, metric)).collect())
        .unwrap_or_default();
    for metric in metrics {
        for (index, arm) in results.arm_order.iter().enumerate() {
            let Some(value) = results.arms[arm].metrics.get(metric) else { continue };
            let comparison = results.comparisons.iter().find(|c| c.metric == *metric && c.arm == *arm);
            let better = if comparison_of(results, metric).is_some_and(|c| c.higher_is_better) {
                "↑"
            } else {
                "↓"
            };
            rows.push(vec![
                if index == 0 { format!("{metric} {better}") } else { String::new() },
                arm.clone(),
                format!("{:.4} ± {:.4}", value.mean, value.stderr),
                comparison.map_or_else(|| "(baseline)".to_owned(), difference),
                comparison.map_or_else(String::new, recovered),
            ]);
        }
    }
    table(&rows, text);
    let seeds = results.arms.values().next().map_or(0, |arm| arm.seeds.len());
    let _ = writeln!(
        text,
        "\n{} {}. Differences and intervals are paired over the same documents and questions; a share is given only where the oracle's own gain is clear of zero.\n",
        seeds,
        if seeds == 1 { "seed, so nothing here speaks of variation between seeds" } else { "seeds" },
    );
}

/// A recipe may list the metrics it compares on; the table keeps to them.
fn is_compared(results: &Results, metric: &str) -> bool {
    results.comparisons.is_empty() || comparison_of(results, metric).is_some()
}

fn comparison_of<'r>(results: &'r Results, metric: &str) -> Option<&'r Comparison> {
    results.comparisons.iter().find(|comparison| comparison.metric == metric)
}

fn difference(comparison: &Comparison) -> String {
    format!("{:+.4} [{:+.4}, {:+.4}]", comparison.delta, comparison.ci95[0], comparison.ci95[1])
}

fn recovered(comparison: &Comparison) -> String {
    if comparison.oracle.as_deref() == Some(comparison.arm.as_str()) {
        return "(oracle)".to_owned();
    }
    match (comparison.recovered, comparison.recovered_ci95) {
        (Some(share), Some([low, high])) => {
            format!("{:.0}% [{:.0}%, {:.0}%]", 100.0 * share, 100.0 * low, 100.0 * high)
        }
        _ => "not estimable".to_owned(),
    }
}

fn ledger(results: &Results, text: &mut String) {
    text.push_str("## Ledger\n\n");
    let causes = ["train", "base", "embed", "tune", "generate", "evaluate"];
    let mut header = vec!["arm".to_owned(), "trained on".to_owned()];
    header.extend(causes.iter().map(|cause| format!("{cause} tokens")));
    header.extend(["train FLOPs".to_owned(), "end-to-end FLOPs".to_owned()]);
    let mut rows = vec![header];
    for arm in &results.arm_order {
        let sources: Vec<String> = results.arms[arm]
            .sources
            .iter()
            .map(|source| {
                format!(
                    "{} x {:.2}",
                    source["source"].as_str().unwrap_or_default(),
                    source["passes"].as_f64().unwrap_or(0.0)
                )
            })
            .collect();
        let mut row = vec![arm.clone(), sources.join(" + ")];
        let entry = |cause: &str| results.ledger[arm].get(cause).copied().unwrap_or_default();
        row.extend(causes.iter().map(|cause| entry(cause).tokens.to_string()));
        row.push(format!("{:.3e}", entry("train").flops as f64));
        let total: u64 =
            causes.iter().filter(|cause| **cause != "evaluate").map(|cause| entry(cause).flops).sum();
        row.push(format!("{:.3e}", total as f64));
        rows.push(row);
    }
    table(&rows, text);
    let verdict = &results.compute_match;
    let _ = writeln!(
        text,
        "\ncompute match: {} on {} (greatest difference {:.4}%, allowed {:.4}%)\n",
        if verdict.matched { "MATCHED" } else { "NOT MATCHED: the arms are not comparable" },
        verdict.mode.name(),
        100.0 * verdict.residual,
        100.0 * verdict.tolerance,
    );
    let left_out = serde_json::from_value::<CorpusSummary>(results.corpus.clone()).ok();
    if let Some(left_out) = left_out.and_then(|summary| summary.left_out()) {
        let _ = writeln!(text, "{left_out}\n");
    }
}

fn quality(results: &Results, text: &mut String) {
    if results.quality.is_empty() {
        return;
    }
    text.push_str("## Pairs and synthetic documents\n\n");
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
    let count =
        |pointer: &'static str| move |value: &Value| number(pointer)(value).map(|n| format!("{n:.0}"));
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
    table(&rows, text);
    text.push('\n');
    if let Some(first) = results.quality.values().next() {
        published(&first["synthetic"], text);
    }
}

/// The figures of the first seed beside the published ones (arXiv 2509.15248, table of synthetic-data quality, as reading notes
/// give it; its judge, sample sizes and thresholds are not known).
fn published(quality: &Value, text: &mut String) {
    let share = |pointer: &str| {
        quality
            .pointer(pointer)
            .and_then(Value::as_f64)
            .map_or_else(String::new, |n| format!("{:.1}%", 100.0 * n))
    };
    let of = |figure: &str| ["as_drawn", "kept", "paired"].map(|set| share(&format!("/{set}/{figure}")));
    let number = |figure: &str, digits: usize| {
        ["as_drawn", "kept", "paired"].map(|set| {
            let value = quality.pointer(&format!("/{set}/{figure}")).and_then(Value::as_f64);
            value.map_or_else(String::new, |n| format!("{n:.digits$}"))
        })
    };
    let n = quality.pointer("/kept/texts").and_then(Value::as_u64).unwrap_or(0);
    let none = String::new;
    let header = [
        "figure",
        "as drawn",
        "kept",
        "targets of pairs",
        "published, 200B",
        "1T 3B",
        "1T 6B",
        "published, real",
    ];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    let mut row = |name: String, own: [String; 3], published: [&str; 4]| {
        rows.push([vec![name], own.to_vec(), published.map(str::to_owned).to_vec()].concat());
    };
    row("repetition".to_owned(), of("repetition"), ["4.3%", "3.9%", "2.6%", "1.8%"]);
    row(format!("duplicate@{n} (published: @1M)"), of("duplicate"), ["0.8%", "0.8%", "0.3%", "0.7%"]);
    let non_factual = [none(), share("/facts/non_factual"), share("/facts/real_non_factual")];
    let judge = quality.pointer("/judged/judge/model").and_then(Value::as_str).unwrap_or("a judge");
    let judged = |figure: &str| [none(), share(&format!("/judged/{figure}")), none()];
    if quality.get("judged").is_some() {
        row(format!("non-factual, by {judge}"), judged("non_factual"), [""; 4]);
        row(format!("irrelevant to the seed, by {judge}"), judged("irrelevant"), [""; 4]);
    }
    row("non-factual (published: by a judge)".to_owned(), non_factual, ["15.1%", "8.7%", "6.5%", "1.8%"]);
    let irrelevant = [none(), share("/relevance/irrelevant"), none()];
    row(
        "irrelevant to the seed (published: by a judge)".to_owned(),
        irrelevant,
        ["25.6%", "7.8%", "6.0%", ""],
    );
    row("copy of the seed".to_owned(), of("seed_copy"), ["0.1%", "0.9%", "0.3%", ""]);
    row("copy of D_pretrain".to_owned(), of("corpus_copy"), [""; 4]);
    row("5-grams that are new".to_owned(), of("novel_ngrams"), [""; 4]);
    row("words that are the seed's (coverage)".to_owned(), of("coverage"), [""; 4]);
    row("mean fragment of the seed, words (density)".to_owned(), number("density", 1), [""; 4]);
    row("mean words".to_owned(), number("mean_words", 0), [""; 4]);
    row("different words".to_owned(), number("vocabulary", 0), [""; 4]);
    text.push_str("## Quality, beside the published figures\n\n");
    table(&rows, text);
    text.push('\n');
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
fn table(rows: &[Vec<String>], text: &mut String) {
    let columns = rows.first().map_or(0, Vec::len);
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
