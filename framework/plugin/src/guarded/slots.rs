//! The traits of the slots, each method handed on through the guard.

// A method with a default that is not handed on would silently be the default.
#![warn(clippy::missing_trait_methods)]

use sbp_core::{
    Document, Example, Fingerprint, Markers, Neighbor, Pair, RootSeed, SyntheticDocument, TokenCount, TokenId,
};
use serde_json::Value;

use super::{Guarded, Name, one_each};
use crate::Result;
use crate::ports::{Completion, LanguageModel};
use crate::slots::arm::{Arm, Share, Supply};
use crate::slots::corpus::{Corpus, Judgement, Question, Records, Truth};
use crate::slots::document_filter::DocumentFilter;
use crate::slots::embedder::{EmbedContext, Embedder, EmbedderSize, Embeddings};
use crate::slots::evaluator::{EvalContext, Evaluator, Score, TaskCard};
use crate::slots::judge::{Judge, Opinion};
use crate::slots::mixer::{Draw, Mixer, Pool};
use crate::slots::objective::Objective;
use crate::slots::optimizer::{Optimizer, Parameter, Update};
use crate::slots::pair_filter::{PairFilter, Verdict};
use crate::slots::retriever::{Retriever, SearchContext};
use crate::slots::schedule::Schedule;
use crate::slots::synthesizer::{Request, Synthesizer};
use crate::slots::tracker::{ArtifactCard, MetricPoint, RunCard, Tracker};

/// Guards what a plugin gives one by one, after its method has returned.
struct Each<'a, T> {
    name: Name,
    items: Box<dyn Iterator<Item = T> + 'a>,
}

#[expect(clippy::missing_trait_methods, reason = "an iterator's defaults follow from `next`")]
impl<T> Iterator for Each<'_, T> {
    type Item = T;
    fn next(&mut self) -> Option<T> {
        self.name.call(|| self.items.next())
    }
}

impl Arm for Guarded<dyn Arm> {
    fn synthetic_tokens(&self, budget: TokenCount) -> TokenCount {
        self.call(|arm| arm.synthetic_tokens(budget))
    }
    fn needs_pairs(&self) -> bool {
        self.call(|arm| arm.needs_pairs())
    }
    fn shares(&self, budget: TokenCount, supply: &Supply) -> Result<Vec<Share>> {
        self.attempt(|arm| arm.shares(budget, supply))
    }
}

impl Corpus for Guarded<dyn Corpus> {
    fn documents(&self) -> Result<Records<'_>> {
        let items = self.name.attempt(|| self.object.documents())?;
        Ok(Box::new(Each { name: self.name, items }))
    }
    fn heldout(&self) -> Result<Records<'_>> {
        let items = self.name.attempt(|| self.object.heldout())?;
        Ok(Box::new(Each { name: self.name, items }))
    }
    fn questions(&self, pretrain: &[Document]) -> Result<Vec<Question>> {
        self.attempt(|corpus| corpus.questions(pretrain))
    }
    fn truth(&self) -> Option<&dyn Truth> {
        self.call(|corpus| corpus.truth().is_some()).then_some(self)
    }
    fn fingerprint(&self) -> Result<Fingerprint> {
        self.attempt(|corpus| corpus.fingerprint())
    }
}

impl Truth for Guarded<dyn Corpus> {
    fn judge(&self, seed: &str, synthetic: &str) -> Judgement {
        self.call(|corpus| {
            let truth = corpus.truth().expect("a corpus that knew the truth knows it still");
            truth.judge(seed, synthetic)
        })
    }
}

impl DocumentFilter for Guarded<dyn DocumentFilter> {
    fn content(&self) -> Result<Option<Fingerprint>> {
        self.attempt(|filter| filter.content())
    }
    fn prepare(&mut self, documents: &[Document]) -> Result<()> {
        self.attempt_mut(|filter| filter.prepare(documents))
    }
    fn judge(&self, synthetic: &SyntheticDocument, seed: &Document) -> Verdict {
        self.call(|filter| filter.judge(synthetic, seed))
    }
}

impl Embedder for Guarded<dyn Embedder> {
    fn needs_base_model(&self) -> bool {
        self.call(|embedder| embedder.needs_base_model())
    }
    fn content(&self) -> Result<Option<Fingerprint>> {
        self.attempt(|embedder| embedder.content())
    }
    fn size(&self) -> Result<EmbedderSize> {
        self.attempt(|embedder| embedder.size())
    }
    fn prepare(&mut self, documents: &[Document]) -> Result<()> {
        self.attempt_mut(|embedder| embedder.prepare(documents))
    }
    fn embed(&mut self, documents: &[Document], context: &mut EmbedContext<'_>) -> Result<Embeddings> {
        self.attempt_mut(|embedder| {
            let embeddings = embedder.embed(documents, context)?;
            let rows = embeddings.len();
            one_each(embeddings, rows, documents.len(), "rows")
        })
    }
    fn finish(&mut self, embeddings: Embeddings) -> Result<Embeddings> {
        self.attempt_mut(|embedder| {
            let documents = embeddings.len();
            let embeddings = embedder.finish(embeddings)?;
            let rows = embeddings.len();
            one_each(embeddings, rows, documents, "rows")
        })
    }
}

impl Evaluator for Guarded<dyn Evaluator> {
    fn metrics(&self) -> Vec<String> {
        self.call(|evaluator| evaluator.metrics())
    }
    fn evaluate(&mut self, context: &mut EvalContext<'_>) -> Result<Vec<Score>> {
        self.attempt_mut(|evaluator| evaluator.evaluate(context))
    }
    fn content(&self) -> Result<Option<Fingerprint>> {
        self.attempt(|evaluator| evaluator.content())
    }
    fn tasks(&self) -> Result<Vec<TaskCard>> {
        self.attempt(|evaluator| evaluator.tasks())
    }
}

