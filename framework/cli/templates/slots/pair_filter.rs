//! Pairs of unequal length.

use sbp_plugin::prelude::*;
use sbp_plugin::slots::pair_filter::{PairFilter, Verdict};

/// Drops pairs of which one document is much longer than the other.
///
/// Cost: nothing to speak of: the lengths of texts are known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TheKindConfig {
    /// How many times longer than the shorter document the longer one may be, in bytes.
    #[schemars(range(min = 1.0))]
    pub max_ratio: f64,
}

impl Default for TheKindConfig {
    fn default() -> Self {
        Self { max_ratio: 4.0 }
    }
}

impl Plugin<slots::PairFilter> for TheKindConfig {
    const KIND: &'static str = "the_kind";
    fn example() -> Self {
        Self::default()
    }
    fn build(&self, _: &BuildContext) -> Result<Box<dyn PairFilter>> {
        Ok(Box::new(TheKind(self.clone())))
    }
}
register!(slots::PairFilter => TheKindConfig);

struct TheKind(TheKindConfig);

impl PairFilter for TheKind {
    fn judge(&self, _: &Pair, seed: &Document, target: &Document) -> Verdict {
        let lengths = (seed.text.len() as f64, target.text.len() as f64);
        if lengths.0.max(lengths.1) > self.0.max_ratio * lengths.0.min(lengths.1) {
            Verdict::drop("unequal_length")
        } else {
            Verdict::Keep
        }
    }
}

#[cfg(test)]
mod tests {
    use sbp_plugin::{entries, slots};
    use sbp_testkit::contract;

    #[test]
    fn it_keeps_the_contract_of_its_slot() {
        for entry in entries::<slots::PairFilter>() {
            contract::pair_filter(&contract::plugin(entry));
        }
    }
}
