//! Several documents as context: max log p(d2 | d1, its other neighbors).

use sbp_plugin::prelude::*;
use sbp_plugin::slots::objective::Objective;

use super::conditional::Conditional;

/// Learn the related document given the seed document and others of its neighbors.
///
/// The sequence is, for each seed, `end_of_text` and the seed; then `related`, the target, `end_of_text`; the loss is on the
/// target and the marker that ends it. The seeds are the seed document and those of its kept neighbors that are not the target,
/// nearest first; a document without neighbors stands alone, as in `conditional`. The room in the context is divided
/// evenly among `num_seeds`.
///
/// Cost: a pair is one sequence of up to `num_seeds + 1` documents' tokens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MultiSeedConfig {
    /// Documents that a prompt is made of at most, the seed document included.
    #[schemars(range(min = 1, max = 64))]
    pub num_seeds: usize,
}

impl Default for MultiSeedConfig {
    fn default() -> Self {
        Self { num_seeds: 2 }
    }
}

impl Plugin<slots::Objective> for MultiSeedConfig {
    const KIND: &'static str = "multi_seed";
    fn example() -> Self {
        Self::default()
    }
    fn build(&self, _: &BuildContext) -> Result<Box<dyn Objective>> {
        Ok(Box::new(Conditional { num_seeds: self.num_seeds.max(1) }))
    }
}
register!(slots::Objective => MultiSeedConfig);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_stand_one_after_another() {
        let markers = Markers { end_of_text: 0, related: 1 };
        let objective = MultiSeedConfig::default().build(&BuildContext::default()).unwrap();
        assert_eq!(objective.num_seeds(), 2);
        let example = objective.example(&[&[5, 6], &[8]], &[7], markers);
        assert_eq!(example.tokens, [0, 5, 6, 0, 8, 1, 7, 0]);
        assert_eq!(example.loss_weights, [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0]);
    }
}
