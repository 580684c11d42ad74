//! The expressions and templates of a definition: Jinja, with the methods of Python's strings and lists that tasks of
//! lm-evaluation-harness call.

use std::collections::BTreeMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Value;
use minijinja::{Environment, Error, ErrorKind, State, UndefinedBehavior};
use minijinja_contrib::pycompat;
use regex::Regex;
use sbp_plugin::prelude::{Deserialize, Serialize};
use serde::Serializer;

static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::new();
    // As the harness sets Jinja up: a name that a row lacks is an error, and a prompt keeps its last line end.
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    let syntax = SyntaxConfig::builder().keep_trailing_newline(true).build();
    environment.set_syntax(syntax.expect("the default delimiters are fine"));
    environment.set_unknown_method_callback(method);
    environment.add_filter("regex_replace", regex_replace);
    environment.add_filter("find_all", find_all);
    environment.add_filter("prefix_free", prefix_free);
    environment
});

/// What gives a value from the names of a row, such as `choices.text`.
#[derive(Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Expression {
    text: String,
    compiled: minijinja::Expression<'static, 'static>,
}

/// A text with places for values, such as `Question: {{question}}`.
#[derive(Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Template {
    text: String,
    /// Holds the compiled template, which has no owner of its own.
    environment: Environment<'static>,
}

/// The name of the one template of an environment; it has no ending, so that nothing is escaped.
const TEMPLATE: &str = "template";

impl TryFrom<String> for Expression {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let compiled = ENVIRONMENT.compile_expression_owned(text.clone()).map_err(|error| explain(&error))?;
        Ok(Self { text, compiled })
    }
}

impl TryFrom<String> for Template {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let mut environment = ENVIRONMENT.clone();
        environment.add_template_owned(TEMPLATE, text.clone()).map_err(|error| explain(&error))?;
        Ok(Self { text, environment })
    }
}

impl Serialize for Expression {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.text.serialize(serializer)
    }
}

impl Serialize for Template {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.text.serialize(serializer)
    }
}

impl Expression {
    /// Its value, or what is wrong.
    pub(super) fn value(&self, names: &Value) -> Result<Value, String> {
        let value = self.compiled.eval(names.clone()).map_err(|error| explain(&error))?;
        if value.is_undefined() {
            return Err(format!("`{}` is not defined", self.text));
        }
        Ok(value)
    }

    /// Its value as a text, or what is wrong.
    pub(super) fn text(&self, names: &Value) -> Result<String, String> {
        text_of(&self.value(names)?)
    }

    /// Its value as a list of texts, or what is wrong.
    pub(super) fn texts(&self, names: &Value) -> Result<Vec<String>, String> {
        items_of(&self.value(names)?)?.iter().map(text_of).collect()
    }
}

impl Template {
    /// The text, or what is wrong.
    pub(super) fn text(&self, names: &Value) -> Result<String, String> {
        let template = self.environment.get_template(TEMPLATE).map_err(|error| explain(&error))?;
        template.render(names.clone()).map_err(|error| explain(&error))
    }
}

/// A value that is a text, or a number as text.
pub(super) fn text_of(value: &Value) -> Result<String, String> {
    match value.as_str() {
        Some(text) => Ok(text.to_owned()),
        None if value.is_number() => Ok(value.to_string()),
        None => Err(format!("{value} is a {}, where a text is needed", value.kind())),
    }
}

/// The members of a list.
pub(super) fn items_of(value: &Value) -> Result<Vec<Value>, String> {
    if value.as_str().is_some() || value.is_none() {
        return Err(format!("{value} is a {}, where a list is needed", value.kind()));
    }
    let members = value.try_iter().map_err(|error| explain(&error))?;
    members.checked().collect::<Result<_, _>>().map_err(|error| explain(&error))
}

fn explain(error: &Error) -> String {
    match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    }
}

/// Python's `index`, and what others have carried over already.
fn method(state: &mut State<'_, '_>, value: &Value, name: &str, arguments: &[Value]) -> Result<Value, Error> {
    let ("index", [wanted]) = (name, arguments) else {
        return pycompat::unknown_method_callback(state, value, name, arguments);
    };
    let place = match (value.as_str(), wanted.as_str()) {
        (Some(text), Some(part)) => text.find(part).map(|byte| text[..byte].chars().count()),
        (Some(_), None) => None,
        (None, _) => value.try_iter()?.position(|member| member == *wanted),
    };
    let missing = || Error::new(ErrorKind::InvalidOperation, format!("{wanted} is not in {value}"));
    place.map(Value::from).ok_or_else(missing)
}

