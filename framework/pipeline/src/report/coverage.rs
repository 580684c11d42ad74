//! Whether intervals of 95% hold the truth 95 times in a hundred: many data sets of which the truth is known.

use rayon::prelude::*;
use sbp_core::{RngStream, RootSeed};
use sbp_plugin::slots::evaluator::Score;
use statrs::distribution::{ContinuousCDF, Normal};

use super::compare::{Comparison, compare_by};

/// Data sets of a setting. The share of them that is covered then has a standard error of half a percent.
const DATA_SETS: u64 = 2_000;
/// Fewer replicates make intervals less steady, but cover as often: the 5th from either end of 199 are the 2.5% points.
const REPLICATES: usize = 199;

/// Where scores come from.
#[derive(Debug, Clone, Copy)]
struct Setting {
    form: Units,
    num_units: usize,
    num_seeds: usize,
    /// Standard deviations: of what an arm is better on a unit in every seed, of a seed on all units, of one on the other.
    of_units: f64,
    of_seeds: f64,
    noise: f64,
}

/// What is seen of one unit.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Units {
    /// A value.
    Values,
    /// Right or wrong.
    Answers,
    /// A sum over a length.
    Ratios,
    /// Nats over a length, as a perplexity.
    Perplexities,
}

/// How much better than the baseline the arm and the oracle are, before an answer is made of it.
const EFFECTS: [f64; 3] = [0.0, 0.3, 0.6];

impl Setting {
    /// Baseline, arm and oracle.
    fn scores(&self, rng: &mut RngStream) -> [Vec<Score>; 3] {
        // What is easy is so for all arms, and cancels.
        let easy: Vec<f64> = (0..self.num_units).map(|_| normal(rng)).collect();
        let lengths: Vec<f64> = (0..self.num_units).map(|_| 1.0 + rng.below(20) as f64).collect();
        EFFECTS.map(|effect| {
            let own: Vec<f64> = (0..self.num_units).map(|_| self.of_units * normal(rng)).collect();
            (0..self.num_seeds)
                .map(|_| {
                    let seed = effect + self.of_seeds * normal(rng);
                    let value = |unit: usize, rng: &mut RngStream| {
                        easy[unit] + own[unit] + seed + self.noise * normal(rng)
                    };
                    let values = (0..self.num_units).map(|unit| value(unit, rng));
                    self.score(values.zip(&lengths))
                })
                .collect()
        })
    }

    fn score<'l>(&self, units: impl Iterator<Item = (f64, &'l f64)>) -> Score {
        match self.form {
            Units::Values => Score::ratio("m", true, units.map(|(value, _)| (value, 1.0)).collect()),
            Units::Answers => {
                let answer = |value: f64| if value > 0.0 { 1.0 } else { 0.0 };
                Score::ratio("m", true, units.map(|(value, _)| (answer(value), 1.0)).collect())
            }
            Units::Ratios => {
                Score::ratio("m", true, units.map(|(value, length)| (value * length, *length)).collect())
            }
            Units::Perplexities => {
                // More is worse: an effect lowers nats a token.
                let nats = |value: f64, length: f64| (3.0 - 0.3 * value) * length;
                Score::perplexity("m", units.map(|(value, &length)| (nats(value, length), length)).collect())
            }
        }
    }

    /// The score that an arm has on average over all units and seeds there could be.
    fn truth(&self, effect: f64) -> f64 {
        match self.form {
            Units::Values | Units::Ratios => effect,
            Units::Answers => {
                let variance: f64 =
                    [1.0, self.of_units, self.of_seeds, self.noise].map(|sd| sd * sd).iter().sum();
                Normal::standard().cdf(effect / variance.sqrt())
            }
            // Units average out before the exponential, seeds after it.
            Units::Perplexities => (3.0 - 0.3 * effect + (0.3 * self.of_seeds).powi(2) / 2.0).exp(),
        }
    }

    /// The arm against the baseline, on many data sets.
    fn comparisons(&self) -> Vec<Comparison> {
        let one = |index: u64| {
            let scores = self.scores(&mut RootSeed(index).stream("data set", &[]));
            let arms: Vec<_> = ["baseline", "arm", "oracle"]
                .into_iter()
                .zip(scores.iter().map(|seeds| seeds.iter().collect()))
                .collect();
            compare_by(REPLICATES, RootSeed(index), &arms, "baseline", "oracle").remove(0)
        };
        (0..DATA_SETS).into_par_iter().map(one).collect()
    }

    fn delta(&self) -> f64 {
        self.truth(EFFECTS[1]) - self.truth(EFFECTS[0])
    }
}

fn normal(rng: &mut RngStream) -> f64 {
    Normal::standard().inverse_cdf(rng.uniform().max(f64::EPSILON))
}

fn share(comparisons: &[Comparison], holds: impl Fn(&Comparison) -> bool) -> f64 {
    comparisons.iter().filter(|comparison| holds(comparison)).count() as f64 / comparisons.len() as f64
}

