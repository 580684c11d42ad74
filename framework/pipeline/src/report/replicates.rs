//! Replicates: what the scores of all arms might have been with other units and other seeds.
//!
//! Units are drawn with replacement, the same for every arm and seed, and the scores are computed anew. Of seeds there
//! are too few for that: draws of three seeds vary a third less than seeds do, and their percentiles know nothing of
//! how little three seeds tell of their own spread. Their part is a random combination of the seeds' deviations
//! instead, with exactly the estimated variance of the mean, divided by the root of a chi-square over its degrees of
//! freedom: Student's t. One combination serves all arms of a replicate, as their seeds are the same.

use rayon::prelude::*;
use sbp_core::{RngStream, RootSeed};
use sbp_plugin::slots::evaluator::Form;
use statrs::distribution::{ContinuousCDF, Normal};

use super::paired::{Contrast, Paired, Seeds, mean, weighted};

/// Units that are drawn from at most. More are first gathered at random in so many groups, so that a replicate costs
/// no more; the standard error over this many is known to 1/sqrt(2 x 2,000), under 2%.
const GROUPS: usize = 2_000;

/// By replicate and arm, by how much the score deviates.
pub(crate) struct Replicates {
    of_units: Vec<Vec<f64>>,
    of_seeds: Vec<Vec<f64>>,
}

impl Replicates {
    /// Draws replicates; the same scores give the same ones.
    pub(crate) fn draw(paired: &Paired<'_>, count: usize, root: RootSeed) -> Self {
        let units = Groups::of(paired, root);
        let stream = |name, replicate| root.stream(name, &[paired.num_units as u64, replicate as u64]);
        let draws = (0..count).into_par_iter();
        let (of_units, of_seeds) = draws
            .map(|replicate| {
                let of_units = units.deviations(paired, &mut stream("bootstrap units", replicate));
                (of_units, of_seeds(paired, &mut stream("bootstrap seeds", replicate)))
            })
            .unzip();
        Self { of_units, of_seeds }
    }

    /// By replicate, by how much a contrast deviates. `shrink` is that of its spread.
    pub(crate) fn deviations<'r>(
        &'r self,
        contrast: &'r Contrast,
        shrink: f64,
    ) -> impl Iterator<Item = f64> + 'r {
        self.of_units
            .iter()
            .zip(&self.of_seeds)
            .map(move |(units, seeds)| weighted(contrast, |arm| shrink * units[arm] + seeds[arm]))
    }
}

/// Units as they are drawn: numerators and denominators, group by group.
struct Groups {
    rows: Vec<(f64, f64)>,
    /// Columns of each arm: one for all seeds where their mean is a ratio again, else one a seed.
    widths: Vec<usize>,
    /// Scores of all units, by arm.
    whole: Vec<f64>,
}

impl Groups {
    fn of(paired: &Paired<'_>, root: RootSeed) -> Self {
        let columns: Vec<Vec<Vec<(f64, f64)>>> = paired.arms.iter().map(columns).collect();
        let widths: Vec<usize> = columns.iter().map(Vec::len).collect();
        let width: usize = widths.iter().sum();
        let count = paired.num_units.min(GROUPS);
        let mut rows = vec![(0.0, 0.0); count * width];
        let order = root.stream("bootstrap groups", &[]).permutation(paired.num_units);
        for (place, unit) in order.into_iter().enumerate() {
            let row = &mut rows[place % count * width..][..width];
            for (sum, column) in row.iter_mut().zip(columns.iter().flatten()) {
                add(sum, column[unit as usize]);
            }
        }
        let whole = (0..paired.arms.len()).map(|arm| paired.mean(arm)).collect();
        Self { rows, widths, whole }
    }

    fn deviations(&self, paired: &Paired<'_>, rng: &mut RngStream) -> Vec<f64> {
        let width: usize = self.widths.iter().sum();
        let count = self.rows.len() / width;
        let mut sums = vec![(0.0, 0.0); width];
        for _ in 0..count {
            let row = &self.rows[rng.below(count as u64) as usize * width..][..width];
            for (sum, unit) in sums.iter_mut().zip(row) {
                add(sum, *unit);
            }
        }
        // Draws with replacement vary by (count - 1) / count of what units do.
        let unbiased = (count as f64 / (count - 1).max(1) as f64).sqrt();
        let mut sums = sums.as_slice();
        let arms = self.widths.iter().zip(&paired.arms).zip(&self.whole);
        arms.map(|((width, seeds), whole)| {
            let (own, rest) = sums.split_at(*width);
            sums = rest;
            let total: f64 = own.iter().map(|sum| seeds[0].of_sums(sum.0, sum.1)).sum();
            unbiased * (total / *width as f64 - whole)
        })
        .collect()
    }
}

