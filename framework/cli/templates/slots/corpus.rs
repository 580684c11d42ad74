//! Documents out of thin air.

use sbp_plugin::prelude::*;
use sbp_plugin::slots::corpus::{Corpus, Records};

/// Shopping lists, made up as they are asked for.
///
/// Cost: documents are written when they are asked for, in time proportional to their words, and
/// not kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TheKindConfig {
    /// Documents that may be trained on.
    #[schemars(range(min = 1))]
    pub documents: usize,
    /// Documents kept for evaluation.
    #[schemars(range(min = 1))]
    pub heldout_documents: usize,
}

impl Default for TheKindConfig {
    fn default() -> Self {
        Self {
            documents: 1000,
            heldout_documents: 50,
        }
    }
}

impl Plugin<slots::Corpus> for TheKindConfig {
    const KIND: &'static str = "the_kind";
    fn example() -> Self {
        Self::default()
    }
    fn build(&self, _: &BuildContext) -> Result<Box<dyn Corpus>> {
        Ok(Box::new(TheKind(self.clone())))
    }
}
register!(slots::Corpus => TheKindConfig);

struct TheKind(TheKindConfig);

const GOODS: [&str; 12] = [
    "apples", "bread", "candles", "dates", "eggs", "flour", "grapes", "honey", "ink", "jam",
    "kale", "lemons",
];

/// Document number `n`: it follows from its number alone.
fn document(n: usize) -> Document {
    let mut rng = RootSeed(n as u64).stream("shopping", &[]);
    let mut text = format!("List {n}.");
    for _ in 0..8 {
        let good = GOODS[rng.below(GOODS.len() as u64) as usize];
        text.push_str(&format!(" Buy {} {good}.", rng.below(90) + 2));
    }
    Document::new(&format!("list {n}"), text)
}

impl Corpus for TheKind {
    fn documents(&self) -> Result<Records<'_>> {
        Ok(Box::new((0..self.0.documents).map(|n| Ok(document(n)))))
    }

    fn heldout(&self) -> Result<Records<'_>> {
        let first = self.0.documents;
        Ok(Box::new(
            (first..first + self.0.heldout_documents).map(|n| Ok(document(n))),
        ))
    }

    fn fingerprint(&self) -> Result<Fingerprint> {
        // All that the documents depend on. A corpus that reads files hashes their bytes, never their paths.
        Ok(Fingerprint::of_value(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use sbp_plugin::{entries, slots};
    use sbp_testkit::contract;

    #[test]
    fn it_keeps_the_contract_of_its_slot() {
        for entry in entries::<slots::Corpus>() {
            contract::corpus(&contract::plugin(entry));
        }
    }
}
