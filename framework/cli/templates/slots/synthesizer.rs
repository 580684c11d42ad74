//! Sampling from the whole distribution.

use sbp_plugin::ports::{Completion, Decoding, LanguageModel, Prompt};
use sbp_plugin::prelude::*;
use sbp_plugin::slots::synthesizer::{Request, Synthesizer};

/// Samples from all tokens, at one temperature.
///
/// Cost: one forward pass a token sampled, 64 documents at once, with the keys and values of all
/// their tokens in memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TheKindConfig {
    /// Divides the logits: below 1 is more cautious, above 1 more varied.
    #[schemars(range(min = 0.0, max = 10.0))]
    pub temperature: f64,
    /// Most tokens of a document, its end marker included.
    #[schemars(range(min = 1))]
    pub max_new_tokens: usize,
}

impl Default for TheKindConfig {
    fn default() -> Self {
        Self {
            temperature: 0.8,
            max_new_tokens: 96,
        }
    }
}

impl Plugin<slots::Synthesizer> for TheKindConfig {
    const KIND: &'static str = "the_kind";
    fn example() -> Self {
        Self::default()
    }
    fn build(&self, _: &BuildContext) -> Result<Box<dyn Synthesizer>> {
        Ok(Box::new(TheKind(self.clone())))
    }
}
register!(slots::Synthesizer => TheKindConfig);

struct TheKind(TheKindConfig);

impl Synthesizer for TheKind {
    fn max_new_tokens(&self) -> usize {
        self.0.max_new_tokens
    }

    fn sample(
        &mut self,
        model: &mut dyn LanguageModel,
        requests: &[Request],
        stop: TokenId,
        root: RootSeed,
        done: &mut dyn FnMut(usize, Completion) -> Result<()>,
    ) -> Result<()> {
        // A stream of its own for each document: it comes out the same whatever it is sampled next to.
        let prompt = |request: &Request| Prompt {
            tokens: request.prompt.clone(),
            rng: root.stream("synthesize", &[request.seed.0, u64::from(request.draw)]),
        };
        let how = Decoding {
            temperature: self.0.temperature,
            max_new_tokens: self.0.max_new_tokens,
            stop,
            ..Decoding::default()
        };
        model.complete(requests.iter().map(prompt).collect(), &how, done)
    }
}

#[cfg(test)]
mod tests {
    use sbp_plugin::{entries, slots};
    use sbp_testkit::contract;

    #[test]
    fn it_keeps_the_contract_of_its_slot() {
        for entry in entries::<slots::Synthesizer>() {
            contract::synthesizer(&contract::plugin(entry));
        }
    }
}
