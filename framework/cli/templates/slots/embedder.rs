//! Documents as counts of letters.

use sbp_plugin::prelude::*;
use sbp_plugin::slots::embedder::{EmbedContext, Embedder, Embeddings};

/// How often each letter occurs: documents in one spelling are alike.
///
/// Cost: one pass over the text; `documents * 26 * 4` bytes for the rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TheKindConfig {
    /// Count lower and upper case as one.
    pub ignore_case: bool,
}

impl Default for TheKindConfig {
    fn default() -> Self {
        Self { ignore_case: true }
    }
}

impl Plugin<slots::Embedder> for TheKindConfig {
    const KIND: &'static str = "the_kind";
    fn example() -> Self {
        Self::default()
    }
    fn build(&self, _: &BuildContext) -> Result<Box<dyn Embedder>> {
        Ok(Box::new(TheKind(self.clone())))
    }
}
register!(slots::Embedder => TheKindConfig);

struct TheKind(TheKindConfig);

/// Columns: the letters a to z.
const DIM: usize = 26;

impl Embedder for TheKind {
    fn embed(
        &mut self,
        documents: &[Document],
        context: &mut EmbedContext<'_>,
    ) -> Result<Embeddings> {
        let mut rows = vec![0.0; documents.len() * DIM];
        for (index, document) in documents.iter().enumerate() {
            for byte in document.text.bytes() {
                let byte = if self.0.ignore_case {
                    byte.to_ascii_lowercase()
                } else {
                    byte
                };
                if byte.is_ascii_lowercase() {
                    rows[index * DIM + usize::from(byte - b'a')] += 1.0;
                }
            }
            (context.progress)(index + 1);
        }
        Ok(Embeddings::normalised(DIM, rows))
    }
}

#[cfg(test)]
mod tests {
    use sbp_plugin::{entries, slots};
    use sbp_testkit::contract;

    #[test]
    fn it_keeps_the_contract_of_its_slot() {
        for entry in entries::<slots::Embedder>() {
            contract::embedder(&contract::plugin(entry));
        }
    }
}
