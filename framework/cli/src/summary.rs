//! What a run's time went into: one line for each kind of stage.

use std::fmt::Write as _;
use std::time::Duration;

use crate::screen::people;

/// A stage that came to its end.
#[derive(Debug, Clone)]
pub(crate) struct Ended {
    /// As the screen names it: `train sbp seed 1`.
    pub(crate) stage: String,
    pub(crate) took: Duration,
    pub(crate) reused: bool,
}

/// The kinds of stages in the order they came, with how many were made and reused, and their time.
pub(crate) fn table(stages: &[Ended]) -> String {
    let mut rows: Vec<Row<'_>> = Vec::new();
    for ended in stages {
        let kind = ended.stage.split(' ').next().unwrap_or_default();
        let at = rows.iter().position(|row| row.kind == kind).unwrap_or_else(|| {
            rows.push(Row { kind, made: 0, reused: 0, took: Duration::ZERO });
            rows.len() - 1
        });
        let row = &mut rows[at];
        row.took += ended.took;
        if ended.reused { row.reused += 1 } else { row.made += 1 }
    }
    let all: Duration = rows.iter().map(|row| row.took).sum();
    let mut text = format!("{:<12} {:>4} {:>6}  time\n", "stage", "made", "reused");
    for Row { kind, made, reused, took } in &rows {
        let share = if all.is_zero() { 0.0 } else { 100.0 * took.as_secs_f64() / all.as_secs_f64() };
        let count = |count: usize| if count == 0 { "-".to_owned() } else { count.to_string() };
        let _ = writeln!(
            text,
            "{kind:<12} {:>4} {:>6}  {:<12} {share:>3.0}%",
            count(*made),
            count(*reused),
            people(*took)
        );
    }
    let reused: usize = rows.iter().map(|row| row.reused).sum();
    let _ = write!(text, "{:<12} {:>4} {reused:>6}  {}", "all", stages.len() - reused, people(all));
    text
}

struct Row<'a> {
    kind: &'a str,
    made: usize,
    reused: usize,
    took: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_of_a_kind_are_one_line() {
        let ended = |stage: &str, secs: u64, reused: bool| Ended {
            stage: stage.to_owned(),
            took: Duration::from_secs(secs),
            reused,
        };
        let stages = [
            ended("corpus", 0, true),
            ended("train repetition seed 1", 20, false),
            ended("evaluate repetition seed 1", 10, false),
            ended("train sbp seed 1", 70, false),
        ];
        assert_eq!(
            table(&stages),
            "stage        made reused  time\n\
             corpus          -      1  0.0 s          0%\n\
             train           2      -  1 min 30 s    90%\n\
             evaluate        1      -  10 s          10%\n\
             all             3      1  1 min 40 s"
        );
    }
}
