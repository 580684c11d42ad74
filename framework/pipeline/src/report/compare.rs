//! Paired comparison of arms: differences over the same units and seeds, with intervals.
//!
//! Two things happen by chance: which units are asked, and which seeds the arms are trained from. An interval speaks
//! of both, as far as there are several seeds; of one seed nobody can tell what another would have given.
//!
//! The design, piece by piece:
//! - All arms answer the same units, and seed by seed start from the same weights and read the same order. So
//!   differences are taken within units and seeds, where what is common cancels (Dror et al. 2018, "The hitchhiker's
//!   guide to testing statistical significance in natural language processing"; Miller 2024, arXiv 2411.00640).
//! - Scores are ratios of sums, or their exponentials. They are computed anew from resampled units (Efron and Tibshirani
//!   1993), and what seeds do is added to every replicate (`replicates.rs`).
//! - What differs between seeds on one unit, noise, is in the variation between units and in that between seeds. To
//!   resample both counts it twice (Owen 2007, "The pigeonhole bootstrap"). So it is taken off one of them, by the
//!   two-way analysis of variance (`paired.rs`): the units, of which there are many. To take it off the seeds instead
//!   looks alike, but leaves a difference of two numbers of which one is hardly known: nominal intervals of 95% then
//!   cover 90% with three seeds and 86% with two. As it is, the two parts do not depend on each other, and the one with
//!   few degrees of freedom has Student's t exactly. Their sum is the problem of Behrens and Fisher. Its intervals cover
//!   95% where one part rules, and up to 98% with three seeds (97% with five) where both are alike.
//! - The share of the oracle's gain comes from the same replicates of both differences. A replicate in which the oracle
//!   gains nothing has an infinite share, so the interval is Fieller's, and finite where the oracle's own interval leaves
//!   out zero.
//!
//! Streams are fixed: the same scores give the same intervals.

use sbp_core::RootSeed;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::nan;
use super::paired::{Contrast, Paired, Seeds, Spread, weighted};
use super::power::detectable;
use super::replicates::Replicates;

/// Replicates of every score. With 9,999 the 250th from either end are the 2.5% points (Davison and Hinkley 1997), and
/// p-values go down to 0.0002, so that they can still be corrected for a hundred metrics.
const REPLICATES: usize = 9_999;

/// One arm against the baseline on one metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Comparison {
    /// The metric.
    pub metric: String,
    /// Whether more is better.
    pub higher_is_better: bool,
    /// The arm measured against.
    pub baseline: String,
    /// The arm measured.
    pub arm: String,
    /// The arm whose gain is the yardstick; absent when the recipe has none.
    pub oracle: Option<String>,
    /// Whether the arms spent the same. Where they did not, a difference is not one of the arms' documents alone, and
    /// nothing here answers the study's question.
    pub comparable: bool,
    /// Units that the scores average over.
    pub num_units: usize,
    /// Seeds that the arms were trained from. One says nothing about variation between seeds, and then no figure here does.
    pub num_seeds: usize,
    /// Arm minus baseline.
    #[serde(deserialize_with = "nan::number")]
    pub delta: f64,
    /// Standard error of `delta`, over units and seeds.
    #[serde(deserialize_with = "nan::number")]
    pub stderr: f64,
    /// 95% interval of `delta`, over units and seeds.
    pub ci95: [f64; 2],
    /// Two-sided bootstrap p-value of `delta` being zero.
    #[serde(deserialize_with = "nan::number")]
    pub p: f64,
    /// `p` corrected for all metrics that this arm is compared on (Holm 1979).
    #[serde(deserialize_with = "nan::number")]
    pub p_holm: f64,
    /// The smallest true difference that a comparison with this standard error would find 80% of the time, at the
    /// two-sided 5% level and without correction.
    #[serde(deserialize_with = "nan::number")]
    pub detectable: f64,
    /// Oracle minus baseline.
    pub oracle_delta: Option<f64>,
    /// Share of the oracle's gain recovered, `delta / oracle_delta`.
    pub recovered: Option<f64>,
    /// 95% interval of `recovered`.
    pub recovered_ci95: Option<[f64; 2]>,
    /// Whether the oracle is better than the baseline by more than noise, so that a share of its gain means something.
    pub estimable: bool,
}

