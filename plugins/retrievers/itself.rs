//! Every document as its own neighbor: the control for copying.

use sbp_plugin::prelude::*;
use sbp_plugin::slots::embedder::Embeddings;
use sbp_plugin::slots::retriever::{Retriever, SearchContext};

/// The document itself instead of neighbors: a control.
///
/// A synthesizer tuned on such pairs learns to repeat its seed document, so that its gain shows what repetition in
/// another guise is worth. Filters against near-duplicates and bands of similarity have to be left out for it.
///
/// Cost: nothing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ItselfConfig {}

impl Plugin<slots::Retriever> for ItselfConfig {
    const KIND: &'static str = "self";
    fn example() -> Self {
        Self {}
    }
    fn build(&self, _: &BuildContext) -> Result<Box<dyn Retriever>> {
        Ok(Box::new(Itself))
    }
}
register!(slots::Retriever => ItselfConfig);

struct Itself;

impl Retriever for Itself {
    fn finds_itself(&self) -> bool {
        true
    }

    fn neighbors(
        &mut self,
        embeddings: &Embeddings,
        queries: &[u32],
        k: usize,
        _: &mut SearchContext<'_>,
    ) -> Result<Vec<Vec<Neighbor>>> {
        let own =
            |&row: &u32| Neighbor { row, similarity: embeddings.similarity(row as usize, row as usize) };
        Ok(queries.iter().map(|query| std::iter::once(own(query)).take(k).collect()).collect())
    }
}

#[cfg(test)]
mod tests {
    use sbp_testkit::{random_embeddings, search};

    use super::*;

    #[test]
    fn one_neighbor_however_many_are_asked_for() {
        let embeddings = random_embeddings(5, 4, 1);
        let found = search(&mut Itself, &embeddings, &[3, 0], 4);
        let rows: Vec<Vec<u32>> = found.iter().map(|hits| hits.iter().map(|hit| hit.row).collect()).collect();
        assert_eq!(rows, [[3], [0]]);
        assert!((found[0][0].similarity - 1.0).abs() < 1e-6);
        assert_eq!(search(&mut Itself, &embeddings, &[3], 0), [[]]);
    }
}
