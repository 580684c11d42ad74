//! What was consumed, by cause: the figures that make a comparison compute-matched or not.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why compute was spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Pretraining the arm itself.
    Train,
    /// Pretraining the base model that the synthesizer starts from.
    Base,
    /// Tuning the synthesizer on pairs.
    Tune,
    /// Sampling synthetic documents, rejected ones included.
    Generate,
    /// Embedding documents and searching neighbors.
    Embed,
    /// Scoring the arm.
    Evaluate,
}

impl Cause {
    /// Every cause, in the order of the method.
    pub const ALL: [Self; 6] =
        [Self::Train, Self::Base, Self::Tune, Self::Generate, Self::Embed, Self::Evaluate];

    /// The name used in files and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Base => "base",
            Self::Tune => "tune",
            Self::Generate => "generate",
            Self::Embed => "embed",
            Self::Evaluate => "evaluate",
        }
    }
}

/// Tokens processed and the model FLOPs that took.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Cost {
    /// Tokens processed.
    pub tokens: u64,
    /// Model floating-point operations, by the formula of the runtime; recomputation is not counted. Each charge is a whole
    /// number, and so is their sum, exactly up to 2^53 and to a part in 10^16 beyond: a whole number of 64 bits would be
    /// too small for a billion tokens of a model of 3B parameters.
    pub flops: f64,
}

impl Cost {
    /// Adds another cost.
    pub fn add(&mut self, other: Self) {
        self.tokens += other.tokens;
        self.flops += other.flops;
    }
}

/// Cost by cause.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ledger {
    entries: BTreeMap<Cause, Cost>,
}

impl Ledger {
    /// Adds a cost to a cause.
    pub fn charge(&mut self, cause: Cause, cost: Cost) {
        self.entries.entry(cause).or_default().add(cost);
    }

    /// Adds everything another ledger holds.
    pub fn absorb(&mut self, other: &Self) {
        for (&cause, &cost) in &other.entries {
            self.charge(cause, cost);
        }
    }

    /// The cost charged to a cause so far.
    pub fn cost(&self, cause: Cause) -> Cost {
        self.entries.get(&cause).copied().unwrap_or_default()
    }

    /// FLOPs of everything but evaluation: what the end-to-end reading of "compute-matched" compares.
    pub fn end_to_end_flops(&self) -> f64 {
        self.entries.iter().filter(|(cause, _)| **cause != Cause::Evaluate).map(|(_, cost)| cost.flops).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charges_add_up_and_evaluation_stays_out_of_the_total() {
        let mut ledger = Ledger::default();
        ledger.charge(Cause::Train, Cost { tokens: 10, flops: 60.0 });
        ledger.charge(Cause::Train, Cost { tokens: 5, flops: 30.0 });
        ledger.charge(Cause::Evaluate, Cost { tokens: 5, flops: 10.0 });
        assert_eq!(ledger.cost(Cause::Train), Cost { tokens: 15, flops: 90.0 });
        assert_eq!(ledger.end_to_end_flops(), 90.0);
    }

    #[test]
    fn the_flops_of_a_large_study_are_counted_and_written() {
        let mut ledger = Ledger::default();
        for _ in 0..3 {
            ledger.charge(Cause::Train, Cost { tokens: 1_000_000_000_000, flops: 3.845_407_210_160_069e22 });
        }
        let written = serde_json::to_string(&ledger).unwrap();
        assert_eq!(serde_json::from_str::<Ledger>(&written).unwrap(), ledger);
        assert!((ledger.end_to_end_flops() / 1.153_622_163_048_020_7e23 - 1.0).abs() < 1e-15);
    }
}
