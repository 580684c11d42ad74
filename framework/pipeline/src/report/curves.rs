//! How a training went: its loss, and what it scored on the way.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::nan;
use crate::stages::dynamics::Measurement;
use crate::store::Artifact;
use crate::{Result, files};

/// Points of a loss curve at most: more than a plot can show.
const POINTS: usize = 200;

/// One training of an arm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Curve {
    /// The seed.
    pub seed: u64,
    /// `train/loss` and `train/lr`: each point stands for a run of steps, with their means and the count at their end.
    pub training: Vec<CurvePoint>,
    /// What the arm scored on its way and at its end; without in-loop evaluation, at its end alone.
    pub evaluations: Vec<CurvePoint>,
}

/// One point of a curve.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CurvePoint {
    /// Optimizer steps done.
    pub step: u64,
    /// Training tokens seen.
    pub tokens: u64,
    /// Model FLOPs of the training.
    pub flops: f64,
    /// Metrics by name.
    #[serde(deserialize_with = "nan::numbers")]
    pub metrics: BTreeMap<String, f64>,
}

/// A line of a training's `metrics.jsonl`, as far as it is read.
#[derive(Deserialize)]
struct Line {
    step: u64,
    tokens: u64,
    #[serde(flatten)]
    values: BTreeMap<String, Value>,
}

impl Curve {
    /// Reads what a training left; `last` is what it scored at its end.
    pub(crate) fn read(training: &Artifact, seed: u64, last: CurvePoint) -> Result<Self> {
        let lines: Vec<Line> = files::read_lines(&training.file("metrics.jsonl"))?;
        let on_the_way: Vec<Measurement> = Measurement::read(training)?;
        let mut evaluations: Vec<CurvePoint> = on_the_way.into_iter().map(|it| it.point).collect();
        evaluations.push(last);
        Ok(Self { seed, training: thinned(&lines), evaluations })
    }
}

/// At most [`POINTS`] points, each the mean over as many steps.
fn thinned(lines: &[Line]) -> Vec<CurvePoint> {
    let together = lines.len().div_ceil(POINTS).max(1);
    let point = |lines: &[Line]| {
        let last = lines.last()?;
        let mean = |name: &str| {
            let values: Vec<f64> = lines.iter().filter_map(|line| line.values.get(name)?.as_f64()).collect();
            (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
        };
        let metrics =
            ["train/loss", "train/lr"].iter().filter_map(|&name| Some((name.to_owned(), mean(name)?)));
        let flops = last.values.get("compute/model_flops").and_then(Value::as_f64).unwrap_or_default();
        Some(CurvePoint { step: last.step, tokens: last.tokens, flops, metrics: metrics.collect() })
    };
    lines.chunks(together).filter_map(point).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_training_is_thinned_to_means() {
        let line = |step: u64| Line {
            step,
            tokens: step * 10,
            values: [("train/loss", step as f64), ("compute/model_flops", step as f64 * 1e3)]
                .map(|(name, value)| (name.to_owned(), value.into()))
                .into(),
        };
        let lines: Vec<Line> = (1..=401).map(line).collect();
        let points = thinned(&lines);
        assert_eq!(points.len(), 134);
        assert_eq!((points[0].step, points[0].tokens, points[0].flops), (3, 30, 3_000.0));
        assert_eq!(points[0].metrics["train/loss"], 2.0);
        assert_eq!(points[133].metrics["train/loss"], 400.5);
        assert_eq!(thinned(&lines[..5]).len(), 5);
        assert!(thinned(&[]).is_empty());
    }
}
