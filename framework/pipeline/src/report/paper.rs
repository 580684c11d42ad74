//! The published study's figures beside those of runs, each with its scale.

use std::fmt::Write as _;

use serde::Serialize;

use super::numbers;
use super::published::{self, Form, PUBLISHED, Task};
use super::quality;
use super::results::Results;
use super::scores::{self, Row};
use super::table::table;

/// Tables with rows of the published study and of runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Paper {
    pub(crate) intro: String,
    pub(crate) tables: Vec<Table>,
    pub(crate) notes: Vec<String>,
}

/// One of them; the first row is the header.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Table {
    pub(crate) title: String,
    pub(crate) rows: Vec<Vec<String>>,
}

impl Paper {
    /// The published study beside these runs.
    pub fn beside(runs: &[&Results]) -> Self {
        let tags = PUBLISHED.tags.iter().map(|(tag, meaning)| format!("[{tag}] {meaning}."));
        let mut notes: Vec<String> = tags.chain(PUBLISHED.notes.iter().cloned()).collect();
        notes.extend(runs.iter().filter_map(|run| averaged_over(run)));
        Self {
            intro: format!(
                "Published figures are those of {}, {}, as far as they are known here; each carries a tag that says how. What is not known is left empty. Scales differ by orders of magnitude, so signs and orders can be compared, and not sizes.",
                PUBLISHED.study, PUBLISHED.version
            ),
            tables: vec![
                Table { title: "Average accuracy, percent".to_owned(), rows: averages(runs) },
                Table { title: "Task by task".to_owned(), rows: tasks(runs) },
                Table { title: "Synthetic documents".to_owned(), rows: synthetic(runs) },
            ],
            notes,
        }
    }

    /// The tables in Markdown.
    pub fn markdown(&self) -> String {
        let mut text = format!("# Beside the published study\n\n{}\n", self.intro);
        for Table { title, rows } in &self.tables {
            let _ = writeln!(text, "\n## {title}\n");
            table(rows, &mut text);
        }
        text.push('\n');
        for note in &self.notes {
            let _ = writeln!(text, "- {note}");
        }
        text
    }
}

/// Rows of averages: scales of the study, then an arm of synthetic documents of each run.
fn averages(runs: &[&Results]) -> Vec<Vec<String>> {
    let header = [
        "study",
        "parameters",
        "unique tokens",
        "training tokens",
        "baseline",
        "SBP",
        "oracle",
        "recovered",
        "source",
    ];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    for scale in &PUBLISHED.scales {
        let cell = published::cell;
        rows.push(vec![
            format!("published, {}", scale.name),
            cell(scale.parameters.as_ref()),
            cell(scale.unique_tokens.as_ref()),
            cell(scale.train_tokens.as_ref()),
            cell(scale.baseline.as_ref()),
            cell(scale.sbp.as_ref()),
            cell(scale.oracle.as_ref()),
            cell(scale.recovered.as_ref()),
            scale.source.clone(),
        ]);
    }
    for run in runs {
        for arm in synthetic_arms(run) {
            let sizes = [run.scale.parameters, run.scale.unique_tokens, run.scale.train_tokens];
            let metrics = averaged(run);
            let cells = match metrics.as_slice() {
                [one] => of_metric(run, arm, one, 100.0),
                several => of_average(run, arm, several),
            };
            rows.push(
                [
                    vec![name(run, arm)],
                    sizes.map(numbers::magnitude).to_vec(),
                    cells.to_vec(),
                    vec![format!("plan {}", run.short_plan())],
                ]
                .concat(),
            );
        }
    }
    rows
}

