//! Scores and items in the layout of lm-evaluation-harness, so that what reads its files reads ours.
//!
//! `results.json` has its keys, and `samples_<task>.jsonl` a line for each item. The names of these files carry no date and
//! nothing in them depends on the clock: the same scores give the same files.

use std::collections::BTreeMap;
use std::path::Path;

use sbp_plugin::ports::Precision;
use sbp_plugin::slots::evaluator::{Item, Score};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::stages::evaluate::Evaluation;
use crate::{Result, files};

/// The harness names what its filters make of an answer; ours are left as they are.
const FILTER: &str = "none";

/// What was evaluated, under the harness's key `config`. `model` is the path of its folder.
pub(crate) fn config(model: &str, precision: Precision, evaluation: &Evaluation) -> Value {
    let dtype = match precision {
        Precision::Fp32 => "float32",
        Precision::Bf16 => "bfloat16",
    };
    // Each task has a limit of its own; the harness knows one for all.
    let limits = evaluation.tasks.iter().filter(|task| task.num_asked < task.num_items);
    json!({
        "model": "sbp",
        "model_args": format!("pretrained={model},dtype={dtype}"),
        "limit": limits.map(|task| task.num_asked).max(),
    })
}

/// `results.json`.
pub(crate) fn results(evaluation: &Evaluation, config: &Value) -> Value {
    let mut results = json!({
        "results": {}, "group_subtasks": {}, "configs": {}, "versions": {}, "n-shot": {}, "higher_is_better": {},
        "n-samples": {}, "config": config, "task_hashes": {},
    });
    for score in &evaluation.scores {
        let (task, metric) = parts(&score.metric);
        let of_task = &mut results["results"][task];
        of_task["alias"] = json!(task);
        of_task[format!("{metric},{FILTER}")] = json!(score.value());
        of_task[format!("{metric}_stderr,{FILTER}")] = match stderr(score) {
            Some(stderr) => json!(stderr),
            None => json!("N/A"),
        };
        results["group_subtasks"][task] = json!([]);
        results["higher_is_better"][task][metric] = json!(score.higher_is_better);
        let units = score.units.len();
        results["n-samples"][task] = json!({"original": units, "effective": units});
    }
    for card in &evaluation.tasks {
        let task = card.task.as_str();
        results["configs"][task] = card.config.clone();
        results["versions"][task] = json!(card.version);
        results["n-shot"][task] = json!(card.num_fewshot);
        results["n-samples"][task] = json!({"original": card.num_items, "effective": card.num_asked});
    }
    for (task, samples) in samples(evaluation) {
        let hashes = samples.iter().flat_map(|sample| {
            ["doc_hash", "prompt_hash", "target_hash"].map(|name| sample[name].as_str().unwrap_or_default())
        });
        results["task_hashes"][task] = json!(hash(&hashes.collect::<String>()));
    }
    results
}

/// Writes `results.json` and the samples into a folder.
pub(crate) fn write(folder: &Path, evaluation: &Evaluation, config: &Value) -> Result<()> {
    files::write_json(&folder.join("results.json"), &results(evaluation, config))?;
    for (task, samples) in samples(evaluation) {
        let name: String = task.chars().map(|c| if c.is_alphanumeric() { c } else { '_' }).collect();
        files::write_lines(&folder.join(format!("samples_{name}.jsonl")), samples)?;
    }
    Ok(())
}

/// Task or set, and what is measured of it: `arc_easy` and `acc` of `eval/arc_easy/acc`.
pub(super) fn parts(metric: &str) -> (&str, &str) {
    let name = metric.split_once('/').map_or(metric, |(_, name)| name);
    name.rsplit_once('/').unwrap_or((name, name))
}

/// The standard error, where there is one.
pub(super) fn stderr(score: &Score) -> Option<f64> {
    Some(score.stderr()).filter(|stderr| stderr.is_finite())
}

/// The sample log of each task, in the order in which its items were asked.
fn samples(evaluation: &Evaluation) -> BTreeMap<&str, Vec<Value>> {
    let mut samples: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for item in &evaluation.items {
        samples.entry(&item.task).or_default().push(sample(item));
    }
    samples
}

fn sample(item: &Item) -> Value {
    let target = written(&item.target);
    let prompt = item.arguments.first().map_or("", |(context, _)| context);
    let mut arguments = json!({});
    for (index, (context, continuation)) in item.arguments.iter().enumerate() {
        let request = &mut arguments[format!("gen_args_{index}")];
        request["arg_0"] = json!(context);
        if !continuation.is_empty() {
            request["arg_1"] = json!(continuation);
        }
    }
    let responses: Vec<Value> = item.responses.iter().map(each_written).collect();
    // The harness hashes the text that Python makes of a row: indented by two, as it is here.
    let row = format!("{:#}", item.row);
    let mut sample = json!({
        "doc_id": item.index,
        "doc": item.row,
        "target": target,
        "arguments": arguments,
        // A list for each request, since the harness may put one several times.
        "resps": responses.iter().map(|response| json!([response])).collect::<Vec<_>>(),
        "filtered_resps": responses,
        "filter": FILTER,
        "metrics": item.metrics.keys().collect::<Vec<_>>(),
        "doc_hash": hash(&row),
        "prompt_hash": hash(prompt),
        "target_hash": hash(&target),
    });
    for (metric, value) in &item.metrics {
        sample[metric] = json!(value);
    }
    sample
}

/// A list with every value in it written out: the harness has texts there, so that all rows are of one type.
fn each_written(value: &Value) -> Value {
    match value {
        Value::Array(values) => values.iter().map(each_written).collect(),
        value => json!(written(value)),
    }
}

/// A value as Python writes it.
fn written(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Null => "None".to_owned(),
        other => other.to_string(),
    }
}

fn hash(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_fall_into_task_and_measure() {
        assert_eq!(parts("eval/arc_easy/acc_norm"), ("arc_easy", "acc_norm"));
        assert_eq!(parts("val/heldout/bpb"), ("heldout", "bpb"));
    }

    #[test]
    fn an_item_is_a_line_of_the_harness() {
        let item = Item {
            task: "t".to_owned(),
            index: 7,
            row: json!({"question": "Wo?"}),
            arguments: vec![("Q: Wo?".to_owned(), " hier".to_owned()), ("Q: Wo?".to_owned(), String::new())],
            responses: vec![json!([-1.5, true]), json!("dort")],
            target: json!(1),
            metrics: BTreeMap::from([("acc".to_owned(), 1.0)]),
        };
        let sample = sample(&item);
        assert_eq!(
            sample["arguments"],
            json!({"gen_args_0": {"arg_0": "Q: Wo?", "arg_1": " hier"}, "gen_args_1": {"arg_0": "Q: Wo?"}})
        );
        assert_eq!(sample["resps"], json!([[["-1.5", "True"]], ["dort"]]));
        assert_eq!(sample["filtered_resps"], json!([["-1.5", "True"], "dort"]));
        assert_eq!((&sample["target"], &sample["acc"]), (&json!("1"), &json!(1.0)));
        // `echo -n 1 | sha256sum`.
        assert_eq!(sample["target_hash"], "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b");
    }
}
