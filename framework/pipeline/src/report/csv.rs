//! The scores as CSV, for spreadsheets and data frames: a row for each metric and arm, numbers in full.

use super::compare::Comparison;
use super::results::Results;
use super::scores::{self, Row};

/// Its columns.
const COLUMNS: [&str; 21] = [
    "metric",
    "higher_is_better",
    "arm",
    "mean",
    "stderr",
    "num_seeds",
    "num_units",
    "baseline",
    "delta",
    "delta_low",
    "delta_high",
    "delta_stderr",
    "p",
    "p_holm",
    "detectable",
    "oracle_delta",
    "recovered",
    "recovered_low",
    "recovered_high",
    "estimable",
    "comparable",
];

/// The whole file. A field is empty where there is nothing to say.
pub(crate) fn csv(results: &Results) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let rows = scores::rows(results).iter().map(fields).collect::<Vec<_>>();
    let mut records = std::iter::once(COLUMNS.map(str::to_owned)).chain(rows);
    let written = records.try_for_each(|record| writer.write_record(record));
    written.expect("every record has as many fields, and memory takes them");
    let bytes = writer.into_inner().expect("memory takes them");
    String::from_utf8(bytes).expect("fields are text")
}

fn fields(row: &Row<'_>) -> [String; COLUMNS.len()] {
    let of =
        |field: &dyn Fn(&Comparison) -> Option<String>| row.comparison.and_then(field).unwrap_or_default();
    let value = |field: &dyn Fn(&Comparison) -> f64| of(&|found| finite(field(found)));
    let part = |field: &dyn Fn(&Comparison) -> Option<f64>| of(&|found| finite(field(found)?));
    [
        row.metric.to_owned(),
        row.higher_is_better.map(|is_better| is_better.to_string()).unwrap_or_default(),
        row.arm.to_owned(),
        finite(row.value.mean).unwrap_or_default(),
        finite(row.value.stderr).unwrap_or_default(),
        row.value.n.to_string(),
        of(&|found| Some(found.num_units.to_string())),
        of(&|found| Some(found.baseline.clone())),
        value(&|found| found.delta),
        value(&|found| found.ci95[0]),
        value(&|found| found.ci95[1]),
        value(&|found| found.stderr),
        value(&|found| found.p),
        value(&|found| found.p_holm),
        value(&|found| found.detectable),
        part(&|found| found.oracle_delta),
        part(&|found| found.recovered),
        part(&|found| found.recovered_ci95.map(|[low, _]| low)),
        part(&|found| found.recovered_ci95.map(|[_, high]| high)),
        of(&|found| Some(found.estimable.to_string())),
        of(&|found| Some(found.comparable.to_string())),
    ]
}

/// A number in full; nothing where it is none.
fn finite(number: f64) -> Option<String> {
    number.is_finite().then(|| number.to_string())
}
