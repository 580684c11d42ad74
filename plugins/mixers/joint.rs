//! All sources shuffled together.

use sbp_plugin::prelude::*;
use sbp_plugin::slots::mixer::{Draw, Mixer, Pool};

/// Trains on all sources at once, as if they were shuffled into one pile.
///
/// Real documents come in an order that is drawn anew at every pass and is the same whatever they are mixed with.
/// Synthetic ones come at most as often as the arm allows, mostly once; if they run out before their part of the budget is met, real documents fill
/// the rest. Which source comes next is drawn with probability in proportion to the documents it still has to give.
///
/// Cost: O(1) a draw; 4 bytes a document of each pool.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct JointConfig {}

impl Plugin<slots::Mixer> for JointConfig {
    const KIND: &'static str = "joint";
    fn example() -> Self {
        Self {}
    }
    fn build(&self, _: &BuildContext) -> Result<Box<dyn Mixer>> {
        Ok(Box::new(Joint))
    }
}
register!(slots::Mixer => JointConfig);

struct Joint;

impl Mixer for Joint {
    fn schedule<'a>(&self, pools: &'a [Pool<'a>], root: RootSeed) -> Box<dyn Iterator<Item = Draw> + 'a> {
        let piles = pools.iter().map(|pool| Pile::of(pool, root)).collect();
        Box::new(Schedule { piles, rng: root.stream("mix", &[]) })
    }
}

/// A pool as it is being used up.
struct Pile<'a> {
    pool: &'a Pool<'a>,
    root: RootSeed,
    mean_length: f64,
    /// Tokens given so far.
    given: u64,
    pass: u32,
    order: Vec<u32>,
    next: usize,
}

impl<'a> Pile<'a> {
    fn of(pool: &'a Pool<'a>, root: RootSeed) -> Self {
        let total: u64 = pool.lengths.iter().map(|length| u64::from(*length)).sum();
        let mean_length = (total as f64 / pool.lengths.len().max(1) as f64).max(1.0);
        let mut pile = Self { pool, root, mean_length, given: 0, pass: 0, order: Vec::new(), next: 0 };
        pile.order = pile.order_of(0);
        pile
    }

    /// The order of a pass: a function of root seed, source and pass alone.
    fn order_of(&self, pass: u32) -> Vec<u32> {
        let name = format!("order/{}", self.pool.source.name());
        self.root.stream(&name, &[u64::from(pass)]).permutation(self.pool.lengths.len())
    }

    /// Whether there is a document left to give, ever.
    fn can_give(&self) -> bool {
        let may_begin_again = self.pool.max_passes.is_none_or(|most| self.pass + 1 < most);
        self.next < self.order.len() || may_begin_again && !self.order.is_empty()
    }

    /// About how many documents it still has to give: its weight in the draw.
    fn remaining(&self) -> f64 {
        if self.can_give() {
            self.pool.tokens.saturating_sub(self.given) as f64 / self.mean_length
        } else {
            0.0
        }
    }

    /// The next document and its pass.
    fn take(&mut self) -> (u32, u32) {
        if self.next == self.order.len() {
            self.pass += 1;
            self.order = self.order_of(self.pass);
            self.next = 0;
        }
        let document = self.order[self.next];
        self.next += 1;
        self.given += u64::from(self.pool.lengths[document as usize]);
        (document, self.pass)
    }
}

/// Draws from piles that still owe tokens, so that none overshoots by more than the document that met its part.
struct Schedule<'a> {
    piles: Vec<Pile<'a>>,
    rng: RngStream,
}

impl Schedule<'_> {
    /// The pile to take from: at random by what each owes; when none owes anything, the real pile that is least
    /// ahead of its part.
    fn choose(&mut self) -> Option<usize> {
        let total: f64 = self.piles.iter().map(Pile::remaining).sum();
        if total > 0.0 {
            let mut left = self.rng.uniform() * total;
            let owing = || self.piles.iter().enumerate().filter(|(_, pile)| pile.remaining() > 0.0);
            for (index, pile) in owing() {
                left -= pile.remaining();
                if left < 0.0 {
                    return Some(index);
                }
            }
            // Only rounding leads here.
            return owing().next_back().map(|(index, _)| index);
        }
        let ahead = |pile: &Pile<'_>| pile.given as f64 / pile.pool.tokens.max(1) as f64;
        let mut real: Vec<usize> = (0..self.piles.len())
            .filter(|&index| self.piles[index].can_give() && self.piles[index].pool.max_passes.is_none())
            .collect();
        real.sort_by(|&a, &b| ahead(&self.piles[a]).total_cmp(&ahead(&self.piles[b])));
        real.first().copied()
    }
}

