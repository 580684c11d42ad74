//! JSON has no NaN: one is written as `null`. Here it is read back as what it was.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

/// A number, or NaN.
pub(crate) fn number<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or(f64::NAN))
}

/// Numbers by name, without those that are none.
pub(crate) fn numbers<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, f64>, D::Error> {
    let all: BTreeMap<String, Option<f64>> = BTreeMap::deserialize(from)?;
    Ok(all.into_iter().filter_map(|(name, number)| Some((name, number?))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Serialize, Deserialize)]
    struct Both {
        #[serde(deserialize_with = "number")]
        one: f64,
        #[serde(deserialize_with = "numbers")]
        many: BTreeMap<String, f64>,
    }

    #[test]
    fn what_is_no_number_is_read_back() {
        let many = [("a".to_owned(), 1.5), ("b".to_owned(), f64::NAN)].into();
        let text = serde_json::to_string(&Both { one: f64::NAN, many }).unwrap();
        let back: Both = serde_json::from_str(&text).unwrap();
        assert!(back.one.is_nan());
        assert_eq!(back.many, [("a".to_owned(), 1.5)].into());
    }
}
