//! What a task is, as its TOML file says it.

use std::collections::BTreeMap;
use std::path::Path;

use minijinja::value::{Serde, Value};
use sbp_plugin::prelude::*;

use super::language::{Expression, Template};
use super::rows::Row;

/// A task: which files hold it, how a row becomes a prompt, how the model's response is scored.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Definition {
    /// Its name.
    pub(super) task: String,
    /// Raised when the same files give other scores.
    pub(super) version: String,
    /// Where task and prompt come from.
    pub(super) source: String,
    /// How responses are scored.
    pub(super) scoring: Scoring,
    /// What is computed, in the order of reports.
    pub(super) metrics: Vec<Metric>,
    /// Solved examples before each item.
    #[serde(default)]
    pub(super) num_fewshot: usize,
    /// Which examples are shown.
    #[serde(default)]
    pub(super) fewshot: Sampling,
    /// Between examples, and between the last of them and the item.
    #[serde(default = "blank_line")]
    pub(super) fewshot_delimiter: String,
    /// Between a context and what follows it.
    #[serde(default = "space")]
    pub(super) target_delimiter: String,
    /// Before everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<Template>,
    /// What is shown of an item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) context: Option<Template>,
    /// The texts to choose from; the contexts to choose from in `partial`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) choices: Option<Expression>,
    /// What follows whichever context, in `partial`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) continuation: Option<Expression>,
    /// What is right.
    pub(super) answer: Expression,
    /// Examples come from rows where this has the same value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) group: Option<Expression>,
    /// How the model's own words are taken, in `generate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) generation: Option<Generation>,
    /// Where the rows are.
    pub(super) files: Files,
    /// Names for the parts of a row, so that one definition reads every layout of the files.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) fields: BTreeMap<String, Expression>,
    /// Who says so, for messages.
    #[serde(skip)]
    pub(super) origin: String,
    /// The text that it was read from.
    #[serde(skip)]
    pub(super) text: String,
}

/// How responses are scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Scoring {
    /// One context, several continuations: the likeliest is the model's choice.
    MultipleChoice,
    /// Several contexts, one continuation: the context that makes it likeliest is the model's choice.
    Partial,
    /// One context and its one continuation.
    LastWord,
    /// The model goes on by itself.
    Generate,
}

/// What is computed of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Metric {
    /// Whether the likeliest choice is right.
    Acc,
    /// The same after division by the choice's length in characters.
    AccNorm,
    /// The same after division by the choice's length in bytes.
    AccBytes,
    /// Whether an accepted answer is what the model says.
    ExactMatch,
    /// -log of the probability of the right answer, in nats.
    Nll,
    /// e to the mean of that.
    Ppl,
}

/// Which examples are shown before an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Sampling {
    /// Others for each item, drawn by `fewshot_seed`.
    #[default]
    Sample,
    /// The first of the file.
    First,
}

/// How the model's own words are taken.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Generation {
    /// Texts that end an answer; they are no part of it.
    pub(super) until: Vec<String>,
    /// Most tokens of an answer.
    #[serde(default = "max_tokens")]
    pub(super) max_tokens: usize,
    /// Whether `exact_match` is blind to upper and lower case.
    #[serde(default)]
    pub(super) ignore_case: bool,
    /// Whether `exact_match` is blind to ASCII punctuation.
    #[serde(default)]
    pub(super) ignore_punctuation: bool,
}

/// Where the rows of a task are.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Files {
    /// Usual names of the task's folder.
    #[serde(default)]
    pub(super) folders: Vec<String>,
    /// Patterns for the file of items, the best first.
    pub(super) items: Vec<String>,
    /// Patterns for the file of examples, the best first.
    #[serde(default)]
    pub(super) fewshot: Vec<String>,
    /// Where a JSON file is one object, the key of its list of rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) rows_at: Option<String>,
    /// Whether the first line of a CSV file names the columns.
    #[serde(default)]
    pub(super) csv_header: bool,
}

fn blank_line() -> String {
    "\n\n".to_owned()
}

fn space() -> String {
    " ".to_owned()
}

fn max_tokens() -> usize {
    256
}

impl Metric {
    /// Its name in `eval/<task>/<metric>`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Acc => "acc",
            Self::AccNorm => "acc_norm",
            Self::AccBytes => "acc_bytes",
            Self::ExactMatch => "exact_match",
            Self::Nll => "nll",
            Self::Ppl => "ppl",
        }
    }

    pub(super) fn is_higher_better(self) -> bool {
        !matches!(self, Self::Nll | Self::Ppl)
    }
}

