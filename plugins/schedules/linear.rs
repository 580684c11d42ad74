//! A straight line down after a linear rise.

use sbp_plugin::prelude::*;
use sbp_plugin::slots::schedule::Schedule;

/// Rises linearly, then falls in a straight line.
///
/// Cost: a division a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LinearConfig {
    /// Share of the steps spent rising to the peak.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub warmup_share: f64,
    /// Share of the peak that it falls towards, and would reach at the step after the last.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub final_share: f64,
}

impl Default for LinearConfig {
    fn default() -> Self {
        Self { warmup_share: 0.05, final_share: 0.0 }
    }
}

impl Plugin<slots::Schedule> for LinearConfig {
    const KIND: &'static str = "linear";
    fn example() -> Self {
        Self::default()
    }
    fn build(&self, _: &BuildContext) -> Result<Box<dyn Schedule>> {
        Ok(Box::new(Linear { warmup_share: self.warmup_share, final_share: self.final_share }))
    }
}
register!(slots::Schedule => LinearConfig);

struct Linear {
    warmup_share: f64,
    final_share: f64,
}

impl Schedule for Linear {
    fn share(&self, step: u64, num_steps: u64) -> f64 {
        if let Some(rising) = super::warmup(step, num_steps, self.warmup_share) {
            return rising;
        }
        let warmup_steps = super::warmup_steps(num_steps, self.warmup_share);
        let progress = (step - warmup_steps) as f64 / num_steps.saturating_sub(warmup_steps).max(1) as f64;
        1.0 - progress.min(1.0) * (1.0 - self.final_share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rises_and_falls_in_straight_lines() {
        let schedule = Linear { warmup_share: 0.2, final_share: 0.0 };
        let shares: Vec<f64> = (0..10).map(|step| schedule.share(step, 10)).collect();
        assert_eq!(shares, [0.5, 1.0, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125]);
        assert_eq!(Linear { warmup_share: 0.0, final_share: 0.5 }.share(4, 8), 0.75);
    }
}
