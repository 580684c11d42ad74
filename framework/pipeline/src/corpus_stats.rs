//! What is in a corpus, in numbers: `sbp corpus stats`.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use sbp_plugin::registry::BuildContext;
use sbp_plugin::slots::corpus::{BadRecord, Corpus};
use sbp_recipe::Plan;
use serde::Serialize;

use crate::Result;
use crate::pricing::bytes_per_token;
use crate::stages::corpus::{EvaluationSets, Quarantine, split};
use crate::stages::{caught, failed};

/// Sources that are listed.
const SOURCES: usize = 10;
/// Bad records that are listed.
const BAD: usize = 5;

/// A corpus in numbers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CorpusStats {
    /// Documents that may be trained on.
    pub documents: usize,
    /// Whether these are all that there are; if not, all numbers are of the first ones, a fair sample.
    pub is_all: bool,
    /// Bytes of their texts.
    pub bytes: u64,
    /// Tokens of their texts, estimated from the bytes and the size of the recipe's vocabulary.
    pub estimated_tokens: u64,
    /// Records with the very text of another document, passed over.
    pub duplicates: usize,
    /// Records that are no documents.
    pub bad_records: usize,
    /// The first of them.
    pub first_bad_records: Vec<BadRecord>,
    /// Words in a document, as white space divides them.
    pub words: Lengths,
    /// Bytes in a document.
    pub document_bytes: Lengths,
    /// Documents by their number of words.
    pub words_histogram: Vec<Bar>,
    /// How many sources there are.
    pub num_sources: usize,
    /// The sources with the most documents, and how many.
    pub sources: Vec<(String, usize)>,
    /// What the recipe's splits come to.
    pub splits: SplitStats,
}

/// How long the documents are.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Lengths {
    /// The mean.
    pub mean: f64,
    /// The least.
    pub min: u32,
    /// A tenth are shorter.
    pub p10: u32,
    /// Half are shorter.
    pub median: u32,
    /// Nine tenths are shorter.
    pub p90: u32,
    /// All but a hundredth are shorter.
    pub p99: u32,
    /// The greatest.
    pub max: u32,
}

/// Documents of a range of lengths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Bar {
    /// The least number of words; up to twice as many are in the range.
    pub from: u32,
    /// Documents.
    pub documents: usize,
}

/// What the recipe's splits come to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SplitStats {
    /// Documents in D_pretrain.
    pub pretrain_documents: usize,
    /// Documents in the oracle's pool, D_pretrain included.
    pub oracle_documents: usize,
    /// Documents held out.
    pub heldout_documents: usize,
    /// As many as the recipe asks for, of each.
    pub asked: [usize; 3],
    /// Documents left out of the pool, by the set whose text they contain.
    pub contaminated_by: BTreeMap<String, usize>,
    /// Why a run would end here, if it would.
    pub problem: Option<String>,
}

/// Looks at the first `limit` documents of a recipe's corpus.
///
/// # Errors
/// When the corpus or an evaluation set cannot be read.
pub fn corpus_stats(plan: &Plan, limit: usize) -> Result<CorpusStats> {
    caught("corpus", || {
        let source = plan.recipe.corpus.build(&BuildContext::default()).map_err(failed("corpus"))?;
        let mut seen = Seen::default();
        let is_all = seen.look(source.as_ref(), limit)?;
        let per_token = bytes_per_token(plan.recipe.tokenizer.vocab_size);
        let bytes: u64 = seen.bytes.iter().map(|bytes| u64::from(*bytes)).sum();
        let num_sources = seen.sources.len();
        let mut sources: Vec<(String, usize)> = seen.sources.into_iter().collect();
        sources.sort_by_key(|(_, count)| Reverse(*count));
        sources.truncate(SOURCES);
        Ok(CorpusStats {
            documents: seen.bytes.len(),
            is_all,
            bytes,
            estimated_tokens: (bytes as f64 / per_token) as u64,
            duplicates: seen.quarantine.duplicates,
            bad_records: seen.quarantine.bad,
            first_bad_records: seen.quarantine.listed().iter().take(BAD).cloned().collect(),
            words_histogram: histogram(&seen.words),
            words: Lengths::of(seen.words),
            document_bytes: Lengths::of(seen.bytes),
            num_sources,
            sources,
            splits: splits(plan, source.as_ref())?,
        })
    })
}

