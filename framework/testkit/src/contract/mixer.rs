use std::collections::HashSet;

use sbp_core::RootSeed;
use sbp_plugin::slots::mixer::{Draw, Mixer, Pool, Source};
use sbp_plugin::{Selected, slots};

use super::build;

/// Checks that budgets are met, that the order of real documents is theirs alone and new at every pass, and that
/// synthetic documents come once.
///
/// # Panics
/// When the contract is broken.
pub fn mixer(selected: &Selected<slots::Mixer>) {
    let kind = selected.kind();
    let mixer = build(selected);
    let real: Vec<u32> = (0..40).map(|n| 5 + n * 7 % 23).collect();
    let synthetic: Vec<u32> = (0..60).map(|n| 3 + n * 5 % 31).collect();
    let synthetic_tokens: u64 = synthetic.iter().map(|length| u64::from(*length)).sum();
    let longest = 40;
    for (real_tokens, synthetic_tokens) in [(3000, 0), (2000, synthetic_tokens / 2), (500, synthetic_tokens)]
    {
        for source in [Source::Pretrain, Source::Oracle] {
            let pools = [
                Pool { source, lengths: &real, tokens: real_tokens, max_passes: None },
                Pool {
                    source: Source::Synthetic,
                    lengths: &synthetic,
                    tokens: synthetic_tokens,
                    max_passes: Some(1),
                },
            ];
            let draws = run(mixer.as_ref(), &pools, 1);
            assert_eq!(draws, run(mixer.as_ref(), &pools, 1), "{kind}: the same seed gives other draws");
            for (index, pool) in pools.iter().enumerate() {
                let own = draws.iter().filter(|draw| draw.pool == index);
                let given: u64 = own.map(|draw| u64::from(pool.lengths[draw.document as usize])).sum();
                let off = given.abs_diff(pool.tokens);
                assert!(off <= longest, "{kind}: {given} tokens given of {}", pool.tokens);
            }
            check_synthetic(kind, &draws);
            check_real(kind, &draws, real.len());

            let alone = run(mixer.as_ref(), &pools[..1], 1);
            let mixed: Vec<Draw> = draws.into_iter().filter(|draw| draw.pool == 0).collect();
            let common = alone.len().min(mixed.len());
            assert_eq!(alone[..common], mixed[..common], "{kind}: real order depends on what is mixed in");
            assert_ne!(alone, run(mixer.as_ref(), &pools[..1], 2), "{kind}: the order ignores the seed");
        }
    }
    // Nothing to draw from is an end, not a panic.
    let empty = [Pool { source: Source::Pretrain, lengths: &[], tokens: 10, max_passes: None }];
    assert_eq!(run(mixer.as_ref(), &empty, 1), [], "{kind}: draws from an empty pool");
}

/// Draws until the budget is met.
fn run(mixer: &dyn Mixer, pools: &[Pool<'_>], seed: u64) -> Vec<Draw> {
    let budget: u64 = pools.iter().map(|pool| pool.tokens).sum();
    let mut given = 0;
    mixer
        .schedule(pools, RootSeed(seed))
        .take_while(|draw| {
            let goes_on = given < budget;
            given += u64::from(pools[draw.pool].lengths[draw.document as usize]);
            goes_on
        })
        .collect()
}

fn check_synthetic(kind: &str, draws: &[Draw]) {
    let mut seen = HashSet::new();
    for draw in draws.iter().filter(|draw| draw.pool == 1) {
        assert!(seen.insert(draw.document) && draw.pass == 0, "{kind}: a synthetic document comes twice");
    }
}

fn check_real(kind: &str, draws: &[Draw], len: usize) {
    let real: Vec<&Draw> = draws.iter().filter(|draw| draw.pool == 0).collect();
    let mut orders = HashSet::new();
    for (pass, of_pass) in real.chunks(len).enumerate() {
        let order: Vec<u32> = of_pass.iter().map(|draw| draw.document).collect();
        assert!(
            of_pass.iter().all(|draw| draw.pass as usize == pass),
            "{kind}: passes are not counted from 0"
        );
        let different: HashSet<&u32> = order.iter().collect();
        assert_eq!(different.len(), order.len(), "{kind}: a real document comes twice in pass {pass}");
        assert!(orders.insert(order), "{kind}: pass {pass} repeats an earlier order");
    }
}
