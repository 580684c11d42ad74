//! Where two values differ, leaf by leaf.

use serde_json::{Map, Value};

/// A leaf that is not the same in both.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Difference {
    /// Its place, a JSON pointer.
    pub(crate) at: String,
    pub(crate) before: Value,
    pub(crate) after: Value,
}

/// The leaves in which two values differ, in order of their place. Lists of different lengths are leaves.
pub(crate) fn differences(before: &Value, after: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    compare(before, after, "", &mut found);
    found
}

fn compare(before: &Value, after: &Value, at: &str, found: &mut Vec<Difference>) {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            let mut keys: Vec<&String> = before.keys().chain(after.keys()).collect();
            keys.sort();
            keys.dedup();
            for key in keys {
                let of = |object: &Map<String, Value>| object.get(key).cloned().unwrap_or_default();
                compare(&of(before), &of(after), &format!("{at}/{key}"), found);
            }
        }
        (Value::Array(before), Value::Array(after)) if before.len() == after.len() => {
            for (index, (before, after)) in before.iter().zip(after).enumerate() {
                compare(before, after, &format!("{at}/{index}"), found);
            }
        }
        _ if before == after => {}
        (before, after) => {
            found.push(Difference { at: at.to_owned(), before: before.clone(), after: after.clone() });
        }
    }
}

/// A value in a line.
pub(crate) fn said(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_leaf_is_named_once() {
        let before = json!({"a": {"x": 1, "y": [1, 2]}, "b": [1], "same": "s"});
        let after = json!({"a": {"x": 2, "y": [1, 3]}, "b": [1, 2], "same": "s", "new": true});
        let found = differences(&before, &after);
        let places: Vec<&str> = found.iter().map(|difference| difference.at.as_str()).collect();
        assert_eq!(places, ["/a/x", "/a/y/1", "/b", "/new"]);
        assert_eq!(
            (said(&found[3].before), said(&found[3].after)),
            ("nothing".to_owned(), "true".to_owned())
        );
        assert_eq!(differences(&before, &before), []);
    }
}
