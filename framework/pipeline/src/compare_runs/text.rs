//! The comparison as Markdown.

use std::fmt::Write as _;

use super::{AgainstFirst, Outcome, RunsCompared};
use crate::differences::said;
use crate::report::table::table;

impl RunsCompared {
    /// For the screen: the runs by number, and of each after the first what differs from the first.
    pub fn markdown(&self) -> String {
        let mut text = "# Runs compared\n\n".to_owned();
        for (index, run) in self.runs.iter().enumerate() {
            let _ = writeln!(text, "{}. {} in {}", index + 1, run.name, run.run_dir.display());
        }
        for one in &self.against_first {
            one.markdown(&mut text);
        }
        text
    }
}

impl AgainstFirst {
    fn markdown(&self, text: &mut String) {
        let number = self.run + 1;
        let _ = writeln!(text, "\n## {number} against 1");
        for ledger in self.ledgers.iter().filter(|ledger| !ledger.verdict.matched) {
            let _ = writeln!(
                text,
                "\nNOT COMPARABLE on {}: {} took {} training tokens in 1 and {} in {number}, {:.3e} and {:.3e} \
                 end-to-end FLOPs",
                ledger.verdict.mode.name(),
                ledger.arm,
                ledger.train_tokens[0],
                ledger.train_tokens[1],
                ledger.end_to_end_flops[0],
                ledger.end_to_end_flops[1],
            );
        }
        self.options(number, text);
        self.scores(number, text);
        for (only, whose) in [(&self.only_first, 1), (&self.only_other, number)] {
            if !only.is_empty() {
                let _ = writeln!(text, "\nonly in {whose}: {}", only.join(", "));
            }
        }
    }

    fn options(&self, number: usize, text: &mut String) {
        if self.options.is_empty() {
            text.push_str("\nThe resolved recipes are the same.\n");
            return;
        }
        let mut rows = vec![vec!["option".to_owned(), "1".to_owned(), number.to_string()]];
        rows.extend(self.options.iter().map(|difference| {
            // A bar would end the cell.
            [difference.option.clone(), said(&difference.first), said(&difference.other)]
                .map(|cell| cell.replace('|', "\\|"))
                .to_vec()
        }));
        text.push('\n');
        table(&rows, text);
    }

    fn scores(&self, number: usize, text: &mut String) {
        if self.scores.is_empty() {
            text.push_str("\nThe two have no metric of an arm in common.\n");
            return;
        }
        let (other, difference) = (number.to_string(), format!("{number} - 1 [95%]"));
        let header = ["metric", "arm", "1", &other, &difference, "p"];
        let mut rows = vec![header.map(str::to_owned).to_vec()];
        for score in &self.scores {
            let better = if score.higher_is_better { "↑" } else { "↓" };
            let mut row = vec![format!("{} {better}", score.metric), score.arm.clone()];
            row.extend(match &score.outcome {
                Outcome::Compared { values: [first, other], comparison } => {
                    let [low, high] = comparison.ci95;
                    [
                        format!("{first:.4}"),
                        format!("{other:.4}"),
                        format!("{:+.4} [{low:+.4}, {high:+.4}]", comparison.delta),
                        format!("{:.4}", comparison.p),
                    ]
                }
                Outcome::NotComparable(reason) => {
                    [String::new(), String::new(), format!("not comparable: {reason}"), String::new()]
                }
            });
            rows.push(row);
        }
        text.push('\n');
        table(&rows, text);
        let seeds = self.scores.first().map(|score| score.seeds.as_slice()).unwrap_or_default();
        let _ = writeln!(
            text,
            "\nDifferences are paired over the same documents and questions; seeds {seeds:?}."
        );
    }
}