impl Judge for Guarded<dyn Judge> {
    fn card(&self) -> Value {
        self.call(|judge| judge.card())
    }
    fn judge(&mut self, synthetic: &SyntheticDocument, seed: &Document) -> Result<Opinion> {
        self.attempt_mut(|judge| judge.judge(synthetic, seed))
    }
}

impl Mixer for Guarded<dyn Mixer> {
    fn schedule<'a>(&self, pools: &'a [Pool<'a>], root: RootSeed) -> Box<dyn Iterator<Item = Draw> + 'a> {
        let items = self.call(|mixer| mixer.schedule(pools, root));
        Box::new(Each { name: self.name, items })
    }
}

impl Objective for Guarded<dyn Objective> {
    fn num_seeds(&self) -> usize {
        self.call(|objective| objective.num_seeds())
    }
    fn example(&self, seeds: &[&[TokenId]], target: &[TokenId], markers: Markers) -> Example {
        self.call(|objective| objective.example(seeds, target, markers))
    }
    fn prompt(&self, seeds: &[&[TokenId]], markers: Markers) -> Vec<TokenId> {
        self.call(|objective| objective.prompt(seeds, markers))
    }
}

impl PairFilter for Guarded<dyn PairFilter> {
    fn prepare(&mut self, documents: &[Document]) {
        self.name.call(|| self.object.prepare(documents));
    }
    fn judge(&self, pair: &Pair, seed: &Document, target: &Document) -> Verdict {
        self.call(|filter| filter.judge(pair, seed, target))
    }
}

impl Retriever for Guarded<dyn Retriever> {
    fn choice(&self, num_documents: usize, is_on_gpu: bool) -> Option<String> {
        self.call(|retriever| retriever.choice(num_documents, is_on_gpu))
    }
    fn is_approximate(&self) -> bool {
        self.call(|retriever| retriever.is_approximate())
    }
    fn is_exact_search(&self, num_documents: usize, is_on_gpu: bool) -> bool {
        self.call(|retriever| retriever.is_exact_search(num_documents, is_on_gpu))
    }
    fn search_flops(&self, num_documents: usize, dim: usize) -> Option<f64> {
        self.call(|retriever| retriever.search_flops(num_documents, dim))
    }
    fn finds_itself(&self) -> bool {
        self.call(|retriever| retriever.finds_itself())
    }
    fn draws_at_random(&self) -> bool {
        self.call(|retriever| retriever.draws_at_random())
    }
    fn prepare(&mut self, embeddings: &Embeddings, context: &mut SearchContext<'_>) -> Result<()> {
        self.attempt_mut(|retriever| retriever.prepare(embeddings, context))
    }
    fn neighbors(
        &mut self,
        embeddings: &Embeddings,
        queries: &[u32],
        k: usize,
        context: &mut SearchContext<'_>,
    ) -> Result<Vec<Vec<Neighbor>>> {
        self.attempt_mut(|retriever| {
            let found = retriever.neighbors(embeddings, queries, k, context)?;
            let lists = found.len();
            one_each(found, lists, queries.len(), "lists of neighbors")
        })
    }
}

impl Optimizer for Guarded<dyn Optimizer> {
    fn update(&self, parameter: &Parameter<'_>) -> Update {
        self.call(|optimizer| optimizer.update(parameter))
    }
}

impl Schedule for Guarded<dyn Schedule> {
    fn share(&self, step: u64, num_steps: u64) -> f64 {
        self.call(|schedule| schedule.share(step, num_steps))
    }
}

impl Synthesizer for Guarded<dyn Synthesizer> {
    fn max_new_tokens(&self) -> usize {
        self.call(|synthesizer| synthesizer.max_new_tokens())
    }

    fn batch_size(&self) -> usize {
        self.call(|synthesizer| synthesizer.batch_size())
    }
    fn sample(
        &mut self,
        model: &mut dyn LanguageModel,
        requests: &[Request],
        stop: TokenId,
        root: RootSeed,
        done: &mut dyn FnMut(usize, Completion) -> Result<()>,
    ) -> Result<()> {
        self.attempt_mut(|synthesizer| {
            let mut given = vec![false; requests.len()];
            synthesizer.sample(model, requests, stop, root, &mut |place, completion| {
                match given.get_mut(place) {
                    Some(is_given) if !*is_given => *is_given = true,
                    Some(_) => return Err(format!("completed request {place} twice").into()),
                    None => return Err(format!("completed request {place} of {}", requests.len()).into()),
                }
                done(place, completion)
            })?;
            let completed = given.iter().filter(|is_given| **is_given).count();
            one_each((), completed, requests.len(), "completions")
        })
    }
}

impl Tracker for Guarded<dyn Tracker> {
    fn started(&mut self, run: &RunCard<'_>) -> Result<()> {
        self.attempt_mut(|tracker| tracker.started(run))
    }
    fn metrics(&mut self, point: &MetricPoint<'_>) -> Result<()> {
        self.attempt_mut(|tracker| tracker.metrics(point))
    }
    fn artifact(&mut self, artifact: &ArtifactCard) -> Result<()> {
        self.attempt_mut(|tracker| tracker.artifact(artifact))
    }
    fn finished(&mut self, results: &Value) -> Result<()> {
        self.attempt_mut(|tracker| tracker.finished(results))
    }
    fn warnings(&mut self) -> Vec<String> {
        // A tracker cannot fail a run, so its panic is a warning too.
        let said = self.attempt_mut(|tracker| Ok(tracker.warnings()));
        said.unwrap_or_else(|error| vec![error.to_string()])
    }
}
