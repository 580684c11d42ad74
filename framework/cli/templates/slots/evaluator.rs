//! How well documents begin.

use sbp_plugin::prelude::*;
use sbp_plugin::slots::evaluator::{EvalContext, Evaluator, Score};

/// Loss on the beginnings of held-out documents, in nats a token (`val/beginnings/loss`, lower is better).
///
/// Cost: one forward pass over up to `max_tokens` tokens of every held-out document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TheKindConfig {
    /// Tokens of a document that are scored, from its first.
    #[schemars(range(min = 1))]
    pub max_tokens: usize,
}

impl Default for TheKindConfig {
    fn default() -> Self {
        Self { max_tokens: 64 }
    }
}

impl Plugin<slots::Evaluator> for TheKindConfig {
    const KIND: &'static str = "the_kind";
    fn example() -> Self {
        Self::default()
    }
    fn build(&self, _: &BuildContext) -> Result<Box<dyn Evaluator>> {
        Ok(Box::new(TheKind(self.clone())))
    }
}
register!(slots::Evaluator => TheKindConfig);

const METRIC: &str = "val/beginnings/loss";

struct TheKind(TheKindConfig);

impl Evaluator for TheKind {
    fn metrics(&self) -> Vec<String> {
        vec![METRIC.to_owned()]
    }

    fn evaluate(&mut self, context: &mut EvalContext<'_>) -> Result<Vec<Score>> {
        let most = self
            .0
            .max_tokens
            .min(context.model.context_length().saturating_sub(1));
        let mut units = Vec::new();
        for document in context.heldout {
            let mut tokens = context.tokenizer.encode(&document.text)?;
            tokens.truncate(most);
            tokens.insert(0, context.tokenizer.markers().end_of_text);
            let rows = context.model.log_probs(&[tokens])?;
            let nats: f64 = rows[0].iter().map(|log_prob| -f64::from(*log_prob)).sum();
            if !rows[0].is_empty() {
                units.push((nats, rows[0].len() as f64));
            }
        }
        if units.is_empty() {
            return Err(
                "there are no held-out documents to score; let the corpus keep some".into(),
            );
        }
        Ok(vec![Score::ratio(METRIC, false, units)])
    }
}

#[cfg(test)]
mod tests {
    use sbp_plugin::{entries, slots};
    use sbp_testkit::contract;

    #[test]
    fn it_keeps_the_contract_of_its_slot() {
        for entry in entries::<slots::Evaluator>() {
            contract::evaluator(&contract::plugin(entry));
        }
    }
}
