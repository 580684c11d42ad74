//! A linear classifier of words, of the user's own.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use sbp_core::text::words;
use sbp_plugin::input;
use sbp_plugin::prelude::*;
use sbp_plugin::registry::RecipePath;
use sbp_plugin::slots::document_filter::{DocumentFilter, Verdict};

/// Drops synthetic documents that a logistic regression on counts of words finds improbable.
///
/// The file says the weight of each n-gram and a bias: `{"bias": -1.5, "weights": {"theorem": 0.8, "click here": -2.1}}`, words in
/// lower case, without punctuation, n-grams joined by a space. The probability is 1 / (1 + exp(-(bias + sum of count times
/// weight))), which is what scikit-learn's `LogisticRegression` gives for the counts of a `CountVectorizer`. N-grams that
/// have no weight count nothing.
///
/// Cost: O(words times the longest n-gram) time, and the file in memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClassifierConfig {
    /// A JSON file with `bias` and `weights`.
    pub path: RecipePath,
    /// The least probability that is kept.
    #[serde(default = "half")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub min_probability: f64,
}

fn half() -> f64 {
    0.5
}

impl Plugin<slots::DocumentFilter> for ClassifierConfig {
    const KIND: &'static str = "classifier";
    fn example() -> Self {
        Self { path: RecipePath(PathBuf::from("weights.json")), min_probability: half() }
    }
    fn build(&self, _: &BuildContext) -> Result<Box<dyn DocumentFilter>> {
        Ok(Box::new(Classifier { config: self.clone(), model: read(self.path.as_ref())? }))
    }
}
register!(slots::DocumentFilter => ClassifierConfig);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Model {
    bias: f64,
    weights: HashMap<String, f64>,
}

fn read(path: &Path) -> Result<Model> {
    let text = input::bytes(path)?;
    let model: Model =
        serde_json::from_slice(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(model)
}

struct Classifier {
    config: ClassifierConfig,
    model: Model,
}

impl Classifier {
    fn probability(&self, text: &str) -> f64 {
        let words: Vec<_> = words(text).collect();
        let longest = self.model.weights.keys().map(|ngram| ngram.split(' ').count()).max().unwrap_or(0);
        let ngrams = (1..=longest).flat_map(|n| words.windows(n).map(|window| window.join(" ")));
        let sum: f64 = ngrams.filter_map(|ngram| self.model.weights.get(&ngram)).sum();
        1.0 / (1.0 + (-(self.model.bias + sum)).exp())
    }
}

impl DocumentFilter for Classifier {
    fn content(&self) -> Result<Option<Fingerprint>> {
        Ok(Some(Fingerprint::of_bytes(&input::bytes(self.config.path.as_ref())?)))
    }

    fn judge(&self, synthetic: &SyntheticDocument, _: &Document) -> Verdict {
        let is_kept = self.probability(&synthetic.text) >= self.config.min_probability;
        if is_kept { Verdict::Keep } else { Verdict::drop("classified_out") }
    }
}

#[cfg(test)]
mod tests {
    use sbp_testkit::synthetic;

    use super::*;

    #[test]
    fn probabilities_are_those_of_logistic_regression() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.json");
        std::fs::write(&path, r#"{"bias": -1.0, "weights": {"bees": 2.0, "click here": -3.0}}"#).unwrap();
        let config = ClassifierConfig { path: RecipePath(path.clone()), min_probability: 0.5 };
        let model = read(&path).unwrap();
        let classifier = Classifier { config: config.clone(), model };
        let logistic = |x: f64| 1.0 / (1.0 + (-x).exp());
        assert_eq!(classifier.probability("Bees, bees!"), logistic(3.0));
        assert_eq!(classifier.probability("bees: click here"), logistic(-2.0));
        assert_eq!(classifier.probability("click there"), logistic(-1.0));
        let filter = config.build(&BuildContext::default()).unwrap();
        let seed = Document::new("seed", "seed");
        assert_eq!(filter.judge(&synthetic(&seed, "bees"), &seed), Verdict::Keep);
        assert_eq!(filter.judge(&synthetic(&seed, "wasps"), &seed), Verdict::drop("classified_out"));
        let before = filter.content().unwrap();
        std::fs::write(&path, r#"{"bias": 1.0, "weights": {}}"#).unwrap();
        assert_ne!(filter.content().unwrap(), before);
        std::fs::write(&path, r#"{"bias": 1.0}"#).unwrap();
        let error = config.build(&BuildContext::default()).err().unwrap().to_string();
        assert!(error.contains("weights.json") && error.contains("weights"), "{error}");
    }
}
