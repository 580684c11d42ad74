//! A loss on both documents of a pair.

use sbp_plugin::prelude::*;
use sbp_plugin::slots::objective::Objective;

/// Learn the related document given the seed document, and a little of the seed document itself.
///
/// Cost: a pair is one sequence of both documents' tokens and three markers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TheKindConfig {
    /// What a token of the seed document weighs in the loss, where one of the target weighs 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub seed_weight: f32,
}

impl Default for TheKindConfig {
    fn default() -> Self {
        Self { seed_weight: 0.1 }
    }
}

impl Plugin<slots::Objective> for TheKindConfig {
    const KIND: &'static str = "the_kind";
    fn example() -> Self {
        Self::default()
    }
    fn build(&self, _: &BuildContext) -> Result<Box<dyn Objective>> {
        Ok(Box::new(TheKind(self.clone())))
    }
}
register!(slots::Objective => TheKindConfig);

struct TheKind(TheKindConfig);

impl Objective for TheKind {
    fn example(&self, seeds: &[&[TokenId]], target: &[TokenId], markers: Markers) -> Example {
        let mut tokens = self.prompt(seeds, markers);
        let mut loss_weights = vec![self.0.seed_weight; tokens.len()];
        // Nothing comes before the first token, so it cannot be learned.
        loss_weights[0] = 0.0;
        tokens.extend_from_slice(target);
        tokens.push(markers.end_of_text);
        loss_weights.resize(tokens.len(), 1.0);
        Example {
            tokens,
            loss_weights,
        }
    }

    fn prompt(&self, seeds: &[&[TokenId]], markers: Markers) -> Vec<TokenId> {
        [&[markers.end_of_text], seeds[0], &[markers.related]].concat()
    }
}

#[cfg(test)]
mod tests {
    use sbp_plugin::{entries, slots};
    use sbp_testkit::contract;

    #[test]
    fn it_keeps_the_contract_of_its_slot() {
        for entry in entries::<slots::Objective>() {
            contract::objective(&contract::plugin(entry));
        }
    }
}
