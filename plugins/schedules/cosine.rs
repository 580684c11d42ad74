//! Half a cosine after a linear rise (Loshchilov and Hutter 2017, arXiv 1608.03983, without restarts).

use sbp_plugin::prelude::*;
use sbp_plugin::slots::schedule::Schedule;

/// Rises linearly, then falls along half a cosine.
///
/// Cost: a cosine a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CosineConfig {
    /// Share of the steps spent rising to the peak.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub warmup_share: f64,
    /// Share of the peak that it falls towards, and would reach at the step after the last.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub final_share: f64,
}

impl Default for CosineConfig {
    fn default() -> Self {
        Self { warmup_share: 0.05, final_share: 0.1 }
    }
}

impl Plugin<slots::Schedule> for CosineConfig {
    const KIND: &'static str = "cosine";
    fn example() -> Self {
        Self::default()
    }
    fn build(&self, _: &BuildContext) -> Result<Box<dyn Schedule>> {
        Ok(Box::new(Cosine { warmup_share: self.warmup_share, final_share: self.final_share }))
    }
}
register!(slots::Schedule => CosineConfig);

struct Cosine {
    warmup_share: f64,
    final_share: f64,
}

impl Schedule for Cosine {
    fn share(&self, step: u64, num_steps: u64) -> f64 {
        if let Some(rising) = super::warmup(step, num_steps, self.warmup_share) {
            return rising;
        }
        let warmup_steps = super::warmup_steps(num_steps, self.warmup_share);
        let progress = (step - warmup_steps) as f64 / num_steps.saturating_sub(warmup_steps).max(1) as f64;
        let cosine = 0.5 * (1.0 + (std::f64::consts::PI * progress.min(1.0)).cos());
        self.final_share + (1.0 - self.final_share) * cosine
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rises_to_the_peak_and_falls_through_the_middle() {
        let schedule = Cosine { warmup_share: 0.1, final_share: 0.2 };
        assert_eq!(schedule.share(0, 100), 0.1);
        assert_eq!(schedule.share(9, 100), 1.0);
        assert_eq!(schedule.share(10, 100), 1.0);
        // Half way down between 1 and 0.2.
        assert!((schedule.share(55, 100) - 0.6).abs() < 1e-12);
        assert!((schedule.share(100, 100) - 0.2).abs() < 1e-12);
    }
}