/// Compares every other arm with the baseline on one metric. Nothing comes of it where the baseline has no scores, or
/// units or seeds differ between arms.
pub(crate) fn compare(arms: &[(&str, Seeds<'_>)], baseline: &str, oracle: &str) -> Vec<Comparison> {
    compare_by(REPLICATES, RootSeed(0), arms, baseline, oracle)
}

/// [`compare`], with so many replicates from this root seed.
pub(super) fn compare_by(
    num_replicates: usize,
    root: RootSeed,
    arms: &[(&str, Seeds<'_>)],
    baseline: &str,
    oracle: &str,
) -> Vec<Comparison> {
    let place = |name: &str| arms.iter().position(|(arm, _)| *arm == name);
    let paired = Paired::of(arms.iter().map(|(_, seeds)| seeds.clone()).collect());
    let (Some(of_baseline), Some(paired)) = (place(baseline), paired) else { return Vec::new() };
    let replicates = Replicates::draw(&paired, num_replicates, root);
    let study = Study { paired, replicates, baseline: of_baseline };
    let of_oracle = place(oracle).map(|arm| study.difference(arm));
    let others = arms.iter().enumerate().filter(|(arm, _)| *arm != of_baseline);
    others
        .map(|(arm, (name, seeds))| {
            let own = study.difference(arm);
            let higher_is_better = seeds[0].higher_is_better;
            let ci95 = own.interval();
            let share = of_oracle.as_ref().and_then(|whole| study.share(&own, whole, higher_is_better));
            let p = study.p_value(&own);
            Comparison {
                metric: seeds[0].metric.clone(),
                higher_is_better,
                baseline: baseline.to_owned(),
                arm: (*name).to_owned(),
                oracle: of_oracle.is_some().then(|| oracle.to_owned()),
                comparable: true,
                num_units: study.paired.num_units,
                num_seeds: study.paired.num_seeds,
                delta: own.delta,
                stderr: own.spread.stderr(),
                ci95,
                p,
                p_holm: p,
                detectable: detectable(own.spread.stderr(), own.spread.degrees_of_freedom()),
                oracle_delta: of_oracle.as_ref().map(|whole| whole.delta),
                recovered: share.map(|(share, _)| share),
                recovered_ci95: share.map(|(_, interval)| interval),
                estimable: share.is_some(),
            }
        })
        .collect()
}

/// One metric of all arms.
struct Study<'a> {
    paired: Paired<'a>,
    replicates: Replicates,
    baseline: usize,
}

/// An arm minus the baseline.
struct Difference {
    /// One weight an arm.
    contrast: Vec<f64>,
    delta: f64,
    spread: Spread,
    /// What `delta` might have been.
    replicates: Vec<f64>,
}

impl Difference {
    fn interval(&self) -> [f64; 2] {
        interval(self.replicates.clone())
    }
}

impl Study<'_> {
    fn difference(&self, arm: usize) -> Difference {
        let mut contrast = vec![0.0; self.paired.arms.len()];
        contrast[arm] += 1.0;
        contrast[self.baseline] -= 1.0;
        let delta = weighted(&contrast, |arm| self.paired.mean(arm));
        let spread = self.paired.spread(&contrast);
        let replicates = self.around(delta, &contrast, spread.shrink);
        Difference { contrast, delta, spread, replicates }
    }

    fn around(&self, value: f64, contrast: &Contrast, shrink: f64) -> Vec<f64> {
        self.replicates.deviations(contrast, shrink).map(|deviation| value + deviation).collect()
    }

    /// Two-sided, and never below what so many replicates can tell. One unit and one seed tell nothing.
    fn p_value(&self, difference: &Difference) -> f64 {
        if self.paired.num_units == 1 && self.paired.num_seeds == 1 {
            return 1.0;
        }
        let replicates = &difference.replicates;
        let below = replicates.iter().filter(|&&delta| delta <= 0.0).count();
        let above = replicates.iter().filter(|&&delta| delta >= 0.0).count();
        (2.0 * (below.min(above) + 1) as f64 / (replicates.len() + 1) as f64).min(1.0)
    }

    /// The share of the oracle's gain with its interval; none unless the oracle is better by more than noise.
    fn share(&self, own: &Difference, whole: &Difference, higher_is_better: bool) -> Option<(f64, [f64; 2])> {
        let gain = |delta: f64| if higher_is_better { delta } else { -delta };
        if !whole.interval().into_iter().all(|end| gain(end) > 0.0) {
            return None;
        }
        let share = own.delta / whole.delta;
        // The interval is about how far the arm is from its share of the oracle's gain, so noise is that contrast's.
        let weights = own.contrast.iter().zip(&whole.contrast);
        let apart: Vec<f64> = weights.map(|(own, whole)| own - share * whole).collect();
        let shrink = self.paired.spread(&apart).shrink;
        let own = self.around(own.delta, &own.contrast, shrink);
        let whole = self.around(whole.delta, &whole.contrast, shrink);
        let of_replicate = |(own, whole): (f64, f64)| {
            if gain(whole) > 0.0 { own / whole } else { gain(own).signum() * f64::INFINITY }
        };
        let interval = interval(own.into_iter().zip(whole).map(of_replicate).collect());
        interval.iter().all(|end| end.is_finite()).then_some((share, interval))
    }
}

/// The central 95% of values. Replicates without a value, such as those that drew nothing to divide by, do not count.
fn interval(mut values: Vec<f64>) -> [f64; 2] {
    values.retain(|value| !value.is_nan());
    values.sort_by(f64::total_cmp);
    let Some(last) = values.len().checked_sub(1) else { return [f64::NAN; 2] };
    let tail = ((values.len() + 1) as f64 * 0.025).round() as usize;
    let tail = tail.saturating_sub(1).min(last);
    [values[tail], values[last - tail]]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sbp_plugin::slots::evaluator::Score;

    use super::*;

    fn score(values: &[f64]) -> Score {
        Score::ratio("m", true, values.iter().map(|&value| (value, 1.0)).collect())
    }

    /// A score of 40 units that differs from another shift by the difference of the two, everywhere.
    fn shifted(by: f64) -> Score {
        score(&(0..40).map(|unit| f64::from(unit) + by).collect::<Vec<_>>())
    }

    /// An arm against a baseline, without an oracle.
    fn versus(baseline: &[Score], arm: &[Score]) -> Comparison {
        compare(&[("r", baseline.iter().collect()), ("s", arm.iter().collect())], "r", "o").remove(0)
    }

    /// The same with an oracle.
    fn beside(baseline: &Score, arm: &Score, oracle: &Score) -> Comparison {
        compare(&[("r", vec![baseline]), ("s", vec![arm]), ("o", vec![oracle])], "r", "o").remove(0)
    }

    fn close(value: f64, expected: f64, tolerance: f64) -> bool {
        (value - expected).abs() <= tolerance
    }

    #[test]
    fn a_constant_shift_is_certain_and_shares_are_exact() {
        let found = beside(&shifted(0.0), &shifted(1.0), &shifted(4.0));
        assert!(close(found.delta, 1.0, 1e-9));
        assert!(close(found.recovered.unwrap(), 0.25, 1e-9));
        assert!(found.ci95.into_iter().all(|end| close(end, 1.0, 1e-9)), "{:?}", found.ci95);
        assert!(found.recovered_ci95.unwrap().into_iter().all(|end| close(end, 0.25, 1e-9)));
        assert!(found.estimable && found.p == 0.0002);
        assert!(found.stderr < 1e-9 && found.detectable < 1e-9);
        assert_eq!((found.num_units, found.num_seeds), (40, 1));
    }

    #[test]
    fn an_oracle_that_is_worse_has_no_gain_to_share() {
        let found = beside(&shifted(0.0), &shifted(-3.0), &shifted(-1.0));
        assert!(!found.estimable);
        assert_eq!((found.recovered, found.recovered_ci95), (None, None));
    }

    #[test]
    fn nothing_is_recovered_of_an_oracle_gain_within_noise() {
        let noise = |shift: usize| {
            let right = |unit: usize| if (unit * 7 + shift).is_multiple_of(3) { 1.0 } else { 0.0 };
            score(&(0..40).map(right).collect::<Vec<_>>())
        };
        let found = beside(&noise(0), &noise(1), &noise(2));
        assert!(!found.estimable);
        assert_eq!(found.recovered, None);
    }

    #[test]
    fn less_of_a_loss_is_a_share_too() {
        let ppl = |by: f64| {
            let units = (0..200u32).map(|unit| (f64::from(unit % 7) + 20.0 + by, 10.0)).collect();
            Score::perplexity("m", units)
        };
        let found = beside(&ppl(0.0), &ppl(-1.0), &ppl(-2.0));
        assert!(found.estimable && found.delta < 0.0);
        let [low, high] = found.recovered_ci95.unwrap();
        assert!(low < found.recovered.unwrap() && found.recovered.unwrap() < high, "{found:?}");
    }

    #[test]
    fn the_oracle_recovers_itself() {
        let (baseline, oracle) = (shifted(0.0), shifted(2.0));
        let arms = [("r", vec![&baseline]), ("o", vec![&oracle])];
        let found = compare(&arms, "r", "o");
        assert_eq!((found.len(), found[0].recovered), (1, Some(1.0)));
        assert_eq!(found[0].recovered_ci95, Some([1.0, 1.0]));
    }

    /// Paired answers, right or wrong: the standard error of McNemar's design is sqrt((q - d²) / (n - 1)) for a share q of
    /// items answered differently and a difference d.
    #[test]
    fn right_and_wrong_answers_have_the_standard_error_of_mcnemars_design() {
        // Of 400 items, the arm alone is right on 48 and the baseline alone on 24: q = 0.18, d = 0.06.
        let right = |range: std::ops::Range<usize>| {
            score(&(0..400).map(|item| if range.contains(&item) { 1.0 } else { 0.0 }).collect::<Vec<_>>())
        };
        let found = versus(&[right(0..224)], &[right(24..272)]);
        let stderr = ((0.18 - 0.06f64.powi(2)) / 399.0).sqrt();
        assert!(close(found.delta, 0.06, 1e-12));
        assert!(close(found.stderr, stderr, 1e-12));
        assert!(close(found.ci95[0], 0.06 - 1.96 * stderr, 0.1 * stderr), "{:?}", found.ci95);
        assert!(close(found.ci95[1], 0.06 + 1.96 * stderr, 0.1 * stderr), "{:?}", found.ci95);
        // z = 2.85.
        assert!(0.002 < found.p && found.p < 0.008, "{}", found.p);
        assert!(close(found.detectable, 2.81 * stderr, 0.01 * stderr));
    }

    #[test]
    fn perplexities_have_the_standard_error_of_the_delta_method() {
        let ppl = |by: u32| {
            let units = (0..500u32).map(|unit| (f64::from(unit * by % 13) + 20.0, 10.0)).collect();
            Score::perplexity("m", units)
        };
        let (baseline, arm) = (ppl(5), ppl(7));
        // The derivative of e to the mean of nats a token is itself; units have 10 tokens each.
        let pull = |unit: usize| {
            let of = |score: &Score| score.value() * (score.units[unit].0 / 10.0 - score.value().ln());
            of(&arm) - of(&baseline)
        };
        let variance = (0..500).map(|unit| pull(unit).powi(2)).sum::<f64>() / 499.0 / 500.0;
        let found = versus(std::slice::from_ref(&baseline), std::slice::from_ref(&arm));
        assert!(close(found.stderr, variance.sqrt(), 1e-9));
        let half = (found.ci95[1] - found.ci95[0]) / 2.0;
        assert!(close(half, 1.96 * found.stderr, 0.06 * found.stderr), "{found:?}");
    }

    /// Where units do not differ, all there is are the seeds' differences: their interval is that of a one-sample t-test.
    #[test]
    fn seeds_alone_have_the_interval_of_students_t() {
        // Differences 0.1, 0.2, 0.4, 0.5: mean 0.3, standard deviation 0.18257; t of 0.975 at three degrees is 3.182.
        let flat = |values: [f64; 4]| values.map(|value| score(&[value; 30]));
        let found = versus(&flat([1.0, 2.0, 3.0, 4.0]), &flat([1.1, 2.2, 3.4, 4.5]));
        let stderr = 0.182_574 / 2.0;
        assert!(close(found.delta, 0.3, 1e-9));
        assert!(close(found.stderr, stderr, 1e-6));
        assert!(close(found.ci95[0], 0.3 - 3.182 * stderr, 0.25 * stderr), "{:?}", found.ci95);
        assert!(close(found.ci95[1], 0.3 + 3.182 * stderr, 0.25 * stderr), "{:?}", found.ci95);
        // t = 3.286 on three degrees of freedom: p = 0.046.
        assert!(close(found.p, 0.046, 0.008), "{}", found.p);
        assert!(close(found.detectable, (3.1824 + 0.9785) * stderr, 1e-3 * stderr));
    }

    #[test]
    fn one_unit_of_one_seed_tells_nothing() {
        assert_eq!(versus(&[score(&[0.0])], &[score(&[1.0])]).p, 1.0);
    }

    #[test]
    fn what_cannot_be_paired_is_not_compared() {
        let (long, short) = (shifted(0.0), score(&[1.0]));
        assert!(compare(&[("r", vec![&long]), ("s", vec![&short])], "r", "o").is_empty());
        assert!(compare(&[("s", vec![&long])], "r", "o").is_empty());
    }

    /// Some seeds of an arm, on eight units each.
    fn arm() -> impl Strategy<Value = Vec<Vec<f64>>> {
        prop::collection::vec(prop::collection::vec(0.0f64..1.0, 8), 3)
    }

    fn scores(seeds: &[Vec<f64>]) -> Vec<Score> {
        seeds.iter().map(|values| score(values)).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn what_both_arms_gain_changes_nothing(baseline in arm(), other in arm(), gain in -3.0f64..3.0) {
            let gained = |seeds: &[Vec<f64>]| -> Vec<Vec<f64>> {
                seeds.iter().map(|values| values.iter().map(|value| value + gain).collect()).collect()
            };
            let before = versus(&scores(&baseline), &scores(&other));
            let after = versus(&scores(&gained(&baseline)), &scores(&gained(&other)));
            prop_assert!(close(before.delta, after.delta, 1e-9));
            prop_assert!(close(before.stderr, after.stderr, 1e-9));
            prop_assert!(close(before.ci95[0], after.ci95[0], 1e-6), "{before:?} {after:?}");
            prop_assert!(close(before.ci95[1], after.ci95[1], 1e-6), "{before:?} {after:?}");
        }

        #[test]
        fn the_other_way_round_everything_is_negated(baseline in arm(), other in arm()) {
            let there = versus(&scores(&baseline), &scores(&other));
            let back = versus(&scores(&other), &scores(&baseline));
            prop_assert!(close(there.delta, -back.delta, 1e-12));
            prop_assert!(close(there.ci95[0], -back.ci95[1], 1e-9));
            prop_assert!(close(there.ci95[1], -back.ci95[0], 1e-9));
            prop_assert!(close(there.stderr, back.stderr, 1e-12));
            prop_assert_eq!(there.p, back.p);
        }

        #[test]
        fn the_order_of_units_does_not_matter(baseline in arm(), other in arm(), by in 1usize..8) {
            let turned = |seeds: &[Vec<f64>]| -> Vec<Vec<f64>> {
                let turn = |values: &Vec<f64>| [&values[by..], &values[..by]].concat();
                seeds.iter().map(turn).collect()
            };
            let before = versus(&scores(&baseline), &scores(&other));
            let after = versus(&scores(&turned(&baseline)), &scores(&turned(&other)));
            prop_assert!(close(before.delta, after.delta, 1e-9));
            prop_assert!(close(before.stderr, after.stderr, 1e-9));
            // Other draws: the ends agree as far as replicates tell.
            let tolerance = 0.3 * before.stderr;
            prop_assert!(close(before.ci95[0], after.ci95[0], tolerance), "{before:?} {after:?}");
            prop_assert!(close(before.ci95[1], after.ci95[1], tolerance), "{before:?} {after:?}");
        }
    }
}