/// The mean over seeds of ratios is a ratio again where denominators are the same: one column is enough then.
fn columns(seeds: &Seeds<'_>) -> Vec<Vec<(f64, f64)>> {
    let first = &seeds[0].units;
    let of_one_ratio = seeds.iter().all(|score| {
        score.form == Form::Ratio && score.units.iter().zip(first).all(|(unit, first)| unit.1 == first.1)
    });
    if !of_one_ratio {
        return seeds.iter().map(|score| score.units.clone()).collect();
    }
    let numerator = |unit: usize| seeds.iter().map(|score| score.units[unit].0).sum::<f64>();
    vec![(0..first.len()).map(|unit| (numerator(unit) / seeds.len() as f64, first[unit].1)).collect()]
}

/// By arm, what other seeds would have changed: normal in each seed's deviation, over the root of a chi-square.
fn of_seeds(paired: &Paired<'_>, rng: &mut RngStream) -> Vec<f64> {
    let num_seeds = paired.num_seeds;
    if num_seeds == 1 {
        return vec![0.0; paired.arms.len()];
    }
    let weights: Vec<f64> = (0..num_seeds).map(|_| normal(rng)).collect();
    let chi_square: f64 = (1..num_seeds).map(|_| normal(rng).powi(2)).sum();
    // 1 / sqrt(S (S - 1)) for the variance of the mean, sqrt((S - 1) / chi-square) for the tails.
    let scale = 1.0 / (num_seeds as f64 * chi_square).sqrt();
    let deviation = |values: &Vec<f64>| {
        let mean = mean(values);
        scale * weights.iter().zip(values).map(|(weight, value)| weight * (value - mean)).sum::<f64>()
    };
    paired.values.iter().map(deviation).collect()
}

fn normal(rng: &mut RngStream) -> f64 {
    // The quantile of exactly 0 is infinite.
    Normal::standard().inverse_cdf(rng.uniform().max(f64::EPSILON))
}

fn add(sum: &mut (f64, f64), unit: (f64, f64)) {
    sum.0 += unit.0;
    sum.1 += unit.1;
}

#[cfg(test)]
mod tests {
    use sbp_plugin::slots::evaluator::Score;

    use super::*;

    fn stderr_of(paired: &Paired<'_>) -> f64 {
        let replicates = Replicates::draw(paired, 4_000, RootSeed(0));
        (replicates.deviations(&[1.0], 1.0).map(|d| d * d).sum::<f64>() / 4_000.0).sqrt()
    }

    #[test]
    fn replicates_spread_as_units_do_in_groups_too() {
        for num_units in [100u32, 20_000] {
            // Sorted, so that groups of neighbors would spread far more than units.
            let units = (0..num_units).map(|n| (f64::from(n) / f64::from(num_units), 1.0)).collect();
            let score = Score::ratio("m", true, units);
            let paired = Paired::of(vec![vec![&score]]).unwrap();
            let ratio = stderr_of(&paired) / score.stderr();
            assert!((ratio - 1.0).abs() < 0.05, "{num_units} units: {ratio}");
        }
    }

    #[test]
    fn a_perplexity_spreads_as_the_delta_method_says() {
        let units = (0..400u32).map(|n| (f64::from(n * 7 % 11) + 20.0, f64::from(n % 5) + 8.0)).collect();
        let score = Score::perplexity("m", units);
        let paired = Paired::of(vec![vec![&score]]).unwrap();
        let ratio = stderr_of(&paired) / score.stderr();
        assert!((ratio - 1.0).abs() < 0.05, "{ratio}");
    }

    #[test]
    fn seeds_of_one_denominator_take_one_column() {
        let of = |values: [f64; 2]| Score::ratio("m", true, values.map(|value| (value, 2.0)).to_vec());
        let (one, other) = (of([1.0, 2.0]), of([3.0, 6.0]));
        assert_eq!(columns(&vec![&one, &other]), [[(2.0, 2.0), (4.0, 2.0)]]);
        let longer = Score::ratio("m", true, vec![(1.0, 1.0), (2.0, 2.0)]);
        assert_eq!(columns(&vec![&one, &longer]).len(), 2);
        let perplexity = Score::perplexity("m", one.units.clone());
        assert_eq!(columns(&vec![&perplexity, &perplexity]).len(), 2);
    }
}
