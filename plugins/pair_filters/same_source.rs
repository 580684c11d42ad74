//! Whether both documents come from the same place.

use sbp_plugin::prelude::*;
use sbp_plugin::slots::pair_filter::{PairFilter, Verdict};

/// Which pairs are dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Dropped {
    /// Pairs of one source: boilerplate that pages of one site share makes them near, not their subject.
    #[default]
    Same,
    /// Pairs of two sources.
    Different,
}

/// Drops pairs of documents by where they come from: from the same source, or from different ones.
///
/// A document's source is what the corpus says of it, such as a site or a collection. Documents without one are of no
/// source, and kept.
///
/// Cost: a comparison of two texts a pair.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SameSourceConfig {
    /// Which pairs are dropped.
    pub drop: Dropped,
}

impl Plugin<slots::PairFilter> for SameSourceConfig {
    const KIND: &'static str = "same_source";
    fn example() -> Self {
        Self::default()
    }
    fn build(&self, _: &BuildContext) -> Result<Box<dyn PairFilter>> {
        Ok(Box::new(SameSource(self.drop)))
    }
}
register!(slots::PairFilter => SameSourceConfig);

struct SameSource(Dropped);

impl PairFilter for SameSource {
    fn judge(&self, _: &Pair, seed: &Document, target: &Document) -> Verdict {
        if seed.source.is_empty() || target.source.is_empty() {
            return Verdict::Keep;
        }
        match (self.0, seed.source == target.source) {
            (Dropped::Same, true) => Verdict::drop("same_source"),
            (Dropped::Different, false) => Verdict::drop("different_source"),
            _ => Verdict::Keep,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_compared_where_both_are_known() {
        let judge = |drop, seed: &str, target: &str| {
            let pair = Pair { seed: DocId(1), target: DocId(2), similarity: 0.5, rank: 0 };
            let document =
                |source: &str| Document { source: source.to_owned(), ..Document::new("d", "text") };
            SameSource(drop).judge(&pair, &document(seed), &document(target))
        };
        assert_eq!(judge(Dropped::Same, "a", "a"), Verdict::drop("same_source"));
        assert_eq!(judge(Dropped::Same, "a", "b"), Verdict::Keep);
        assert_eq!(judge(Dropped::Different, "a", "b"), Verdict::drop("different_source"));
        assert_eq!(judge(Dropped::Different, "a", "a"), Verdict::Keep);
        for drop in [Dropped::Same, Dropped::Different] {
            assert_eq!(judge(drop, "", "a"), Verdict::Keep);
            assert_eq!(judge(drop, "", ""), Verdict::Keep);
        }
    }
}
