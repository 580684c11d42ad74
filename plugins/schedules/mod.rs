//! Schedules: the learning rate over the course of training.

pub mod constant;
pub mod cosine;
pub mod linear;
pub mod warmup_stable_decay;

/// The share of the peak while it rises: reaches 1 at the last of `warmup` steps. None once warm.
fn warmup(step: u64, num_steps: u64, warmup_share: f64) -> Option<f64> {
    let warmup_steps = warmup_steps(num_steps, warmup_share);
    (step < warmup_steps).then(|| (step + 1) as f64 / warmup_steps as f64)
}

/// How many of `num_steps` are spent rising.
fn warmup_steps(num_steps: u64, warmup_share: f64) -> u64 {
    (warmup_share * num_steps as f64).round() as u64
}
