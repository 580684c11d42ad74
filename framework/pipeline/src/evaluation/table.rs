//! Scores on the screen, in the columns of lm-evaluation-harness.

use super::harness::{parts, stderr};
use crate::report::table::table;
use crate::stages::evaluate::Evaluation;

/// A row for each score, a task's name in its first row only.
pub(super) fn markdown(evaluation: &Evaluation) -> String {
    let header = ["Tasks", "Version", "n-shot", "Metric", "", "Value", "", "Stderr"];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    let mut last = "";
    for score in &evaluation.scores {
        let (task, metric) = parts(&score.metric);
        let card = evaluation.tasks.iter().find(|card| card.task == task && task != last);
        rows.push(vec![
            if task == last { String::new() } else { task.to_owned() },
            card.map(|card| card.version.clone()).unwrap_or_default(),
            card.map(|card| card.num_fewshot.to_string()).unwrap_or_default(),
            metric.to_owned(),
            if score.higher_is_better { "↑" } else { "↓" }.to_owned(),
            format!("{:.4}", score.value()),
            "±".to_owned(),
            stderr(score).map_or_else(|| "N/A".to_owned(), |stderr| format!("{stderr:.4}")),
        ]);
        last = task;
    }
    let mut text = String::new();
    table(&rows, &mut text);
    text
}
