//! The synthesizer slot.

use sbp_core::{DocId, RootSeed, TokenId};

use crate::Result;
use crate::ports::{Completion, LanguageModel};

/// Samples continuations of prompts: how, how long, with which randomness.
///
/// # Contract
/// Every request gets one completion. It depends on the model, the prompt and the stream named by
/// (root seed, seed-document id, draw) alone.
pub trait Synthesizer: Send {
    /// Most tokens that one completion can have.
    fn max_new_tokens(&self) -> usize;
    /// How many completions go side by side; it is given some times as many requests at once.
    fn batch_size(&self) -> usize {
        64
    }
    /// Samples one completion a request, and hands it to `done` with the place of its request as soon as it ends.
    ///
    /// # Errors
    /// When the model fails, or what `done` says.
    fn sample(
        &mut self,
        model: &mut dyn LanguageModel,
        requests: &[Request],
        stop: TokenId,
        root: RootSeed,
        done: &mut dyn FnMut(usize, Completion) -> Result<()>,
    ) -> Result<()>;
}

/// One draw asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The seed document.
    pub seed: DocId,
    /// Which draw for it, from 0.
    pub draw: u32,
    /// The prompt, as the objective makes it.
    pub prompt: Vec<TokenId>,
}
