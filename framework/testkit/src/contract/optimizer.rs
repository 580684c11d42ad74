use sbp_plugin::slots::optimizer::{Parameter, Role, Rule};
use sbp_plugin::{Selected, slots};

use super::build;

/// Checks that parameters of every role and shape get an update that can be carried out, and always the same.
///
/// # Panics
/// When the contract is broken.
pub fn optimizer(selected: &Selected<slots::Optimizer>) {
    let optimizer = build(selected);
    let cases: [(&str, &[usize], Role); 6] = [
        ("model.embed_tokens.weight", &[50_000, 64], Role::Embedding),
        ("lm_head.weight", &[50_000, 64], Role::Head),
        ("model.norm.weight", &[64], Role::Norm),
        ("model.layers.0.self_attn.q_norm.weight", &[16], Role::Norm),
        ("model.layers.0.mlp.up_proj.weight", &[192, 64], Role::Projection),
        ("model.layers.11.mlp.down_proj.weight", &[64, 192], Role::Projection),
    ];
    for (name, shape, role) in cases {
        let parameter = Parameter { name, shape, role };
        let update = optimizer.update(&parameter);
        let what = format!("{}: {name}: {update:?}", selected.kind());
        assert_eq!(update, optimizer.update(&parameter), "{what}: another time it is another");
        let not_negative = |x: f64| x.is_finite() && x >= 0.0;
        assert!(not_negative(update.lr_scale) && not_negative(update.weight_decay), "{what}");
        let decay = |x: f64| (0.0..1.0).contains(&x);
        match update.rule {
            Rule::AdamW { beta1, beta2, eps } => {
                assert!(decay(beta1) && decay(beta2) && not_negative(eps), "{what}");
            }
            Rule::Muon { momentum, iterations } => {
                assert!(decay(momentum) && iterations > 0, "{what}");
                assert_eq!(shape.len(), 2, "{what}: singular values are of matrices");
            }
        }
    }
}
