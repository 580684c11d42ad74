//! What a `.wandb` file is made of: those messages and fields of `wandb/proto/wandb_internal.proto` that are written here.
//!
//! Field numbers are those of wandb 0.31.0. The format on disk has kept them since 0.18.

use prost::{Message, Oneof};
use serde_json::Value;

#[derive(Clone, PartialEq, Message)]
pub(super) struct Record {
    #[prost(int64, tag = "1")]
    pub(super) num: i64,
    #[prost(oneof = "Kind", tags = "2, 3, 6, 8, 12, 17, 18, 21")]
    pub(super) kind: Option<Kind>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum Kind {
    #[prost(message, tag = "2")]
    History(History),
    #[prost(message, tag = "3")]
    Summary(Items),
    #[prost(message, tag = "6")]
    Files(Files),
    #[prost(message, tag = "8")]
    Artifact(Artifact),
    #[prost(message, tag = "12")]
    Metric(Metric),
    #[prost(message, tag = "17")]
    Run(Run),
    #[prost(message, tag = "18")]
    Exit(Exit),
    #[prost(message, tag = "21")]
    Header(Header),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Header {
    #[prost(message, optional, tag = "1")]
    pub(super) version: Option<Version>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Version {
    #[prost(string, tag = "1")]
    pub(super) producer: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Run {
    #[prost(string, tag = "1")]
    pub(super) run_id: String,
    #[prost(string, tag = "2")]
    pub(super) entity: String,
    #[prost(string, tag = "3")]
    pub(super) project: String,
    #[prost(message, optional, tag = "4")]
    pub(super) config: Option<Items>,
    #[prost(string, tag = "6")]
    pub(super) run_group: String,
    #[prost(string, tag = "7")]
    pub(super) job_type: String,
    #[prost(string, tag = "8")]
    pub(super) display_name: String,
    #[prost(string, tag = "9")]
    pub(super) notes: String,
    #[prost(string, repeated, tag = "10")]
    pub(super) tags: Vec<String>,
    #[prost(int64, tag = "14")]
    pub(super) starting_step: i64,
    #[prost(message, optional, tag = "17")]
    pub(super) start_time: Option<Timestamp>,
    #[prost(bool, tag = "18")]
    pub(super) resumed: bool,
    #[prost(int32, tag = "20")]
    pub(super) runtime: i32,
    /// Whether what is uploaded is added to what W&B has of the run; wandb before 0.31 is told so by `WANDB_RESUME`.
    #[prost(bool, tag = "24")]
    pub(super) resume: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Timestamp {
    #[prost(int64, tag = "1")]
    pub(super) seconds: i64,
    #[prost(int32, tag = "2")]
    pub(super) nanos: i32,
}

/// The updates of a config or a summary.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Items {
    #[prost(message, repeated, tag = "1")]
    pub(super) update: Vec<Item>,
}

/// A value by its name: `key` in a config, a path of one part elsewhere, as wandb itself writes them.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Item {
    #[prost(string, tag = "1")]
    pub(super) key: String,
    #[prost(string, repeated, tag = "2")]
    pub(super) nested_key: Vec<String>,
    #[prost(string, tag = "16")]
    pub(super) value_json: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct History {
    #[prost(message, repeated, tag = "1")]
    pub(super) item: Vec<Item>,
    #[prost(message, optional, tag = "2")]
    pub(super) step: Option<Step>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Step {
    #[prost(int64, tag = "1")]
    pub(super) num: i64,
}

/// What `define_metric` leaves.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Metric {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "4")]
    pub(super) step_metric: String,
    #[prost(message, optional, tag = "6")]
    pub(super) options: Option<MetricOptions>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct MetricOptions {
    #[prost(bool, tag = "1")]
    pub(super) step_sync: bool,
    #[prost(bool, tag = "3")]
    pub(super) defined: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Files {
    #[prost(message, repeated, tag = "1")]
    pub(super) files: Vec<File>,
}

/// A file below the run's `files/`, uploaded at once.
#[derive(Clone, PartialEq, Message)]
pub(super) struct File {
    #[prost(string, tag = "1")]
    pub(super) path: String,
    #[prost(enumeration = "FileKind", tag = "3")]
    pub(super) kind: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub(super) enum FileKind {
    Other = 0,
    Media = 2,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Artifact {
    #[prost(string, tag = "1")]
    pub(super) run_id: String,
    #[prost(string, tag = "2")]
    pub(super) project: String,
    #[prost(string, tag = "3")]
    pub(super) entity: String,
    #[prost(string, tag = "4")]
    pub(super) kind: String,
    #[prost(string, tag = "5")]
    pub(super) name: String,
    #[prost(string, tag = "6")]
    pub(super) digest: String,
    #[prost(string, tag = "7")]
    pub(super) description: String,
    #[prost(string, tag = "8")]
    pub(super) metadata: String,
    /// Not an output of this run.
    #[prost(bool, tag = "9")]
    pub(super) user_created: bool,
    /// An input of this run.
    #[prost(bool, tag = "10")]
    pub(super) use_after_commit: bool,
    #[prost(string, repeated, tag = "11")]
    pub(super) aliases: Vec<String>,
    #[prost(message, optional, tag = "12")]
    pub(super) manifest: Option<Manifest>,
    #[prost(bool, tag = "14")]
    pub(super) finalize: bool,
    #[prost(string, tag = "15")]
    pub(super) client_id: String,
    #[prost(string, tag = "16")]
    pub(super) sequence_client_id: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Manifest {
    #[prost(int32, tag = "1")]
    pub(super) version: i32,
    #[prost(string, tag = "2")]
    pub(super) storage_policy: String,
    #[prost(message, repeated, tag = "3")]
    pub(super) storage_policy_config: Vec<PolicyItem>,
    #[prost(message, repeated, tag = "4")]
    pub(super) contents: Vec<Entry>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct PolicyItem {
    #[prost(string, tag = "1")]
    pub(super) key: String,
    #[prost(string, tag = "2")]
    pub(super) value_json: String,
}

/// A reference: what is not uploaded.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Entry {
    #[prost(string, tag = "1")]
    pub(super) path: String,
    #[prost(string, tag = "2")]
    pub(super) digest: String,
    #[prost(string, tag = "3")]
    pub(super) reference: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Exit {
    #[prost(int32, tag = "1")]
    pub(super) exit_code: i32,
    #[prost(int32, tag = "2")]
    pub(super) runtime: i32,
}

impl Item {
    /// An item of a config.
    pub(super) fn config(key: &str, value: &Value) -> Self {
        Self { key: key.to_owned(), nested_key: Vec::new(), value_json: value.to_string() }
    }

    /// An item of a history or a summary.
    pub(super) fn value(name: &str, value: &Value) -> Self {
        Self { key: String::new(), nested_key: vec![name.to_owned()], value_json: value.to_string() }
    }

    /// A number of a history or a summary. What is not finite has no JSON form: it is written as Python does.
    pub(super) fn number(name: &str, number: f64) -> Self {
        let value_json = if number.is_finite() {
            Value::from(number).to_string()
        } else if number.is_nan() {
            "NaN".to_owned()
        } else if number > 0.0 {
            "Infinity".to_owned()
        } else {
            "-Infinity".to_owned()
        };
        Self { key: String::new(), nested_key: vec![name.to_owned()], value_json }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_have_the_numbers_of_wandb() {
        let step = Record {
            num: 3,
            kind: Some(Kind::History(History {
                item: vec![Item::number("a", f64::NAN)],
                step: Some(Step { num: 9 }),
            })),
        };
        // Record 1: 3; 2 history of 15 bytes: 1 item of 9 bytes: 2 nested_key "a", 16 value_json "NaN"; 2 step: 1: 9.
        let bytes = b"\x08\x03\x12\x0f\x0a\x09\x12\x01a\x82\x01\x03NaN\x12\x02\x08\x09";
        assert_eq!(step.encode_to_vec(), bytes);
        assert_eq!(Record::decode(&bytes[..]).unwrap(), step);
    }

    #[test]
    fn numbers_are_json_as_python_writes_it() {
        let json = |number| Item::number("x", number).value_json;
        assert_eq!(
            [0.5, 2.0, 1e-7, f64::INFINITY, f64::NEG_INFINITY].map(json),
            ["0.5", "2.0", "1e-7", "Infinity", "-Infinity"]
        );
    }
}
