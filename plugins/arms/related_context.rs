//! Related documents in one context, without a synthesizer.

use sbp_plugin::prelude::*;
use sbp_plugin::slots::arm::{Arm, Share, Supply};
use sbp_plugin::slots::mixer::Source;

/// Repeats D_pretrain with related documents one after another in one context: the same pairs, no generation.
///
/// In the manner of In-Context Pretraining (Shi et al. 2023, arXiv 2310.10638): a path goes from each document to its nearest
/// neighbor that it has not been to, beginning where documents have fewest neighbors, and is cut where the context is full.
/// Documents of one context attend to those before them; each is seen once a pass.
///
/// Cost: as `repetition`, and embedding and pairing of D_pretrain.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RelatedContextConfig {}

impl Plugin<slots::Arm> for RelatedContextConfig {
    const KIND: &'static str = "related_context";
    fn example() -> Self {
        Self {}
    }
    fn build(&self, _: &BuildContext) -> Result<Box<dyn Arm>> {
        Ok(Box::new(RelatedContext))
    }
}
register!(slots::Arm => RelatedContextConfig);

struct RelatedContext;

impl Arm for RelatedContext {
    fn needs_pairs(&self) -> bool {
        true
    }

    fn shares(&self, budget: TokenCount, supply: &Supply) -> Result<Vec<Share>> {
        if supply.pretrain == 0 {
            return Err(
                "there are no real documents to read; give the corpus or D_pretrain more tokens".into()
            );
        }
        Ok(vec![Share::real(Source::Related, budget)])
    }
}
