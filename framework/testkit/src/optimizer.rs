//! An optimizer without options, for those who train in a test.

use sbp_plugin::slots::optimizer::{Optimizer, Parameter, Role, Rule, Update};

/// AdamW with the field's usual numbers, which leaves norms and embeddings undecayed.
#[derive(Debug, Clone, Copy)]
pub struct PlainAdamW;

impl Optimizer for PlainAdamW {
    fn update(&self, parameter: &Parameter<'_>) -> Update {
        let decays = matches!(parameter.role, Role::Head | Role::Projection);
        let rule = Rule::AdamW { beta1: 0.9, beta2: 0.95, eps: 1e-8 };
        Update { rule, lr_scale: 1.0, weight_decay: if decays { 0.1 } else { 0.0 } }
    }
}
