//! Evaluation tasks as the field scores them.

mod built_in;
mod definition;
mod fewshot;
mod files;
mod generation;
mod language;
mod posed;
mod rows;
mod scoring;
mod tokens;

use std::path::{Path, PathBuf};

use rayon::prelude::*;
use sbp_core::FingerprintBuilder;
use sbp_plugin::input::InputFile;
use sbp_plugin::ports::Continuation;
use sbp_plugin::prelude::*;
use sbp_plugin::slots::evaluator::{EvalContext, Evaluator, Item, Score, TaskCard};
use serde_json::json;

use self::definition::Definition;
pub(super) use self::definition::is_name;
use self::fewshot::Examples;
use self::posed::Posed;
use self::rows::Row;

/// An evaluation task in the form that the field uses, with the prompts and the scores of lm-evaluation-harness (0.4).
///
/// Built in are `arc_easy`, `arc_challenge`, `hellaswag`, `lambada_openai`, `mmlu`, `openbookqa`, `piqa`, `sciq`,
/// `triviaqa`, `webqs` and `winogrande`, each for the layouts that its files come in; `definition` names a file with a
/// task of your own (docs/writing-a-task.md). The files are yours: nothing is fetched. Each is one of `.jsonl`,
/// `.json`, `.csv` and `.parquet`, the first three also as `.gz` or `.zst`.
///
/// Metrics are `eval/<task>/<metric>`, means over the items:
///
/// - `acc`: the share of items whose right choice has the greatest sum of log-probabilities (the first of equals).
///   Winogrande compares the probability of the same continuation after each option; in LAMBADA it is the share of last
///   words that are likeliest at every token.
/// - `acc_norm`, `acc_bytes`: the same after division by the length of the choice's text, in characters as the harness
///   has it, or in bytes of UTF-8.
/// - `exact_match`: the share of items answered with an accepted text. The model decodes greedily to a text that ends
///   answers; case and ASCII punctuation do not count in `triviaqa`. In `webqs`, as in the harness, an accepted answer
///   counts where it is likeliest at every token.
/// - `nll`: -log of the probability of the right answer's text, in nats an item, lower is better; of several accepted
///   answers, of the first. Small models sit at chance in accuracy, and differ here first.
/// - `ppl`: e to the mean of `nll`, lower is better.
///
/// Context and continuation are tokenized as one text and divided as the harness does for Hugging Face models, without
/// a marker in front. What does not fit loses its beginning. An answer in the model's own words takes at most half of
/// the context, and its prompt is cut to what is left.
///
/// Cost: one forward pass over prompt and continuation for each choice of each item, of which the model computes equal
/// prompts once; where the model answers in its own words, greedy decoding of each answer besides, in rounds of 16, 32,
/// 64 and more tokens that each read the prompt anew. Memory for the files and the tokens of all prompts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskConfig {
    /// A task that is built in. Give this or `definition`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = built_in::names()))]
    pub task: Option<String>,
    /// A TOML file that defines a task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definition: Option<RecipePath>,
    /// What metrics call the task; by default the name in its definition. Tells two apart, such as one task with and
    /// without examples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The task's file, or a folder that holds it: itself, or in a folder called as the task usually is. In a folder,
    /// the test set is taken where it is, else the validation set.
    pub data: RecipePath,
    /// Where the examples are, as `data`; by default `data`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fewshot_data: Option<RecipePath>,
    /// Solved examples before each item; by default what the definition says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub num_fewshot: Option<usize>,
    /// Decides which examples are drawn, for each item others; the same for every arm and every seed of a study.
    #[serde(default)]
    pub fewshot_seed: u64,
    /// Ask the first this many items; all of them when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_items: Option<usize>,
}

impl TaskConfig {
    /// A built-in task with the files in `data`, and every other option at its default.
    pub fn of(task: &str, data: impl AsRef<Path>) -> Self {
        Self {
            task: Some(task.to_owned()),
            definition: None,
            name: None,
            data: RecipePath(data.as_ref().to_owned()),
            fewshot_data: None,
            num_fewshot: None,
            fewshot_seed: 0,
            max_items: None,
        }
    }

