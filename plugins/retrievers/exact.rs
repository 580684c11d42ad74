//! Exact nearest neighbors by blocked inner product: the reference that approximate retrievers are tested against.

use sbp_plugin::prelude::*;
use sbp_plugin::slots::embedder::Embeddings;
use sbp_plugin::slots::retriever::{Retriever, SearchContext};

/// Exact search over all documents.
///
/// The default: no index to build, and up to some hundred thousand documents as fast as one.
///
/// Cost: `documents^2 * dim` multiply-adds on the runtime's device, in tiles of 256 queries by 16,384 rows: beyond
/// the embeddings, one tile's products (16 MiB), its rows and 4,096 queries, whatever the number of documents.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ExactConfig {}

impl Plugin<slots::Retriever> for ExactConfig {
    const KIND: &'static str = "exact";
    fn example() -> Self {
        Self {}
    }
    fn build(&self, _: &BuildContext) -> Result<Box<dyn Retriever>> {
        Ok(Box::new(ExactRetriever))
    }
}
register!(slots::Retriever => ExactConfig);

struct ExactRetriever;

impl Retriever for ExactRetriever {
    fn neighbors(
        &mut self,
        embeddings: &Embeddings,
        queries: &[u32],
        k: usize,
        context: &mut SearchContext<'_>,
    ) -> Result<Vec<Vec<Neighbor>>> {
        context.top_k.top_k(&embeddings.rows, embeddings.dim, queries, k)
    }
}

#[cfg(test)]
mod tests {
    use sbp_testkit::search;

    use super::*;

    #[test]
    fn four_hand_made_rows() {
        let embeddings = Embeddings::normalised(2, vec![1.0, 0.0, 0.0, 1.0, 1.0, 1.0, -1.0, 0.0]);
        let found = search(&mut ExactRetriever, &embeddings, &[0, 3], 2);
        let rows: Vec<Vec<u32>> = found.iter().map(|hits| hits.iter().map(|hit| hit.row).collect()).collect();
        // From row 0: row 2 at 45 degrees, row 1 at 90; from row 3: row 1 at 90, row 2 at 135.
        assert_eq!(rows, [[2, 1], [1, 2]]);
        assert!((found[0][0].similarity - 0.5f32.sqrt()).abs() < 1e-6);
    }
}
