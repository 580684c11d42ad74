//! Synthetic documents that are mostly digits.

use sbp_plugin::prelude::*;
use sbp_plugin::slots::document_filter::{DocumentFilter, Verdict};

/// Drops synthetic documents with too many digits.
///
/// Cost: one pass over the text of each synthetic document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TheKindConfig {
    /// The greatest share of characters that may be digits.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub max_share: f64,
}

impl Default for TheKindConfig {
    fn default() -> Self {
        Self { max_share: 0.3 }
    }
}

impl Plugin<slots::DocumentFilter> for TheKindConfig {
    const KIND: &'static str = "the_kind";
    fn example() -> Self {
        Self::default()
    }
    fn build(&self, _: &BuildContext) -> Result<Box<dyn DocumentFilter>> {
        Ok(Box::new(TheKind(self.clone())))
    }
}
register!(slots::DocumentFilter => TheKindConfig);

struct TheKind(TheKindConfig);

impl DocumentFilter for TheKind {
    fn judge(&self, synthetic: &SyntheticDocument, _: &Document) -> Verdict {
        let characters = synthetic.text.chars().count().max(1);
        let digits = synthetic.text.chars().filter(char::is_ascii_digit).count();
        if digits as f64 / characters as f64 > self.0.max_share {
            Verdict::drop("mostly_digits")
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
        for entry in entries::<slots::DocumentFilter>() {
            contract::document_filter(&contract::plugin(entry));
        }
    }
}
