//! A judge that looks for words of the seed document.

use sbp_plugin::prelude::*;
use sbp_plugin::slots::judge::{Judge, Opinion};
use serde_json::{Value, json};

/// Finds a text relevant that shares a long word with its seed document. It cannot tell what is true.
///
/// Cost: the words of both texts compared with each other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TheKindConfig {
    /// Letters of a word that counts.
    #[schemars(range(min = 1))]
    pub min_letters: usize,
}

impl Default for TheKindConfig {
    fn default() -> Self {
        Self { min_letters: 6 }
    }
}

impl Plugin<slots::Judge> for TheKindConfig {
    const KIND: &'static str = "the_kind";
    fn example() -> Self {
        Self::default()
    }
    fn build(&self, _: &BuildContext) -> Result<Box<dyn Judge>> {
        Ok(Box::new(TheKind(self.clone())))
    }
}
register!(slots::Judge => TheKindConfig);

struct TheKind(TheKindConfig);

impl Judge for TheKind {
    fn card(&self) -> Value {
        json!({"rule": "a shared word", "min_letters": self.0.min_letters})
    }

    fn judge(&mut self, synthetic: &SyntheticDocument, seed: &Document) -> Result<Opinion> {
        let is_long = |word: &&str| word.chars().count() >= self.0.min_letters;
        let mut words = synthetic.text.split_whitespace().filter(is_long);
        let relevant = words.any(|word| seed.text.contains(word));
        Ok(Opinion {
            factual: None,
            relevant: Some(relevant),
        })
    }
}

#[cfg(test)]
mod tests {
    use sbp_plugin::{entries, slots};
    use sbp_testkit::contract;

    #[test]
    fn it_keeps_the_contract_of_its_slot() {
        for entry in entries::<slots::Judge>() {
            contract::judge(&contract::plugin(entry));
        }
    }
}
