//! One JSON object a point, for programs.

use std::fs::{File, OpenOptions};
use std::io::Write;

use sbp_plugin::prelude::*;
use sbp_plugin::slots::tracker::{MetricPoint, RunCard, Tracker};
use serde_json::Value;

/// Appends every point to `metrics.jsonl` in the run's folder, one JSON object a line.
///
/// A run that is interrupted and goes on writes the points since its last checkpoint again: of lines with the same
/// stage, arm, seed, round and step, the last one counts.
///
/// Cost: one write of about 200 bytes a step.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct JsonlConfig {}

impl Plugin<slots::Tracker> for JsonlConfig {
    const KIND: &'static str = "jsonl";
    fn example() -> Self {
        Self {}
    }
    fn build(&self, _: &BuildContext) -> Result<Box<dyn Tracker>> {
        Ok(Box::new(JsonlTracker { file: None }))
    }
}
register!(slots::Tracker => JsonlConfig);

struct JsonlTracker {
    file: Option<File>,
}

impl Tracker for JsonlTracker {
    fn started(&mut self, run: &RunCard<'_>) -> Result<()> {
        let path = run.folder.join("metrics.jsonl");
        let open = || -> std::io::Result<File> {
            std::fs::create_dir_all(run.folder)?;
            OpenOptions::new().create(true).append(true).open(&path)
        };
        let file = open().map_err(|error| {
            format!("cannot open {}: {error}; make the run's folder writable", path.display())
        })?;
        self.file = Some(file);
        Ok(())
    }

    fn metrics(&mut self, point: &MetricPoint<'_>) -> Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        // In one write, so that a killed run leaves whole lines.
        let mut line = serde_json::to_vec(point)?;
        line.push(b'\n');
        file.write_all(&line)?;
        Ok(())
    }

    fn finished(&mut self, _: &Value) -> Result<()> {
        if let Some(file) = self.file.take() {
            file.sync_all()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_appended_across_runs() {
        let folder = tempfile::tempdir().unwrap();
        let plan = Fingerprint::of_bytes(b"plan");
        let run = RunCard {
            recipe: "r",
            id: plan.short(),
            plan: &plan,
            folder: &folder.path().join("run"),
            resolved: &Value::Null,
        };
        for step in 1..3 {
            let mut tracker = JsonlTracker { file: None };
            tracker.started(&run).unwrap();
            let values = [("train/loss", 0.5)];
            let point = MetricPoint {
                stage: "train",
                arm: "sbp",
                seed: 1,
                round: None,
                step,
                tokens: 9,
                values: &values,
            };
            tracker.metrics(&point).unwrap();
            tracker.finished(&Value::Null).unwrap();
        }
        let written = std::fs::read_to_string(run.folder.join("metrics.jsonl")).unwrap();
        let steps: Vec<Value> = written
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["step"].clone())
            .collect();
        assert_eq!(steps, [1, 2]);
    }
}
