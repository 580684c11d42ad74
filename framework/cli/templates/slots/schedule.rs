//! A straight line down.

use sbp_plugin::prelude::*;
use sbp_plugin::slots::schedule::Schedule;

/// Falls from the peak in a straight line.
///
/// Cost: a division a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TheKindConfig {
    /// Share of the peak that it falls towards, and would reach at the step after the last.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub final_share: f64,
}

impl Default for TheKindConfig {
    fn default() -> Self {
        Self { final_share: 0.1 }
    }
}

impl Plugin<slots::Schedule> for TheKindConfig {
    const KIND: &'static str = "the_kind";
    fn example() -> Self {
        Self::default()
    }
    fn build(&self, _: &BuildContext) -> Result<Box<dyn Schedule>> {
        Ok(Box::new(TheKind(self.clone())))
    }
}
register!(slots::Schedule => TheKindConfig);

struct TheKind(TheKindConfig);

impl Schedule for TheKind {
    fn share(&self, step: u64, num_steps: u64) -> f64 {
        let done = step as f64 / num_steps.max(1) as f64;
        (1.0 - done * (1.0 - self.0.final_share)).clamp(0.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use sbp_plugin::{entries, slots};
    use sbp_testkit::contract;

    #[test]
    fn it_keeps_the_contract_of_its_slot() {
        for entry in entries::<slots::Schedule>() {
            contract::schedule(&contract::plugin(entry));
        }
    }
}
