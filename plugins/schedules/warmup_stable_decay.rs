//! Up, level, down: three straight lines (Hu et al. 2024, arXiv 2404.06395).

use sbp_plugin::prelude::*;
use sbp_plugin::slots::schedule::Schedule;

/// Rises linearly, stays at the peak, then falls linearly.
///
/// With `decay_share = 1` the fall begins where the rise ends: the usual linear schedule.
///
/// Cost: a division a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WarmupStableDecayConfig {
    /// Share of the steps spent rising to the peak.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub warmup_share: f64,
    /// Share of the steps, at the end, spent falling; what the rise takes is not available to it.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub decay_share: f64,
    /// Share of the peak that it falls towards, and would reach at the step after the last.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub final_share: f64,
}

impl Default for WarmupStableDecayConfig {
    fn default() -> Self {
        Self { warmup_share: 0.05, decay_share: 0.2, final_share: 0.0 }
    }
}

impl Plugin<slots::Schedule> for WarmupStableDecayConfig {
    const KIND: &'static str = "warmup_stable_decay";
    fn example() -> Self {
        Self::default()
    }
    fn build(&self, _: &BuildContext) -> Result<Box<dyn Schedule>> {
        Ok(Box::new(WarmupStableDecay(self.clone())))
    }
}
register!(slots::Schedule => WarmupStableDecayConfig);

struct WarmupStableDecay(WarmupStableDecayConfig);

impl Schedule for WarmupStableDecay {
    fn share(&self, step: u64, num_steps: u64) -> f64 {
        let options = &self.0;
        if let Some(rising) = super::warmup(step, num_steps, options.warmup_share) {
            return rising;
        }
        let most = num_steps.saturating_sub(super::warmup_steps(num_steps, options.warmup_share));
        let decay_steps = ((options.decay_share * num_steps as f64).round() as u64).min(most);
        let left = num_steps.saturating_sub(step);
        if left >= decay_steps {
            return 1.0;
        }
        options.final_share + (1.0 - options.final_share) * left as f64 / decay_steps as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(warmup_share: f64, decay_share: f64, final_share: f64) -> Vec<f64> {
        let schedule = WarmupStableDecay(WarmupStableDecayConfig { warmup_share, decay_share, final_share });
        (0..8).map(|step| schedule.share(step, 8)).collect()
    }

    #[test]
    fn three_straight_lines() {
        assert_eq!(shares(0.25, 0.5, 0.0), [0.5, 1.0, 1.0, 1.0, 1.0, 0.75, 0.5, 0.25]);
        assert_eq!(shares(0.5, 1.0, 0.6), [0.25, 0.5, 0.75, 1.0, 1.0, 0.9, 0.8, 0.7]);
    }
}
