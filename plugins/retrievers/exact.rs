//! Exact nearest neighbors by blocked inner product: the reference that approximate retrievers are tested against.

use sbp_plugin::prelude::*;
use sbp_plugin::slots::embedder::Embeddings;
use sbp_plugin::slots::retriever::{Retriever, SearchContext};

/// Exact search over all documents.
///
/// The default: no index to build, and up to some hundred thousand documents as fast as one.
///
/// Cost: `documents^2 * dim` multiply-adds on the runtime's device, in tiles of 512 queries by 4,096 rows: beyond the
/// embeddings, one tile's products (8 MiB) a thread, its rows and 4,096 queries, whatever the number of documents. Of several
/// processes each holds a share of the embeddings and two tiles of 64 MiB, which are handed round.
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
    fn is_exact_search(&self, _: usize, _: bool) -> bool {
        true
    }

    fn search_flops(&self, num_documents: usize, dim: usize) -> Option<f64> {
        Some(2.0 * (num_documents as f64).powi(2) * dim as f64)
    }

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
    use proptest::prelude::*;
    use sbp_testkit::{search, search_in_calls};

    use super::*;

    fn naive(embeddings: &Embeddings, query: u32, k: usize) -> Vec<Neighbor> {
        let mut best: Vec<Neighbor> = Vec::new();
        for row in (0..embeddings.len() as u32).filter(|row| *row != query) {
            let similarity = embeddings.similarity(query as usize, row as usize);
            // Behind its equals, which are of lower rows.
            let place = best.partition_point(|other| other.similarity.total_cmp(&similarity).is_ge());
            best.insert(place, Neighbor { row, similarity });
        }
        best.truncate(k);
        best
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn equals_a_naive_search_however_queries_are_divided(
            (num_rows, dim, k) in (1_usize..60, 1_usize..8, 0_usize..=10),
            // Small whole numbers: products are exact, and ties are many.
            values in prop::collection::vec(-2_i8..3, 59 * 7),
            ends_a_call in prop::collection::vec(any::<bool>(), 59),
        ) {
            let rows = values[..num_rows * dim].iter().map(|value| f32::from(*value)).collect();
            let embeddings = Embeddings { dim, rows };
            let queries: Vec<u32> = (0..num_rows as u32).collect();
            let calls = queries.chunk_by(|query, _| !ends_a_call[*query as usize]);
            let found = search_in_calls(&mut ExactRetriever, &embeddings, calls, k);
            let at_once = search_in_calls(&mut ExactRetriever, &embeddings, [&queries[..]], k);
            prop_assert_eq!(&found, &at_once);
            prop_assert_eq!(found.len(), num_rows);
            let is_in_order = |pair: &[Neighbor]| {
                let by_similarity = pair[1].similarity.total_cmp(&pair[0].similarity);
                by_similarity.then(pair[0].row.cmp(&pair[1].row)).is_lt()
            };
            for (&query, neighbors) in queries.iter().zip(&found) {
                prop_assert_eq!(neighbors.len(), k.min(num_rows - 1));
                prop_assert!(neighbors.iter().all(|neighbor| neighbor.row != query));
                prop_assert!(neighbors.windows(2).all(is_in_order));
                prop_assert_eq!(neighbors, &naive(&embeddings, query, k));
            }
        }
    }

    #[test]
    fn every_row_meets_every_row() {
        // 9 products of rows, each of 2 multiplications and 2 additions.
        assert_eq!(ExactRetriever.search_flops(3, 2), Some(36.0));
    }

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
