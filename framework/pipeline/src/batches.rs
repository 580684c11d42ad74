//! From a schedule of documents to optimizer steps.
//!
//! The predictions of all scheduled documents form one stream; step s is predictions `s*n..(s+1)*n` of it, cut only
//! where a step or the context ends, so that no token is lost or counted twice and every step has exactly n.

use sbp_core::{Example, Markers, RootSeed};
use sbp_plugin::Result;
use sbp_plugin::ports::BatchSource;
use sbp_plugin::slots::mixer::{Draw, Mixer, Pool};

use crate::token_store::TokenStore;

/// Documents of several pools, in a mixer's order.
pub(crate) struct DocumentBatches<'a> {
    mixer: &'a dyn Mixer,
    pools: &'a [Pool<'a>],
    stores: Vec<&'a TokenStore>,
    root: RootSeed,
    markers: Markers,
    tokens_per_step: usize,
    context: usize,
    cross_documents: bool,
    draws: Box<dyn Iterator<Item = Draw> + 'a>,
    /// The document under way and how many of its predictions are done.
    open: Option<(Draw, usize)>,
    next_step: u64,
}

impl<'a> DocumentBatches<'a> {
    /// `stores[i]` holds the documents of `pools[i]`.
    pub(crate) fn new(
        mixer: &'a dyn Mixer,
        pools: &'a [Pool<'a>],
        stores: Vec<&'a TokenStore>,
        root: RootSeed,
        markers: Markers,
        tokens_per_step: usize,
        context: usize,
    ) -> Self {
        let draws = mixer.schedule(pools, root);
        Self {
            mixer,
            pools,
            stores,
            root,
            markers,
            tokens_per_step,
            context,
            cross_documents: false,
            draws,
            open: None,
            next_step: 0,
        }
    }

    /// Whether attention crosses from one document into the next.
    pub(crate) fn crossing_documents(self, cross_documents: bool) -> Self {
        Self { cross_documents, ..self }
    }

    /// Walks over one step's predictions, giving each piece `(draw, from, to)` to `visit`.
    fn walk(&mut self, mut visit: impl FnMut(Draw, usize, usize)) -> Result<()> {
        let mut room = self.tokens_per_step;
        while room > 0 {
            let (draw, done) = match self.open.take() {
                Some(open) => open,
                None => {
                    let Some(draw) = self.draws.next() else {
                        return Err("the mixer ended its schedule before the budget was met".into());
                    };
                    (draw, 0)
                }
            };
            let length = self.pools[draw.pool].lengths[draw.document as usize] as usize;
            let until_context = self.context - done % self.context;
            let take = room.min(length - done).min(until_context);
            visit(draw, done, done + take);
            room -= take;
            if done + take < length {
                self.open = Some((draw, done + take));
            }
        }
        self.next_step += 1;
        Ok(())
    }
}

impl BatchSource for DocumentBatches<'_> {
    fn batch(&mut self, step: u64) -> Result<Vec<Example>> {
        if step < self.next_step {
            self.draws = self.mixer.schedule(self.pools, self.root);
            self.open = None;
            self.next_step = 0;
        }
        while self.next_step < step {
            self.walk(|_, _, _| {})?;
        }
        let mut pieces = Vec::new();
        self.walk(|draw, from, to| pieces.push((draw, from, to)))?;
        let examples = pieces.into_iter().map(|(draw, from, to)| {
            self.stores[draw.pool].piece(draw.document as usize, from, to, self.markers)
        });
        Ok(if self.cross_documents { windows(examples, self.context) } else { examples.collect() })
    }
}

/// The pieces of a step joined, and cut into windows of `context` predictions; the last may be shorter.
///
/// Nothing is put between two pieces: a document ends with the marker that the next begins with, and a piece that goes on
/// begins with the last token of the one before it.
fn windows(pieces: impl Iterator<Item = Example>, context: usize) -> Vec<Example> {
    let mut windows: Vec<Example> = Vec::new();
    for piece in pieces {
        let mut predictions = piece.tokens.iter().zip(&piece.loss_weights);
        let mut before = predictions.next().map(|(&token, _)| token);
        for (&token, &weight) in predictions {
            match windows.last_mut().filter(|window| window.num_predictions() < context) {
                Some(window) => {
                    window.tokens.push(token);
                    window.loss_weights.push(weight);
                }
                None => windows.push(Example {
                    tokens: before.into_iter().chain([token]).collect(),
                    loss_weights: vec![0.0, weight],
                }),
            }
            before = Some(token);
        }
    }
    windows
}

/// Tuning examples in a new order at every pass, never cut: a step takes as many as fit.
pub(crate) struct ExampleBatches<'a> {
    examples: &'a [Example],
    root: RootSeed,
    tokens_per_step: usize,
    order: Vec<u32>,
    pass: u64,
    position: usize,
    next_step: u64,
}

impl<'a> ExampleBatches<'a> {
    pub(crate) fn new(examples: &'a [Example], root: RootSeed, tokens_per_step: usize) -> Self {
        let order = root.stream("order/pairs", &[0]).permutation(examples.len());
        Self { examples, root, tokens_per_step, order, pass: 0, position: 0, next_step: 0 }
    }

