//! Power: the smallest difference that a comparison can tell from noise.

use statrs::distribution::{ContinuousCDF, Normal, StudentsT};

/// Two-sided level of a test.
const LEVEL: f64 = 0.05;
/// Share of true differences that are found.
const POWER: f64 = 0.8;
/// From here on Student's t is the normal distribution to six digits.
const MANY: f64 = 1e6;

/// The smallest true difference that would be found 80% of the time at the two-sided 5% level, with a standard error of
/// so many degrees of freedom: (t of 0.975 + t of 0.8) standard errors (Bloom 1995).
pub(crate) fn detectable(stderr: f64, degrees_of_freedom: f64) -> f64 {
    let quantile = |share| match StudentsT::new(0.0, 1.0, degrees_of_freedom) {
        Ok(student) if degrees_of_freedom < MANY => student.inverse_cdf(share),
        _ => Normal::standard().inverse_cdf(share),
    };
    (quantile(1.0 - LEVEL / 2.0) + quantile(POWER)) * stderr
}

/// The smallest true difference in accuracy that a paired test of so many items would find 80% of the time at the
/// two-sided 5% level, when the arms answer `disagreement` of the items differently; none where even that share, all
/// to one side, would not be enough.
///
/// Of one item, the difference is 1, 0 or -1, not 0 on a share q of items. So its variance is q - d² where d is its mean, that
/// of the mean over n items (q - d²)/n (Connor 1987; Miller 2024, arXiv 2411.00640), and d = c sqrt((q - d²)/n), with c
/// = 1.96 + 0.84, is solved by d = c sqrt(q/(n + c²)).
pub(crate) fn detectable_accuracy(num_items: usize, disagreement: f64) -> Option<f64> {
    let quantiles = detectable(1.0, f64::INFINITY);
    let least = quantiles * (disagreement / (num_items as f64 + quantiles.powi(2))).sqrt();
    (least <= disagreement).then_some(least)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_standard_errors_take_quantiles_of_the_normal_distribution() {
        assert!((detectable(1.0, f64::INFINITY) - (1.959_964 + 0.841_621)).abs() < 1e-5);
        assert!((detectable(1.0, 1e9) - detectable(1.0, 1e5)).abs() < 1e-3);
        // Tables of Student's t: 4.3027 and 1.0607 with two degrees of freedom.
        assert!((detectable(0.5, 2.0) - 0.5 * (4.3027 + 1.0607)).abs() < 1e-3);
        assert_eq!(detectable(0.0, f64::NAN), 0.0);
    }

    #[test]
    fn an_effect_in_accuracy_is_its_own_multiple_of_its_standard_error() {
        for (num_items, disagreement) in [(100, 0.3), (1_000, 0.1), (10_000, 0.3)] {
            let least = detectable_accuracy(num_items, disagreement).expect("enough items");
            let stderr = ((disagreement - least.powi(2)) / num_items as f64).sqrt();
            assert!((least - detectable(stderr, f64::INFINITY)).abs() < 1e-12);
        }
        // To first order 2.8 sqrt(0.1 / 10,000).
        let least = detectable_accuracy(10_000, 0.1).expect("enough items");
        assert!((least - 2.8016 * 0.1f64.sqrt() / 100.0).abs() < 1e-4, "{least}");
    }

    #[test]
    fn of_few_items_no_difference_is_large_enough() {
        assert_eq!(detectable_accuracy(20, 0.1), None);
        assert_eq!(detectable_accuracy(0, 0.3), None);
    }
}
