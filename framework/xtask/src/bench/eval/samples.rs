//! What one side said about every item, as lm-evaluation-harness writes it down: `samples_TASK.jsonl`, `results.json`.

use crate::Result;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Metrics that are compared.
pub(super) const METRICS: [&str; 3] = ["acc", "acc_norm", "exact_match"];

/// Everything that one side wrote.
#[derive(Default)]
pub(super) struct Side {
    /// By task and number of the item.
    pub(super) items: BTreeMap<(String, u64), Item>,
    /// Metrics of the whole case.
    pub(super) scores: BTreeMap<String, f64>,
}

/// One item as it was asked and answered.
#[derive(Debug, PartialEq)]
pub(super) struct Item {
    /// What the model was given, each with the continuation whose probability was asked, if one was.
    pub(super) requests: Vec<(String, Option<String>)>,
    /// What it said to each.
    pub(super) answers: Vec<Answer>,
    /// Metrics of this item.
    pub(super) metrics: BTreeMap<String, f64>,
}

/// What a model says to one request.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Answer {
    /// How likely a continuation is, and whether greedy decoding would have said it.
    LogLikelihood { nats: f64, is_greedy: bool },
    /// What it generated.
    Text(String),
}

/// Reads what one side left in a folder about a case.
pub(super) fn read(folder: &Path, case: &str) -> Result<Side> {
    let cannot = |path: &Path, why: &dyn std::fmt::Display| format!("cannot read {}: {why}", path.display());
    let mut side = Side::default();
    for entry in fs::read_dir(folder).map_err(|e| cannot(folder, &e))?.flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(task) = name.strip_prefix("samples_").and_then(|it| it.strip_suffix(".jsonl")) else {
            continue;
        };
        let text = fs::read_to_string(&path).map_err(|e| cannot(&path, &e))?;
        for (number, line) in text.lines().enumerate() {
            let (doc_id, item) = serde_json::from_str::<Value>(line)
                .map_err(|e| e.to_string())
                .and_then(|sample| item(&sample))
                .map_err(|why| cannot(&path, &format!("line {}: {why}", number + 1)))?;
            side.items.insert((task.to_owned(), doc_id), item);
        }
    }
    if side.items.is_empty() {
        return Err(cannot(folder, &"it has no samples_TASK.jsonl, or only empty ones"));
    }
    let path = folder.join("results.json");
    let text = fs::read_to_string(&path).map_err(|e| cannot(&path, &e))?;
    let found: Value = serde_json::from_str(&text).map_err(|e| cannot(&path, &e))?;
    // A metric is called `NAME,FILTER` there.
    for (key, value) in found["results"][case].as_object().into_iter().flatten() {
        let name = key.split(',').next().unwrap_or(key);
        if let Some(value) = value.as_f64().filter(|_| METRICS.contains(&name)) {
            side.scores.insert(name.to_owned(), value);
        }
    }
    Ok(side)
}

/// An item and its number, out of one line.
fn item(sample: &Value) -> std::result::Result<(u64, Item), String> {
    let doc_id = sample["doc_id"].as_u64().ok_or("there is no doc_id")?;
    let requests: Option<Vec<_>> = members(&sample["arguments"]).map(request).collect();
    let answers: Option<Vec<_>> = members(&sample["resps"]).map(answer).collect();
    let requests = requests.ok_or("there are no arguments that are understood")?;
    let answers = answers.ok_or("there are no resps that are understood")?;
    if requests.is_empty() || requests.len() != answers.len() {
        return Err(format!("{} arguments and {} resps", requests.len(), answers.len()));
    }
    let metrics = METRICS.into_iter().filter_map(|name| Some((name.to_owned(), number(&sample[name])?)));
    Ok((doc_id, Item { requests, answers, metrics: metrics.collect() }))
}

/// The values of a list, or of an object whose keys number them, as the harness makes of lists on their way to disk
/// (`gen_args_0`, `arg_1`).
fn members(value: &Value) -> impl Iterator<Item = &Value> {
    let mut keyed: Vec<(usize, &Value)> = value.as_object().map_or_else(Vec::new, |object| {
        let place = |key: &str| key.rsplit('_').next().and_then(|digits| digits.parse().ok());
        object.iter().map(|(key, value)| (place(key).unwrap_or(usize::MAX), value)).collect()
    });
    keyed.sort_by_key(|(place, _)| *place);
    value.as_array().into_iter().flatten().chain(keyed.into_iter().map(|(_, value)| value))
}

/// The second part is a continuation, or says how to generate, which is not compared.
fn request(value: &Value) -> Option<(String, Option<String>)> {
    let mut parts = members(value);
    let prompt = parts.next()?.as_str()?.to_owned();
    let continuation = parts.next().and_then(Value::as_str).filter(|text| !text.is_empty());
    Some((prompt, continuation.map(str::to_owned)))
}

