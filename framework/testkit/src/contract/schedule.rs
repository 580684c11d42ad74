use sbp_plugin::{Selected, slots};

use super::build;

/// Checks that shares are finite and within [0, 1] at every step of short and long trainings.
///
/// # Panics
/// When the contract is broken.
pub fn schedule(selected: &Selected<slots::Schedule>) {
    let schedule = build(selected);
    for num_steps in [1, 2, 3, 7, 100, 12_345] {
        for step in 0..num_steps {
            let share = schedule.share(step, num_steps);
            let sound = share.is_finite() && (0.0..=1.0).contains(&share);
            assert!(sound, "{}: share {share} at step {step} of {num_steps}", selected.kind());
        }
        let all = || (0..num_steps).map(|step| schedule.share(step, num_steps));
        assert!(all().sum::<f64>() > 0.0, "{}: {num_steps} steps teach nothing", selected.kind());
    }
}