    fn step(&mut self) -> Vec<u32> {
        let mut taken = Vec::new();
        let mut tokens = 0;
        loop {
            if self.position == self.order.len() {
                self.pass += 1;
                self.order = self.root.stream("order/pairs", &[self.pass]).permutation(self.examples.len());
                self.position = 0;
            }
            let index = self.order[self.position];
            let length = self.examples[index as usize].num_predictions();
            if !taken.is_empty() && tokens + length > self.tokens_per_step {
                break;
            }
            tokens += length;
            taken.push(index);
            self.position += 1;
        }
        self.next_step += 1;
        taken
    }
}

impl BatchSource for ExampleBatches<'_> {
    fn batch(&mut self, step: u64) -> Result<Vec<Example>> {
        if self.examples.is_empty() {
            return Err("there is no pair to tune on".into());
        }
        if step < self.next_step {
            *self = Self::new(self.examples, self.root, self.tokens_per_step);
        }
        while self.next_step < step {
            self.step();
        }
        Ok(self.step().into_iter().map(|index| self.examples[index as usize].clone()).collect())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sbp_core::TokenId;
    use sbp_plugin::slots::mixer::Source;

    use super::*;

    const MARKERS: Markers = Markers { end_of_text: 0, related: 1 };

    /// Documents one after the other, over and over.
    struct InOrder;

    impl Mixer for InOrder {
        fn schedule<'a>(&self, pools: &'a [Pool<'a>], _: RootSeed) -> Box<dyn Iterator<Item = Draw> + 'a> {
            let n = pools[0].lengths.len() as u32;
            Box::new((0..).map(move |i: u32| Draw { pool: 0, document: i % n, pass: i / n }))
        }
    }

    fn predictions(lengths: &[usize], per_step: usize, context: usize, steps: &[u64]) -> Vec<Vec<u32>> {
        let steps = examples(lengths, per_step, context, false, steps);
        steps
            .iter()
            .map(|step| step.iter().flat_map(|example| example.tokens[1..].to_vec()).collect())
            .collect()
    }

    fn examples(
        lengths: &[usize],
        per_step: usize,
        context: usize,
        cross: bool,
        steps: &[u64],
    ) -> Vec<Vec<Example>> {
        let mut next = 10;
        let documents = lengths.iter().map(|&length| {
            next += length as u32;
            (next - length as u32..next).collect()
        });
        let store = TokenStore::of(&documents.collect::<Vec<Vec<TokenId>>>());
        let lengths = store.lengths().to_vec();
        let pools = [Pool { source: Source::Pretrain, lengths: &lengths, tokens: 0, max_passes: None }];
        let mut batches =
            DocumentBatches::new(&InOrder, &pools, vec![&store], RootSeed(1), MARKERS, per_step, context)
                .crossing_documents(cross);
        let mut all = Vec::new();
        for &step in steps {
            let batch = batches.batch(step).unwrap();
            assert!(batch.iter().all(|example| example.num_predictions() <= context));
            all.push(batch);
        }
        all
    }

    proptest! {
        #[test]
        fn no_token_is_lost_or_counted_twice(
            lengths in prop::collection::vec(0usize..20, 1..8),
            per_step in 1usize..30,
            context in 1usize..12,
        ) {
            let steps: Vec<u64> = (0..12).collect();
            let got = predictions(&lengths, per_step, context, &steps);
            prop_assert!(got.iter().all(|step| step.len() == per_step));
            // The stream itself: every document's tokens and its end marker, over and over.
            let whole = predictions(&lengths, 1, usize::MAX >> 1, &(0..(12 * per_step) as u64).collect::<Vec<_>>());
            prop_assert_eq!(got.concat(), whole.concat());
        }

        #[test]
        fn windows_hold_the_same_predictions_and_are_full(
            lengths in prop::collection::vec(0usize..20, 1..8),
            per_step in 1usize..30,
            context in 1usize..12,
        ) {
            let steps: Vec<u64> = (0..6).collect();
            let of = |cross| examples(&lengths, per_step, context, cross, &steps);
            // (token before, token, weight) of every prediction, in order.
            let predictions = |step: &Vec<Example>| -> Vec<(u32, u32, f32)> {
                let of = |example: &Example| -> Vec<(u32, u32, f32)> {
                    let pairs = example.tokens.windows(2).zip(&example.loss_weights[1..]);
                    pairs.map(|(pair, weight)| (pair[0], pair[1], *weight)).collect()
                };
                step.iter().flat_map(of).collect()
            };
            for (pieces, windows) in of(false).iter().zip(&of(true)) {
                prop_assert_eq!(predictions(pieces), predictions(windows));
                let (last, full) = windows.split_last().unwrap();
                prop_assert!(full.iter().all(|window| window.num_predictions() == context));
                prop_assert!(last.num_predictions() <= context);
            }
        }

        #[test]
        fn any_step_can_be_asked_for(lengths in prop::collection::vec(0usize..20, 1..8), step in 0u64..20) {
            let straight = predictions(&lengths, 7, 5, &(0..=step).collect::<Vec<_>>());
            let direct = predictions(&lengths, 7, 5, &[step]);
            prop_assert_eq!(straight.last(), direct.last());
            let back = predictions(&lengths, 7, 5, &[step, 0]);
            prop_assert_eq!(&straight[0], &back[1]);
        }
    }
}
