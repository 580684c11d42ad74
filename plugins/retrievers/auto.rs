//! The retriever that suits the number of documents and the device.

use sbp_plugin::prelude::*;
use sbp_plugin::slots::embedder::Embeddings;
use sbp_plugin::slots::retriever::{Retriever, SearchContext};

use super::exact::ExactConfig;

/// Exact search as long as that pays, a graph beyond.
///
/// On a GPU, exact search always: its products are what a GPU does best. On a CPU, exact search up to 150,000 documents, and
/// beyond that `hnsw`, where the program was built with it (`SBP_FEATURES=hnsw cargo sbp ...`), with its default options.
/// `arroy` is never chosen: with options that are faster than exact search it misses many. `sbp pairs`, the screen and the
/// manifest of the pairs say what was chosen and why.
///
/// Cost: that of the chosen retriever.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AutoConfig {}

/// Most documents that exact search on a CPU is chosen for where there is a choice. All pairs of 100,000 rows of 384 numbers
/// take 42 s on two cores, and nothing is missed; a graph of them takes about as long to build and to search.
const EXACT_ON_CPU: usize = 150_000;

impl Plugin<slots::Retriever> for AutoConfig {
    const KIND: &'static str = "auto";
    fn example() -> Self {
        Self {}
    }
    fn build(&self, _: &BuildContext) -> Result<Box<dyn Retriever>> {
        Ok(Box::new(AutoRetriever { chosen: None }))
    }
}
register!(slots::Retriever => AutoConfig);

struct AutoRetriever {
    chosen: Option<Box<dyn Retriever>>,
}

/// The kind that suits, and why.
fn choose(num_documents: usize, is_on_gpu: bool) -> (Selected<slots::Retriever>, String) {
    let exact = || Selected::new(ExactConfig {});
    if is_on_gpu {
        return (exact(), format!("{num_documents} documents on a GPU"));
    }
    if num_documents <= EXACT_ON_CPU {
        let why = format!("{num_documents} documents on a CPU; a graph is for more than {EXACT_ON_CPU}");
        return (exact(), why);
    }
    let why = format!("{num_documents} documents on a CPU are more than {EXACT_ON_CPU}");
    #[cfg(feature = "hnsw")]
    return (Selected::new(super::hnsw::HnswConfig::default()), why);
    #[cfg(not(feature = "hnsw"))]
    return (exact(), format!("{why}, but `hnsw` is not built in (SBP_FEATURES=hnsw builds it in)"));
}

impl Retriever for AutoRetriever {
    fn is_exact_search(&self, num_documents: usize, is_on_gpu: bool) -> bool {
        choose(num_documents, is_on_gpu).0.kind() == ExactConfig::KIND
    }

    fn is_approximate(&self) -> bool {
        self.chosen.as_ref().is_some_and(|retriever| retriever.is_approximate())
    }

    fn draws_at_random(&self) -> bool {
        self.chosen.as_ref().is_some_and(|retriever| retriever.draws_at_random())
    }

    fn choice(&self, num_documents: usize, is_on_gpu: bool) -> Option<String> {
        let (selected, why) = choose(num_documents, is_on_gpu);
        Some(format!("{}: {why}", selected.kind()))
    }

    fn prepare(&mut self, embeddings: &Embeddings, context: &mut SearchContext<'_>) -> Result<()> {
        let (selected, _) = choose(embeddings.len(), context.top_k.is_on_gpu());
        let mut retriever = selected.build(&BuildContext::default())?;
        retriever.prepare(embeddings, context)?;
        self.chosen = Some(retriever);
        Ok(())
    }

    fn neighbors(
        &mut self,
        embeddings: &Embeddings,
        queries: &[u32],
        k: usize,
        context: &mut SearchContext<'_>,
    ) -> Result<Vec<Vec<Neighbor>>> {
        let retriever = self.chosen.as_mut().ok_or("searched before it was prepared")?;
        retriever.neighbors(embeddings, queries, k, context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_and_device_decide_and_the_reason_is_given() {
        let kind = |num_documents, is_on_gpu| choose(num_documents, is_on_gpu).0.kind();
        assert_eq!(kind(10, false), "exact");
        assert_eq!(kind(EXACT_ON_CPU, false), "exact");
        assert_eq!(kind(EXACT_ON_CPU + 1, true), "exact");
        assert_eq!(kind(EXACT_ON_CPU + 1, false) == "hnsw", cfg!(feature = "hnsw"));
        let choice = |num_documents, is_on_gpu| {
            let auto = AutoConfig {}.build(&BuildContext::default()).unwrap();
            auto.choice(num_documents, is_on_gpu).unwrap()
        };
        assert_eq!(choice(10, false), "exact: 10 documents on a CPU; a graph is for more than 150000");
        assert_eq!(choice(10, true), "exact: 10 documents on a GPU");
        assert_ne!(
            choice(EXACT_ON_CPU + 1, false),
            choice(EXACT_ON_CPU + 1, true),
            "one identity for two results"
        );
    }
}
