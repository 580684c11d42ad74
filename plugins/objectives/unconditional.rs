//! The control for conditioning: the synthesizer is tuned on the same targets without their seeds.

use sbp_plugin::prelude::*;
use sbp_plugin::slots::objective::Objective;

/// Learn the related document by itself: a control.
///
/// The sequence is `end_of_text`, the target, `end_of_text`, and sampling starts from `end_of_text`. What `conditional`
/// gains over this is owed to the seed document.
///
/// Cost: a pair is one sequence of the target's tokens and two markers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UnconditionalConfig {}

impl Plugin<slots::Objective> for UnconditionalConfig {
    const KIND: &'static str = "unconditional";
    fn example() -> Self {
        Self {}
    }
    fn build(&self, _: &BuildContext) -> Result<Box<dyn Objective>> {
        Ok(Box::new(Unconditional))
    }
}
register!(slots::Objective => UnconditionalConfig);

struct Unconditional;

impl Objective for Unconditional {
    fn example(&self, _: &[&[TokenId]], target: &[TokenId], markers: Markers) -> Example {
        Example::document(target, markers)
    }

    fn prompt(&self, _: &[&[TokenId]], markers: Markers) -> Vec<TokenId> {
        vec![markers.end_of_text]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_is_nowhere() {
        let markers = Markers { end_of_text: 0, related: 1 };
        assert_eq!(Unconditional.example(&[&[5, 6]], &[7, 8], markers).tokens, [0, 7, 8, 0]);
        assert_eq!(Unconditional.prompt(&[&[5, 6]], markers), [0]);
    }
}
