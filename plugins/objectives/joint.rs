//! Both documents of a pair: max log p(d1, d2).

use sbp_plugin::prelude::*;
use sbp_plugin::slots::objective::Objective;

use super::conditional::Conditional;

/// Learn the seed document and the related one: a control for the loss mask.
///
/// The sequence is that of `conditional`; the loss is on both documents and on every marker but the first, so that what is
/// learned is the seed document once more, and the related one given it.
///
/// Cost: as `conditional`; all tokens are learned.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct JointConfig {}

impl Plugin<slots::Objective> for JointConfig {
    const KIND: &'static str = "joint";
    fn example() -> Self {
        Self {}
    }
    fn build(&self, _: &BuildContext) -> Result<Box<dyn Objective>> {
        Ok(Box::new(Joint(Conditional { num_seeds: 1 })))
    }
}
register!(slots::Objective => JointConfig);

struct Joint(Conditional);

impl Objective for Joint {
    fn example(&self, seeds: &[&[TokenId]], target: &[TokenId], markers: Markers) -> Example {
        let mut example = self.0.example(seeds, target, markers);
        example.loss_weights[1..].fill(1.0);
        example
    }

    fn prompt(&self, seeds: &[&[TokenId]], markers: Markers) -> Vec<TokenId> {
        self.0.prompt(seeds, markers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_documents_are_learned() {
        let markers = Markers { end_of_text: 0, related: 1 };
        let example = Joint(Conditional { num_seeds: 1 }).example(&[&[5, 6]], &[7], markers);
        assert_eq!(example.tokens, [0, 5, 6, 1, 7, 0]);
        assert_eq!(example.loss_weights, [0.0, 1.0, 1.0, 1.0, 1.0, 1.0]);
    }
}
