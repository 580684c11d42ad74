//! Neighbors that are near enough.

use sbp_plugin::prelude::*;
use sbp_plugin::slots::embedder::Embeddings;
use sbp_plugin::slots::retriever::{Retriever, SearchContext};

/// The nearest documents, those that are not near left out.
///
/// Cost: `documents^2 * dim` multiply-adds on the runtime's device; memory beyond the embeddings is
/// bounded by a tile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TheKindConfig {
    /// The least similarity (inner product of the two unit-norm embeddings) of a neighbor.
    #[schemars(range(min = -1.0, max = 1.0))]
    pub similarity_min: f32,
}

impl Default for TheKindConfig {
    fn default() -> Self {
        Self {
            similarity_min: 0.0,
        }
    }
}

impl Plugin<slots::Retriever> for TheKindConfig {
    const KIND: &'static str = "the_kind";
    fn example() -> Self {
        Self::default()
    }
    fn build(&self, _: &BuildContext) -> Result<Box<dyn Retriever>> {
        Ok(Box::new(TheKind(self.clone())))
    }
}
register!(slots::Retriever => TheKindConfig);

struct TheKind(TheKindConfig);

impl Retriever for TheKind {
    fn neighbors(
        &mut self,
        embeddings: &Embeddings,
        queries: &[u32],
        k: usize,
        context: &mut SearchContext<'_>,
    ) -> Result<Vec<Vec<Neighbor>>> {
        let mut found = context
            .top_k
            .top_k(&embeddings.rows, embeddings.dim, queries, k)?;
        for neighbors in &mut found {
            neighbors.retain(|neighbor| neighbor.similarity >= self.0.similarity_min);
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use sbp_plugin::{entries, slots};
    use sbp_testkit::contract;

    #[test]
    fn it_keeps_the_contract_of_its_slot() {
        for entry in entries::<slots::Retriever>() {
            contract::retriever(&contract::plugin(entry));
        }
    }
}
