//! The one place where compute matching is decided.
//!
//! An arm says which documents it may see; this module says how much it trains, and afterwards whether the
//! ledgers agree. The two readings of "compute-matched" are [`MatchOn`]'s two values.

use std::collections::BTreeMap;

use sbp_core::{Cause, Ledger, TokenCount};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::recipe::MatchOn;

/// What an arm may spend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ArmBudget {
    /// Optimizer steps.
    pub steps: u64,
    /// Training tokens, steps times tokens per step.
    pub tokens: TokenCount,
}

/// The budget of an arm.
///
/// `full_steps` is what the recipe asks for; `overhead_flops` what was spent to make the arm's synthetic
/// documents; `flops_per_token` the cost of training on one token. Under [`MatchOn::TotalFlops`] the overhead is
/// taken off, down to at least one step.
pub fn arm_budget(
    match_on: MatchOn,
    full_steps: u64,
    tokens_per_step: TokenCount,
    overhead_flops: f64,
    flops_per_token: f64,
) -> ArmBudget {
    let steps = match match_on {
        MatchOn::TrainTokens => full_steps,
        MatchOn::TotalFlops => {
            let step_flops = flops_per_token * tokens_per_step as f64;
            let affordable = (full_steps as f64 - overhead_flops / step_flops).round();
            (affordable.max(1.0)) as u64
        }
    };
    ArmBudget { steps, tokens: steps * tokens_per_step }
}

/// Whether the arms spent the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Verdict {
    /// What was to be equal.
    pub mode: MatchOn,
    /// Whether it was.
    pub matched: bool,
    /// Greatest difference between two arms, as a share of the greatest.
    pub residual: f64,
    /// Residual up to which arms count as matched: none for tokens, 2% for FLOPs, since steps are whole and
    /// attention costs more on longer documents.
    pub tolerance: f64,
}

/// Largest residual that counts as matched under [`MatchOn::TotalFlops`].
const FLOPS_TOLERANCE: f64 = 0.02;

/// Compares what the arms' ledgers say.
pub fn verdict(mode: MatchOn, ledgers: &BTreeMap<String, Ledger>) -> Verdict {
    let spent = |ledger: &Ledger| match mode {
        MatchOn::TrainTokens => ledger.cost(Cause::Train).tokens as f64,
        MatchOn::TotalFlops => ledger.end_to_end_flops(),
    };
    let least = ledgers.values().map(spent).fold(f64::INFINITY, f64::min);
    let most = ledgers.values().map(spent).fold(0.0, f64::max);
    let residual = if most == 0.0 { 0.0 } else { (most - least) / most };
    let tolerance = match mode {
        MatchOn::TrainTokens => 0.0,
        MatchOn::TotalFlops => FLOPS_TOLERANCE,
    };
    Verdict { mode, matched: residual <= tolerance, residual, tolerance }
}

#[cfg(test)]
mod tests {
    use sbp_core::Cost;

    use super::*;

    fn ledger(train: u64, tune: u64) -> Ledger {
        let mut ledger = Ledger::default();
        ledger.charge(Cause::Train, Cost { tokens: train, flops: train as f64 * 10.0 });
        ledger.charge(Cause::Tune, Cost { tokens: tune, flops: tune as f64 * 10.0 });
        ledger
    }

    #[test]
    fn one_token_less_is_not_matched() {
        let equal = BTreeMap::from([("a".to_owned(), ledger(1000, 0)), ("b".to_owned(), ledger(1000, 500))]);
        assert!(verdict(MatchOn::TrainTokens, &equal).matched);
        assert!(!verdict(MatchOn::TotalFlops, &equal).matched);
        let short = BTreeMap::from([("a".to_owned(), ledger(1000, 0)), ("b".to_owned(), ledger(999, 0))]);
        assert!(!verdict(MatchOn::TrainTokens, &short).matched);
    }

    #[test]
    fn overhead_is_taken_off_under_total_flops_only() {
        let budget = |mode| arm_budget(mode, 100, 10, 2_000.0, 10.0);
        assert_eq!(budget(MatchOn::TrainTokens).steps, 100);
        // 2000 FLOPs at 10 a token and 10 tokens a step are 20 steps.
        assert_eq!(budget(MatchOn::TotalFlops), ArmBudget { steps: 80, tokens: 800 });
    }
}
