//! Documents, real and synthetic.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Stable identity of a document: a hash of the name its corpus gave it, of its text, or of both; never of its position.
///
/// Adding a file to a corpus therefore changes no other document's id. Written as 16 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DocId(pub u64);

impl DocId {
    /// The id of the document that its corpus calls `name`.
    pub fn of(name: &str) -> Self {
        let hash = blake3::hash(name.as_bytes());
        Self(u64::from_le_bytes(hash.as_bytes()[..8].try_into().expect("a hash has 32 bytes")))
    }
}

impl fmt::Display for DocId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for DocId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DocId({self})")
    }
}

impl Serialize for DocId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DocId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        u64::from_str_radix(&text, 16).map(Self).map_err(serde::de::Error::custom)
    }
}

/// One text with a stable id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// Stable identity.
    pub id: DocId,
    /// The text, UTF-8.
    pub text: String,
    /// Where the document comes from: a site, a file, a concept. Empty when the corpus does not say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source: String,
}

impl Document {
    /// A document named `name` with no stated source.
    pub fn new(name: &str, text: impl Into<String>) -> Self {
        Self { id: DocId::of(name), text: text.into(), source: String::new() }
    }
}

/// One text sampled from the synthesizer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SyntheticDocument {
    /// The seed document it was conditioned on.
    pub seed: DocId,
    /// Which draw for that seed, from 0.
    pub draw: u32,
    /// The generated text.
    pub text: String,
    /// Number of tokens the synthesizer emitted, its end marker included.
    pub num_tokens: u32,
    /// Sum of the natural-log probabilities of the emitted tokens under the sampling model, untempered.
    pub log_prob: f64,
    /// Whether the synthesizer ended the text itself; false when it was cut at the maximum length.
    pub finished: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_depend_on_the_name_alone_and_round_trip() {
        let id = DocId::of("corpus.jsonl:7");
        assert_eq!(id, DocId::of("corpus.jsonl:7"));
        assert_ne!(id, DocId::of("corpus.jsonl:8"));
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(serde_json::from_str::<DocId>(&json).unwrap(), id);
    }
}
