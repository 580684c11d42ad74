//! Synthesizer-tuning: maximise log p(d2 | d1) over the pairs, starting from the base model.

use std::collections::HashMap;

use sbp_core::{DocId, Example, RootSeed};
use sbp_plugin::ports::{Start, Tokenizer as _};
use sbp_plugin::registry::BuildContext;
use sbp_plugin::slots::objective::Objective;
use sbp_recipe::SynthesizerSection;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::corpus::CorpusData;
use super::pair::Pairs;
use super::tokenize::Tokens;
use super::train::{Job, train};
use super::{Study, caught, failed};
use crate::batches::ExampleBatches;
use crate::store::{Artifact, Store};
use crate::{Result, files};

/// How the examples came out, `examples.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Summary {
    pub(crate) examples: usize,
    pub(crate) tokens: u64,
    /// Pairs left out because seed and target together exceed the context.
    pub(crate) too_long: usize,
}

pub(crate) struct Tuned {
    pub(crate) artifact: Artifact,
    pub(crate) summary: Summary,
}

pub(crate) fn make(
    study: &mut Study<'_>,
    section: &SynthesizerSection,
    corpus: &CorpusData,
    tokens: &Tokens,
    base: &Artifact,
    pairs: &Pairs,
    seed: u64,
) -> Result<Tuned> {
    let label = format!("tune seed {seed}");
    let model = &study.plan.recipe.model;
    let room = seed_room(section, model.context_length, seed)?;
    let inputs = json!({
        "base": base.fingerprint,
        "pairs": pairs.artifact.fingerprint,
        "tokens": tokens.artifact.fingerprint,
        "objective": section.objective.identity(),
        "duration": section.duration,
        "tuning": section.tuning,
        "seed_room": room,
        "model": model,
        "seed": seed,
    });
    let artifact = study.make(&label, "tune", &inputs, &mut |study, folder| {
        let fail = failed(&label);
        let objective = section.objective.build(&BuildContext { seed }).map_err(&fail)?;
        let context = model.context_length;
        let (examples, summary) = examples(corpus, tokens, pairs, objective.as_ref(), room, context);
        if examples.is_empty() {
            let message = format!(
                "all {} pairs are longer than the context of {context} tokens; raise model.context_length",
                summary.too_long
            );
            return Err(fail(message.into()));
        }
        files::write_json(&folder.join("examples.json"), &summary)?;
        let per_step = section.tuning.tokens_per_step;
        let mut batches = ExampleBatches::new(&examples, RootSeed(seed), per_step as usize);
        let base_checkpoint = base.file("checkpoint");
        let job = Job {
            label: &label,
            kind: "tune",
            arm: "",
            seed,
            start: Start::From(&base_checkpoint),
            training: &section.tuning,
            num_steps: section.duration.steps(per_step, summary.tokens),
            batches: &mut batches,
            identity: Store::fingerprint("tune", &inputs),
        };
        train(study, tokens, folder, job)
    })?;
    Ok(Tuned { summary: files::read_json(&artifact.file("examples.json"))?, artifact })
}

/// Tokens of a seed document that are used: what is left of the context beside a longest completion and markers.
pub(crate) fn seed_room(section: &SynthesizerSection, context_length: usize, seed: u64) -> Result<usize> {
    let sampling = section.sampling.build(&BuildContext { seed }).map_err(failed("tune"))?;
    let longest = caught("tune", || Ok(sampling.max_new_tokens()))?;
    let room = context_length.saturating_sub(longest + 2);
    if room == 0 {
        let message = format!(
            "completions of up to {longest} tokens leave no room for a seed document in a context of {context_length}; lower synthesizer.sampling.max_new_tokens or raise model.context_length",
        );
        return Err(failed("tune")(message.into()));
    }
    Ok(room)
}

fn examples(
    corpus: &CorpusData,
    tokens: &Tokens,
    pairs: &Pairs,
    objective: &dyn Objective,
    room: usize,
    context: usize,
) -> (Vec<Example>, Summary) {
    let rows: HashMap<DocId, usize> =
        corpus.pretrain.iter().enumerate().map(|(row, document)| (document.id, row)).collect();
    let text = |id: DocId| tokens.pretrain.document(rows[&id]);
    let markers = tokens.tokenizer.markers();
    let mut examples = Vec::new();
    let mut too_long = 0;
    for pair in &pairs.pairs {
        let seed = text(pair.seed);
        let example = objective.example(&seed[..seed.len().min(room)], &text(pair.target), markers);
        if example.num_predictions() > context {
            too_long += 1;
        } else {
            examples.push(example);
        }
    }
    let total = examples.iter().map(|example| example.num_predictions() as u64).sum();
    let summary = Summary { examples: examples.len(), tokens: total, too_long };
    (examples, summary)
}
