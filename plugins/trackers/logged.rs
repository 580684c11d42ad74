//! How far each metric was logged, so that a run that goes on logs no point twice.

use std::collections::BTreeMap;

/// The last place on the axis that each metric has a value at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Logged(BTreeMap<String, u64>);

impl Logged {
    pub(super) fn note(&mut self, metric: &str, at: u64) {
        match self.0.get_mut(metric) {
            Some(last) => *last = at.max(*last),
            None => {
                self.0.insert(metric.to_owned(), at);
            }
        }
    }

    /// The values that are not logged yet. Steps of a training come in order, so what is before the last place of its
    /// metric was logged before an interruption.
    pub(super) fn new_among<'v>(&self, values: &'v [(&'v str, f64)], at: u64) -> Vec<(&'v str, f64)> {
        let is_new = |metric: &str| self.0.get(metric).is_none_or(|&last| last < at);
        values.iter().copied().filter(|(metric, _)| is_new(metric)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_goes_on_after_its_last_place() {
        let mut logged = Logged::default();
        logged.note("loss", 5);
        logged.note("loss", 3);
        let values = [("loss", 1.0), ("bpb", 2.0)];
        assert_eq!(logged.new_among(&values, 5), [("bpb", 2.0)]);
        assert_eq!(logged.new_among(&values, 6), values);
    }
}
