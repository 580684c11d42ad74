//! The baseline: the unique data, again and again.

use sbp_plugin::prelude::*;
use sbp_plugin::slots::arm::{Arm, Share, Supply};
use sbp_plugin::slots::mixer::Source;

/// Trains on the real documents alone, repeated for the whole budget, in a new order at every pass.
///
/// Cost: nothing beyond training on the budget's tokens.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RepetitionConfig {}

impl Plugin<slots::Arm> for RepetitionConfig {
    const KIND: &'static str = "repetition";
    fn example() -> Self {
        Self {}
    }
    fn build(&self, _: &BuildContext) -> Result<Box<dyn Arm>> {
        Ok(Box::new(Repetition))
    }
}
register!(slots::Arm => RepetitionConfig);

struct Repetition;

impl Arm for Repetition {
    fn shares(&self, budget: TokenCount, supply: &Supply) -> Result<Vec<Share>> {
        if supply.pretrain == 0 {
            return Err(
                "there are no real documents to repeat; give the corpus or D_pretrain more tokens".into()
            );
        }
        Ok(vec![Share::real(Source::Pretrain, budget)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_budget_is_real() {
        let supply = Supply { pretrain: 10, oracle: 100, synthetic: 100 };
        let shares = Repetition.shares(70, &supply).unwrap();
        assert_eq!(shares, [Share::real(Source::Pretrain, 70)]);
        assert!(Repetition.shares(70, &Supply::default()).is_err());
    }
}
