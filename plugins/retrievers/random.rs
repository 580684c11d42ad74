//! Random pairs: the negative control of the study, which shows how much of the gain is owed to relatedness.

use std::collections::HashSet;

use sbp_plugin::prelude::*;
use sbp_plugin::slots::embedder::Embeddings;
use sbp_plugin::slots::retriever::{Retriever, SearchContext, neighbors_of};

/// Random documents instead of neighbors: a control.
///
/// Every set of k other documents is equally likely; their true similarity is reported, so a similarity band in the
/// recipe still applies and has to be opened for this control.
///
/// Cost: `documents * neighbors * dim` multiply-adds, for the similarities; no memory to speak of.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RandomConfig {}

impl Plugin<slots::Retriever> for RandomConfig {
    const KIND: &'static str = "random";
    fn example() -> Self {
        Self {}
    }
    fn build(&self, _: &BuildContext) -> Result<Box<dyn Retriever>> {
        Ok(Box::new(RandomRetriever))
    }
}
register!(slots::Retriever => RandomConfig);

struct RandomRetriever;

impl Retriever for RandomRetriever {
    fn draws_at_random(&self) -> bool {
        true
    }

    fn neighbors(
        &mut self,
        embeddings: &Embeddings,
        queries: &[u32],
        k: usize,
        context: &mut SearchContext<'_>,
    ) -> Result<Vec<Vec<Neighbor>>> {
        let others = embeddings.len().saturating_sub(1) as u64;
        let k = (k as u64).min(others);
        let mut found = Vec::with_capacity(queries.len());
        for &query in queries {
            // Floyd's sampling without replacement, over the rows with the query taken out.
            let mut chosen = HashSet::with_capacity(k as usize);
            let mut rows = Vec::with_capacity(k as usize);
            for last in others - k..others {
                let drawn = context.rng.below(last + 1) as u32;
                let place = if chosen.insert(drawn) { drawn } else { last as u32 };
                chosen.insert(place);
                rows.push(if place < query { place } else { place + 1 });
            }
            found.push(neighbors_of(embeddings, query, rows, k as usize));
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use sbp_testkit::search;

    use super::*;

    #[test]
    fn every_other_row_is_equally_likely() {
        let embeddings = Embeddings::normalised(1, vec![1.0; 6]);
        let queries = vec![2; 5000];
        let mut counts = [0; 6];
        for hits in search(&mut RandomRetriever, &embeddings, &queries, 2) {
            assert_eq!(hits.len(), 2);
            hits.iter().for_each(|hit| counts[hit.row as usize] += 1);
        }
        assert_eq!(counts[2], 0);
        // 5000 queries, two of five rows each: 2000 expected, standard deviation 35.
        for row in [0, 1, 3, 4, 5] {
            assert!((1800..2200).contains(&counts[row]), "{counts:?}");
        }
    }
}
