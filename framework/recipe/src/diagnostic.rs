//! What is wrong with a recipe: code, place, remedy; all problems at once.

use std::fmt;
use std::ops::Range;

use miette::{Diagnostic, LabeledSpan, NamedSource, Severity, SourceCode};

/// One problem.
#[derive(Debug, Clone)]
pub struct Problem {
    code: &'static str,
    message: String,
    help: Option<String>,
    severity: Severity,
    source: Option<Box<NamedSource<String>>>,
    label: Option<(Range<usize>, String)>,
}

impl Problem {
    /// A problem with a stable code and a message that names the option.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            help: None,
            severity: Severity::Error,
            source: None,
            label: None,
        }
    }

    /// Makes it something to know rather than something that cannot be.
    #[must_use]
    pub fn warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }

    /// Points into a text.
    #[must_use]
    pub fn at(mut self, name: &str, text: &str, span: Option<Range<usize>>) -> Self {
        self.source = Some(Box::new(NamedSource::new(name, text.to_owned()).with_language("TOML")));
        self.label = span.map(|span| (span, "here".to_owned()));
        self
    }

    /// Says what stands at the place pointed at.
    #[must_use]
    pub fn label(mut self, text: impl Into<String>) -> Self {
        if let Some((_, label)) = &mut self.label {
            *label = text.into();
        }
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Stable code, such as `sbp::recipe::unknown_field`.
    pub fn stable_code(&self) -> &'static str {
        self.code
    }

    /// File and position (line and column from 1), where known.
    pub fn position(&self) -> Option<(String, usize, usize)> {
        let source = self.source.as_ref()?;
        let (span, _) = self.label.as_ref()?;
        let before = source.inner().get(..span.start)?;
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Some((source.name().to_owned(), line, column))
    }

    /// As JSON, for tools.
    pub fn to_json(&self) -> serde_json::Value {
        let position = self.position();
        serde_json::json!({
            "code": self.code,
            "message": self.message,
            "help": self.help,
            "file": position.as_ref().map(|(file, _, _)| file),
            "line": position.as_ref().map(|(_, line, _)| line),
            "column": position.as_ref().map(|(_, _, column)| column),
        })
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Problem {}

impl Diagnostic for Problem {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.code))
    }
    fn severity(&self) -> Option<Severity> {
        Some(self.severity)
    }
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }
    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source.as_deref().map(|source| source as &dyn SourceCode)
    }
    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let (span, text) = self.label.as_ref()?;
        Some(Box::new(std::iter::once(LabeledSpan::new_with_span(Some(text.clone()), span.clone()))))
    }
}

/// Everything that is wrong with a recipe.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{name}: {} {}", problems.len(), if problems.len() == 1 { "problem" } else { "problems" })]
pub struct RecipeErrors {
    /// The recipe's file name.
    pub name: String,
    /// The problems, in the order of their places.
    pub problems: Vec<Problem>,
}

impl Diagnostic for RecipeErrors {
    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        Some(Box::new(self.problems.iter().map(|problem| problem as &dyn Diagnostic)))
    }
}
