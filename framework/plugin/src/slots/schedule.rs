//! The learning-rate schedule slot.

/// Learning rate over training, as a share of the peak.
///
/// # Contract
/// Finite and within [0, 1] for every `step < num_steps`.
pub trait Schedule: Send + Sync {
    /// The share of the peak rate at step `step` (from 0) of `num_steps`.
    fn share(&self, step: u64, num_steps: u64) -> f64;
}