impl Iterator for Schedule<'_> {
    type Item = Draw;

    fn next(&mut self) -> Option<Draw> {
        let pool = self.choose()?;
        let (document, pass) = self.piles[pool].take();
        Some(Draw { pool, document, pass })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sbp_plugin::slots::mixer::Source;

    use super::*;

    fn draws(pools: &[Pool<'_>], seed: u64) -> Vec<Draw> {
        let budget: u64 = pools.iter().map(|pool| pool.tokens).sum();
        let mut given = 0;
        let mut draws = Vec::new();
        for draw in Joint.schedule(pools, RootSeed(seed)) {
            if given >= budget {
                break;
            }
            given += u64::from(pools[draw.pool].lengths[draw.document as usize]);
            draws.push(draw);
        }
        draws
    }

    fn pool(source: Source, lengths: &[u32], tokens: u64) -> Pool<'_> {
        let max_passes = (source == Source::Synthetic).then_some(1);
        Pool { source, lengths, tokens, max_passes }
    }

    /// The documents of one pool, with their passes, in order.
    fn of_pool(draws: &[Draw], pool: usize) -> Vec<(u32, u32)> {
        draws.iter().filter(|draw| draw.pool == pool).map(|draw| (draw.document, draw.pass)).collect()
    }

    #[test]
    fn every_pass_holds_every_document_once_in_a_new_order() {
        let lengths = [10; 50];
        let draws = draws(&[pool(Source::Pretrain, &lengths, 1500)], 1);
        let passes: Vec<Vec<u32>> = (0..3)
            .map(|pass| draws.iter().filter(|draw| draw.pass == pass).map(|draw| draw.document).collect())
            .collect();
        for pass in &passes {
            let mut sorted = pass.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..50).collect::<Vec<u32>>());
        }
        assert_ne!(passes[0], passes[1]);
        assert_ne!(passes[1], passes[2]);
    }

    #[test]
    fn sources_are_mixed_evenly_throughout() {
        let (real, synthetic) = ([10; 500], [40; 100]);
        let pools = [pool(Source::Pretrain, &real, 4000), pool(Source::Synthetic, &synthetic, 4000)];
        let draws = draws(&pools, 2);
        let half = &draws[..draws.len() / 2];
        let share = half.iter().filter(|draw| draw.pool == 1).count() as f64 / half.len() as f64;
        // 100 of 500 documents are synthetic; the standard deviation of the share over 250 draws is below 0.02.
        assert!((share - 0.2).abs() < 0.06, "{share}");
    }

    #[test]
    fn a_pool_is_given_as_often_as_it_allows() {
        let lengths = [10; 5];
        let twice = Pool { max_passes: Some(2), ..pool(Source::Synthetic, &lengths, 200) };
        let pools = [pool(Source::Pretrain, &lengths, 100), twice];
        let draws = draws(&pools, 4);
        assert_eq!(of_pool(&draws, 1).len(), 10);
        assert!((0..5).all(|document| of_pool(&draws, 1).contains(&(document, 1))));
        assert_eq!(of_pool(&draws, 0).len(), 20);
    }

    #[test]
    fn nothing_to_give_ends_the_schedule() {
        let pools = [pool(Source::Pretrain, &[], 100), pool(Source::Synthetic, &[10, 10], 100)];
        assert_eq!(draws(&pools, 3).len(), 2);
    }

    proptest! {
        #[test]
        fn real_order_does_not_depend_on_what_is_mixed_in(
            real in prop::collection::vec(1u32..50, 1..30),
            synthetic in prop::collection::vec(1u32..50, 0..30),
            tokens in 1u64..3000, share in 0u64..3000, seed: u64,
        ) {
            let alone = of_pool(&draws(&[pool(Source::Pretrain, &real, tokens)], seed), 0);
            let pools = [pool(Source::Pretrain, &real, tokens), pool(Source::Synthetic, &synthetic, share)];
            let mixed = of_pool(&draws(&pools, seed), 0);
            let common = alone.len().min(mixed.len());
            prop_assert_eq!(&alone[..common], &mixed[..common]);
        }

        #[test]
        fn shares_are_met_to_within_one_document(
            real in prop::collection::vec(1u32..50, 1..30),
            synthetic in prop::collection::vec(1u32..50, 1..30),
            tokens in 0u64..3000, share in 0.0f64..=1.0, seed: u64,
        ) {
            let supply: u64 = synthetic.iter().map(|length| u64::from(*length)).sum();
            let share = (share * supply as f64) as u64;
            let pools = [pool(Source::Pretrain, &real, tokens), pool(Source::Synthetic, &synthetic, share)];
            let draws = draws(&pools, seed);
            for (index, pool) in pools.iter().enumerate() {
                let given: u64 = of_pool(&draws, index).iter().map(|(d, _)| u64::from(pool.lengths[*d as usize])).sum();
                prop_assert!(given.abs_diff(pool.tokens) < 50, "{} given of {}", given, pool.tokens);
            }
            prop_assert!(draws.iter().all(|draw| draw.pool == 0 || draw.pass == 0));
        }

        #[test]
        fn synthetic_documents_come_once_and_real_ones_fill_the_rest(
            real in prop::collection::vec(1u32..50, 1..30),
            synthetic in prop::collection::vec(1u32..50, 0..30),
            tokens in 0u64..2000, asked in 1000u64..5000, seed: u64,
        ) {
            let pools = [pool(Source::Pretrain, &real, tokens), pool(Source::Synthetic, &synthetic, asked)];
            let draws = draws(&pools, seed);
            let given: u64 = draws.iter().map(|d| u64::from(pools[d.pool].lengths[d.document as usize])).sum();
            prop_assert!(given >= tokens + asked);
            let mut seen = of_pool(&draws, 1);
            let count = seen.len();
            seen.sort_unstable();
            seen.dedup();
            prop_assert_eq!(seen.len(), count);
        }
    }
}