impl Scoring {
    fn metrics(self) -> &'static [Metric] {
        use Metric::{Acc, AccBytes, AccNorm, ExactMatch, Nll, Ppl};
        match self {
            Self::MultipleChoice => &[Acc, AccNorm, AccBytes, ExactMatch, Nll, Ppl],
            Self::Partial | Self::LastWord => &[Acc, Nll, Ppl],
            Self::Generate => &[ExactMatch, Nll, Ppl],
        }
    }
}

impl Definition {
    /// A definition from the text of a TOML file; `origin` is what messages call it.
    ///
    /// # Errors
    /// When the text is no definition: what is wrong, and in which line.
    pub(crate) fn parse(origin: String, text: &str) -> Result<Self> {
        let parsed: Self = toml::from_str(text).map_err(|error| {
            format!("{origin} is no definition of a task: {error}docs/writing-a-task.md lists the keys")
        })?;
        let definition = Self { text: text.to_owned(), origin, ..parsed };
        match definition.problem() {
            Some(problem) => Err(format!("{}: {problem}", definition.origin).into()),
            None => Ok(definition),
        }
    }

    /// The definition in a file of the user's own.
    ///
    /// # Errors
    /// When it cannot be read, or as [`Self::parse`].
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let mut text = String::new();
        std::io::Read::read_to_string(&mut sbp_plugin::input::open(path)?, &mut text)
            .map_err(|error| format!("{} cannot be read: {error}; it must be TOML", path.display()))?;
        Self::parse(path.display().to_string(), &text)
    }

    /// What is wrong beyond what the form of the file says.
    fn problem(&self) -> Option<String> {
        if !is_name(&self.task) {
            return Some(format!(
                "`task` = {:?} is no name; use letters, digits, `_`, `-` and `.`",
                self.task
            ));
        }
        let scoring = self.scoring;
        let known = || {
            let names: Vec<_> =
                scoring.metrics().iter().map(|metric| format!("`{}`", metric.name())).collect();
            names.join(", ")
        };
        if self.metrics.is_empty() {
            return Some(format!("`metrics` is empty; name some of {}", known()));
        }
        for (index, metric) in self.metrics.iter().enumerate() {
            if !scoring.metrics().contains(metric) {
                let name = metric.name();
                return Some(format!(
                    "`metrics` names `{name}`, which this scoring has not; it has {}",
                    known()
                ));
            }
            if self.metrics[..index].contains(metric) {
                return Some(format!("`metrics` names `{}` twice; name it once", metric.name()));
            }
        }
        use Scoring::{Generate, LastWord, MultipleChoice, Partial};
        for (key, is_there, scorings) in [
            ("context", self.context.is_some(), &[MultipleChoice, LastWord, Generate][..]),
            ("choices", self.choices.is_some(), &[MultipleChoice, Partial]),
            ("continuation", self.continuation.is_some(), &[Partial]),
            ("generation", self.generation.is_some(), &[Generate]),
        ] {
            match (is_there, scorings.contains(&scoring)) {
                (false, true) => {
                    return Some(format!("`{key}` is missing, which this scoring needs; add it"));
                }
                (true, false) => {
                    return Some(format!("`{key}` is given, which this scoring does not use; take it out"));
                }
                _ => {}
            }
        }
        if let Some(generation) = &self.generation {
            if generation.until.is_empty() || generation.until.iter().any(String::is_empty) {
                return Some("`generation.until` must be texts, such as [\"\\n\"]".to_owned());
            }
            if generation.max_tokens == 0 {
                return Some("`generation.max_tokens` is 0; give at least 1".to_owned());
            }
        }
        if self.files.items.is_empty() {
            return Some("`files.items` is empty; give a pattern such as \"test*\"".to_owned());
        }
        None
    }

    /// What expressions and templates may name for a row: its fields, `row` for the whole of it, `file` for the name of
    /// its file, and what `fields` adds.
    pub(super) fn names(&self, row: &Row) -> Result<Value> {
        let mut names: BTreeMap<String, Value> = BTreeMap::new();
        for (name, value) in row.value.as_object().into_iter().flatten() {
            names.insert(name.clone(), Value::from(Serde(value)));
        }
        names.insert("row".to_owned(), Value::from(Serde(&row.value)));
        names.insert("file".to_owned(), Value::from(row.file.as_ref()));
        let given = Value::from(names.clone());
        for (name, expression) in &self.fields {
            let key = format!("fields.{name}");
            let value = expression.value(&given).map_err(|error| self.explain(&key, row, &error))?;
            names.insert(name.clone(), value);
        }
        Ok(Value::from(names))
    }

    /// An error of a key at a row.
    pub(super) fn explain(&self, key: &str, row: &Row, error: &str) -> Error {
        format!(
            "{}: `{key}` does not fit row {} of {}: {error}; mend the row or, where all rows are of this layout, the definition",
            self.origin, row.number, row.file
        )
        .into()
    }
}

