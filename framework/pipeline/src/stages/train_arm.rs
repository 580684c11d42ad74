//! Pretraining on real and synthetic documents: the base model and every arm, from scratch.

use sbp_core::RootSeed;
use sbp_plugin::ports::{Start, Tokenizer as _};
use sbp_plugin::registry::BuildContext;
use sbp_plugin::slots::arm::Share;
use sbp_plugin::slots::mixer::{Pool, Source};
use serde_json::{Value, json};

use super::dynamics::Dynamics;
use super::related::Related;
use super::synthesize::Synthetic;
use super::tokenize::Tokens;
use super::train::{Job, Outcome, finish, run};
use super::{Study, failed};
use crate::Result;
use crate::batches::DocumentBatches;
use crate::store::{Artifact, Store};

/// One pretraining: from which sources, how long.
pub(crate) struct Pretraining<'p> {
    /// `base` or `train`.
    pub(crate) kind: &'static str,
    /// The arm's name, empty for the base model.
    pub(crate) arm: &'p str,
    pub(crate) seed: u64,
    pub(crate) steps: u64,
    /// Steps that the schedule is laid out for.
    pub(crate) schedule_steps: u64,
    pub(crate) shares: &'p [Share],
    pub(crate) synthetic: Option<&'p Synthetic>,
    pub(crate) related: Option<&'p Related>,
    /// What it is scored on as it goes.
    pub(crate) dynamics: Option<Dynamics<'p>>,
}

impl Pretraining<'_> {
    fn label(&self) -> String {
        match self.arm {
            "" => format!("{} seed {}", self.kind, self.seed),
            arm => format!("{} {arm} seed {}", self.kind, self.seed),
        }
    }

    /// What the result depends on. The arm's name is not part of it: two arms that do the same are one artifact.
    fn inputs(&self, study: &Study<'_>, tokens: &Tokens) -> Result<Value> {
        let recipe = &study.plan.recipe;
        let uses = |source| self.shares.iter().any(|share| share.source == source && share.tokens > 0);
        let mut inputs = json!({
            "model": recipe.model,
            "training": recipe.training_of(self.arm),
            "mixer": recipe.mixer.identity(),
            "seed": self.seed,
            "steps": self.steps,
            "schedule_steps": self.schedule_steps,
            "shares": self.shares,
            "tokens": tokens.artifact.fingerprint,
            "synthetic": self.synthetic.filter(|_| uses(Source::Synthetic)).map(|it| &it.artifact.fingerprint),
            "related": self.related.filter(|_| uses(Source::Related)).map(|it| &it.artifact.fingerprint),
        });
        if let Some(dynamics) = &self.dynamics {
            inputs["dynamics"] = dynamics.identity(self.seed).map_err(failed(&self.label()))?;
        }
        Ok(inputs)
    }
}

/// Trains, or reuses, one model.
pub(crate) fn make(study: &mut Study<'_>, tokens: &Tokens, what: &Pretraining<'_>) -> Result<Artifact> {
    let label = what.label();
    let inputs = what.inputs(study, tokens)?;
    let stage = if what.arm.is_empty() { "base" } else { "train" };
    let empty = crate::token_store::TokenStore::default();
    study.share(&label, stage, &inputs, &mut |study, folder| {
        let recipe = &study.plan.recipe;
        let training = recipe.training_of(what.arm);
        let root = RootSeed(what.seed);
        let mixer = recipe.mixer.build(&BuildContext { seed: what.seed }).map_err(failed(&label))?;
        let store_of = |source| match source {
            Source::Pretrain => &tokens.pretrain,
            Source::Oracle => &tokens.oracle,
            Source::Synthetic => what.synthetic.map_or(&empty, |synthetic| &synthetic.tokens),
            Source::Related => what.related.map_or(&empty, |related| &related.tokens),
        };
        let shares: Vec<&Share> = what.shares.iter().filter(|share| share.tokens > 0).collect();
        let pools: Vec<Pool<'_>> = shares
            .iter()
            .map(|share| Pool {
                source: share.source,
                lengths: store_of(share.source).lengths(),
                tokens: share.tokens,
                max_passes: share.max_passes,
            })
            .collect();
        let stores: Vec<_> = shares.iter().map(|share| store_of(share.source)).collect();
        let mut job = |start_it: &mut dyn FnMut(Job<'_>) -> Result<Outcome>| {
            let mut batches = DocumentBatches::new(
                mixer.as_ref(),
                &pools,
                stores.clone(),
                root,
                tokens.tokenizer.markers(),
                training.tokens_per_step as usize,
                recipe.model.context_length,
            )
            .crossing_documents(training.cross_documents);
            start_it(Job {
                label: &label,
                kind: what.kind,
                arm: what.arm,
                seed: what.seed,
                // Every model of a seed starts from the same weights.
                start: Start::Fresh(root.stream("init", &[])),
                training: &training,
                num_steps: what.steps,
                schedule_steps: what.schedule_steps,
                batches: &mut batches,
                identity: Store::fingerprint(stage, &inputs),
                pause: None,
            })
        };
        let outcome = match &what.dynamics {
            Some(dynamics) => dynamics.train(study, folder, what.seed, &mut job)?,
            None => job(&mut |job| run(study, tokens, folder, job))?,
        };
        finish(study, tokens, folder, outcome.summary())
    })
}