/// Rows of tasks: for each, scales of the study at which something is known, then runs that have it.
fn tasks(runs: &[&Results]) -> Vec<Vec<String>> {
    let header = ["task", "study", "baseline", "SBP", "oracle", "recovered", "source"];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    for task in &PUBLISHED.tasks {
        let (title, factor) = match task.form {
            Form::Percent => (format!("{}, % ↑", task.name), 100.0),
            Form::Perplexity => (format!("{}, perplexity ↓", task.name), 1.0),
        };
        let mut of_task: Vec<Vec<String>> = Vec::new();
        for scale in &PUBLISHED.scales {
            if let Some(cells) = task.at.get(&scale.name) {
                let cells_source = cells.source.as_ref();
                let cells = [&cells.baseline, &cells.sbp, &cells.oracle];
                let mut row = vec![format!("published, {}", scale.name)];
                row.extend(cells.map(|figure| published::cell(figure.as_ref())));
                row.extend([String::new(), cells_source.unwrap_or(&task.source).clone()]);
                of_task.push(row);
            }
        }
        if of_task.is_empty() {
            of_task.push(["published", "", "", "", "", task.source.as_str()].map(str::to_owned).to_vec());
        }
        for run in runs {
            let Some(metric) = metric_of(run, task) else { continue };
            for arm in synthetic_arms(run) {
                let cells = of_metric(run, arm, metric, factor).to_vec();
                of_task.push([vec![name(run, arm)], cells, vec![metric.to_owned()]].concat());
            }
        }
        for (index, row) in of_task.into_iter().enumerate() {
            let title = if index == 0 { title.clone() } else { String::new() };
            rows.push([vec![title], row].concat());
        }
    }
    rows
}

/// Rows of figures of synthetic documents: a column a scale, then two a run, for what was kept and for real documents.
fn synthetic(runs: &[&Results]) -> Vec<Vec<String>> {
    let runs: Vec<_> =
        runs.iter().filter_map(|run| Some((run, &run.quality.values().next()?["synthetic"]))).collect();
    let mut header = vec!["figure ↓".to_owned()];
    header.extend(PUBLISHED.scales.iter().map(|scale| format!("published, {}", scale.name)));
    header.push("published, real".to_owned());
    for (run, _) in &runs {
        header.extend([format!("{}, kept", title(run)), format!("{}, targets of pairs", title(run))]);
    }
    header.push("source".to_owned());
    let mut rows = vec![header];
    for figure in &PUBLISHED.quality {
        let mut row = vec![figure.name.clone()];
        row.extend(PUBLISHED.scales.iter().map(|scale| published::cell(figure.at.get(&scale.name))));
        row.push(published::cell(figure.real.as_ref()));
        for (_, quality) in &runs {
            row.extend(quality::beside_judged(quality, &figure.figure));
        }
        row.push(figure.source.clone());
        rows.push(row);
    }
    rows
}

/// The arms that stand for SBP: those of that kind, else all but baseline and oracle.
fn synthetic_arms(run: &Results) -> Vec<&str> {
    let of_kind = |arm: &&str| run.arms.get(*arm).is_some_and(|found| found.kind == "sbp");
    let named: Vec<&str> = run.arm_order.iter().map(String::as_str).collect();
    let arms: Vec<&str> = named.iter().copied().filter(of_kind).collect();
    if !arms.is_empty() {
        return arms;
    }
    let is_other = |arm: &&str| {
        let mut found = run.comparisons.iter();
        found.any(|it| it.arm == **arm && it.oracle.as_deref() != Some(*arm))
    };
    named.into_iter().filter(is_other).collect()
}

/// What the run calls a task of the study.
fn metric_of<'t>(run: &Results, task: &'t Task) -> Option<&'t str> {
    let has = |metric: &&str| run.comparisons.iter().any(|found| found.metric == **metric);
    task.metrics.iter().map(String::as_str).find(has)
}

/// The metrics that a run's average is over: those of the published average's tasks, else every accuracy that arms are
/// compared on.
fn averaged(run: &Results) -> Vec<&str> {
    let tasks = PUBLISHED.tasks.iter().filter(|task| task.averaged);
    let found: Vec<&str> = tasks.filter_map(|task| metric_of(run, task)).collect();
    if !found.is_empty() {
        return found;
    }
    let is_accuracy = |metric: &&str| metric.starts_with("eval/") && metric.ends_with("/acc");
    scores::metrics(run).into_iter().filter(is_accuracy).collect()
}

fn averaged_over(run: &Results) -> Option<String> {
    let metrics = averaged(run);
    let how = match metrics.len() {
        0 => return Some(format!("{} has no accuracy to average.", title(run))),
        1 => "",
        _ => "; tasks are taken as independent, and the recovered share comes without an interval",
    };
    Some(format!("{}: the average is over {}{how}.", title(run), metrics.join(", ")))
}

