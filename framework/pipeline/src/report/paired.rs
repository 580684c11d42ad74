//! One metric's scores of all arms, paired: seed by seed, and unit by unit.
//!
//! An arm's score is the mean over seeds of ratios of sums, or of their exponentials. Variances are those of its
//! linearisation (the delta method): to first order a score differs from what it estimates by the mean over units of
//! what each unit adds to it, its influence.

use sbp_plugin::slots::evaluator::{Form, Score};

/// Scores of one metric for one arm, one entry a seed.
pub(crate) type Seeds<'a> = Vec<&'a Score>;

/// What the arms are weighted by in a question to them: 1 and -1 for the difference of two.
pub(crate) type Contrast = [f64];

/// The scores of all arms on the same units, from the same seeds.
pub(crate) struct Paired<'a> {
    pub(crate) arms: Vec<Seeds<'a>>,
    pub(crate) num_units: usize,
    pub(crate) num_seeds: usize,
    /// By arm and seed.
    pub(crate) values: Vec<Vec<f64>>,
    /// By arm and seed.
    influences: Vec<Vec<Influence>>,
}

impl<'a> Paired<'a> {
    /// Pairs the arms; none where an arm has other units or another number of seeds, and so nothing can be paired.
    pub(crate) fn of(arms: Vec<Seeds<'a>>) -> Option<Self> {
        let num_seeds = arms.first()?.len();
        let num_units = arms.first()?.first()?.units.len();
        let alike = |seeds: &Seeds<'_>| {
            seeds.len() == num_seeds && seeds.iter().all(|score| score.units.len() == num_units)
        };
        if num_units == 0 || !arms.iter().all(alike) {
            return None;
        }
        let values = arms.iter().map(|seeds| seeds.iter().map(|score| score.value()).collect()).collect();
        let influences = arms.iter().map(|seeds| seeds.iter().map(|score| Influence::of(score)).collect());
        let influences = influences.collect();
        Some(Self { arms, num_units, num_seeds, values, influences })
    }

    /// An arm's score, the mean over seeds.
    pub(crate) fn mean(&self, arm: usize) -> f64 {
        mean(&self.values[arm])
    }

    /// How far a contrast of the arms varies with the choice of units and of seeds.
    pub(crate) fn spread(&self, contrast: &Contrast) -> Spread {
        let (n, s) = (self.num_units as f64, self.num_seeds as f64);
        let (mut of_means, mut of_residuals) = (0.0, 0.0);
        let mut by_seed = vec![0.0; self.num_seeds];
        for unit in 0..self.num_units {
            for (seed, influence) in by_seed.iter_mut().enumerate() {
                *influence = weighted(contrast, |arm| {
                    self.influences[arm][seed].of_unit(self.arms[arm][seed].units[unit])
                });
            }
            of_means += mean(&by_seed).powi(2);
            of_residuals += squares(&by_seed);
        }
        let by_seed: Vec<f64> =
            (0..self.num_seeds).map(|seed| weighted(contrast, |arm| self.values[arm][seed])).collect();
        // One unit, and one seed, have no spread that could be seen.
        let of_units = if self.num_units > 1 { of_means / (n - 1.0) / n } else { 0.0 };
        let several = self.num_units > 1 && self.num_seeds > 1;
        let noise = if several { of_residuals / (n - 1.0) / (s - 1.0) / n / s } else { 0.0 };
        Spread {
            units: (of_units - noise).max(0.0),
            shrink: if of_units > noise { (1.0 - noise / of_units).sqrt() } else { 0.0 },
            seeds: if self.num_seeds > 1 { squares(&by_seed) / (s - 1.0) / s } else { 0.0 },
            of_units: self.num_units.saturating_sub(1),
            of_seeds: self.num_seeds - 1,
        }
    }
}

/// Variance of a contrast, in two parts that do not depend on each other.
///
/// The mean over seeds varies with the units that happen to be asked, and that variance has two sources: units on
/// which the arms differ in every seed, and noise, what is different between seeds on one unit. The noise is in the
/// variation between seeds too. It is counted there, where its size is known with few degrees of freedom, and taken
/// off the variation between units.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spread {
    /// From the choice of units, without noise.
    pub(crate) units: f64,
    /// Standard deviation from the choice of units without noise, over that with noise.
    pub(crate) shrink: f64,
    /// From the choice of seeds, with noise.
    pub(crate) seeds: f64,
    of_units: usize,
    of_seeds: usize,
}

