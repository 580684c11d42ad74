//! Muon for the matrices inside the model, AdamW for everything else (Jordan et al. 2024).

use sbp_plugin::prelude::*;
use sbp_plugin::slots::optimizer::{Optimizer, Parameter, Role, Rule, Update};

use super::adamw::AdamwConfig;

/// Muon for the matrices of attention and feed-forward layers; AdamW for embedding, head and norms.
///
/// Its steps are as large as AdamW's (arXiv 2502.16982), so that one learning rate serves both.
///
/// Cost: one number of state a matrix entry, and about 15 products of each matrix with itself a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MuonConfig {
    /// Decay of the momentum, which is Nesterov's.
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1.0))]
    pub momentum: f64,
    /// Newton-Schulz iterations.
    #[schemars(range(min = 1, max = 20))]
    pub iterations: u32,
    /// Decoupled decay per unit of learning rate, of matrices.
    #[schemars(range(min = 0.0))]
    pub weight_decay: f64,
    /// How everything else is updated.
    pub adamw: AdamwConfig,
}

impl Default for MuonConfig {
    fn default() -> Self {
        Self { momentum: 0.95, iterations: 5, weight_decay: 0.1, adamw: AdamwConfig::default() }
    }
}

impl Plugin<slots::Optimizer> for MuonConfig {
    const KIND: &'static str = "muon";
    fn example() -> Self {
        Self::default()
    }
    fn build(&self, _: &BuildContext) -> Result<Box<dyn Optimizer>> {
        Ok(Box::new(self.clone()))
    }
}
register!(slots::Optimizer => MuonConfig);

impl Optimizer for MuonConfig {
    fn update(&self, parameter: &Parameter<'_>) -> Update {
        match parameter.role {
            Role::Projection => Update {
                rule: Rule::Muon { momentum: self.momentum, iterations: self.iterations },
                lr_scale: 1.0,
                weight_decay: self.weight_decay,
            },
            Role::Embedding | Role::Head | Role::Norm => self.adamw.update(parameter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_matrices_inside_the_model_are_orthogonalised() {
        let is_muon = |role| {
            let update = MuonConfig::default().update(&Parameter { name: "x", shape: &[4, 4], role });
            matches!(update.rule, Rule::Muon { .. })
        };
        let roles = [Role::Embedding, Role::Head, Role::Norm, Role::Projection];
        assert_eq!(roles.map(is_muon), [false, false, false, true]);
    }
}
