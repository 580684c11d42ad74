//! The tracker slot.

use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use crate::Result;

/// Receives what happens in a run.
///
/// # Contract
/// A tracker cannot fail a run: the pipeline turns its errors into warnings.
pub trait Tracker: Send {
    /// A run begins.
    ///
    /// # Errors
    /// When the tracker's destination cannot be opened; the run goes on without it.
    fn started(&mut self, run: &RunCard<'_>) -> Result<()>;
    /// Metrics at one point of training or evaluation.
    ///
    /// # Errors
    /// When the point cannot be recorded.
    fn metrics(&mut self, point: &MetricPoint<'_>) -> Result<()>;
    /// The run is done; the report as in `results.json`.
    ///
    /// # Errors
    /// When the report cannot be recorded.
    fn finished(&mut self, results: &Value) -> Result<()>;
}

/// What identifies a run.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct RunCard<'a> {
    /// The recipe's name.
    pub recipe: &'a str,
    /// The run's short id.
    pub id: &'a str,
    /// The run's folder.
    pub folder: &'a Path,
    /// The resolved recipe.
    pub resolved: &'a Value,
}

/// Metrics of one stage at one moment; the x-axis is `tokens`.
#[derive(Debug, Clone, Serialize)]
pub struct MetricPoint<'a> {
    /// Stage, such as `train`.
    pub stage: &'a str,
    /// Arm, empty outside arms.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub arm: &'a str,
    /// Seed of the study.
    pub seed: u64,
    /// Optimizer steps done.
    pub step: u64,
    /// Training tokens seen.
    pub tokens: u64,
    /// Metric names (`train/loss`, ...) and values.
    #[serde(flatten, serialize_with = "as_map")]
    pub values: &'a [(&'a str, f64)],
}

fn as_map<S: serde::Serializer>(
    values: &&[(&str, f64)],
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_map(values.iter().copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_one_flat_object() {
        let point = MetricPoint {
            stage: "train",
            arm: "sbp",
            seed: 1,
            step: 2,
            tokens: 3,
            values: &[("train/loss", 4.5)],
        };
        let json = serde_json::to_string(&point).unwrap();
        assert_eq!(json, r#"{"stage":"train","arm":"sbp","seed":1,"step":2,"tokens":3,"train/loss":4.5}"#);
    }
}
