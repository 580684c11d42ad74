//! Adam that decays everything.

use sbp_plugin::prelude::*;
use sbp_plugin::slots::optimizer::{Optimizer, Parameter, Rule, Update};

/// Adam with the same weight decay for every parameter.
///
/// Cost: two numbers of state a parameter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TheKindConfig {
    /// Decoupled decay per unit of learning rate.
    #[schemars(range(min = 0.0))]
    pub weight_decay: f64,
}

impl Default for TheKindConfig {
    fn default() -> Self {
        Self { weight_decay: 0.1 }
    }
}

impl Plugin<slots::Optimizer> for TheKindConfig {
    const KIND: &'static str = "the_kind";
    fn example() -> Self {
        Self::default()
    }
    fn build(&self, _: &BuildContext) -> Result<Box<dyn Optimizer>> {
        Ok(Box::new(TheKind(self.clone())))
    }
}
register!(slots::Optimizer => TheKindConfig);

struct TheKind(TheKindConfig);

impl Optimizer for TheKind {
    fn update(&self, _: &Parameter<'_>) -> Update {
        Update {
            rule: Rule::AdamW { beta1: 0.9, beta2: 0.95, eps: 1e-8 },
            lr_scale: 1.0,
            weight_decay: self.0.weight_decay,
        }
    }
}

#[cfg(test)]
mod tests {
    use sbp_plugin::{entries, slots};
    use sbp_testkit::contract;

    #[test]
    fn it_keeps_the_contract_of_its_slot() {
        for entry in entries::<slots::Optimizer>() {
            contract::optimizer(&contract::plugin(entry));
        }
    }
}
