//! Fingerprints: the identity of values and of ordered content, on which reuse of artifacts rests.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A 128-bit hash of everything that an artifact depends on. Written as 32 hexadecimal digits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// The fingerprint of raw bytes.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self(blake3::hash(bytes).to_hex()[..32].to_owned())
    }

    /// The fingerprint of a value's canonical JSON: object keys sorted, so that field order does not matter.
    ///
    /// # Panics
    /// When the value has no JSON form (a map with keys that are not strings), which is a bug in its type.
    pub fn of_value(value: &impl Serialize) -> Self {
        let value = serde_json::to_value(value).expect("fingerprinted values have a JSON form");
        Self::of_bytes(value.to_string().as_bytes())
    }

    /// The first eight digits, for people and folder names.
    pub fn short(&self) -> &str {
        &self.0[..8]
    }

    /// All 32 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({})", self.0)
    }
}

/// Builds the fingerprint of a sequence of byte strings, each kept apart from the next.
#[derive(Default)]
pub struct FingerprintBuilder {
    hasher: blake3::Hasher,
}

impl FingerprintBuilder {
    /// Adds one byte string; order matters.
    pub fn push(&mut self, bytes: &[u8]) {
        self.hasher.update(&(bytes.len() as u64).to_le_bytes());
        self.hasher.update(bytes);
    }

    /// The fingerprint of everything pushed.
    pub fn finish(&self) -> Fingerprint {
        Fingerprint(self.hasher.finalize().to_hex()[..32].to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn field_order_does_not_matter_but_content_does() {
        let a = Fingerprint::of_value(&serde_json::json!({"x": 1, "y": 2}));
        let b = Fingerprint::of_value(&serde_json::json!({"y": 2, "x": 1}));
        let c = Fingerprint::of_value(&serde_json::json!({"y": 2, "x": 3}));
        assert_eq!(a, b);
        assert_ne!(a, c);
    }

    #[test]
    fn boundaries_between_parts_count() {
        let of = |parts: &[&str]| {
            let mut builder = FingerprintBuilder::default();
            parts.iter().for_each(|part| builder.push(part.as_bytes()));
            builder.finish()
        };
        assert_ne!(of(&["ab", "c"]), of(&["a", "bc"]));
    }
}