/// A text with every match of a pattern replaced; `$1` stands for what the first group matched.
fn regex_replace(text: String, pattern: String, replacement: String) -> Result<String, Error> {
    Ok(regex(&pattern)?.replace_all(&text, replacement).into_owned())
}

/// Every match of a pattern; where it has groups, what the first of them that takes part matched.
fn find_all(text: String, pattern: String) -> Result<Vec<String>, Error> {
    let found = |captures: regex::Captures<'_>| {
        let part = captures.iter().skip(1).flatten().next().or_else(|| captures.get(0));
        part.map_or_else(String::new, |part| part.as_str().to_owned())
    };
    Ok(regex(&pattern)?.captures_iter(&text).map(found).collect())
}

/// The texts in order, without those that begin with another of them.
fn prefix_free(mut texts: Vec<String>) -> Vec<String> {
    texts.sort();
    let mut kept: Vec<String> = Vec::new();
    for text in texts {
        if kept.last().is_none_or(|last| !text.starts_with(last)) {
            kept.push(text);
        }
    }
    kept
}

/// A pattern, compiled once and not for every row.
fn regex(pattern: &str) -> Result<Regex, Error> {
    static COMPILED: Mutex<BTreeMap<String, Regex>> = Mutex::new(BTreeMap::new());
    let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(regex) = compiled.get(pattern) {
        return Ok(regex.clone());
    }
    let regex =
        Regex::new(pattern).map_err(|error| Error::new(ErrorKind::InvalidOperation, error.to_string()))?;
    compiled.insert(pattern.to_owned(), regex.clone());
    Ok(regex)
}

#[cfg(test)]
mod tests {
    use minijinja::value::Serde;
    use serde_json::json;

    use super::*;

    fn value(text: &str, names: serde_json::Value) -> Result<serde_json::Value, String> {
        let expression = Expression::try_from(text.to_owned())?;
        let value = expression.value(&Value::from(Serde(names)))?;
        Ok(serde_json::to_value(value).expect("JSON"))
    }

    #[test]
    fn the_python_of_published_tasks_is_understood() {
        let names = json!({"s": " a b c", "l": ["x", "y"], "answer": "y", "o": {"k": [1, 2]}});
        for (text, expected) in [
            ("l.index(answer)", json!(1)),
            ("'äöü'.index('ü')", json!(2)),
            ("s.split(' ')[:-1] | join(' ')", json!(" a b")),
            ("' ' + s.split(' ')[-1]", json!(" c")),
            ("s.strip().capitalize()", json!("A b c")),
            ("s.lstrip()", json!("a b c")),
            ("o.k[0] if o is mapping else o", json!(1)),
            ("[s, l[0]]", json!([" a b c", "x"])),
            ("range(l | length) | list", json!([0, 1])),
            ("missing if missing is defined else 3", json!(3)),
            ("s | regex_replace('[ac] ?', '-')", json!(" -b -")),
            ("'(d x) (d \"y z\")' | find_all('\\(d (?:\"([^\"]*)\"|([^()]*))\\)')", json!(["x", "y z"])),
            ("['b', 'New York', 'New', 'a'] | prefix_free", json!(["New", "a", "b"])),
        ] {
            assert_eq!(value(text, names.clone()), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let error = |text: &str| value(text, json!({"a": {"b": 1}, "l": ["x"]})).expect_err("an error");
        assert!(error("a.b ==").starts_with("syntax error: "), "{}", error("a.b =="));
        assert!(error("c").contains("`c` is not defined"), "{}", error("c"));
        assert!(error("c.d").contains("undefined"), "{}", error("c.d"));
        assert!(error("l.index('y')").contains("y is not in"), "{}", error("l.index('y')"));
        assert!(error("'a' | regex_replace('(', '')").contains("unclosed group"));
        assert_eq!(text_of(&Value::from(3)), Ok("3".to_owned()));
        assert!(text_of(&Value::from(vec![3])).is_err());
        assert!(items_of(&Value::from("text")).is_err());
    }

    #[test]
    fn templates_keep_line_ends_and_escape_nothing() {
        let template = Template::try_from("<{{ a }}>\n{{b}}\n\n".to_owned()).expect("a template");
        let names = Value::from(Serde(json!({"a": "x & y", "b": 2})));
        assert_eq!(template.text(&names), Ok("<x & y>\n2\n\n".to_owned()));
        assert!(template.text(&Value::from(Serde(json!({"a": 1})))).is_err());
        assert!(Template::try_from("{{ a".to_owned()).is_err());
    }
}
