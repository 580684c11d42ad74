//! How long something trains: typed, with its unit in the key, never a bare number.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A number of training tokens (predictions made, see [`crate::Example::num_predictions`]).
pub type TokenCount = u64;

/// A length of training, in one of three units.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Duration {
    /// This many training tokens.
    Tokens(u64),
    /// This many optimizer steps.
    Steps(u64),
    /// This many traversals of the unique real tokens (D_pretrain).
    Passes(f64),
}

// Written by hand: the derived schema is a `oneOf`, of which validators only say that no branch matched.
impl JsonSchema for Duration {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Duration".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "description": "A length of training, in exactly one unit.",
            "properties": {
                "tokens": {"type": "integer", "minimum": 1, "description": "Training tokens."},
                "steps": {"type": "integer", "minimum": 1, "description": "Optimizer steps."},
                "passes": {"type": "number", "exclusiveMinimum": 0, "description": "Traversals (epochs) of the unique real tokens (D_pretrain)."},
            },
            "minProperties": 1,
            "maxProperties": 1,
            "additionalProperties": false,
        })
    }
}

impl Duration {
    /// The number of whole optimizer steps that come closest to this duration without exceeding it, at least 1.
    pub fn steps(self, tokens_per_step: TokenCount, tokens_per_pass: TokenCount) -> u64 {
        let tokens_per_step = tokens_per_step.max(1);
        match self {
            Self::Tokens(tokens) => (tokens / tokens_per_step).max(1),
            Self::Steps(steps) => steps.max(1),
            Self::Passes(passes) => {
                let tokens = (passes * tokens_per_pass as f64).floor() as u64;
                (tokens / tokens_per_step).max(1)
            }
        }
    }
}

impl std::fmt::Display for Duration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tokens(n) => write!(f, "{n} tokens"),
            Self::Steps(n) => write!(f, "{n} steps"),
            Self::Passes(n) => write!(f, "{n} passes"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_comes_to_whole_steps() {
        assert_eq!(Duration::Tokens(1_000).steps(256, 10_000), 3);
        assert_eq!(Duration::Steps(7).steps(256, 10_000), 7);
        assert_eq!(Duration::Passes(2.5).steps(100, 1_000), 25);
        assert_eq!(Duration::Tokens(1).steps(256, 10_000), 1);
    }

    #[test]
    fn is_written_with_its_unit() {
        let written = serde_json::to_string(&Duration::Passes(20.0)).unwrap();
        assert_eq!(written, r#"{"passes":20.0}"#);
    }
}
