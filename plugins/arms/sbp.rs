//! Synthetic bootstrapped pretraining: real documents and what the synthesizer made of them.

use sbp_plugin::prelude::*;
use sbp_plugin::slots::arm::{Arm, Share, Supply};
use sbp_plugin::slots::mixer::Source;

/// Trains on real and synthetic documents together.
///
/// A synthetic document is seen at most once. When fewer were accepted than the share asks for, real documents,
/// repeated, fill the rest, so that the tokens of all arms stay equal.
///
/// Cost: beside training on the budget's tokens, one base model, embedding and pairing of D_pretrain, tuning, and
/// sampling `synthetic_share` of the budget's tokens, all of them in the ledger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SbpConfig {
    /// Share of the training tokens that are synthetic. The default is the best of the published sweep at 200B
    /// tokens (75B of 200B); at 1T tokens it was 0.125 for the 3B model and 0.25 for the 6B model.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub synthetic_share: f64,
}

impl Default for SbpConfig {
    fn default() -> Self {
        Self { synthetic_share: 0.375 }
    }
}

impl Plugin<slots::Arm> for SbpConfig {
    const KIND: &'static str = "sbp";
    fn example() -> Self {
        Self::default()
    }
    fn build(&self, _: &BuildContext) -> Result<Box<dyn Arm>> {
        Ok(Box::new(Sbp { synthetic_share: self.synthetic_share.clamp(0.0, 1.0) }))
    }
}
register!(slots::Arm => SbpConfig);

struct Sbp {
    synthetic_share: f64,
}

impl Arm for Sbp {
    fn synthetic_tokens(&self, budget: TokenCount) -> TokenCount {
        ((budget as f64 * self.synthetic_share).round() as u64).min(budget)
    }

    fn shares(&self, budget: TokenCount, supply: &Supply) -> Result<Vec<Share>> {
        let synthetic = self.synthetic_tokens(budget).min(supply.synthetic);
        let real = budget - synthetic;
        if real > 0 && supply.pretrain == 0 {
            return Err("there are no real documents; give the corpus or D_pretrain more tokens".into());
        }
        let shares = [(Source::Pretrain, real), (Source::Synthetic, synthetic)];
        let shares = shares.into_iter().filter(|(_, tokens)| *tokens > 0);
        Ok(shares.map(|(source, tokens)| Share { source, tokens }).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(synthetic_share: f64, synthetic: u64) -> Vec<(Source, u64)> {
        let supply = Supply { pretrain: 10, oracle: 100, synthetic };
        let shares = Sbp { synthetic_share }.shares(80, &supply).unwrap();
        shares.into_iter().map(|share| (share.source, share.tokens)).collect()
    }

    #[test]
    fn the_default_is_three_eighths_synthetic() {
        assert_eq!(shares(0.375, 1000), [(Source::Pretrain, 50), (Source::Synthetic, 30)]);
    }

    #[test]
    fn too_few_synthetic_tokens_are_made_up_for_by_real_ones() {
        assert_eq!(shares(0.375, 12), [(Source::Pretrain, 68), (Source::Synthetic, 12)]);
        assert_eq!(shares(0.375, 0), [(Source::Pretrain, 80)]);
        assert_eq!(shares(1.0, 80), [(Source::Synthetic, 80)]);
    }

    #[test]
    fn it_asks_for_its_share() {
        assert_eq!(Sbp { synthetic_share: 0.375 }.synthetic_tokens(80), 30);
        assert_eq!(Sbp { synthetic_share: 0.0 }.synthetic_tokens(80), 0);
    }
}
