//! What is wrong with a recipe: code, place, remedy; all problems at once.

use std::fmt;
use std::ops::Range;

use miette::{
    Diagnostic, LabeledSpan, MietteError, MietteSpanContents, Severity, SourceCode, SourceSpan, SpanContents,
};
use serde_json::{Value, json};

use crate::code::Code;
use crate::source::Source;

/// One problem.
#[derive(Debug, Clone)]
pub struct Problem {
    code: Code,
    message: String,
    help: Option<String>,
    severity: Severity,
    excerpt: Option<Box<Excerpt>>,
}

/// The place that a problem points at.
#[derive(Debug, Clone)]
struct Excerpt {
    layer: String,
    file: Option<String>,
    text: String,
    span: Option<Range<usize>>,
    label: String,
}

/// A place in a text: line and column, counted in characters from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LineColumn {
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
}

impl Problem {
    /// A problem with a stable code and a message that names the option.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), help: None, severity: Severity::Error, excerpt: None }
    }

    /// Makes it something to know rather than something that cannot be.
    #[must_use]
    pub fn warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }

    /// Points into a layer.
    #[must_use]
    pub(crate) fn at(mut self, source: &Source, span: Option<Range<usize>>) -> Self {
        self.excerpt = Some(Box::new(Excerpt {
            layer: source.name.clone(),
            file: source.file.clone(),
            // miette does not point behind the last character where no line end follows.
            text: if source.text.ends_with('\n') {
                source.text.clone()
            } else {
                format!("{}\n", source.text)
            },
            span,
            label: "here".to_owned(),
        }));
        self
    }

    /// Says what stands at the place pointed at.
    #[must_use]
    pub fn label(mut self, text: impl Into<String>) -> Self {
        if let Some(excerpt) = &mut self.excerpt {
            excerpt.label = text.into();
        }
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same problem under another code.
    #[must_use]
    pub(crate) fn recoded(mut self, code: Code) -> Self {
        self.code = code;
        self
    }

    /// The code.
    pub fn stable_code(&self) -> Code {
        self.code
    }

    /// The layer that wrote what is wrong: a file, a profile of a file, or a `--set`.
    pub fn layer(&self) -> Option<&str> {
        self.excerpt.as_ref().map(|excerpt| excerpt.layer.as_str())
    }

    /// The file that the layer is in; none for the command line.
    pub fn file(&self) -> Option<&str> {
        self.excerpt.as_ref()?.file.as_deref()
    }

    /// From where to where (the end not included) in the layer's text.
    pub fn place(&self) -> Option<(LineColumn, LineColumn)> {
        let excerpt = self.excerpt.as_ref()?;
        let span = excerpt.span.as_ref()?;
        Some((excerpt.line_column(span.start), excerpt.line_column(span.end)))
    }

    /// Files before the command line, then by line and column.
    pub(crate) fn order(&self) -> impl Ord + use<> {
        (self.file().is_none(), self.layer().map(str::to_owned), self.place())
    }

    /// As JSON, for tools.
    pub fn to_json(&self) -> Value {
        let place = self.place();
        let span = self.excerpt.as_ref().and_then(|excerpt| excerpt.text.get(excerpt.span.clone()?));
        json!({
            "code": self.code.as_str(),
            "message": self.message,
            "help": self.help,
            "layer": self.layer(),
            "file": self.file(),
            "line": place.map(|(start, _)| start.line),
            "column": place.map(|(start, _)| start.column),
            "end_line": place.map(|(_, end)| end.line),
            "end_column": place.map(|(_, end)| end.column),
            "length": span.map(|span| span.chars().count()),
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
        self.excerpt.as_deref().map(|excerpt| excerpt as &dyn SourceCode)
    }
    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let excerpt = self.excerpt.as_ref()?;
        let span = excerpt.span.clone()?;
        Some(Box::new(std::iter::once(LabeledSpan::new_with_span(Some(excerpt.label.clone()), span))))
    }
}

impl Excerpt {
    fn line_column(&self, offset: usize) -> LineColumn {
        let before = self.text.get(..offset).unwrap_or(&self.text);
        LineColumn {
            line: before.matches('\n').count() + 1,
            column: before.rsplit('\n').next().unwrap_or_default().chars().count() + 1,
        }
    }
}

// As miette's `NamedSource`, which counts columns in bytes.
impl SourceCode for Excerpt {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        lines_before: usize,
        lines_after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let read = self.text.read_span(span, lines_before, lines_after)?;
        let column = if read.column() == 0 { 0 } else { self.line_column(span.offset()).column - 1 };
        let contents = MietteSpanContents::new_named(
            self.layer.clone(),
            read.data(),
            *read.span(),
            read.line(),
            column,
            read.line_count(),
        );
        Ok(Box::new(contents.with_language("TOML")))
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