/// Baseline, gain of an arm, gain of the oracle, and the share recovered, on one metric.
fn of_metric(run: &Results, arm: &str, metric: &str, factor: f64) -> [String; 4] {
    let rows = scores::rows_of(run, metric);
    let baseline = rows.iter().find(|row| row.is_baseline());
    let of_arm = rows.iter().find(|row| row.arm == arm);
    [
        baseline.map_or_else(String::new, |row| {
            numbers::with_error(factor * row.value.mean, factor * row.value.stderr)
        }),
        of_arm.map_or_else(String::new, |row| gain(row, factor)),
        oracle(&rows).map_or_else(String::new, |row| gain(row, factor)),
        of_arm.map_or_else(String::new, |row| row.recovered().text()),
    ]
}

fn oracle<'a, 'r>(rows: &'a [Row<'r>]) -> Option<&'a Row<'r>> {
    rows.iter().find(|row| row.comparison.is_some_and(|found| found.oracle.as_ref() == Some(&found.arm)))
}

fn gain(row: &Row<'_>, factor: f64) -> String {
    let Some(found) = row.comparison else { return String::new() };
    let stderr = factor * found.stderr;
    let difference = numbers::difference(factor * found.delta, stderr);
    format!("{difference} {}", numbers::interval(found.ci95.map(|end| factor * end), stderr))
}

/// A figure and its standard error.
type Estimate = (f64, f64);

/// The mean of metrics in percent, tasks taken as independent; none where one of them has no such figure.
fn mean_of(metrics: &[Vec<Row<'_>>], of: impl Fn(&[Row<'_>]) -> Option<Estimate>) -> Option<Estimate> {
    let found: Vec<Estimate> = metrics.iter().map(|rows| of(rows)).collect::<Option<_>>()?;
    let n = found.len() as f64;
    let sum: f64 = found.iter().map(|(value, _)| value).sum();
    let variance: f64 = found.iter().map(|(_, stderr)| stderr * stderr).sum();
    (n > 0.0).then(|| (100.0 * sum / n, 100.0 * variance.sqrt() / n))
}

/// What [`of_metric`] says, of the mean of several metrics in percent.
fn of_average(run: &Results, arm: &str, metrics: &[&str]) -> [String; 4] {
    let metrics: Vec<Vec<Row<'_>>> = metrics.iter().map(|metric| scores::rows_of(run, metric)).collect();
    let gain_of = |row: &Row<'_>| row.comparison.map(|found| (found.delta, found.stderr));
    let baseline = mean_of(&metrics, |rows| {
        rows.iter().find(|row| row.is_baseline()).map(|row| (row.value.mean, row.value.stderr))
    });
    let own = mean_of(&metrics, |rows| rows.iter().find(|row| row.arm == arm).and_then(gain_of));
    let whole = mean_of(&metrics, |rows| oracle(rows).and_then(gain_of));
    let mut compared = metrics.iter().flatten().filter_map(|row| row.comparison);
    let comparable = compared.all(|found| found.comparable || found.arm != arm);
    let recovered = match (own, whole) {
        (Some(_), Some(_)) if !comparable => "not comparable".to_owned(),
        (Some((own, _)), Some((whole, stderr))) if whole > NORMAL * stderr => {
            numbers::share(own / whole, None).0
        }
        (Some(_), Some(_)) => "not estimable".to_owned(),
        _ => String::new(),
    };
    let gain = |found: Option<Estimate>| {
        found.map_or_else(String::new, |(mean, stderr)| {
            let ci95 = [mean - NORMAL * stderr, mean + NORMAL * stderr];
            format!("{} {}", numbers::difference(mean, stderr), numbers::interval(ci95, stderr))
        })
    };
    [
        baseline.map_or_else(String::new, |(mean, stderr)| numbers::with_error(mean, stderr)),
        gain(own),
        gain(whole),
        recovered,
    ]
}

/// Standard errors to either side that hold 95% of a normal distribution.
const NORMAL: f64 = 1.96;

fn name(run: &Results, arm: &str) -> String {
    match synthetic_arms(run).len() {
        1 => title(run),
        _ => format!("{}, arm {arm}", title(run)),
    }
}

fn title(run: &Results) -> String {
    run.recipe.clone()
}
