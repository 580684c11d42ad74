//! The upper bound: as much unique real data as the budget can read.

use sbp_plugin::prelude::*;
use sbp_plugin::slots::arm::{Arm, Share, Supply};
use sbp_plugin::slots::mixer::Source;

/// Trains on the oracle's pool: what the others would have, were real data not scarce.
///
/// The pool begins with the real documents of the other arms. Where it is smaller than the budget it is repeated.
///
/// Cost: nothing beyond training on the budget's tokens; the pool, `splits.oracle_factor` times D_pretrain, is
/// read, tokenized and kept.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OracleConfig {}

impl Plugin<slots::Arm> for OracleConfig {
    const KIND: &'static str = "oracle";
    fn example() -> Self {
        Self {}
    }
    fn build(&self, _: &BuildContext) -> Result<Box<dyn Arm>> {
        Ok(Box::new(Oracle))
    }
}
register!(slots::Arm => OracleConfig);

struct Oracle;

impl Arm for Oracle {
    fn shares(&self, budget: TokenCount, supply: &Supply) -> Result<Vec<Share>> {
        if supply.oracle == 0 {
            return Err(
                "the oracle's pool is empty; give the corpus more documents or leave this arm out".into()
            );
        }
        Ok(vec![Share::real(Source::Oracle, budget)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_budget_is_the_oracles() {
        let supply = Supply { pretrain: 10, oracle: 100, synthetic: 100 };
        assert_eq!(Oracle.shares(70, &supply).unwrap(), [Share::real(Source::Oracle, 70)]);
        assert!(Oracle.shares(70, &Supply { oracle: 0, ..supply }).is_err());
    }
}
