//! Holm's correction for looking at many metrics (Holm 1979).
//!
//! Of twenty metrics on which two arms are equal, one differs at the 5% level by chance. The corrected p-values of one
//! arm keep the chance of even one such finding below the level, however the metrics depend on each other. The metrics
//! of one arm against the baseline are one family: that is the question a study asks of an arm. Other arms, and other
//! points of a sweep, are other questions and other families.

use std::collections::BTreeMap;

use super::compare::Comparison;

/// Sets the corrected p-values: the least times the number of metrics, the second times one fewer, and so on, each at
/// least as great as those before it.
pub(crate) fn correct(comparisons: &mut [Comparison]) {
    let mut families: BTreeMap<String, Vec<&mut Comparison>> = BTreeMap::new();
    for comparison in comparisons {
        families.entry(comparison.arm.clone()).or_default().push(comparison);
    }
    for family in families.into_values() {
        let mut family = family;
        family.sort_by(|a, b| a.p.total_cmp(&b.p));
        let num_metrics = family.len();
        let mut least: f64 = 0.0;
        for (rank, comparison) in family.into_iter().enumerate() {
            least = least.max(comparison.p * (num_metrics - rank) as f64).min(1.0);
            comparison.p_holm = least;
        }
    }
}

#[cfg(test)]
mod tests {
    use sbp_plugin::slots::evaluator::Score;

    use super::super::compare::compare;
    use super::*;

    fn comparison(arm: &str, p: f64) -> Comparison {
        let score = Score::ratio("m", true, vec![(0.0, 1.0), (1.0, 1.0)]);
        let arms = [("baseline", vec![&score]), (arm, vec![&score])];
        Comparison { p, ..compare(&arms, "baseline", "oracle").remove(0) }
    }

    #[test]
    fn the_example_of_four_metrics() {
        // Sorted: 0.005 x 4 = 0.02, 0.01 x 3 = 0.03, 0.03 x 2 = 0.06, and 0.04 x 1 is raised to 0.06.
        let mut comparisons: Vec<_> = [0.01, 0.04, 0.03, 0.005].map(|p| comparison("sbp", p)).into();
        // Another arm is another family.
        comparisons.push(comparison("oracle", 0.7));
        correct(&mut comparisons);
        let corrected: Vec<f64> = comparisons.iter().map(|comparison| comparison.p_holm).collect();
        for (corrected, expected) in corrected.iter().zip([0.03, 0.06, 0.06, 0.02, 0.7]) {
            assert!((corrected - expected).abs() < 1e-12, "{corrected} instead of {expected}");
        }
    }

    #[test]
    fn no_p_value_is_above_one() {
        let mut comparisons = vec![comparison("sbp", 0.8), comparison("sbp", 0.9)];
        correct(&mut comparisons);
        assert!(comparisons.iter().all(|comparison| comparison.p_holm == 1.0));
    }
}
