//! A band of similarity: related, but not the same.

use sbp_plugin::prelude::*;
use sbp_plugin::slots::pair_filter::{PairFilter, Verdict};

/// Keeps pairs whose similarity is within a band.
///
/// Below the band, documents have nothing to tell about each other; above it, the second repeats the first. Where the
/// band lies depends on the embedder and on the documents: look at the similarities of random pairs first. (With
/// `tfidf`, random pairs of abstracts stay below 0.14, and the nearest are at about 0.23.)
///
/// Cost: two comparisons a pair.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SimilarityBandConfig {
    /// The least similarity (inner product of the two unit-norm embeddings) that is kept.
    #[schemars(range(min = -1.0, max = 1.0))]
    pub similarity_min: f64,
    /// The greatest similarity that is kept.
    #[schemars(range(min = -1.0, max = 1.0))]
    pub similarity_max: f64,
}

impl Default for SimilarityBandConfig {
    fn default() -> Self {
        Self { similarity_min: 0.2, similarity_max: 0.95 }
    }
}

impl Plugin<slots::PairFilter> for SimilarityBandConfig {
    const KIND: &'static str = "similarity_band";
    fn example() -> Self {
        Self::default()
    }
    fn check(&self) -> Vec<(&'static str, String)> {
        if self.similarity_min <= self.similarity_max {
            return Vec::new();
        }
        let message = format!(
            "the band is empty: similarity_min = {} is above similarity_max = {}",
            self.similarity_min, self.similarity_max
        );
        vec![("similarity_min", message)]
    }
    fn build(&self, _: &BuildContext) -> Result<Box<dyn PairFilter>> {
        Ok(Box::new(SimilarityBand { min: self.similarity_min, max: self.similarity_max }))
    }
}
register!(slots::PairFilter => SimilarityBandConfig);

struct SimilarityBand {
    min: f64,
    max: f64,
}

impl PairFilter for SimilarityBand {
    fn judge(&self, pair: &Pair, _: &Document, _: &Document) -> Verdict {
        let similarity = f64::from(pair.similarity);
        if similarity > self.max {
            Verdict::drop("similarity_above_band")
        } else if similarity >= self.min {
            Verdict::Keep
        } else {
            // A similarity that is not a number ends here too.
            Verdict::drop("similarity_below_band")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_are_kept_and_nothing_beyond() {
        let filter = SimilarityBand { min: 0.25, max: 0.75 };
        let document = Document::new("d", "text");
        let judge = |similarity| {
            let pair = Pair { seed: DocId(1), target: DocId(2), similarity, rank: 0 };
            filter.judge(&pair, &document, &document)
        };
        assert_eq!([0.25, 0.5, 0.75].map(judge), [Verdict::Keep, Verdict::Keep, Verdict::Keep]);
        assert_eq!(judge(0.2), Verdict::drop("similarity_below_band"));
        assert_eq!(judge(f32::NAN), Verdict::drop("similarity_below_band"));
        assert_eq!(judge(0.8), Verdict::drop("similarity_above_band"));
    }

    #[test]
    fn an_empty_band_is_a_problem() {
        let config = SimilarityBandConfig { similarity_min: 0.9, similarity_max: 0.1 };
        assert_eq!(config.check()[0].0, "similarity_min");
    }
}
