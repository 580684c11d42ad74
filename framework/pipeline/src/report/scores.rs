//! Scores of every arm on every metric, in the order that all formats show them in.

use super::compare::Comparison;
use super::numbers;
use super::results::{Metric, Results};

/// One arm on one metric.
#[derive(Clone, Copy)]
pub(crate) struct Row<'r> {
    pub(crate) metric: &'r str,
    /// Not known where nothing is compared.
    pub(crate) higher_is_better: Option<bool>,
    pub(crate) arm: &'r str,
    pub(crate) value: Metric,
    /// None for the baseline, and where nothing is compared.
    pub(crate) comparison: Option<&'r Comparison>,
}

/// What is to be said of an arm's part of the oracle's gain.
#[derive(Debug, PartialEq)]
pub(crate) enum Recovered {
    /// The baseline's row, or a study without an oracle.
    Nothing,
    /// The oracle's row.
    Oracle,
    /// The arms did not spend the same.
    NotComparable,
    /// The oracle's gain is within noise.
    NotEstimable,
    /// A share and its interval.
    Share(String, String),
}

impl Recovered {
    /// In one cell.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Nothing => String::new(),
            Self::Oracle => "(oracle)".to_owned(),
            Self::NotComparable => "not comparable".to_owned(),
            Self::NotEstimable => "not estimable".to_owned(),
            Self::Share(share, interval) => format!("{share} {interval}").trim_end().to_owned(),
        }
    }
}

impl Row<'_> {
    /// The metric with the direction in which it gets better.
    pub(crate) fn directed(&self) -> String {
        match self.higher_is_better {
            Some(true) => format!("{} ↑", self.metric),
            Some(false) => format!("{} ↓", self.metric),
            None => self.metric.to_owned(),
        }
    }

    /// Whether others are measured against it.
    pub(crate) fn is_baseline(&self) -> bool {
        self.higher_is_better.is_some() && self.comparison.is_none()
    }

    /// The value with its standard error.
    pub(crate) fn value(&self) -> String {
        numbers::with_error(self.value.mean, self.value.stderr)
    }

    /// The difference from the baseline; empty for the baseline.
    pub(crate) fn difference(&self) -> String {
        self.comparison.map_or_else(String::new, |found| numbers::difference(found.delta, found.stderr))
    }

    /// The interval of the difference.
    pub(crate) fn interval(&self) -> String {
        self.comparison.map_or_else(String::new, |found| numbers::interval(found.ci95, found.stderr))
    }

    /// The corrected p-value of the difference.
    pub(crate) fn p_holm(&self) -> String {
        self.comparison.map_or_else(String::new, |found| numbers::p_value(found.p_holm))
    }

    pub(crate) fn recovered(&self) -> Recovered {
        self.comparison.map_or(Recovered::Nothing, recovered)
    }
}

/// What a comparison says of the oracle's gain.
pub(crate) fn recovered(found: &Comparison) -> Recovered {
    match found.oracle.as_deref() {
        None => Recovered::Nothing,
        Some(oracle) if oracle == found.arm => Recovered::Oracle,
        Some(_) if !found.comparable => Recovered::NotComparable,
        Some(_) => match found.recovered.filter(|_| found.estimable) {
            None => Recovered::NotEstimable,
            Some(share) => {
                let (share, interval) = numbers::share(share, found.recovered_ci95);
                Recovered::Share(share, interval)
            }
        },
    }
}

/// All rows, metric by metric, arms in table order.
pub(crate) fn rows(results: &Results) -> Vec<Row<'_>> {
    metrics(results).into_iter().flat_map(|metric| rows_of(results, metric)).collect()
}

/// The rows of one metric.
pub(crate) fn rows_of<'r>(results: &'r Results, metric: &'r str) -> Vec<Row<'r>> {
    let of_metric = || results.comparisons.iter().filter(move |found| found.metric == metric);
    let higher_is_better = of_metric().next().map(|found| found.higher_is_better);
    let arms = results.arm_order.iter();
    arms.filter_map(|arm| {
        let value = *results.arms.get(arm)?.metrics.get(metric)?;
        let comparison = of_metric().find(|found| found.arm == *arm);
        Some(Row { metric, higher_is_better, arm, value, comparison })
    })
    .collect()
}

/// The metrics that arms are compared on, in the recipe's order; all that there are where nothing is compared.
pub(crate) fn metrics(results: &Results) -> Vec<&str> {
    let mut metrics: Vec<&str> = Vec::new();
    for found in &results.comparisons {
        if !metrics.contains(&found.metric.as_str()) {
            metrics.push(&found.metric);
        }
    }
    if metrics.is_empty() {
        let first = results.arm_order.first().and_then(|arm| results.arms.get(arm));
        metrics.extend(first.into_iter().flat_map(|arm| arm.metrics.keys().map(String::as_str)));
    }
    metrics
}

/// The metric with the direction in which it gets better, as far as that is known.
pub(crate) fn directed(results: &Results, metric: &str) -> String {
    rows_of(results, metric).first().map_or_else(|| metric.to_owned(), Row::directed)
}

/// The table of all rows for people; the first row is its header.
pub(crate) fn table(results: &Results) -> Vec<Vec<String>> {
    let header =
        ["metric", "arm", "value ± s.e.", "difference [95%]", "p (Holm)", "oracle's gain recovered [95%]"];
    let mut table = vec![header.map(str::to_owned).to_vec()];
    let mut last = "";
    for row in rows(results) {
        let difference = match row.is_baseline() {
            true => "(baseline)".to_owned(),
            false => format!("{} {}", row.difference(), row.interval()).trim().to_owned(),
        };
        table.push(vec![
            if row.metric == last { String::new() } else { row.directed() },
            row.arm.to_owned(),
            row.value(),
            difference,
            row.p_holm(),
            row.recovered().text(),
        ]);
        last = row.metric;
    }
    table
}

/// What the figures of the table are.
pub(crate) fn note(results: &Results) -> String {
    let seeds = results.arms.values().map(|arm| arm.seeds.len()).max().unwrap_or(0);
    let seeds = match seeds {
        1 => "1 seed, so nothing here speaks of variation between seeds".to_owned(),
        seeds => format!("{seeds} seeds"),
    };
    format!(
        "{seeds}. Differences and intervals are paired over the same documents and questions; p is corrected for their number by Holm's method; a share is given only where the oracle's own gain is clear of zero."
    )
}

/// Why arms must not be compared; none where they may.
pub(crate) fn not_comparable(results: &Results) -> Option<String> {
    let apart: Vec<&Comparison> = results.comparisons.iter().filter(|found| !found.comparable).collect();
    if results.compute_match.matched && apart.is_empty() {
        return None;
    }
    let mut arms: Vec<&str> = Vec::new();
    for found in &apart {
        if !arms.contains(&found.arm.as_str()) {
            arms.push(&found.arm);
        }
    }
    let which = match (arms.as_slice(), apart.first()) {
        ([], _) | (_, None) => "the arms did not spend the same".to_owned(),
        (arms, Some(first)) => {
            format!("{} did not spend what {} did", arms.join(" and "), first.baseline)
        }
    };
    Some(format!(
        "{which}. Matched on {}, the greatest difference is {:.2}% and {:.2}% is allowed, so differences between them may come from the compute.",
        results.compute_match.mode.name(),
        100.0 * results.compute_match.residual,
        100.0 * results.compute_match.tolerance,
    ))
}
