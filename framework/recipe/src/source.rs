//! One layer of a recipe: its text, its values, and where in the text each of them stands.

use std::collections::HashMap;
use std::ops::Range;
use std::path::PathBuf;

use serde_json::{Map, Number, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::code::Code;
use crate::diagnostic::Problem;

/// Where a key and its value stand in a text, in bytes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Place {
    pub(crate) key: Option<Range<usize>>,
    pub(crate) value: Option<Range<usize>>,
}

/// One layer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Source {
    /// How messages call it: a file name, `--set a=b`, `profile "gpu" of quickstart.toml`.
    pub(crate) name: String,
    /// The file that `text` is of; none for the command line.
    pub(crate) file: Option<String>,
    pub(crate) text: String,
    /// Relative paths are taken from here.
    pub(crate) folder: PathBuf,
    /// A value that no option can take (a date, `nan`) is null.
    pub(crate) values: Map<String, Value>,
    /// By JSON pointer.
    pub(crate) places: HashMap<String, Place>,
}

impl Source {
    /// A text that is yet to be parsed.
    pub(crate) fn unparsed(name: String, file: Option<String>, text: String, folder: PathBuf) -> Self {
        Self { name, file, text, folder, ..Self::default() }
    }

    /// Reads the values out of the text, as far as it is TOML, and says where it is not.
    ///
    /// What stands twice does not hinder: the first is taken.
    pub(crate) fn parse(mut self) -> (Self, Vec<Problem>) {
        let text = self.text.clone();
        let (document, errors) = DeTable::parse_recoverable(&text);
        let problems = telling(errors, &text).iter().map(|error| self.syntax_problem(error)).collect();
        self.values = self.table(document.get_ref(), "");
        (self, problems)
    }

    fn table(&mut self, table: &DeTable<'_>, at: &str) -> Map<String, Value> {
        let mut object = Map::new();
        for (name, item) in table.iter() {
            let pointer = format!("{at}/{}", escape(name.get_ref()));
            let place = Place { key: Some(name.span()), value: Some(item.span()) };
            self.places.insert(pointer.clone(), place);
            object.insert(name.get_ref().to_string(), self.value(item, &pointer));
        }
        object
    }

    fn value(&mut self, value: &Spanned<DeValue<'_>>, at: &str) -> Value {
        match value.get_ref() {
            DeValue::String(text) => Value::String(text.to_string()),
            DeValue::Integer(digits) => match i64::from_str_radix(digits.as_str(), digits.radix()) {
                Ok(number) => Value::from(number),
                Err(_) => number(digits.as_str()),
            },
            DeValue::Float(digits) => number(digits.as_str()),
            DeValue::Boolean(flag) => Value::Bool(*flag),
            DeValue::Datetime(_) => Value::Null,
            DeValue::Array(items) => {
                let item = |(index, item): (usize, &Spanned<DeValue<'_>>)| {
                    let pointer = format!("{at}/{index}");
                    self.places.insert(pointer.clone(), Place { key: None, value: Some(item.span()) });
                    self.value(item, &pointer)
                };
                Value::Array(items.iter().enumerate().map(item).collect())
            }
            DeValue::Table(table) => Value::Object(self.table(table, at)),
        }
    }

    fn syntax_problem(&self, error: &toml::de::Error) -> Problem {
        let span = error.span();
        if error.message() == "duplicate key" {
            let key = span.clone().and_then(|span| self.text.get(span)).unwrap_or_default();
            return Problem::new(Code::DuplicateKey, format!("`{key}` is given twice"))
                .at(self, span)
                .label("given before")
                .help("a name stands once in a table, and a table once in a file: keep one of the two");
        }
        let help = match (never_closed(error), error.message()) {
            (Some(bracket), _) => format!("is a list or table before this place closed with `{bracket}`?"),
            (_, message) if message.starts_with("cannot extend") => {
                "this name has a value already".to_owned()
            }
            (_, message) if message.starts_with("unclosed") => {
                "a section starts with its name in brackets: [name]".to_owned()
            }
            (_, message) if message.contains("key") => "write one option a line: name = value".to_owned(),
            (_, message) if message.contains("string") => {
                "write text between two quotation marks, and one option a line".to_owned()
            }
            _ => "<https://toml.io> describes the notation".to_owned(),
        };
        // The parser goes on to name a kind of quotation mark.
        let message = error.message().trim_end_matches(", expected literal string");
        Problem::new(Code::Syntax, format!("this is not TOML: {message}")).at(self, span).help(help)
    }
}

