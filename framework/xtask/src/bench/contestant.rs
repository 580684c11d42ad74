//! One side of a comparison, run as a process of its own.

use crate::Result;
use std::process::Command;

/// What a process printed of its job.
pub(super) struct Outcome {
    /// Loss of each step of a training, in nats per token.
    pub(super) losses: Vec<f64>,
    /// Time of each step of a training.
    pub(super) seconds: Vec<f64>,
    /// Most memory it held at once.
    pub(super) peak_mib: f64,
    /// Other numbers it printed, by name.
    pub(super) numbers: Vec<(String, f64)>,
}

/// Runs a contestant and reads its lines: `step N LOSS SECONDS`, `peak_mib N`, `NAME N`.
pub(super) fn run(command: &mut Command) -> Result<Outcome> {
    let output = command.output().map_err(|e| format!("cannot run {command:?}: {e}"))?;
    if !output.status.success() {
        return Err(format!(
            "{command:?} failed with {}:\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        ));
    }
    read(&String::from_utf8_lossy(&output.stdout)).ok_or_else(|| format!("{command:?} printed no result"))
}

pub(super) fn read(text: &str) -> Option<Outcome> {
    let mut outcome = Outcome { losses: vec![], seconds: vec![], peak_mib: f64::NAN, numbers: vec![] };
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["step", _, loss, seconds] => {
                outcome.losses.push(loss.parse().ok()?);
                outcome.seconds.push(seconds.parse().ok()?);
            }
            ["peak_mib", value] => outcome.peak_mib = value.parse().ok()?,
            [name, value] => outcome.numbers.push(((*name).to_owned(), value.parse().ok()?)),
            _ => {}
        }
    }
    // Its last line: without it, it did not come to its end.
    outcome.peak_mib.is_finite().then_some(outcome)
}

impl Outcome {
    /// A number it printed.
    pub(super) fn number(&self, name: &str) -> Result<f64> {
        let found = self.numbers.iter().find(|(own, _)| own == name).map(|(_, value)| *value);
        found.ok_or_else(|| format!("a contestant did not print {name}"))
    }

    /// Seconds of its median step, the first few left out.
    pub(super) fn step_seconds(&self) -> f64 {
        median(self.seconds.iter().copied().skip(3.min(self.seconds.len() - 1)))
    }
}

/// The middle value; of an even number of values, the mean of the two.
pub(super) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.is_empty() {
        f64::NAN
    } else if values.len() % 2 == 1 {
        values[middle]
    } else {
        f64::midpoint(values[middle - 1], values[middle])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_and_noise_is_passed_over() {
        let text = "a warning of several words\nstep 1 7.5 0.5\nstep 2 7.25 0.25\ntokens_per_step 64\npeak_mib 300\n";
        let outcome = read(text).unwrap();
        assert_eq!(
            (outcome.losses.as_slice(), outcome.seconds.as_slice()),
            (&[7.5, 7.25][..], &[0.5, 0.25][..])
        );
        assert_eq!((outcome.peak_mib, outcome.number("tokens_per_step")), (300.0, Ok(64.0)));
        assert!(read("step 1 7.5 0.5\n").is_none(), "it ended before its last line");
    }

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 3.0].into_iter()), 2.5);
    }
}