/// Whether a text can stand in the name of a metric.
pub(crate) fn is_name(text: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    !text.is_empty() && text.chars().all(is_part)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;

    const WHOLE: &str = r#"
task = "t"
version = "1"
source = "by hand"
scoring = "multiple_choice"
metrics = ["acc", "nll"]
context = "Q: {{q}}"
choices = "c"
answer = "a"
[files]
items = ["test*"]
"#;

    fn error(text: &str) -> String {
        Definition::parse("own.toml".to_owned(), text).err().expect("an error").to_string()
    }

    #[test]
    fn every_mistake_is_told_with_its_file_its_key_and_what_to_do() {
        assert!(Definition::parse("own.toml".to_owned(), WHOLE).is_ok());
        for (from, to, told) in [
            ("source =", "sauce =", &["own.toml", "unknown field `sauce`", "writing-a-task.md"][..]),
            ("\"multiple_choice\"", "\"guess\"", &["unknown variant `guess`", "line 5"]),
            ("context = \"Q: {{q}}\"", "context = \"Q: {{q\"", &["line 7", "syntax error"]),
            ("answer = \"a\"", "answer = \"a[\"", &["line 9", "syntax error"]),
            ("task = \"t\"", "task = \"a/b\"", &["own.toml: `task` = \"a/b\" is no name"]),
            ("\"nll\"", "\"acc\"", &["names `acc` twice"]),
            ("\"acc\", \"nll\"", "", &["`metrics` is empty; name some of `acc`, `acc_norm`"]),
            ("context = \"Q: {{q}}\"", "", &["`context` is missing"]),
            ("answer =", "continuation = \"x\"\nanswer =", &["`continuation` is given", "take it out"]),
            ("[\"test*\"]", "[]", &["`files.items` is empty"]),
            ("\"multiple_choice\"", "\"last_word\"", &["`choices` is given"]),
            ("[\"acc\", \"nll\"]", "[\"acc_norm\"]\nfewshot = \"last\"", &["unknown variant `last`"]),
        ] {
            assert!(WHOLE.contains(from), "{from}");
            let error = error(&WHOLE.replace(from, to));
            assert!(told.iter().all(|told| error.contains(told)), "{told:?} of {error}");
        }
        let generate = WHOLE.replace("multiple_choice", "generate").replace("choices = \"c\"\n", "");
        assert!(error(&generate).contains("which this scoring has not; it has `exact_match`"));
        let generate = generate.replace("\"acc\", ", "");
        assert!(error(&generate).contains("`generation` is missing"), "{}", error(&generate));
        let generate = |section: &str| error(&format!("{generate}[generation]\n{section}\n"));
        assert!(generate("until = [\"\"]").contains("`generation.until` must be texts"));
        assert!(generate("until = [\".\"]\nmax_tokens = 0").contains("give at least 1"));
    }

    #[test]
    fn fields_stand_above_the_rows_own_and_an_error_names_the_row() {
        let text =
            WHOLE.to_owned() + "[fields]\nq = \"q.stem if q is mapping else q\"\nsubject = \"file[:-5]\"\n";
        let definition = Definition::parse("own.toml".to_owned(), &text).expect("a definition");
        let row = |value| Row { value, file: Arc::from("law.json"), number: 7 };
        let names = definition.names(&row(json!({"q": {"stem": "why"}, "file": "x"}))).expect("names");
        assert_eq!(names.get_attr("q").expect("q").as_str(), Some("why"));
        assert_eq!(names.get_attr("subject").expect("subject").as_str(), Some("law"));
        let names = definition.names(&row(json!({"q": "why"}))).expect("names");
        assert_eq!(names.get_attr("q").expect("q").as_str(), Some("why"));
        let error = definition.names(&row(json!(["why"]))).expect_err("no q").to_string();
        let told = "own.toml: `fields.q` does not fit row 7 of law.json: ";
        assert!(error.starts_with(told) && error.contains("mend the row"), "{error}");
    }
}
