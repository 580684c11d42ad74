//! Approximate nearest neighbors in a forest of random projection trees, kept on disk (the crate `arroy`, on LMDB).

use std::num::NonZeroUsize;
use std::path::Path;

use arroy::distances::Cosine;
use arroy::{Database, Reader, Writer};
use heed::{CommitOrAbort, Env, EnvOpenOptions, WithoutTls};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rayon::prelude::*;
use sbp_plugin::prelude::*;
use sbp_plugin::slots::embedder::Embeddings;
use sbp_plugin::slots::retriever::{Retriever, SearchContext, neighbors_of};

/// Approximate search in a forest of random projection trees on disk.
///
/// For corpora that are too large for exact search. Similarities of what it finds are exact; what it may miss is
/// governed by `num_trees` and `search_k`. A document with nothing to embed has no neighbors and is nobody's.
///
/// Cost: building takes O(num_trees * documents * log documents * dim), a query O(search_k * dim). The index takes
/// about `documents * dim * 4` bytes of disk and as much again for every 10 to 50 trees; it is memory-mapped, so it
/// need not fit into memory. Measured on 100,000 rows of 384, one thread: 30 trees build in 10 s, and with
/// `search_k = 4000` find 96% of the true ten nearest in 6 ms a query.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ArroyConfig {
    /// Trees of the forest. More find more of the true neighbors, and cost build time and disk in proportion.
    #[schemars(range(min = 1, max = 1000))]
    pub num_trees: usize,
    /// Tree nodes looked at for one query. More find more of the true neighbors, and cost query time in proportion.
    #[schemars(range(min = 1))]
    pub search_k: usize,
}

impl Default for ArroyConfig {
    fn default() -> Self {
        Self { num_trees: 30, search_k: 4000 }
    }
}

impl Plugin<slots::Retriever> for ArroyConfig {
    const KIND: &'static str = "arroy";
    fn example() -> Self {
        Self::default()
    }
    fn build(&self, _: &BuildContext) -> Result<Box<dyn Retriever>> {
        Ok(Box::new(ArroyRetriever {
            num_trees: self.num_trees.max(1),
            search_k: NonZeroUsize::new(self.search_k).unwrap_or(NonZeroUsize::MIN),
            index: None,
        }))
    }
}
register!(slots::Retriever => ArroyConfig);

struct ArroyRetriever {
    num_trees: usize,
    search_k: NonZeroUsize,
    index: Option<(Env<WithoutTls>, Database<'static, Cosine>)>,
}

/// Queries that one reader of the index serves, in one thread.
const QUERIES_A_READER: usize = 64;

/// Readers of the index at a time: more than threads that could search. A place takes 64 bytes.
const MOST_READERS: u32 = 4096;

/// The index among those that could share a database.
const INDEX: u16 = 0;

impl Retriever for ArroyRetriever {
    fn is_approximate(&self) -> bool {
        true
    }

    fn prepare(&mut self, embeddings: &Embeddings, context: &mut SearchContext<'_>) -> Result<()> {
        let env = self.open(embeddings, context.scratch)?;
        let database: Database<'static, Cosine> = env
            .create_databases_and_commit(env.write_txn()?, |builder, txn| -> heed::Result<_> {
                builder.create_database(txn, None).map(CommitOrAbort::<_, ()>::Commit)
            })?
            .unwrap_commit();
        let mut writer = Writer::<Cosine>::new(database, INDEX, embeddings.dim);
        writer.set_tmpdir(context.scratch);

        // One thread: trees built by several come out in another order each time.
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
        let mut rng = ChaCha8Rng::seed_from_u64(context.rng.next_u64());
        pool.install(|| -> Result<()> {
            let mut txn = env.write_txn()?;
            for row in 0..embeddings.len() {
                if embeddings.row(row).iter().any(|x| *x != 0.0) {
                    writer.append_item(&mut txn, row as u32, embeddings.row(row))?;
                }
            }
            writer.builder(&mut rng).n_trees(self.num_trees).build(&mut txn)?;
            txn.commit()?;
            Ok(())
        })?;
        self.index = Some((env, database));
        Ok(())
    }

