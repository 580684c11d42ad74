//! Approximate neighbors by a navigable small-world graph (HNSW, Malkov and Yashunin, arXiv 1603.09320) in memory: the
//! crate `usearch`.

use rayon::prelude::*;
use sbp_plugin::prelude::*;
use sbp_plugin::slots::embedder::Embeddings;
use sbp_plugin::slots::retriever::{Retriever, SearchContext, neighbors_of};
use usearch::{Index, IndexOptions, MetricKind, ScalarKind};

/// How numbers are kept in the graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GraphPrecision {
    /// 32 bits.
    F32,
    /// 16 bits: half the memory, and seldom another neighbor.
    #[default]
    Bf16,
    /// 8 bits: a quarter of the memory, and noticeably more misses.
    I8,
}

/// Approximate search by a graph of near documents, for hundreds of thousands of documents and more.
///
/// The graph is built by one thread, so that the same embeddings give the same neighbors; it is searched by all.
///
/// Cost: about `documents * (dim * bytes of the precision + 16 * connectivity)` bytes of memory beside the embeddings; building
/// takes by far the most time, in proportion to `documents * expansion_add * dim`; a query looks at some thousand documents.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HnswConfig {
    /// Edges of a document in the graph.
    #[schemars(range(min = 2, max = 256))]
    pub connectivity: usize,
    /// Candidates kept while an edge is looked for. More build a better graph, more slowly.
    #[schemars(range(min = 1))]
    pub expansion_add: usize,
    /// Candidates kept while neighbors are looked for. More miss fewer, more slowly.
    #[schemars(range(min = 1))]
    pub expansion_search: usize,
    /// How numbers are kept in the graph; similarities are computed from the embeddings as they are.
    pub precision: GraphPrecision,
}

impl Default for HnswConfig {
    fn default() -> Self {
        Self {
            connectivity: 16,
            expansion_add: 128,
            expansion_search: 128,
            precision: GraphPrecision::default(),
        }
    }
}

impl Plugin<slots::Retriever> for HnswConfig {
    const KIND: &'static str = "hnsw";
    fn example() -> Self {
        Self::default()
    }
    fn build(&self, _: &BuildContext) -> Result<Box<dyn Retriever>> {
        Ok(Box::new(HnswRetriever { config: self.clone(), index: None }))
    }
}
register!(slots::Retriever => HnswConfig);

struct HnswRetriever {
    config: HnswConfig,
    index: Option<Index>,
}

impl Retriever for HnswRetriever {
    fn is_approximate(&self) -> bool {
        true
    }

    fn prepare(&mut self, embeddings: &Embeddings, _: &mut SearchContext<'_>) -> Result<()> {
        let index = Index::new(&IndexOptions {
            dimensions: embeddings.dim,
            metric: MetricKind::IP,
            quantization: match self.config.precision {
                GraphPrecision::F32 => ScalarKind::F32,
                GraphPrecision::Bf16 => ScalarKind::BF16,
                GraphPrecision::I8 => ScalarKind::I8,
            },
            connectivity: self.config.connectivity,
            expansion_add: self.config.expansion_add,
            expansion_search: self.config.expansion_search,
            multi: false,
        })?;
        index.reserve_capacity_and_threads(embeddings.len(), rayon::current_num_threads())?;
        for row in 0..embeddings.len() {
            index.add(row as u64, embeddings.row(row))?;
        }
        self.index = Some(index);
        Ok(())
    }

    fn neighbors(
        &mut self,
        embeddings: &Embeddings,
        queries: &[u32],
        k: usize,
        _: &mut SearchContext<'_>,
    ) -> Result<Vec<Vec<Neighbor>>> {
        if k == 0 {
            return Ok(vec![Vec::new(); queries.len()]);
        }
        let index = self.index.as_ref().ok_or("searched before it was prepared")?;
        let search = |&query: &u32| -> Result<Vec<Neighbor>> {
            // One more, since the query finds itself.
            let hits = index.search(embeddings.row(query as usize), k + 1)?;
            Ok(neighbors_of(embeddings, query, hits.keys.into_iter().map(|row| row as u32), k))
        };
        queries.par_iter().map(search).collect()
    }
}

#[cfg(test)]
mod tests {
    use sbp_testkit::{random_embeddings, search};

    use super::super::exact::ExactConfig;
    use super::*;

    #[test]
    fn finds_nearly_all_true_neighbors_and_the_same_again() {
        let embeddings = random_embeddings(2000, 16, 1);
        let queries: Vec<u32> = (0..200).collect();
        let found = |selected: Selected<slots::Retriever>| {
            let mut built = selected.build(&BuildContext::default()).unwrap();
            search(built.as_mut(), &embeddings, &queries, 10)
        };
        let approximate = found(Selected::new(HnswConfig::default()));
        let exact = found(Selected::new(ExactConfig {}));
        let pairs = approximate.iter().zip(&exact);
        let hits: usize =
            pairs.map(|(a, e)| a.iter().filter(|hit| e.iter().any(|it| it.row == hit.row)).count()).sum();
        assert!(hits > 1900, "{hits} of 2000");
        assert_eq!(approximate, found(Selected::new(HnswConfig::default())));
    }
}
