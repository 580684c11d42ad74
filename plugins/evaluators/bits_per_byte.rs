//! Bits per byte of held-out text: the number to compare on, since it does not depend on the tokenizer.

use sbp_plugin::prelude::*;
use sbp_plugin::slots::evaluator::{EvalContext, Evaluator, Score};

/// Compression of held-out documents, in bits per byte of UTF-8 (`val/heldout/bpb`, lower is better).
///
/// Each document is scored alone, from `end_of_text` on, every token of it and the `end_of_text` behind it. A
/// document longer than the context is scored in consecutive windows of up to context length - 1 predictions, each
/// preceded by `end_of_text` and blind to the windows before it. The score is the bits of all documents over their
/// bytes; a document without text is left out.
///
/// Cost: one forward pass over the tokens of the held-out documents, `batch_size` sequences of up to the context
/// length at once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BitsPerByteConfig {
    /// Score the first this many held-out documents; all of them when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_documents: Option<usize>,
    /// Sequences run through the model side by side. Changes speed and memory, not the score.
    #[schemars(range(min = 1))]
    pub batch_size: usize,
}

impl Default for BitsPerByteConfig {
    fn default() -> Self {
        Self { max_documents: None, batch_size: 32 }
    }
}

impl Plugin<slots::Evaluator> for BitsPerByteConfig {
    const KIND: &'static str = "bits_per_byte";
    fn example() -> Self {
        Self::default()
    }
    fn build(&self, _: &BuildContext) -> Result<Box<dyn Evaluator>> {
        Ok(Box::new(BitsPerByte(self.clone())))
    }
}
register!(slots::Evaluator => BitsPerByteConfig);

const METRIC: &str = "val/heldout/bpb";

struct BitsPerByte(BitsPerByteConfig);

impl Evaluator for BitsPerByte {
    fn metrics(&self) -> Vec<String> {
        vec![METRIC.to_owned()]
    }

    fn evaluate(&mut self, context: &mut EvalContext<'_>) -> Result<Vec<Score>> {
        let most = self.0.max_documents.unwrap_or(usize::MAX);
        let documents: Vec<&Document> =
            context.heldout.iter().take(most).filter(|document| !document.text.is_empty()).collect();
        if documents.is_empty() {
            return Err(
                "there are no held-out documents to score; let the corpus keep some (`heldout_share` or \
                        `heldout_path` of a jsonl corpus), or take this evaluator out of the recipe"
                    .into(),
            );
        }
        let end_of_text = context.tokenizer.markers().end_of_text;
        let window = context.model.context_length().saturating_sub(1).max(1);
        let mut sequences = Vec::new();
        let mut owners = Vec::new();
        for (index, document) in documents.iter().enumerate() {
            let mut tokens = context.tokenizer.encode(&document.text)?;
            tokens.push(end_of_text);
            for tokens in tokens.chunks(window) {
                sequences.push([&[end_of_text], tokens].concat());
                owners.push(index);
            }
        }
        let mut units: Vec<(f64, f64)> =
            documents.iter().map(|document| (0.0, document.text.len() as f64)).collect();
        let batch_size = self.0.batch_size.max(1);
        for (sequences, owners) in sequences.chunks(batch_size).zip(owners.chunks(batch_size)) {
            for (row, owner) in context.model.log_probs(sequences)?.iter().zip(owners) {
                let nats: f64 = row.iter().map(|log_prob| -f64::from(*log_prob)).sum();
                units[*owner].0 += nats / std::f64::consts::LN_2;
            }
        }
        Ok(vec![Score::ratio(METRIC, false, units)])
    }
}

#[cfg(test)]
mod tests {
    use sbp_testkit::{BigramModel, ByteTokenizer};

    use super::*;

    fn score(config: BitsPerByteConfig, context_length: usize, texts: &[&str]) -> Result<Score> {
        let heldout: Vec<Document> = texts.iter().map(|text| Document::new(text, *text)).collect();
        let mut model = BigramModel::untrained(context_length);
        let mut context = EvalContext { heldout: &heldout, ..EvalContext::new(&mut model, &ByteTokenizer) };
        Ok(BitsPerByte(config).evaluate(&mut context)?.remove(0))
    }

    #[test]
    fn a_model_that_knows_nothing_pays_the_same_for_every_token() {
        // 258 tokens equally likely; "abc" is three of them and an end over three bytes.
        let score = score(BitsPerByteConfig::default(), 64, &["abc", ""]).unwrap();
        assert_eq!(score.units.len(), 1);
        assert!((score.value() - 4.0 * 258f64.log2() / 3.0).abs() < 1e-5, "{}", score.value());
    }

    #[test]
    fn windows_cover_every_token_once() {
        let long = "a document that is a good deal longer than the context";
        for context_length in [2, 7, 8, 9, 100] {
            let score = score(BitsPerByteConfig::default(), context_length, &[long]).unwrap();
            let tokens = score.units[0].0 / 258f64.log2();
            assert!((tokens - (long.len() + 1) as f64).abs() < 1e-3, "{tokens}");
        }
    }

    #[test]
    fn the_batch_size_does_not_matter_and_the_limit_holds() {
        let texts = ["one", "two and more", "three", "four"];
        let of =
            |batch_size| score(BitsPerByteConfig { max_documents: Some(3), batch_size }, 8, &texts).unwrap();
        assert_eq!(of(1), of(32));
        assert_eq!(of(1).units.len(), 3);
    }

    #[test]
    fn nothing_held_out_is_an_error_with_a_remedy() {
        let error = score(BitsPerByteConfig::default(), 8, &[]).unwrap_err().to_string();
        assert!(error.contains("heldout_share"), "{error}");
    }
}
