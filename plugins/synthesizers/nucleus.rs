//! Nucleus sampling (Holtzman et al. 2020, arXiv 1904.09751).

use sbp_plugin::ports::{Completion, Decoding, LanguageModel, Prompt};
use sbp_plugin::prelude::*;
use sbp_plugin::slots::synthesizer::{Request, Synthesizer};

/// Samples from the smallest set of tokens that holds most of the probability.
///
/// Each document has a random stream of its own, named by the study's seed, the seed document and the draw: it comes
/// out the same whatever it is sampled next to.
///
/// Cost: one forward pass a token sampled, `batch_size` documents at once, with the keys and values of all their
/// tokens in memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NucleusConfig {
    /// Divides the logits: below 1 is more cautious, above 1 more varied, 0 takes the likeliest token each time.
    #[schemars(range(min = 0.0, max = 10.0))]
    pub temperature: f64,
    /// Probability that the set of tokens sampled from must reach; 1 leaves no token out.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub top_p: f64,
    /// The most probable tokens that are left to sample from, before `top_p`; 0 leaves no token out.
    pub top_k: usize,
    /// Tokens less probable than this share of the most probable one are left out; 0 leaves no token out (Nguyen et al. 2024,
    /// arXiv 2407.01082).
    #[schemars(range(min = 0.0, max = 1.0))]
    pub min_p: f64,
    /// Most tokens of a document, its end marker included.
    #[schemars(range(min = 1))]
    pub max_new_tokens: usize,
    /// Documents sampled side by side. Changes speed and memory, not the documents.
    #[schemars(range(min = 1))]
    pub batch_size: usize,
}

impl Default for NucleusConfig {
    fn default() -> Self {
        Self { temperature: 1.0, top_p: 0.95, top_k: 0, min_p: 0.0, max_new_tokens: 128, batch_size: 64 }
    }
}

impl Plugin<slots::Synthesizer> for NucleusConfig {
    const KIND: &'static str = "nucleus";
    fn example() -> Self {
        Self::default()
    }
    fn build(&self, _: &BuildContext) -> Result<Box<dyn Synthesizer>> {
        Ok(Box::new(Nucleus(self.clone())))
    }
}
register!(slots::Synthesizer => NucleusConfig);

struct Nucleus(NucleusConfig);

impl Synthesizer for Nucleus {
    fn max_new_tokens(&self) -> usize {
        self.0.max_new_tokens
    }

    fn batch_size(&self) -> usize {
        self.0.batch_size
    }

    fn sample(
        &mut self,
        model: &mut dyn LanguageModel,
        requests: &[Request],
        stop: TokenId,
        root: RootSeed,
        done: &mut dyn FnMut(usize, Completion) -> Result<()>,
    ) -> Result<()> {
        let prompts = requests
            .iter()
            .map(|request| Prompt {
                tokens: request.prompt.clone(),
                rng: root.stream("synthesize", &[request.seed.0, u64::from(request.draw)]),
            })
            .collect();
        let how = Decoding {
            temperature: self.0.temperature,
            top_p: self.0.top_p,
            top_k: self.0.top_k,
            min_p: self.0.min_p,
            max_new_tokens: self.0.max_new_tokens,
            stop,
            batch_size: self.0.batch_size,
        };
        model.complete(prompts, &how, done)
    }
}