    pub(super) fn open(&self) -> Result<Task> {
        let definition = match (&self.task, &self.definition) {
            (Some(name), None) => built_in::definition(name)?,
            (None, Some(path)) => Definition::read(path.as_ref())?,
            _ => {
                return Err("give either `task`, the name of a built-in task, or `definition`, a file".into());
            }
        };
        Ok(Task { definition, options: self.clone() })
    }
}

impl Plugin<slots::Evaluator> for TaskConfig {
    const KIND: &'static str = "task";
    fn example() -> Self {
        Self { num_fewshot: Some(2), ..Self::of("arc_easy", PathBuf::from("evaluation")) }
    }
    fn check(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        match (&self.task, &self.definition) {
            (Some(task), None) if built_in::text(task).is_none() => {
                problems.push(("task", built_in::unknown(task)))
            }
            (Some(_), None) | (None, Some(_)) => {}
            (Some(_), Some(_)) => {
                problems.push(("definition", "it and `task` name two tasks; leave one out".to_owned()))
            }
            (None, None) => problems.push(("task", "no task is named; give this or `definition`".to_owned())),
        }
        if self.name.as_ref().is_some_and(|name| !is_name(name)) {
            problems.push(("name", "use letters, digits, `_`, `-` and `.`".to_owned()));
        }
        problems
    }
    fn build(&self, _: &BuildContext) -> Result<Box<dyn Evaluator>> {
        Ok(Box::new(self.open()?))
    }
}
register!(slots::Evaluator => TaskConfig);

/// A task with its options.
pub(super) struct Task {
    definition: Definition,
    options: TaskConfig,
}

impl Task {
    fn name(&self) -> &str {
        self.options.name.as_ref().unwrap_or(&self.definition.task)
    }

    fn num_fewshot(&self) -> usize {
        self.options.num_fewshot.unwrap_or(self.definition.num_fewshot)
    }

    fn item_files(&self) -> Result<Vec<InputFile>> {
        files::find(self.options.data.as_ref(), &self.definition, &self.definition.files.items)
    }

    /// The files of examples; none where none are shown.
    fn fewshot_files(&self) -> Result<Vec<InputFile>> {
        if self.num_fewshot() == 0 {
            return Ok(Vec::new());
        }
        let data = self.options.fewshot_data.as_ref().unwrap_or(&self.options.data);
        files::find(data.as_ref(), &self.definition, &self.definition.files.fewshot)
    }

    fn num_asked(&self, rows: &[Row]) -> usize {
        rows.len().min(self.options.max_items.unwrap_or(usize::MAX))
    }

    fn items(&self) -> Result<Vec<Row>> {
        let files = self.item_files()?;
        let rows = rows::read(&files, &self.definition.files)?;
        if rows.is_empty() {
            let names: Vec<String> = files.iter().map(|file| file.path.display().to_string()).collect();
            return Err(format!("{} holds no items; name another file in `data`", names.join(", ")).into());
        }
        Ok(rows)
    }

    fn posed(&self, rows: &[Row]) -> Result<Vec<Posed>> {
        let definition = &self.definition;
        let examples = rows::read(&self.fewshot_files()?, &definition.files)?;
        let seed = RootSeed(self.options.fewshot_seed);
        let examples = Examples::of(definition, examples, self.num_fewshot(), seed)?;
        let pose = |(index, row): (usize, &Row)| {
            let names = definition.names(row)?;
            let before = examples.before(definition, index, row, &names)?;
            posed::pose(definition, row, &names, &before)
        };
        rows.iter().enumerate().map(pose).collect()
    }
}

impl Evaluator for Task {
    fn metrics(&self) -> Vec<String> {
        self.definition
            .metrics
            .iter()
            .map(|metric| format!("eval/{}/{}", self.name(), metric.name()))
            .collect()
    }