impl Spread {
    /// Standard error of the contrast.
    pub(crate) fn stderr(&self) -> f64 {
        (self.units + self.seeds).sqrt()
    }

    /// How many observations the standard error is as good as (Satterthwaite 1946); infinite where nothing varies.
    pub(crate) fn degrees_of_freedom(&self) -> f64 {
        let part = |variance: f64, degrees: usize| {
            if variance > 0.0 { variance.powi(2) / degrees as f64 } else { 0.0 }
        };
        let total = self.units + self.seeds;
        total.powi(2) / (part(self.units, self.of_units) + part(self.seeds, self.of_seeds))
    }
}

/// What each unit adds to a score, less the mean.
struct Influence {
    ratio: f64,
    scale: f64,
}

impl Influence {
    fn of(score: &Score) -> Self {
        let (numerator, denominator) = score.units.iter().fold((0.0, 0.0), |(n, d), u| (n + u.0, d + u.1));
        let slope = match score.form {
            Form::Ratio => 1.0,
            Form::Perplexity => score.of_sums(numerator, denominator),
        };
        Self { ratio: numerator / denominator, scale: slope * score.units.len() as f64 / denominator }
    }

    fn of_unit(&self, (numerator, denominator): (f64, f64)) -> f64 {
        self.scale * (numerator - self.ratio * denominator)
    }
}

/// The contrast of a value of each arm.
pub(crate) fn weighted(contrast: &Contrast, value: impl Fn(usize) -> f64) -> f64 {
    let weighted = contrast.iter().enumerate().filter(|(_, weight)| **weight != 0.0);
    weighted.map(|(arm, weight)| weight * value(arm)).sum()
}

pub(crate) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Sum of squared deviations from the mean.
fn squares(values: &[f64]) -> f64 {
    let mean = mean(values);
    values.iter().map(|value| (value - mean).powi(2)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(values: &[f64]) -> Score {
        Score::ratio("m", true, values.iter().map(|&value| (value, 1.0)).collect())
    }

    #[test]
    fn one_seed_has_the_standard_error_of_its_units() {
        let score = score(&[1.0, 0.0, 1.0, 1.0]);
        let spread = Paired::of(vec![vec![&score]]).unwrap().spread(&[1.0]);
        assert!((spread.stderr() - score.stderr()).abs() < 1e-12);
        assert_eq!(spread.degrees_of_freedom(), 3.0);
        let perplexity = Score::perplexity("m", vec![(2.0, 2.0), (4.0, 2.0), (1.0, 3.0)]);
        let spread = Paired::of(vec![vec![&perplexity]]).unwrap().spread(&[1.0]);
        assert!((spread.stderr() - perplexity.stderr()).abs() < 1e-12);
    }

    #[test]
    fn the_parts_are_those_of_a_two_way_analysis_of_variance() {
        // By hand. Values 1, 3, 8 and 3, 7, 8: unit means 2, 5, 8; seed means 4, 6; residuals ±0, ±1, ∓1 after both.
        // Units: variance of 2, 5, 8 is 9, of their mean 9 / 3 = 3. Noise: squares 2 (0 + 1 + 1) = 4 on 2 x 1 degrees
        // of freedom is 2, of the mean over 6 values 1/3. Seeds: variance of 4, 6 is 2, of their mean 1.
        let seeds = [score(&[1.0, 3.0, 8.0]), score(&[3.0, 7.0, 8.0])];
        let spread = Paired::of(vec![seeds.iter().collect()]).unwrap().spread(&[1.0]);
        assert!((spread.units - (3.0 - 1.0 / 3.0)).abs() < 1e-12, "{spread:?}");
        assert!((spread.seeds - 1.0).abs() < 1e-12, "{spread:?}");
        assert!((spread.shrink.powi(2) - (1.0 - 1.0 / 9.0)).abs() < 1e-12, "{spread:?}");
    }

    #[test]
    fn what_has_other_units_or_seeds_is_not_paired() {
        let (two, three) = (score(&[0.0, 1.0]), score(&[0.0, 1.0, 1.0]));
        assert!(Paired::of(vec![vec![&two], vec![&three]]).is_none());
        assert!(Paired::of(vec![vec![&two, &two], vec![&two]]).is_none());
        assert!(Paired::of(Vec::new()).is_none());
    }
}