    fn neighbors(
        &mut self,
        embeddings: &Embeddings,
        queries: &[u32],
        k: usize,
        _: &mut SearchContext<'_>,
    ) -> Result<Vec<Vec<Neighbor>>> {
        let (env, database) = self.index.as_ref().ok_or("searched before it was prepared")?;
        let search = |queries: &[u32]| -> Result<Vec<Vec<Neighbor>>> {
            let txn = env.read_txn()?;
            let reader = Reader::<Cosine>::open(&txn, INDEX, *database)?;
            let mut found = Vec::with_capacity(queries.len());
            for &query in queries {
                // One more, since the query finds itself.
                let mut search = reader.nns(k + 1);
                search.search_k(self.search_k);
                let hits = search.by_item(&txn, query)?.unwrap_or_default();
                let rows = hits.into_iter().map(|(row, _)| row);
                found.push(neighbors_of(embeddings, query, rows, k));
            }
            Ok(found)
        };
        let found: Vec<Vec<Vec<Neighbor>>> =
            queries.par_chunks(QUERIES_A_READER).map(search).collect::<Result<_>>()?;
        Ok(found.into_iter().flatten().collect())
    }
}

impl ArroyRetriever {
    fn open(&self, embeddings: &Embeddings, scratch: &Path) -> Result<Env<WithoutTls>> {
        // A reader's place is free again once its queries are answered, rather than kept by the thread for good; LMDB has
        // places for 126 unless told, and a machine may have more threads.
        let mut options = EnvOpenOptions::new().read_txn_without_tls();
        options.map_size(self.map_size(embeddings)).max_readers(MOST_READERS);
        #[expect(unsafe_code, reason = "LMDB maps its file; the scratch folder is this search's own")]
        Ok(unsafe { options.open(scratch) }?)
    }

    /// Bytes of address space for the index: far more than it takes, since the file grows only as it is filled.
    fn map_size(&self, embeddings: &Embeddings) -> usize {
        let rows = embeddings.rows.len() * size_of::<f32>();
        // A whole number of memory pages, as LMDB asks.
        ((1 << 30) + rows * (4 + self.num_trees)).next_multiple_of(1 << 16)
    }
}

#[cfg(test)]
mod tests {
    use sbp_testkit::{random_embeddings, search};

    use super::super::exact::ExactConfig;
    use super::*;

    #[test]
    fn finds_nearly_all_true_neighbors() {
        let embeddings = random_embeddings(2000, 16, 1);
        let queries: Vec<u32> = (0..200).collect();
        let retriever = |selected: Selected<slots::Retriever>| {
            let mut built = selected.build(&BuildContext::default()).unwrap();
            search(built.as_mut(), &embeddings, &queries, 10)
        };
        let (approximate, exact) =
            (retriever(Selected::new(ArroyConfig::default())), retriever(Selected::new(ExactConfig {})));
        let hits: usize = approximate
            .iter()
            .zip(&exact)
            .map(|(a, e)| a.iter().filter(|hit| e.iter().any(|true_| true_.row == hit.row)).count())
            .sum();
        assert!(hits > 1900, "{hits} of 2000");
    }

    #[test]
    fn neighbors_do_not_depend_on_the_number_of_threads() {
        let embeddings = random_embeddings(3_000, 8, 1);
        let queries: Vec<u32> = (0..3_000).collect();
        let found = |num_threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(num_threads).build().unwrap();
            let options = ArroyConfig { num_trees: 2, search_k: 50 };
            pool.install(|| {
                let mut built = Selected::new(options).build(&BuildContext::default()).unwrap();
                search(built.as_mut(), &embeddings, &queries, 5)
            })
        };
        let one = found(1);
        assert_eq!(one, found(3));
    }

    #[test]
    fn more_threads_can_read_at_once_than_lmdb_has_places_for_by_itself() {
        let folder = tempfile::tempdir().unwrap();
        let retriever = ArroyRetriever { num_trees: 1, search_k: NonZeroUsize::MIN, index: None };
        let env = retriever.open(&random_embeddings(2, 8, 1), folder.path()).unwrap();
        let readers: heed::Result<Vec<_>> = (0..200).map(|_| env.read_txn()).collect();
        assert_eq!(readers.unwrap().len(), 200);
    }
}
