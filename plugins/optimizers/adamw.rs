//! Adam with decoupled weight decay (Loshchilov and Hutter, arXiv 1711.05101).

use sbp_plugin::prelude::*;
use sbp_plugin::slots::optimizer::{Optimizer, Parameter, Role, Rule, Update};

/// Adam with decoupled weight decay.
///
/// Cost: two numbers of state a parameter, and one fused pass over all of them a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AdamwConfig {
    /// Decay of the mean of gradients.
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1.0))]
    pub beta1: f64,
    /// Decay of the mean of squared gradients.
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1.0))]
    pub beta2: f64,
    /// Added to the root of the mean square.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub eps: f64,
    /// Decoupled decay per unit of learning rate.
    #[schemars(range(min = 0.0))]
    pub weight_decay: f64,
    /// Whether the token embedding decays too, and with it a head that is tied to it.
    pub decay_embeddings: bool,
    /// Whether the gains of norms decay too.
    pub decay_norms: bool,
}

impl Default for AdamwConfig {
    fn default() -> Self {
        Self {
            beta1: 0.9,
            beta2: 0.95,
            eps: 1e-8,
            weight_decay: 0.1,
            decay_embeddings: false,
            decay_norms: false,
        }
    }
}

impl Plugin<slots::Optimizer> for AdamwConfig {
    const KIND: &'static str = "adamw";
    fn example() -> Self {
        Self::default()
    }
    fn build(&self, _: &BuildContext) -> Result<Box<dyn Optimizer>> {
        Ok(Box::new(self.clone()))
    }
}
register!(slots::Optimizer => AdamwConfig);

impl Optimizer for AdamwConfig {
    fn update(&self, parameter: &Parameter<'_>) -> Update {
        let decays = match parameter.role {
            Role::Embedding => self.decay_embeddings,
            Role::Norm => self.decay_norms,
            Role::Head | Role::Projection => true,
        };
        Update {
            rule: Rule::AdamW { beta1: self.beta1, beta2: self.beta2, eps: self.eps },
            lr_scale: 1.0,
            weight_decay: if decays { self.weight_decay } else { 0.0 },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matrices_decay_and_the_rest_by_choice() {
        let decay = |config: &AdamwConfig, role| {
            config.update(&Parameter { name: "x", shape: &[4, 4], role }).weight_decay
        };
        let roles = [Role::Embedding, Role::Head, Role::Norm, Role::Projection];
        assert_eq!(roles.map(|role| decay(&AdamwConfig::default(), role)), [0.0, 0.1, 0.0, 0.1]);
        let all = AdamwConfig { decay_embeddings: true, decay_norms: true, ..AdamwConfig::default() };
        assert_eq!(roles.map(|role| decay(&all, role)), [0.1; 4]);
    }
}
