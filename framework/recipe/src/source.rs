//! One layer of a recipe: its text, its values, and where in the text each of them stands.

use std::collections::HashMap;
use std::ops::Range;
use std::path::PathBuf;

use serde_json::{Map, Number, Value};
use toml_edit::{Item, TableLike, Value as TomlValue};

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
    /// How messages call it: a file name, `--set`, `profile "gpu" of quickstart.toml`.
    pub(crate) name: String,
    pub(crate) text: String,
    /// Relative paths are taken from here.
    pub(crate) folder: PathBuf,
    pub(crate) values: Map<String, Value>,
    /// By JSON pointer.
    pub(crate) places: HashMap<String, Place>,
}

impl Source {
    pub(crate) fn parse(name: String, text: String, folder: PathBuf) -> Result<Self, Problem> {
        let document = toml_edit::Document::parse(text.clone()).map_err(|error| {
            Problem::new("sbp::recipe::syntax", format!("{name} is not TOML: {}", error.message()))
                .at(&name, &text, error.span())
                .help("see https://toml.io for the notation; strings need quotes, tables start with [name]")
        })?;
        let mut source = Self { name, text, folder, values: Map::new(), places: HashMap::new() };
        let mut values = Map::new();
        source.table(document.as_table(), "", &mut values)?;
        source.values = values;
        Ok(source)
    }

    /// Whether the layer is a `--set` of the command line.
    pub(crate) fn is_set(&self) -> bool {
        self.name.starts_with("--set")
    }

    fn table(
        &mut self,
        table: &dyn TableLike,
        at: &str,
        into: &mut Map<String, Value>,
    ) -> Result<(), Problem> {
        for (name, item) in table.iter() {
            let pointer = format!("{at}/{}", escape(name));
            let key = table.key(name).and_then(toml_edit::Key::span);
            self.places.insert(pointer.clone(), Place { key, value: item.span() });
            let value = self.item(item, &pointer)?;
            into.insert(name.to_owned(), value);
        }
        Ok(())
    }

    fn item(&mut self, item: &Item, at: &str) -> Result<Value, Problem> {
        match item {
            Item::None => Ok(Value::Null),
            Item::Value(value) => self.value(value, at),
            Item::Table(table) => {
                let mut object = Map::new();
                self.table(table, at, &mut object)?;
                Ok(Value::Object(object))
            }
            Item::ArrayOfTables(tables) => {
                let mut array = Vec::new();
                for (index, table) in tables.iter().enumerate() {
                    let pointer = format!("{at}/{index}");
                    self.places.insert(pointer.clone(), Place { key: None, value: table.span() });
                    let mut object = Map::new();
                    self.table(table, &pointer, &mut object)?;
                    array.push(Value::Object(object));
                }
                Ok(Value::Array(array))
            }
        }
    }

    fn value(&mut self, value: &TomlValue, at: &str) -> Result<Value, Problem> {
        Ok(match value {
            TomlValue::String(text) => Value::String(text.value().clone()),
            TomlValue::Integer(number) => Value::from(*number.value()),
            TomlValue::Boolean(flag) => Value::Bool(*flag.value()),
            TomlValue::Float(number) => {
                let number = *number.value();
                // `1e6` is a float in TOML; where a whole number is asked for, it is one.
                if number.fract() == 0.0 && number.abs() < 9e15 {
                    Value::from(number as i64)
                } else if let Some(number) = Number::from_f64(number) {
                    Value::Number(number)
                } else {
                    return Err(self
                        .problem_at(at, format!("{number} cannot be used here"))
                        .help("write a finite number"));
                }
            }
            TomlValue::Datetime(_) => {
                return Err(self
                    .problem_at(at, "no option takes a date".to_owned())
                    .help("quote it if text is meant"));
            }
            TomlValue::Array(items) => {
                let mut array = Vec::new();
                for (index, item) in items.iter().enumerate() {
                    let pointer = format!("{at}/{index}");
                    self.places.insert(pointer.clone(), Place { key: None, value: item.span() });
                    array.push(self.value(item, &pointer)?);
                }
                Value::Array(array)
            }
            TomlValue::InlineTable(table) => {
                let mut object = Map::new();
                self.table(table, at, &mut object)?;
                Value::Object(object)
            }
        })
    }

    fn problem_at(&self, pointer: &str, message: String) -> Problem {
        let span = self.places.get(pointer).and_then(|place| place.value.clone());
        Problem::new("sbp::recipe::wrong_type", format!("{}: {message}", dotted(pointer)))
            .at(&self.name, &self.text, span)
    }
}

/// A JSON pointer as people write it: `/pairs/filters/0/kind` is `pairs.filters[0].kind`.
pub fn dotted(pointer: &str) -> String {
    let mut dotted = String::new();
    for part in pointer.split('/').skip(1) {
        if !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()) {
            dotted.push_str(&format!("[{part}]"));
        } else {
            if !dotted.is_empty() {
                dotted.push('.');
            }
            dotted.push_str(&part.replace("~1", "/").replace("~0", "~"));
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

    #[test]
    fn values_keep_their_places() {
        let text = "[model]\nhidden_size = 64\n[[evaluators]]\nkind = \"x\"\n".to_owned();
        let source = Source::parse("r.toml".into(), text.clone(), PathBuf::new()).unwrap();
        assert_eq!(source.values["model"]["hidden_size"], 64);
        let place = &source.places["/evaluators/0/kind"];
        assert_eq!(&text[place.value.clone().unwrap()], "\"x\"");
        assert_eq!(dotted("/evaluators/0/kind"), "evaluators[0].kind");
    }

    #[test]
    fn whole_floats_are_whole_numbers() {
        let source = Source::parse("r".into(), "a = 1e6\nb = 0.5".into(), PathBuf::new()).unwrap();
        assert_eq!(source.values["a"], 1_000_000);
        assert_eq!(source.values["b"], 0.5);
    }
}
