use sbp_plugin::slots::arm::Supply;
use sbp_plugin::slots::mixer::Source;
use sbp_plugin::{Selected, slots};

use super::build;

/// Checks that shares sum to the budget whatever it is, and that no more synthetic tokens are taken than there are.
///
/// # Panics
/// When the contract is broken.
pub fn arm(selected: &Selected<slots::Arm>) {
    let arm = build(selected);
    let kind = selected.kind();
    for budget in [0, 1, 2, 999, 1_000_003, 200_000_000_000] {
        let asked = arm.synthetic_tokens(budget);
        assert!(asked <= budget, "{kind}: asks for {asked} synthetic tokens of {budget}");
        for synthetic in [0, asked / 3, asked, asked.saturating_mul(2)] {
            let supply = Supply { pretrain: 500, oracle: 5000, synthetic };
            let shares = match arm.shares(budget, &supply) {
                Ok(shares) => shares,
                Err(error) => panic!("{kind}: no shares of {budget} out of {supply:?}: {error}"),
            };
            let sum: u64 = shares.iter().map(|share| share.tokens).sum();
            assert_eq!(sum, budget, "{kind}: shares do not sum to the budget: {shares:?}");
            for share in shares.iter().filter(|share| share.source == Source::Synthetic) {
                let passes = share.max_passes.unwrap_or_else(|| panic!("{kind}: synthetic without limit"));
                let most = synthetic.saturating_mul(u64::from(passes));
                assert!(share.tokens <= most, "{kind}: takes {} synthetic tokens of {most}", share.tokens);
            }
            let mut sources: Vec<Source> = shares.iter().map(|share| share.source).collect();
            sources.sort_unstable();
            sources.dedup();
            assert_eq!(sources.len(), shares.len(), "{kind}: a source has two shares: {shares:?}");
        }
        // Nothing at all to train on may be an error, never a panic.
        let _ = arm.shares(budget, &Supply::default());
    }
}
