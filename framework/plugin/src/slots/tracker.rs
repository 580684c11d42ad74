//! The tracker slot.

use std::path::Path;

use sbp_core::Fingerprint;
use serde::Serialize;
use serde_json::Value;

use crate::Result;

/// Receives what happens in a run.
///
/// # Contract
/// A tracker cannot fail a run: the pipeline turns its errors into warnings, one for each kind of failure. What a tracker
/// answers with an error it has not recorded; that waits and is offered again, oldest first, before the next.
///
/// Points since the last checkpoint come again when a run is resumed, and the scores of an arm whenever it is reused. A run
/// that is stopped or fails is not `finished`: the tracker is dropped.
pub trait Tracker: Send {
    /// A run begins.
    ///
    /// # Errors
    /// When the tracker's destination cannot be opened; it is asked again with the next stage.
    fn started(&mut self, run: &RunCard<'_>) -> Result<()>;
    /// Metrics at one point of training or evaluation.
    ///
    /// # Errors
    /// When the point cannot be recorded.
    fn metrics(&mut self, point: &MetricPoint<'_>) -> Result<()>;
    /// An artifact of the store is at hand, made or reused. Those it was made from came before it.
    ///
    /// # Errors
    /// When the artifact cannot be recorded.
    fn artifact(&mut self, _artifact: &ArtifactCard) -> Result<()> {
        Ok(())
    }
    /// The run is done; the report as in `results.json`.
    ///
    /// # Errors
    /// When the report cannot be recorded.
    fn finished(&mut self, results: &Value) -> Result<()>;
    /// What the user should know although nothing is lost, such as an upload that stopped. Asked for after every other
    /// call; each message is given once.
    fn warnings(&mut self) -> Vec<String> {
        Vec::new()
    }
}

/// What identifies a run.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct RunCard<'a> {
    /// The recipe's name.
    pub recipe: &'a str,
    /// The run's short id.
    pub id: &'a str,
    /// Identity of the plan, whose first digits are the short id.
    pub plan: &'a Fingerprint,
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
    /// Round of synthesis, from the second on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub round: Option<u32>,
    /// Optimizer steps done.
    pub step: u64,
    /// Training tokens seen.
    pub tokens: u64,
    /// Metric names (`train/loss`, ...) and values.
    #[serde(flatten, serialize_with = "as_map")]
    pub values: &'a [(&'a str, f64)],
}

impl MetricPoint<'_> {
    /// The job that the point belongs to, as the screen names it: `train sbp seed 1`, `tune seed 1 round 2`.
    pub fn job(&self) -> String {
        let arm = if self.arm.is_empty() { String::new() } else { format!(" {}", self.arm) };
        let round = self.round.map(|round| format!(" round {round}")).unwrap_or_default();
        format!("{}{arm} seed {}{round}", self.stage, self.seed)
    }
}

/// An artifact of the store: what it is, and what it was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ArtifactCard {
    /// The stage that leaves such artifacts, which is the name of their folder in the store: `corpus`, `train`.
    pub stage: String,
    /// The job that it came from, as the screen names it: `train sbp seed 1`.
    pub job: String,
    /// Its identity.
    pub fingerprint: Fingerprint,
    /// Artifacts that it was made from.
    pub inputs: Vec<Fingerprint>,
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
            round: None,
            step: 2,
            tokens: 3,
            values: &[("train/loss", 4.5)],
        };
        let json = serde_json::to_string(&point).unwrap();
        assert_eq!(json, r#"{"stage":"train","arm":"sbp","seed":1,"step":2,"tokens":3,"train/loss":4.5}"#);
        assert_eq!(point.job(), "train sbp seed 1");
        assert_eq!(
            MetricPoint { stage: "tune", arm: "", round: Some(2), ..point }.job(),
            "tune seed 1 round 2"
        );
    }
}
