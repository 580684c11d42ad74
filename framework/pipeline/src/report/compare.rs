//! Paired comparison of arms: differences unit by unit, with bootstrap intervals.
//!
//! Units (documents, questions) are resampled with replacement, the same ones for every arm, over all seeds at
//! once (Efron and Tibshirani 1993, percentile intervals). The stream is fixed, so the same scores give the same
//! interval.

use sbp_core::RootSeed;
use sbp_plugin::slots::evaluator::Score;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Bootstrap resamples.
const RESAMPLES: usize = 2_000;

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
    /// Arm minus baseline.
    pub delta: f64,
    /// 95% interval of `delta`.
    pub ci95: [f64; 2],
    /// Two-sided bootstrap p-value of `delta` being zero.
    pub p: f64,
    /// Oracle minus baseline.
    pub oracle_delta: Option<f64>,
    /// Share of the oracle's gain recovered, `delta / oracle_delta`.
    pub recovered: Option<f64>,
    /// 95% interval of `recovered`.
    pub recovered_ci95: Option<[f64; 2]>,
    /// Whether the oracle is better than the baseline by more than noise, so that a share of its gain means something.
    pub estimable: bool,
}

/// Scores of one metric for one arm, one entry a seed; units align between arms and seeds.
pub(crate) type Seeds<'a> = Vec<&'a Score>;

/// Compares `arm` with `baseline`, and both with `oracle`.
pub(crate) fn compare(
    (baseline_name, baseline): (&str, &Seeds<'_>),
    (arm_name, arm): (&str, &Seeds<'_>),
    oracle: Option<(&str, &Seeds<'_>)>,
) -> Comparison {
    let first = arm[0];
    let num_units = first.units.len();
    let whole: Vec<u32> = (0..num_units as u32).collect();
    let delta_of = |units: &[u32], of: &Seeds<'_>| mean(of, units) - mean(baseline, units);
    let delta = delta_of(&whole, arm);
    let oracle_delta = oracle.map(|(_, oracle)| delta_of(&whole, oracle));

    let mut rng = RootSeed(0).stream("bootstrap", &[num_units as u64]);
    let mut deltas = Vec::with_capacity(RESAMPLES);
    let mut oracle_deltas = Vec::with_capacity(RESAMPLES);
    let mut shares = Vec::with_capacity(RESAMPLES);
    for _ in 0..RESAMPLES {
        let units: Vec<u32> = (0..num_units).map(|_| rng.below(num_units as u64) as u32).collect();
        let delta = delta_of(&units, arm);
        deltas.push(delta);
        if let Some((_, oracle)) = oracle {
            let whole = delta_of(&units, oracle);
            oracle_deltas.push(whole);
            shares.push(delta / whole);
        }
    }
    let ci95 = interval(&mut deltas);
    let below = deltas.iter().filter(|&&delta| delta <= 0.0).count();
    let above = deltas.iter().filter(|&&delta| delta >= 0.0).count();
    let p = (2.0 * below.min(above) as f64 / RESAMPLES as f64).clamp(1.0 / RESAMPLES as f64, 1.0);
    let estimable = oracle.is_some() && {
        let [low, high] = interval(&mut oracle_deltas);
        if first.higher_is_better { low > 0.0 } else { high < 0.0 }
    };
    Comparison {
        metric: first.metric.clone(),
        higher_is_better: first.higher_is_better,
        baseline: baseline_name.to_owned(),
        arm: arm_name.to_owned(),
        oracle: oracle.map(|(name, _)| name.to_owned()),
        delta,
        ci95,
        p,
        oracle_delta,
        recovered: oracle_delta.filter(|_| estimable).map(|whole| delta / whole),
        recovered_ci95: estimable.then(|| interval(&mut shares)),
        estimable,
    }
}

/// Mean over seeds of the score on these units.
fn mean(seeds: &Seeds<'_>, units: &[u32]) -> f64 {
    let of_seed = |score: &&Score| {
        let (numerator, denominator) = units.iter().fold((0.0, 0.0), |(n, d), &unit| {
            let unit = score.units[unit as usize];
            (n + unit.0, d + unit.1)
        });
        numerator / denominator
    };
    seeds.iter().map(of_seed).sum::<f64>() / seeds.len() as f64
}

/// The central 95% of values.
fn interval(values: &mut [f64]) -> [f64; 2] {
    values.sort_by(f64::total_cmp);
    let at = |share: f64| values[((values.len() - 1) as f64 * share).round() as usize];
    [at(0.025), at(0.975)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(values: &[f64]) -> Score {
        Score::ratio("m", true, values.iter().map(|&value| (value, 1.0)).collect())
    }

    #[test]
    fn a_constant_shift_is_certain_and_shares_are_exact() {
        let values: Vec<f64> = (0..40).map(f64::from).collect();
        let shifted = |by: f64| score(&values.iter().map(|value| value + by).collect::<Vec<_>>());
        let (baseline, arm, oracle) = (shifted(0.0), shifted(1.0), shifted(4.0));
        let found = compare(("r", &vec![&baseline]), ("s", &vec![&arm]), Some(("o", &vec![&oracle])));
        assert!((found.delta - 1.0).abs() < 1e-9);
        assert!((found.recovered.unwrap() - 0.25).abs() < 1e-9);
        assert!(found.estimable && found.p < 0.01);
    }

    #[test]
    fn an_oracle_that_is_worse_has_no_gain_to_share() {
        let values: Vec<f64> = (0..40).map(f64::from).collect();
        let shifted = |by: f64| score(&values.iter().map(|value| value + by).collect::<Vec<_>>());
        let (baseline, arm, oracle) = (shifted(0.0), shifted(-3.0), shifted(-1.0));
        let found = compare(("r", &vec![&baseline]), ("s", &vec![&arm]), Some(("o", &vec![&oracle])));
        assert!(!found.estimable);
        assert_eq!(found.recovered, None);
    }

    #[test]
    fn nothing_is_recovered_of_an_oracle_gain_within_noise() {
        let noise = |shift: usize| {
            score(
                &(0..40usize)
                    .map(|unit| if (unit * 7 + shift).is_multiple_of(3) { 1.0 } else { 0.0 })
                    .collect::<Vec<_>>(),
            )
        };
        let (baseline, arm, oracle) = (noise(0), noise(1), noise(2));
        let found = compare(("r", &vec![&baseline]), ("s", &vec![&arm]), Some(("o", &vec![&oracle])));
        assert!(!found.estimable);
        assert_eq!(found.recovered, None);
    }
}