/// `[nats, is_greedy]` or a text, in as many lists of one as there are around it; numbers and truths may be texts.
fn answer(value: &Value) -> Option<Answer> {
    match value {
        Value::String(text) => Some(Answer::Text(text.clone())),
        Value::Array(parts) => match parts.as_slice() {
            [one] => answer(one),
            [nats, is_greedy] => {
                Some(Answer::LogLikelihood { nats: number(nats)?, is_greedy: truth(is_greedy)? })
            }
            _ => None,
        },
        _ => None,
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::String(text) => text.parse().ok(),
        Value::Bool(truth) => Some(f64::from(u8::from(*truth))),
        _ => value.as_f64(),
    }
}

fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::String(text) => text.to_ascii_lowercase().parse().ok(),
        _ => value.as_bool(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_one(line: &str) -> Item {
        item(&serde_json::from_str(line).unwrap()).unwrap().1
    }

    #[test]
    fn lists_and_what_the_harness_makes_of_them_on_disk_read_the_same() {
        let lists = read_one(
            r#"{"doc_id": 3, "arguments": [["Q", " a"], ["Q", " b"]], "resps": [[[-1.5, false]], [[-0.5, true]]], "acc": 1.0}"#,
        );
        let on_disk = read_one(
            r#"{"doc_id": 3, "arguments": {"gen_args_0": {"arg_0": "Q", "arg_1": " a"}, "gen_args_1": {"arg_0": "Q", "arg_1": " b"}},
                "resps": [[["-1.5", "False"]], [["-0.5", "True"]]], "acc": 1.0}"#,
        );
        let flat = read_one(
            r#"{"doc_id": 3, "arguments": [["Q", " a"], ["Q", " b"]], "resps": [[-1.5, false], [-0.5, true]], "acc": true}"#,
        );
        assert_eq!(lists, on_disk);
        assert_eq!(lists, flat);
        assert_eq!(lists.requests[1], ("Q".to_owned(), Some(" b".to_owned())));
        assert_eq!(lists.answers[1], Answer::LogLikelihood { nats: -0.5, is_greedy: true });
        assert_eq!(lists.metrics, BTreeMap::from([("acc".to_owned(), 1.0)]));
    }

    #[test]
    fn ten_requests_keep_their_order() {
        let arguments: Vec<String> = (0..11)
            .rev()
            .map(|it| format!(r#""gen_args_{it}": {{"arg_0": "{it}", "arg_1": "x"}}"#))
            .collect();
        let text = format!("{{{}}}", arguments.join(", "));
        let value: Value = serde_json::from_str(&text).unwrap();
        let prompts: Vec<String> = members(&value).map(|it| request(it).unwrap().0).collect();
        assert_eq!(prompts, (0..11).map(|it| it.to_string()).collect::<Vec<_>>());
    }

    #[test]
    fn what_was_generated_is_a_text_and_its_settings_are_no_continuation() {
        let harness = read_one(
            r#"{"doc_id": 0, "arguments": [["Q", {"until": ["\n"]}]], "resps": [["Paris"]], "exact_match": 0.0}"#,
        );
        let ours =
            read_one(r#"{"doc_id": 0, "arguments": [["Q", ""]], "resps": ["Paris"], "exact_match": 0}"#);
        assert_eq!(harness, ours);
        assert_eq!(harness.answers, [Answer::Text("Paris".to_owned())]);
    }

    #[test]
    fn what_is_missing_is_named() {
        let refuse = |line: &str| item(&serde_json::from_str(line).unwrap()).unwrap_err();
        assert!(refuse("{}").contains("doc_id"));
        assert!(refuse(r#"{"doc_id": 0, "arguments": [["Q", " a"]], "resps": []}"#).contains("0 resps"));
        assert!(refuse(r#"{"doc_id": 0, "arguments": [["Q", " a"]], "resps": [3]}"#).contains("resps"));
    }

    #[test]
    fn a_folder_is_read_whole() {
        let dir = tempfile::tempdir().unwrap();
        assert!(read(dir.path(), "mmlu").is_err_and(|why| why.contains("no samples")));
        let line = r#"{"doc_id": 0, "arguments": [["Q", " A"]], "resps": [[[-1, false]]], "acc": 1}"#;
        for subject in ["anatomy", "virology"] {
            fs::write(dir.path().join(format!("samples_mmlu_{subject}.jsonl")), line).unwrap();
        }
        fs::write(
            dir.path().join("results.json"),
            r#"{"results": {"mmlu": {"acc,none": 0.5, "acc_stderr,none": 0.1, "alias": "mmlu"}, "mmlu_anatomy": {"acc,none": 1.0}}}"#,
        )
        .unwrap();
        let side = read(dir.path(), "mmlu").unwrap();
        assert_eq!(
            side.items.keys().map(|(task, _)| task.as_str()).collect::<Vec<_>>(),
            ["mmlu_anatomy", "mmlu_virology"]
        );
        assert_eq!(side.scores, BTreeMap::from([("acc".to_owned(), 0.5)]));
    }
}