fn holds([low, high]: [f64; 2], truth: f64) -> bool {
    low <= truth && truth <= high
}

/// Asserts how often the interval of the difference covers it.
fn assert_covers(setting: Setting, [least, most]: [f64; 2]) {
    let found = setting.comparisons();
    let truth = setting.delta();
    let covered = share(&found, |one| holds(one.ci95, truth));
    assert!((least..=most).contains(&covered), "{:.2}% with {setting:?}", 100.0 * covered);
    assert!(
        found.iter().all(|one| (one.p <= 0.05) != holds(one.ci95, 0.0)),
        "an interval without zero is p <= 5%"
    );
}

const ONE_SEED: Setting =
    Setting { form: Units::Values, num_units: 60, num_seeds: 1, of_units: 0.7, of_seeds: 0.0, noise: 0.0 };

#[test]
fn intervals_of_one_seed_cover_units() {
    assert_covers(ONE_SEED, [0.93, 0.97]);
    assert_covers(Setting { form: Units::Answers, num_units: 100, ..ONE_SEED }, [0.93, 0.97]);
    assert_covers(Setting { form: Units::Ratios, num_units: 100, ..ONE_SEED }, [0.93, 0.97]);
    assert_covers(Setting { form: Units::Perplexities, num_units: 100, ..ONE_SEED }, [0.93, 0.97]);
}

const NOISE: Setting = Setting { num_seeds: 3, of_units: 0.0, noise: 1.0, ..ONE_SEED };

/// Where one part of the variance rules, the interval is exact.
#[test]
fn intervals_of_few_seeds_cover_noise_and_seeds() {
    assert_covers(NOISE, [0.93, 0.97]);
    assert_covers(Setting { num_seeds: 5, ..NOISE }, [0.93, 0.97]);
    assert_covers(Setting { of_seeds: 0.2, ..NOISE }, [0.93, 0.97]);
    assert_covers(Setting { of_seeds: 0.2, num_seeds: 5, ..NOISE }, [0.93, 0.97]);
    assert_covers(Setting { of_seeds: 0.2, num_seeds: 2, ..NOISE }, [0.93, 0.97]);
}

/// Where units and seeds matter alike, it covers more.
#[test]
fn intervals_of_few_seeds_and_units_cover_both() {
    let both = Setting { of_units: 0.5, noise: 0.7, of_seeds: 0.1, ..NOISE };
    assert_covers(both, [0.93, 0.985]);
    assert_covers(Setting { num_seeds: 2, ..both }, [0.93, 0.995]);
    assert_covers(Setting { num_seeds: 5, ..both }, [0.93, 0.98]);
    assert_covers(Setting { num_seeds: 5, form: Units::Answers, num_units: 100, ..both }, [0.93, 0.98]);
    assert_covers(Setting { num_seeds: 5, form: Units::Ratios, num_units: 100, ..both }, [0.93, 0.98]);
    assert_covers(Setting { num_seeds: 5, form: Units::Perplexities, num_units: 100, ..both }, [0.93, 0.98]);
}

/// Where units and seeds weigh about alike and there is no noise, it covers most. docs/METHOD.md gives the figures.
#[test]
fn intervals_of_units_and_seeds_alike_cover_most() {
    for (num_seeds, of_seeds, most) in [(2, 0.046, 0.995), (3, 0.078, 0.985), (5, 0.144, 0.98)] {
        assert_covers(Setting { of_units: 0.5, of_seeds, num_seeds, ..ONE_SEED }, [0.95, most]);
    }
}

/// Asserts how often the interval of the share covers it, where the oracle is so much better that it nearly always has one.
fn assert_share_covers(setting: Setting, [least, most]: [f64; 2]) {
    let mut found = setting.comparisons();
    found.retain(|one| one.estimable);
    assert!(found.len() as f64 > 0.99 * DATA_SETS as f64, "{} of {DATA_SETS}", found.len());
    let truth = setting.delta() / (setting.truth(EFFECTS[2]) - setting.truth(EFFECTS[0]));
    let covered = share(&found, |one| one.recovered_ci95.is_some_and(|interval| holds(interval, truth)));
    assert!((least..=most).contains(&covered), "{:.2}% with {setting:?}", 100.0 * covered);
}

#[test]
fn intervals_of_the_share_cover_it() {
    let one_seed = Setting { num_units: 150, ..ONE_SEED };
    assert_share_covers(one_seed, [0.93, 0.97]);
    assert_share_covers(Setting { form: Units::Ratios, ..one_seed }, [0.93, 0.97]);
    let seeds =
        Setting { num_units: 100, num_seeds: 5, of_units: 0.2, of_seeds: 0.05, noise: 0.5, ..ONE_SEED };
    assert_share_covers(seeds, [0.93, 0.98]);
    assert_share_covers(Setting { form: Units::Perplexities, ..seeds }, [0.93, 0.98]);
}
