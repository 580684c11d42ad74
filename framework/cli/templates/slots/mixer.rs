//! One source after the other.

use sbp_plugin::prelude::*;
use sbp_plugin::slots::mixer::{Draw, Mixer, Pool, Source};

/// Trains on one source after the other.
///
/// Cost: O(1) a draw; 4 bytes a document of each pool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TheKindConfig {
    /// Begin with the real documents instead of the synthetic ones.
    pub real_first: bool,
}

impl Default for TheKindConfig {
    fn default() -> Self {
        Self { real_first: true }
    }
}

impl Plugin<slots::Mixer> for TheKindConfig {
    const KIND: &'static str = "the_kind";
    fn example() -> Self {
        Self::default()
    }
    fn build(&self, _: &BuildContext) -> Result<Box<dyn Mixer>> {
        Ok(Box::new(TheKind(self.clone())))
    }
}
register!(slots::Mixer => TheKindConfig);

struct TheKind(TheKindConfig);

impl Mixer for TheKind {
    fn schedule<'a>(
        &self,
        pools: &'a [Pool<'a>],
        root: RootSeed,
    ) -> Box<dyn Iterator<Item = Draw> + 'a> {
        let mut order: Vec<usize> = (0..pools.len()).collect();
        order.sort_by_key(|&pool| (pools[pool].source == Source::Synthetic) == self.0.real_first);
        let mut queues: Vec<_> = pools
            .iter()
            .enumerate()
            .map(|(index, pool)| draws(index, pool, root))
            .collect();
        let mut owed: Vec<TokenCount> = pools.iter().map(|pool| pool.tokens).collect();
        Box::new(std::iter::from_fn(move || {
            while let Some(&pool) = order.iter().find(|&&pool| owed[pool] > 0) {
                let Some(draw) = queues[pool].next() else {
                    // Used up: the others fill in for what it still owes.
                    owed[pool] = 0;
                    continue;
                };
                let length = pools[pool].lengths[draw.document as usize];
                owed[pool] = owed[pool].saturating_sub(u64::from(length));
                return Some(draw);
            }
            queues.iter_mut().find_map(Iterator::next)
        }))
    }
}

/// Every document of a pool, in a new order at every pass, as often as the pool allows.
fn draws<'a>(index: usize, pool: &'a Pool<'a>, root: RootSeed) -> impl Iterator<Item = Draw> + 'a {
    let passes = match pool.max_passes {
        _ if pool.lengths.is_empty() => 0,
        Some(most) => most,
        None => u32::MAX,
    };
    (0..passes).flat_map(move |pass| {
        let stream = format!("order/{}", pool.source.name());
        let order = root
            .stream(&stream, &[u64::from(pass)])
            .permutation(pool.lengths.len());
        order.into_iter().map(move |document| Draw {
            pool: index,
            document,
            pass,
        })
    })
}

#[cfg(test)]
mod tests {
    use sbp_plugin::{entries, slots};
    use sbp_testkit::contract;

    #[test]
    fn it_keeps_the_contract_of_its_slot() {
        for entry in entries::<slots::Mixer>() {
            contract::mixer(&contract::plugin(entry));
        }
    }
}