/// The bracket that is missing, where the parser is lost in a list or an inline table.
fn never_closed(error: &toml::de::Error) -> Option<char> {
    let message = error.message();
    match message {
        _ if message.starts_with("cannot extend") || message.contains("array table") => None,
        _ if message.contains("array") => Some(']'),
        _ if message.contains("inline table") => Some('}'),
        _ => None,
    }
}

/// Of the errors found after recovering from one, those that are mistakes of their own: one a line, and none after a
/// bracket that is never closed.
fn telling(mut errors: Vec<toml::de::Error>, text: &str) -> Vec<toml::de::Error> {
    let line = |error: &toml::de::Error| {
        let start = error.span().map_or(0, |span| span.start);
        text.get(..start).map_or(0, |before| before.matches('\n').count())
    };
    errors.sort_by_key(|error| error.span().map(|span| span.start));
    errors.dedup_by_key(|error| line(error));
    let lost = errors.iter().position(|error| never_closed(error).is_some());
    errors.truncate(lost.map_or(errors.len(), |first| first + 1));
    errors
}

/// `1e6` is a float in TOML; where a whole number is asked for, it is one.
fn number(digits: &str) -> Value {
    let number: f64 = digits.parse().unwrap_or(f64::NAN);
    if number.fract() == 0.0 && number.abs() < i64::MAX as f64 {
        Value::from(number as i64)
    } else {
        Number::from_f64(number).map_or(Value::Null, Value::Number)
    }
}

/// A JSON pointer as people write it: `/pairs/filters/0/kind` is `pairs.filters[0].kind`, and a name that is no bare
/// key of TOML stands in quotes.
pub fn dotted(pointer: &str) -> String {
    let mut dotted = String::new();
    for part in pointer.split('/').skip(1) {
        if !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()) {
            dotted.push_str(&format!("[{part}]"));
        } else {
            if !dotted.is_empty() {
                dotted.push('.');
            }
            let key = part.replace("~1", "/").replace("~0", "~");
            let is_bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
            dotted.push_str(&if key.chars().all(is_bare) { key } else { format!("\"{key}\"") });
        }
    }
    dotted
}

/// A key as a JSON pointer writes it.
pub(crate) fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Source {
        let (source, problems) =
            Source::unparsed("r.toml".into(), None, text.to_owned(), PathBuf::new()).parse();
        assert!(problems.is_empty(), "{problems:?}");
        source
    }

    #[test]
    fn values_keep_their_places() {
        let source = parse("[model]\nhidden_size = 64\n[[evaluators]]\nkind = \"x\"\n");
        assert_eq!(source.values["model"]["hidden_size"], 64);
        let place = &source.places["/evaluators/0/kind"];
        assert_eq!(&source.text[place.value.clone().unwrap()], "\"x\"");
        assert_eq!(dotted("/evaluators/0/kind"), "evaluators[0].kind");
    }

    #[test]
    fn whole_floats_are_whole_numbers() {
        let source = parse("a = 1e6\nb = 0.5\nc = 1_000\nd = 0x10\ne = 1e300\nf = -inf\ng = 2026-01-01");
        assert_eq!(source.values["a"], 1_000_000);
        assert_eq!(source.values["b"], 0.5);
        assert_eq!(source.values["c"], 1_000);
        assert_eq!(source.values["d"], 16);
        assert_eq!(source.values["e"], 1e300);
        assert_eq!(source.values["f"], Value::Null);
        assert_eq!(source.values["g"], Value::Null);
    }
}
