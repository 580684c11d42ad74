//! A constant learning rate after a linear rise.

use sbp_plugin::prelude::*;
use sbp_plugin::slots::schedule::Schedule;

/// Rises linearly, then stays at the peak.
///
/// Cost: a division a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ConstantConfig {
    /// Share of the steps spent rising to the peak.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub warmup_share: f64,
}

impl Default for ConstantConfig {
    fn default() -> Self {
        Self { warmup_share: 0.05 }
    }
}

impl Plugin<slots::Schedule> for ConstantConfig {
    const KIND: &'static str = "constant";
    fn example() -> Self {
        Self::default()
    }
    fn build(&self, _: &BuildContext) -> Result<Box<dyn Schedule>> {
        Ok(Box::new(Constant { warmup_share: self.warmup_share }))
    }
}
register!(slots::Schedule => ConstantConfig);

struct Constant {
    warmup_share: f64,
}

impl Schedule for Constant {
    fn share(&self, step: u64, num_steps: u64) -> f64 {
        super::warmup(step, num_steps, self.warmup_share).unwrap_or(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rises_and_stays() {
        let shares: Vec<f64> = (0..8).map(|step| Constant { warmup_share: 0.5 }.share(step, 8)).collect();
        assert_eq!(shares, [0.25, 0.5, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0]);
        assert_eq!(Constant { warmup_share: 0.0 }.share(0, 8), 1.0);
    }
}
