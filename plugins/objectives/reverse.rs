//! The pair the other way round: max log p(d1 | d2).

use sbp_plugin::prelude::*;
use sbp_plugin::slots::objective::Objective;

use super::conditional::Conditional;

/// Learn the seed document given its neighbor: a control for the direction of pairs.
///
/// The sequence is that of `conditional` with the two documents exchanged; sampling starts as there, from the seed document.
/// Where pairs are symmetric it learns the same as `conditional`.
///
/// Cost: as `conditional`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ReverseConfig {}

impl Plugin<slots::Objective> for ReverseConfig {
    const KIND: &'static str = "reverse";
    fn example() -> Self {
        Self {}
    }
    fn build(&self, _: &BuildContext) -> Result<Box<dyn Objective>> {
        Ok(Box::new(Reverse(Conditional { num_seeds: 1 })))
    }
}
register!(slots::Objective => ReverseConfig);

struct Reverse(Conditional);

impl Objective for Reverse {
    fn example(&self, seeds: &[&[TokenId]], target: &[TokenId], markers: Markers) -> Example {
        self.0.example(&[target], seeds.first().copied().unwrap_or_default(), markers)
    }

    fn prompt(&self, seeds: &[&[TokenId]], markers: Markers) -> Vec<TokenId> {
        self.0.prompt(seeds, markers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_is_learned_from_the_target() {
        let markers = Markers { end_of_text: 0, related: 1 };
        let reverse = Reverse(Conditional { num_seeds: 1 });
        let example = reverse.example(&[&[5, 6]], &[7], markers);
        assert_eq!(example.tokens, [0, 7, 1, 5, 6, 0]);
        assert_eq!(example.loss_weights, [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
        assert_eq!(reverse.prompt(&[&[5, 6]], markers), [0, 5, 6, 1]);
    }
}
