//! Several tasks under one name.

use std::path::PathBuf;

use sbp_core::FingerprintBuilder;
use sbp_plugin::prelude::*;
use sbp_plugin::slots::evaluator::{EvalContext, Evaluator, Score, TaskCard};

use super::task::{Task, TaskConfig};

/// The tasks that a published study reports, all at once.
///
/// `sbp-paper` is the suite of the study on synthetic bootstrapped pretraining (arXiv:2509.15248): `arc_easy`,
/// `arc_challenge`, `sciq` and `winogrande` without examples, `triviaqa` and `webqs` after one, `mmlu` after five (with
/// the perplexity of its right answers), and the perplexity of `lambada_openai`. Its third perplexity, that of
/// OpenWebText2, is `kind = "perplexity"` on files of that corpus. Prompts, scores, and the metrics
/// `eval/<task>/<metric>` are those of `kind = "task"`.
///
/// Cost: that of its tasks, one after the other; most of it is `mmlu`, whose prompts are the longest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SuiteConfig {
    /// Which tasks are asked.
    pub suite: Suite,
    /// A folder with the files of all tasks, each in a folder called as the task usually is, such as `ARC-Easy`.
    pub data: RecipePath,
    /// Ask the first this many items of each task; all of them when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_items: Option<usize>,
}

/// A list of tasks with their numbers of examples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Suite {
    /// Those of arXiv:2509.15248.
    #[serde(rename = "sbp-paper")]
    SbpPaper,
}

impl Suite {
    fn tasks(self) -> &'static [(&'static str, usize)] {
        match self {
            Self::SbpPaper => &[
                ("arc_easy", 0),
                ("arc_challenge", 0),
                ("sciq", 0),
                ("winogrande", 0),
                ("triviaqa", 1),
                ("webqs", 1),
                ("mmlu", 5),
                ("lambada_openai", 0),
            ],
        }
    }
}

impl SuiteConfig {
    fn tasks(&self) -> Result<Vec<Task>> {
        let open = |(task, num_fewshot): &(&str, usize)| {
            let config = TaskConfig::of(task, &self.data);
            TaskConfig { num_fewshot: Some(*num_fewshot), max_items: self.max_items, ..config }.open()
        };
        self.suite.tasks().iter().map(open).collect()
    }
}

impl Plugin<slots::Evaluator> for SuiteConfig {
    const KIND: &'static str = "suite";
    fn example() -> Self {
        Self { suite: Suite::SbpPaper, data: RecipePath(PathBuf::from("evaluation")), max_items: None }
    }
    fn build(&self, _: &BuildContext) -> Result<Box<dyn Evaluator>> {
        Ok(Box::new(Tasks(self.tasks()?)))
    }
}
register!(slots::Evaluator => SuiteConfig);

struct Tasks(Vec<Task>);

impl Evaluator for Tasks {
    fn metrics(&self) -> Vec<String> {
        self.0.iter().flat_map(Evaluator::metrics).collect()
    }

    fn evaluate(&mut self, context: &mut EvalContext<'_>) -> Result<Vec<Score>> {
        let mut scores = Vec::new();
        for task in &mut self.0 {
            scores.extend(task.evaluate(context)?);
        }
        Ok(scores)
    }

    fn content(&self) -> Result<Option<Fingerprint>> {
        let mut fingerprint = FingerprintBuilder::default();
        for task in &self.0 {
            let content = task.content()?;
            fingerprint.push(content.as_ref().map_or(&[][..], |content| content.as_str().as_bytes()));
        }
        Ok(Some(fingerprint.finish()))
    }

    fn tasks(&self) -> Result<Vec<TaskCard>> {
        let mut cards = Vec::new();
        for task in &self.0 {
            cards.extend(task.tasks()?);
        }
        Ok(cards)
    }
}

#[cfg(test)]
mod tests {
    use sbp_testkit::{BigramModel, ByteTokenizer};

    use super::*;

    #[test]
    #[expect(clippy::print_stdout, reason = "a test that finds no data says so")]
    fn the_papers_suite_has_its_tasks_and_shots() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/eval");
        if !folder.is_dir() {
            println!("skipped: there is no {}", folder.display());
            return;
        }
        let config = SuiteConfig { data: RecipePath(folder), max_items: Some(2), ..SuiteConfig::example() };
        let mut suite = config.build(&BuildContext::default()).expect("a suite");
        let cards = suite.tasks().expect("cards");
        let shown: Vec<_> =
            cards.iter().map(|card| (card.task.as_str(), card.num_fewshot, card.num_asked)).collect();
        assert_eq!(
            shown,
            [
                ("arc_easy", 0, 2),
                ("arc_challenge", 0, 2),
                ("sciq", 0, 2),
                ("winogrande", 0, 2),
                ("triviaqa", 1, 2),
                ("webqs", 1, 2),
                ("mmlu", 5, 2),
                ("lambada_openai", 0, 2),
            ]
        );
        let mut model = BigramModel::untrained(4096);
        let mut items = Vec::new();
        let mut context =
            EvalContext { items: Some(&mut items), ..EvalContext::new(&mut model, &ByteTokenizer) };
        let scores = suite.evaluate(&mut context).expect("scores");
        let metrics: Vec<_> = scores.iter().map(|score| score.metric.clone()).collect();
        assert_eq!(metrics, suite.metrics());
        assert!(
            metrics.contains(&"eval/mmlu/ppl".to_owned())
                && metrics.contains(&"eval/lambada_openai/ppl".to_owned())
        );
        assert!(scores.iter().all(|score| score.units.len() == 2 && score.value().is_finite()));
        assert_eq!(items.len(), 16);
        assert!(suite.content().expect("read").is_some());
    }

    #[test]
    fn a_folder_without_a_task_is_told_with_its_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let config = SuiteConfig { data: RecipePath(folder.path().to_owned()), ..SuiteConfig::example() };
        let suite = config.build(&BuildContext::default()).expect("a suite");
        let error = suite.content().expect_err("nothing").to_string();
        assert!(error.contains("there is no file of the task arc_easy"), "{error}");
    }
}