#[derive(Default)]
struct Seen {
    words: Vec<u32>,
    bytes: Vec<u32>,
    sources: BTreeMap<String, usize>,
    quarantine: Quarantine,
}

impl Seen {
    /// Looks at documents, and tells whether these were all.
    fn look(&mut self, source: &dyn Corpus, limit: usize) -> Result<bool> {
        for record in source.documents().map_err(failed("corpus"))? {
            if self.bytes.len() == limit {
                return Ok(false);
            }
            let Some(document) = self.quarantine.sift(record)? else { continue };
            let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
            self.words.push(count(document.text.split_whitespace().count()));
            self.bytes.push(count(document.text.len()));
            if !document.source.is_empty() {
                *self.sources.entry(document.source).or_default() += 1;
            }
        }
        Ok(true)
    }
}

fn splits(plan: &Plan, source: &dyn Corpus) -> Result<SplitStats> {
    let splits = &plan.recipe.splits;
    let found = split(source, splits, &EvaluationSets::read(splits)?, &mut |_| Ok(()))?;
    Ok(SplitStats {
        pretrain_documents: found.pretrain.len(),
        oracle_documents: found.num_pool,
        heldout_documents: found.heldout.len(),
        asked: [splits.pretrain_documents, splits.pool_documents(), splits.heldout_documents],
        problem: found.check(splits).err().map(|error| error.to_string()),
        contaminated_by: found.contaminated,
    })
}

impl Lengths {
    fn of(mut lengths: Vec<u32>) -> Self {
        lengths.sort_unstable();
        let at = |share: f64| lengths.get((share * lengths.len() as f64) as usize).copied();
        let (Some(min), Some(max)) = (lengths.first(), lengths.last()) else { return Self::default() };
        let quantile = |share| at(share).unwrap_or(*max);
        Self {
            mean: lengths.iter().map(|length| f64::from(*length)).sum::<f64>() / lengths.len() as f64,
            min: *min,
            p10: quantile(0.1),
            median: quantile(0.5),
            p90: quantile(0.9),
            p99: quantile(0.99),
            max: *max,
        }
    }
}

/// Counts by powers of two, from the first to the last that has any.
fn histogram(lengths: &[u32]) -> Vec<Bar> {
    let mut counts = [0; 32];
    for length in lengths {
        counts[length.max(&1).ilog2() as usize] += 1;
    }
    let bars = counts.iter().enumerate().map(|(power, count)| Bar { from: 1 << power, documents: *count });
    let is_some = |bar: &Bar| bar.documents > 0;
    let mut bars: Vec<Bar> = bars.skip_while(|bar| !is_some(bar)).collect();
    bars.truncate(bars.iter().rposition(is_some).map_or(0, |last| last + 1));
    bars
}

#[cfg(test)]
mod tests {
    use sbp_plugin::registry::Plugin as _;
    use sbp_testkit::{TinyConfig, TinyCorpus};

    use super::*;

    #[test]
    fn quantiles_and_bars_of_known_lengths() {
        let lengths: Vec<u32> = (0..200).map(|n| n % 100 + 1).collect();
        let found = Lengths::of(lengths.clone());
        assert_eq!((found.min, found.p10, found.median, found.p90), (1, 11, 51, 91));
        assert_eq!((found.p99, found.max, found.mean), (100, 100, 50.5));
        assert_eq!(Lengths::of(Vec::new()), Lengths::default());
        let bars: Vec<(u32, usize)> =
            histogram(&[0, 5, 4, 7, 40]).iter().map(|it| (it.from, it.documents)).collect();
        assert_eq!(bars, [(1, 1), (2, 0), (4, 3), (8, 0), (16, 0), (32, 1)]);
        assert_eq!(histogram(&[]), []);
    }

    #[test]
    fn records_are_counted_up_to_the_limit() {
        let corpus = TinyCorpus(TinyConfig { documents: 40, bad_every: Some(10), ..TinyConfig::example() });
        let mut seen = Seen::default();
        assert!(seen.look(&corpus, 100).expect("it can be read"));
        assert_eq!((seen.bytes.len(), seen.quarantine.bad, seen.sources["ash"]), (36, 4, 2));
        assert!(!Seen::default().look(&corpus, 30).expect("it can be read"));
    }
}
