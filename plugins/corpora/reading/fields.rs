//! Where text, name and source are in a record of named fields.

use sbp_plugin::prelude::*;
use serde_json::{Map, Value};

/// The field layout of a public corpus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// DCLM-baseline: `text`, named by `metadata.WARC-Record-ID`; the source is the site of `url`.
    DclmBaseline,
    /// FineWeb and FineWeb-Edu: `text`, named by `id`; the source is the site of `url`.
    Fineweb,
    /// OpenWebText2, as lm_dataformat writes it: `text`, without a name; the source is `meta.domain`.
    Openwebtext2,
}

/// The fields that are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fields {
    pub(crate) text: String,
    pub(crate) id: Option<String>,
    pub(crate) source: Option<String>,
    /// Whether the source is the site of an address instead of the field itself.
    site: bool,
}

/// What makes a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    /// Its name; empty where it has none.
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) source: String,
}

impl Fields {
    /// The fields of a layout (without one, `text` and `id`), except those that are named.
    pub(crate) fn of(
        layout: Option<Layout>,
        text: Option<&str>,
        id: Option<&str>,
        source: Option<&str>,
    ) -> Self {
        let (of_id, of_source, site) = match layout {
            None => (Some("id"), None, false),
            Some(Layout::DclmBaseline) => (Some("metadata.WARC-Record-ID"), Some("url"), true),
            Some(Layout::Fineweb) => (Some("id"), Some("url"), true),
            Some(Layout::Openwebtext2) => (None, Some("meta.domain"), false),
        };
        Self {
            text: text.unwrap_or("text").to_owned(),
            id: id.or(of_id).map(str::to_owned),
            source: source.or(of_source).map(str::to_owned),
            site: site && source.is_none(),
        }
    }

    /// The document of a record, or what is wrong with it.
    pub(crate) fn record(&self, object: &Map<String, Value>) -> std::result::Result<Record, String> {
        let name = &self.text;
        let text = match field(object, name) {
            Some(value) => match text_of(value) {
                Some(text) if text.trim().is_empty() => return Err(format!("field `{name}` is empty")),
                Some(text) => text,
                None => return Err(format!("field `{name}` is neither a string nor a list of strings")),
            },
            None => {
                let others = object.keys().map(String::as_str);
                return Err(format!("no field `{name}`; there is {}", one_of_several(others)));
            }
        };
        let id = match self.id.as_ref().and_then(|name| field(object, name)) {
            Some(Value::String(id)) => id.clone(),
            Some(Value::Number(id)) => id.to_string(),
            None | Some(Value::Null) => String::new(),
            Some(_) => {
                let name = self.id.as_deref().unwrap_or_default();
                return Err(format!("field `{name}` is neither a string nor a number"));
            }
        };
        let source = match self.source.as_ref().and_then(|name| field(object, name)) {
            Some(Value::String(address)) if self.site => site(address),
            Some(Value::String(source)) => source.clone(),
            None | Some(Value::Null) => String::new(),
            Some(other) => other.to_string(),
        };
        Ok(Record { name: id, text, source })
    }
}

/// The first few names, as a message lists them.
pub(crate) fn one_of_several<'n>(names: impl Iterator<Item = &'n str>) -> String {
    let names: Vec<&str> = names.take(9).collect();
    if names.is_empty() {
        return "none".to_owned();
    }
    let listed: Vec<String> = names.iter().take(8).map(|name| format!("`{name}`")).collect();
    listed.join(", ") + if names.len() > 8 { ", …" } else { "" }
}

/// A field by its name, or by its path through objects.
fn field<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    object.get(name).or_else(|| {
        let (first, rest) = name.split_once('.')?;
        field(object.get(first)?.as_object()?, rest)
    })
}

/// A text, or paragraphs as one.
fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Array(paragraphs) => {
            let paragraphs: Option<Vec<&str>> = paragraphs.iter().map(Value::as_str).collect();
            Some(paragraphs?.join("\n\n"))
        }
        _ => None,
    }
}

/// The site of an address: `example.org` of `https://www.example.org:80/a?b`.
fn site(address: &str) -> String {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = host.rsplit('@').next().unwrap_or_default();
    let host = host.split_once(':').map_or(host, |(host, _)| host).to_lowercase();
    host.strip_prefix("www.").map(str::to_owned).unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn record(fields: &Fields, value: Value) -> std::result::Result<Record, String> {
        fields.record(value.as_object().expect("an object"))
    }

    #[test]
    fn layouts_name_the_fields_and_options_stand_above_them() {
        let of = |layout| Fields::of(Some(layout), None, None, None);
        let read = |fields: &Fields, value| {
            let record = record(fields, value).expect("a record");
            [record.name, record.text, record.source]
        };
        let dclm = json!({
            "text": "t", "url": "https://www.Example.org:80/a", "metadata": {"WARC-Record-ID": "<urn:uuid:1>"}
        });
        assert_eq!(read(&of(Layout::DclmBaseline), dclm.clone()), ["<urn:uuid:1>", "t", "example.org"]);
        let fineweb = json!({"text": "t", "id": "<urn:uuid:2>", "url": "http://a.b/c", "token_count": 3});
        assert_eq!(read(&of(Layout::Fineweb), fineweb), ["<urn:uuid:2>", "t", "a.b"]);
        let with_meta = json!({"text": ["one", "two"], "meta": {"domain": "a.b", "reddit_scores": [1]}});
        assert_eq!(read(&of(Layout::Openwebtext2), with_meta), ["", "one\n\ntwo", "a.b"]);
        assert_eq!(read(&of(Layout::Openwebtext2), json!({"text": "t"})), ["", "t", ""]);
        let own = Fields::of(Some(Layout::DclmBaseline), None, Some("url"), Some("url"));
        let address = "https://www.Example.org:80/a";
        assert_eq!(read(&own, dclm), [address, "t", address]);
    }

    #[test]
    fn a_record_without_the_text_says_what_it_has() {
        let fields = Fields::of(None, Some("body"), None, None);
        assert_eq!(
            record(&fields, json!({"text": "t", "id": 1})),
            Err("no field `body`; there is `id`, `text`".to_owned())
        );
        assert_eq!(record(&fields, json!({})), Err("no field `body`; there is none".to_owned()));
        let of = |value| record(&fields, value).expect_err("a reason");
        assert_eq!(of(json!({"body": [1]})), "field `body` is neither a string nor a list of strings");
        assert_eq!(of(json!({"body": " "})), "field `body` is empty");
        assert_eq!(of(json!({"body": "b", "id": []})), "field `id` is neither a string nor a number");
    }
}
