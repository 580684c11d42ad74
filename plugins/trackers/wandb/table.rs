//! Tables of a report as W&B shows them: a file of columns and rows, and a value that points to it.

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

/// A table as a file below the run's `files/`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TableFile {
    /// Below `files/`.
    pub(super) path: String,
    pub(super) content: Vec<u8>,
    /// What a history or a summary has in its place.
    pub(super) value: Value,
}

/// A table out of objects that have the same fields: one row each, one column a field. None without rows.
pub(super) fn of_objects(name: &str, objects: &[Value]) -> Option<TableFile> {
    let first = objects.first()?.as_object()?;
    let columns: Vec<&str> = first.keys().map(String::as_str).collect();
    let row = |object: &Value| columns.iter().map(|column| cell(&object[*column])).collect::<Vec<_>>();
    let rows: Vec<Vec<Value>> = objects.iter().map(row).collect();
    let content = json!({"columns": columns, "data": rows}).to_string().into_bytes();
    let hash: String = Sha256::digest(&content).iter().map(|byte| format!("{byte:02x}")).collect();
    let path = format!("media/table/{name}_{}.table.json", &hash[..20]);
    let value = json!({
        "_type": "table-file",
        "path": path,
        "sha256": hash,
        "size": content.len(),
        "ncols": columns.len(),
        "nrows": rows.len(),
    });
    Some(TableFile { path, content, value })
}

/// What W&B can show in a cell: lists and objects as text.
fn cell(value: &Value) -> Value {
    if value.is_array() || value.is_object() { value.to_string().into() } else { value.clone() }
}

/// The metrics of every arm in `results.json`, a row each.
pub(super) fn metric_rows(results: &Value) -> Vec<Value> {
    each_metric(results)
        .map(|(arm, metric, figures)| {
            let mut row = Map::new();
            row.insert("arm".to_owned(), arm.into());
            row.insert("metric".to_owned(), metric.into());
            for figure in ["mean", "stderr", "n"] {
                row.insert(figure.to_owned(), figures[figure].clone());
            }
            Value::Object(row)
        })
        .collect()
}

/// The figures of a report by name: `<arm>/<metric>`, and `recovered/<arm>/<metric>` where that can be estimated.
pub(super) fn summary(results: &Value) -> Vec<(String, Value)> {
    let mut figures: Vec<(String, Value)> = each_metric(results)
        .map(|(arm, metric, figures)| (format!("{arm}/{metric}"), figures["mean"].clone()))
        .collect();
    for comparison in results["comparisons"].as_array().into_iter().flatten() {
        if let (Some(arm), Some(metric), Some(true)) =
            (comparison["arm"].as_str(), comparison["metric"].as_str(), comparison["estimable"].as_bool())
        {
            figures.push((format!("recovered/{arm}/{metric}"), comparison["recovered"].clone()));
        }
    }
    if let Some(matched) = results["compute_match"]["matched"].as_bool() {
        figures.push(("compute_matched".to_owned(), matched.into()));
    }
    figures
}

fn each_metric(results: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
    let arms = results["arms"].as_object().into_iter().flatten();
    arms.flat_map(|(arm, of_arm)| {
        let metrics = of_arm["metrics"].as_object().into_iter().flatten();
        metrics.map(move |(metric, figures)| (arm.as_str(), metric.as_str(), figures))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_a_file_and_a_value_that_points_to_it() {
        let results = json!({
            "arms": {"sbp": {"metrics": {"val/heldout/bpb": {"mean": 1.5, "stderr": 0.1, "n": 2}}}},
            "comparisons": [
                {"arm": "sbp", "metric": "val/heldout/bpb", "ci95": [-1, 1], "estimable": true, "recovered": 0.4},
                {"arm": "sbp", "metric": "eval/qa/accuracy", "ci95": [-1, 1], "estimable": false, "recovered": 9.0},
            ],
            "compute_match": {"matched": true},
        });
        let table = of_objects("results", &metric_rows(&results)).unwrap();
        let content: Value = serde_json::from_slice(&table.content).unwrap();
        let row = content["columns"].as_array().unwrap().iter().zip(content["data"][0].as_array().unwrap());
        let row: Map<String, Value> =
            row.map(|(column, cell)| (column.as_str().unwrap().to_owned(), cell.clone())).collect();
        let expected = json!({"arm": "sbp", "metric": "val/heldout/bpb", "mean": 1.5, "stderr": 0.1, "n": 2});
        assert_eq!(Value::Object(row), expected);
        assert_eq!((&table.value["nrows"], &table.value["ncols"]), (&json!(1), &json!(5)));
        assert_eq!(table.value["path"], table.path);

        let comparisons = of_objects("comparisons", results["comparisons"].as_array().unwrap()).unwrap();
        assert!(String::from_utf8(comparisons.content).unwrap().contains(r#""[-1,1]""#));
        assert_eq!(
            summary(&results),
            [
                ("sbp/val/heldout/bpb".to_owned(), json!(1.5)),
                ("recovered/sbp/val/heldout/bpb".to_owned(), json!(0.4)),
                ("compute_matched".to_owned(), json!(true)),
            ]
        );
        assert_eq!(of_objects("samples", &[]), None);
        assert_eq!(summary(&json!({})), []);
    }
}
