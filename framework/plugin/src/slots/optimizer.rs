//! The optimizer slot.

/// What a parameter does in the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The table of token embeddings, and the output head too where they are tied.
    Embedding,
    /// The output head.
    Head,
    /// The gain of a norm.
    Norm,
    /// A matrix of attention or of a feed-forward layer.
    Projection,
}

/// A parameter, as an optimizer sees it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Parameter<'a> {
    /// Its Hugging Face name, such as `model.layers.0.mlp.up_proj.weight`.
    pub name: &'a str,
    /// Its sizes: rows are outputs, columns are inputs.
    pub shape: &'a [usize],
    /// What it does.
    pub role: Role,
}

/// How a gradient becomes a direction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rule {
    /// Adam with decoupled weight decay (Kingma and Ba, arXiv 1412.6980; Loshchilov and Hutter, arXiv 1711.05101).
    AdamW {
        /// Decay of the mean of gradients.
        beta1: f64,
        /// Decay of the mean of squared gradients.
        beta2: f64,
        /// Added to the root of the mean square.
        eps: f64,
    },
    /// The momentum of gradients with all singular values brought near 1, for parameters of two axes (Jordan et al.
    /// 2024, "Muon: An optimizer for hidden layers in neural networks"), scaled by `0.2 sqrt(max(rows, columns))` so
    /// that its entries are as large as AdamW's (Liu et al., arXiv 2502.16982).
    Muon {
        /// Decay of the momentum, which is Nesterov's.
        momentum: f64,
        /// Newton-Schulz iterations.
        iterations: u32,
    },
}

/// How a parameter is updated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Update {
    /// The direction.
    pub rule: Rule,
    /// Times the learning rate of the step.
    pub lr_scale: f64,
    /// Share of the parameter that a step at a learning rate of 1 takes off, whatever `lr_scale` is.
    pub weight_decay: f64,
}

/// Says how every parameter is updated; the runtime does it.
///
/// # Contract
/// The same answer for the same parameter, with finite numbers: decays of moments in [0, 1), `eps`, `lr_scale` and
/// `weight_decay` not negative, at least one iteration, and [`Rule::Muon`] for parameters of two axes only.
pub trait Optimizer: Send + Sync {
    /// How this parameter is updated, all through a training.
    fn update(&self, parameter: &Parameter<'_>) -> Update;
}
