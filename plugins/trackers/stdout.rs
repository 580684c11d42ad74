//! One plain line a point, for people who watch.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use sbp_plugin::prelude::*;
use sbp_plugin::slots::tracker::{MetricPoint, RunCard, Tracker};
use serde_json::Value;

/// Prints metrics as lines of text: stage, arm, seed, step, tokens, then every value.
///
/// The lines go to standard error, where everything meant for people goes, so that standard output stays free for
/// what `--json` prints.
///
/// Cost: one line a point that is printed; 24 bytes and its name a stage, arm and seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StdoutConfig {
    /// Seconds between two lines of the same stage and arm; points in between are not printed. 0 prints all.
    #[schemars(range(min = 0.0))]
    pub every_secs: f64,
}

impl Default for StdoutConfig {
    fn default() -> Self {
        Self { every_secs: 10.0 }
    }
}

impl Plugin<slots::Tracker> for StdoutConfig {
    const KIND: &'static str = "stdout";
    fn example() -> Self {
        Self::default()
    }
    fn build(&self, _: &BuildContext) -> Result<Box<dyn Tracker>> {
        let every = Duration::try_from_secs_f64(self.every_secs).unwrap_or(Duration::MAX);
        Ok(Box::new(StdoutTracker { every, printed: HashMap::new() }))
    }
}
register!(slots::Tracker => StdoutConfig);

struct StdoutTracker {
    every: Duration,
    /// When the last line of a stage, arm and seed was printed.
    printed: HashMap<(String, String, u64), Instant>,
}

impl Tracker for StdoutTracker {
    fn started(&mut self, run: &RunCard<'_>) -> Result<()> {
        print_line(&format!("run {} {}", run.recipe, run.id));
        Ok(())
    }

    fn metrics(&mut self, point: &MetricPoint<'_>) -> Result<()> {
        let key = (point.stage.to_owned(), point.arm.to_owned(), point.seed);
        let now = Instant::now();
        if self.printed.get(&key).is_some_and(|last| now.duration_since(*last) < self.every) {
            return Ok(());
        }
        self.printed.insert(key, now);
        print_line(&line(point));
        Ok(())
    }

    fn finished(&mut self, _: &Value) -> Result<()> {
        print_line("run finished");
        Ok(())
    }
}

/// A point in words.
fn line(point: &MetricPoint<'_>) -> String {
    let mut line = format!("{} step {} tokens {}", point.job(), point.step, point.tokens);
    for (name, value) in point.values {
        // Four digits that say something, whether a loss or a learning rate.
        let value =
            if value.abs() < 1e-3 && *value != 0.0 { format!("{value:.3e}") } else { format!("{value:.4}") };
        line += &format!("  {name} {value}");
    }
    line
}

#[expect(clippy::print_stderr, reason = "printing is what this tracker is for")]
fn print_line(line: &str) {
    eprintln!("{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point<'a>(step: u64, values: &'a [(&'a str, f64)]) -> MetricPoint<'a> {
        MetricPoint { stage: "train", arm: "sbp", seed: 1, round: None, step, tokens: 512, values }
    }

    #[test]
    fn a_point_is_one_line() {
        let line =
            line(&point(2, &[("train/loss", 4.512_34), ("train/lr", 0.000_3), ("train/grad_norm", 0.0)]));
        assert_eq!(
            line,
            "train sbp seed 1 step 2 tokens 512  train/loss 4.5123  train/lr 3.000e-4  train/grad_norm 0.0000"
        );
    }

    #[test]
    fn points_within_the_interval_are_left_out() {
        let mut tracker = StdoutTracker { every: Duration::from_secs(3600), printed: HashMap::new() };
        tracker.metrics(&point(1, &[])).unwrap();
        let first = tracker.printed.clone();
        tracker.metrics(&point(2, &[])).unwrap();
        assert_eq!(tracker.printed, first);
        tracker.metrics(&MetricPoint { arm: "oracle", ..point(1, &[]) }).unwrap();
        assert_eq!(tracker.printed.len(), 2);
    }
}