    fn evaluate(&mut self, context: &mut EvalContext<'_>) -> Result<Vec<Score>> {
        let mut rows = self.items()?;
        rows.truncate(self.num_asked(&rows));
        let posed = self.posed(&rows)?;

        let (tokenizer, context_length) = (context.tokenizer, context.model.context_length());
        let pairs: Vec<_> = posed.iter().flat_map(|posed| &posed.pairs).collect();
        let encode = |(before, after): &&(std::sync::Arc<str>, String)| {
            tokens::encode(tokenizer, context_length, before, after)
        };
        let continuations: Vec<Continuation> = pairs.par_iter().map(encode).collect::<Result<_>>()?;
        // All at once: how the model batches them is its own affair, and no score depends on it.
        let likelihoods = context.model.likelihoods(&continuations)?;

        let prompts: Vec<&str> = posed.iter().filter_map(|posed| posed.prompt.as_deref()).collect();
        let mut answers = match &self.definition.generation {
            Some(how) if !prompts.is_empty() => generation::answers(context.model, tokenizer, &prompts, how)?,
            _ => Vec::new(),
        }
        .into_iter();

        let mut likelihoods = likelihoods.as_slice();
        let mut metrics = Vec::with_capacity(posed.len());
        for (index, (row, posed)) in rows.into_iter().zip(&posed).enumerate() {
            let (own, rest) = likelihoods.split_at(posed.pairs.len());
            likelihoods = rest;
            let answer = posed.prompt.as_ref().and_then(|_| answers.next());
            let found = scoring::metrics(&self.definition, posed, own, answer.as_deref());
            if let Some(items) = context.items.as_deref_mut() {
                let asked = posed.prompt.iter().map(|prompt| (prompt.to_string(), String::new()));
                let pairs = posed.pairs.iter().map(|(before, after)| (before.to_string(), after.clone()));
                let said = own.iter().map(|likelihood| json!([likelihood.log_prob, likelihood.is_greedy]));
                items.push(Item {
                    task: self.name().to_owned(),
                    index,
                    row: row.value,
                    arguments: asked.chain(pairs).collect(),
                    responses: answer.into_iter().map(Into::into).chain(said).collect(),
                    target: posed.right.target(),
                    metrics: found.iter().map(|(metric, value)| (metric.name().to_owned(), *value)).collect(),
                });
            }
            metrics.push(found);
        }
        Ok(scoring::scores(&self.definition, self.name(), &metrics))
    }

    fn content(&self) -> Result<Option<Fingerprint>> {
        let mut fingerprint = FingerprintBuilder::default();
        fingerprint.push(self.definition.text.as_bytes());
        for files in [self.item_files()?, self.fewshot_files()?] {
            fingerprint.push(&(files.len() as u64).to_le_bytes());
            for file in files {
                let explain =
                    |error| format!("{} cannot be read: {error}; allow reading it", file.path.display());
                let bytes = std::fs::read(&file.path).map_err(explain)?;
                // The name may be what a group is told from.
                fingerprint.push(file.name.as_bytes());
                fingerprint.push(&bytes);
            }
        }
        Ok(Some(fingerprint.finish()))
    }

    fn tasks(&self) -> Result<Vec<TaskCard>> {
        let rows = self.items()?;
        let names = |files: Vec<InputFile>| files.into_iter().map(|file| file.name).collect::<Vec<_>>();
        let mut config = serde_json::to_value(&self.definition)?;
        config["files"]["read"] =
            json!({"items": names(self.item_files()?), "fewshot": names(self.fewshot_files()?)});
        config["fewshot_seed"] = json!(self.options.fewshot_seed);
        let metrics = self.definition.metrics.iter();
        Ok(vec![TaskCard {
            task: self.name().to_owned(),
            version: self.definition.version.clone(),
            num_fewshot: self.num_fewshot(),
            num_items: rows.len(),
            num_asked: self.num_asked(&rows),
            higher_is_better: metrics.map(|it| (it.name().to_owned(), it.is_higher_better())).collect(),
            config,
        }])
    }
}

#[cfg(test)]
mod tests;
