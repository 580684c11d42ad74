//! Between the baseline and the oracle.

use sbp_plugin::prelude::*;
use sbp_plugin::slots::arm::{Arm, Share, Supply};
use sbp_plugin::slots::mixer::Source;

/// Trains on D_pretrain and, for a part of the budget, on the oracle's pool.
///
/// Cost: nothing beyond training on the budget's tokens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TheKindConfig {
    /// Share of the training tokens that come from the oracle's pool.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub oracle_share: f64,
}

impl Default for TheKindConfig {
    fn default() -> Self {
        Self { oracle_share: 0.25 }
    }
}

impl Plugin<slots::Arm> for TheKindConfig {
    const KIND: &'static str = "the_kind";
    fn example() -> Self {
        Self::default()
    }
    fn build(&self, _: &BuildContext) -> Result<Box<dyn Arm>> {
        Ok(Box::new(TheKind(self.clone())))
    }
}
register!(slots::Arm => TheKindConfig);

struct TheKind(TheKindConfig);

impl Arm for TheKind {
    fn shares(&self, budget: TokenCount, supply: &Supply) -> Result<Vec<Share>> {
        if supply.pretrain == 0 || supply.oracle == 0 {
            return Err("there are no real documents; give the corpus more of them".into());
        }
        let oracle = (budget as f64 * self.0.oracle_share) as TokenCount;
        Ok(vec![
            Share::real(Source::Pretrain, budget - oracle),
            Share::real(Source::Oracle, oracle),
        ])
    }
}

#[cfg(test)]
mod tests {
    use sbp_plugin::{entries, slots};
    use sbp_testkit::contract;

    #[test]
    fn it_keeps_the_contract_of_its_slot() {
        for entry in entries::<slots::Arm>() {
            contract::arm(&contract::plugin(entry));
        }
    }
}
