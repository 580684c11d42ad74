//! Synthetic bootstrapped pretraining: real documents and what the synthesizer made of them.

use sbp_plugin::prelude::*;
use sbp_plugin::slots::arm::{Arm, Share, Supply};
use sbp_plugin::slots::mixer::Source;

/// Trains on real and synthetic documents together.
///
/// A synthetic document is seen at most once, or as often as `synthetic_passes` says. When fewer were accepted than the share asks for, real documents,
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
    /// How often a synthetic document may be seen: so many times fewer are sampled. In the published study once.
    #[schemars(range(min = 1))]
    pub synthetic_passes: u32,
}

impl Default for SbpConfig {
    fn default() -> Self {
        Self { synthetic_share: 0.375, synthetic_passes: 1 }
    }
}

impl Plugin<slots::Arm> for SbpConfig {
    const KIND: &'static str = "sbp";
    fn example() -> Self {
        Self::default()
    }
    fn build(&self, _: &BuildContext) -> Result<Box<dyn Arm>> {
        Ok(Box::new(Sbp {
            synthetic_share: self.synthetic_share.clamp(0.0, 1.0),
            passes: self.synthetic_passes.max(1),
        }))
    }
}
register!(slots::Arm => SbpConfig);

struct Sbp {
    synthetic_share: f64,
    passes: u32,
}

impl Sbp {
    /// Training tokens that are synthetic, repeats counted each time.
    fn seen(&self, budget: TokenCount) -> TokenCount {
        ((budget as f64 * self.synthetic_share).round() as u64).min(budget)
    }
}

impl Arm for Sbp {
    fn synthetic_tokens(&self, budget: TokenCount) -> TokenCount {
        self.seen(budget).div_ceil(u64::from(self.passes))
    }

    fn shares(&self, budget: TokenCount, supply: &Supply) -> Result<Vec<Share>> {
        let synthetic = self.seen(budget).min(supply.synthetic.saturating_mul(u64::from(self.passes)));
        let real = budget - synthetic;
        if real > 0 && supply.pretrain == 0 {
            return Err("there are no real documents; give the corpus or D_pretrain more tokens".into());
        }
        let synthetic = Share { source: Source::Synthetic, tokens: synthetic, max_passes: Some(self.passes) };
        let shares = [Share::real(Source::Pretrain, real), synthetic];
        Ok(shares.into_iter().filter(|share| share.tokens > 0).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(synthetic_share: f64, synthetic: u64) -> Vec<(Source, u64)> {
        let supply = Supply { pretrain: 10, oracle: 100, synthetic };
        let shares = Sbp { synthetic_share, passes: 1 }.shares(80, &supply).unwrap();
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
        assert_eq!(Sbp { synthetic_share: 0.375, passes: 1 }.synthetic_tokens(80), 30);
        assert_eq!(Sbp { synthetic_share: 0.0, passes: 1 }.synthetic_tokens(80), 0);
    }

    #[test]
    fn repeated_documents_are_fewer() {
        let sbp = Sbp { synthetic_share: 0.375, passes: 4 };
        assert_eq!(sbp.synthetic_tokens(80), 8);
        let supply = Supply { pretrain: 10, oracle: 100, synthetic: 7 };
        let synthetic = Share { source: Source::Synthetic, tokens: 28, max_passes: Some(4) };
        assert_eq!(sbp.shares(80, &supply).unwrap(), [Share::real(Source::Pretrain, 52), synthetic]);
    }
}
