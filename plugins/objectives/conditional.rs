//! The objective of the method: max log p(d2 | d1).

use sbp_plugin::prelude::*;
use sbp_plugin::slots::objective::Objective;

/// Learn the related document given the seed document.
///
/// The sequence is `end_of_text`, the seed, `related`, the target, `end_of_text`; the loss is on the target and the
/// marker that ends it alone. Sampling starts from `end_of_text`, the seed, `related`.
///
/// Cost: a pair is one sequence of both documents' tokens and three markers; all of them are trained through, only
/// the target's are learned.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ConditionalConfig {}

impl Plugin<slots::Objective> for ConditionalConfig {
    const KIND: &'static str = "conditional";
    fn example() -> Self {
        Self {}
    }
    fn build(&self, _: &BuildContext) -> Result<Box<dyn Objective>> {
        Ok(Box::new(Conditional { num_seeds: 1 }))
    }
}
register!(slots::Objective => ConditionalConfig);

/// p(target | seeds), with the seeds one after another before `related`.
pub(super) struct Conditional {
    pub(super) num_seeds: usize,
}

impl Objective for Conditional {
    fn num_seeds(&self) -> usize {
        self.num_seeds
    }

    fn example(&self, seeds: &[&[TokenId]], target: &[TokenId], markers: Markers) -> Example {
        let mut tokens = self.prompt(seeds, markers);
        let mut loss_weights = vec![0.0; tokens.len()];
        tokens.extend_from_slice(target);
        tokens.push(markers.end_of_text);
        loss_weights.resize(tokens.len(), 1.0);
        Example { tokens, loss_weights }
    }

    fn prompt(&self, seeds: &[&[TokenId]], markers: Markers) -> Vec<TokenId> {
        let mut tokens = Vec::new();
        for seed in seeds {
            tokens.push(markers.end_of_text);
            tokens.extend_from_slice(seed);
        }
        tokens.push(markers.related);
        tokens
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_target_and_its_end_are_learned() {
        let markers = Markers { end_of_text: 0, related: 1 };
        let example = Conditional { num_seeds: 1 }.example(&[&[5, 6]], &[7, 8, 9], markers);
        assert_eq!(example.tokens, [0, 5, 6, 1, 7, 8, 9, 0]);
        assert_eq!(example.loss_weights, [0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0]);
        assert_eq!(Conditional { num_seeds: 1 }.prompt(&[&[5, 6]], markers), [0, 5, 6, 1]);
    }
}
