//! Synthesizer-tuning: maximise log p(d2 | d1) over the pairs, starting from the base model.

mod heldout;
mod seeds;

use std::path::{Path, PathBuf};

use sbp_core::{Example, Fingerprint, Markers, Pair, RootSeed};
use sbp_plugin::ports::{Start, Tokenizer as _};
use sbp_plugin::registry::BuildContext;
use sbp_plugin::slots::objective::Objective;
use sbp_recipe::{InitFrom, InitSection, SynthesizerSection};
use serde::{Deserialize, Serialize};
use serde_json::json;

pub(crate) use self::heldout::{split, sums};
pub(crate) use self::seeds::{Room, Seeds, views};
use super::corpus::CorpusData;
use super::pair::Pairs;
use super::tokenize::Tokens;
use super::train::{Job, finish, run};
use super::{Study, failed};
use crate::batches::ExampleBatches;
use crate::store::{Artifact, Store};
use crate::{Error, Result, files};

/// How the examples came out, `examples.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Summary {
    pub(crate) examples: usize,
    pub(crate) tokens: u64,
    /// Pairs left out because seed and target together exceed the context.
    pub(crate) too_long: usize,
    /// Pairs that are not tuned on, so that they can be measured.
    pub(crate) heldout: usize,
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
    base: Option<&Artifact>,
    pairs: &Pairs,
    seed: u64,
) -> Result<Tuned> {
    let label = format!("tune seed {seed}");
    let model = &study.plan.recipe.model;
    let room = Room::of(section, model.context_length, seed)?;
    let init = Init::of(&section.init, base)?;
    let inputs = json!({
        "init": init.identity()?,
        "pairs": pairs.artifact.fingerprint,
        "tokens": tokens.artifact.fingerprint,
        "objective": section.objective.identity(),
        "duration": section.duration,
        "tuning": section.tuning,
        "heldout": section.heldout,
        "room": room,
        "model": model,
        "seed": seed,
    });
    let artifact = study.share(&label, "tune", &inputs, &mut |study, folder| {
        let fail = failed(&label);
        let objective = section.objective.build(&BuildContext { seed }).map_err(&fail)?;
        let (tuned, heldout) = split(&pairs.pairs, section.heldout.as_ref());
        let maker = ExampleMaker {
            seeds: Seeds::new(&corpus.pretrain, &tokens.pretrain, pairs, room),
            objective: objective.as_ref(),
            markers: tokens.tokenizer.markers(),
            context: model.context_length,
        };
        let (examples, too_long) = maker.examples(&tuned);
        let (heldout, _) = maker.examples(&heldout);
        let num_tokens = examples.iter().map(|example| example.num_predictions() as u64).sum();
        let summary =
            Summary { examples: examples.len(), tokens: num_tokens, too_long, heldout: heldout.len() };
        if examples.is_empty() {
            let message = format!(
                "of {} pairs {too_long} are longer than the context of {} tokens and {} are held out, which leaves none; \
                 raise model.context_length or lower synthesizer.heldout.share",
                pairs.pairs.len(),
                model.context_length,
                summary.heldout,
            );
            return Err(fail(message.into()));
        }
        study.led(|_| files::write_json(&folder.join("examples.json"), &summary))?;
        let per_step = section.tuning.tokens_per_step;
        let num_steps = section.duration.steps(per_step, summary.tokens);
        let identity = Store::fingerprint("tune", &inputs);
        let mut job = |go: &mut dyn FnMut(Job<'_>) -> Result<_>| {
            go(Job {
                label: &label,
                kind: "tune",
                arm: "",
                seed,
                start: init.start(seed),
                training: &section.tuning,
                num_steps,
                schedule_steps: num_steps,
                batches: &mut ExampleBatches::new(&examples, RootSeed(seed), per_step as usize),
                identity: identity.clone(),
                pause: None,
            })
        };
        let stop = section.heldout.as_ref().and_then(|heldout| Some((heldout, heldout.every_steps?)));
        match stop {
            Some(stop) if !heldout.is_empty() => {
                heldout::train_until_worse(study, tokens, folder, stop, &heldout, &mut job)
            }
            _ => {
                let outcome = job(&mut |job| run(study, tokens, folder, job))?;
                finish(study, tokens, folder, outcome.summary())
            }
        }
    })?;
    Ok(Tuned { summary: files::read_json(&artifact.file("examples.json"))?, artifact })
}

/// Where the weights come from.
enum Init<'a> {
    Base(&'a Artifact),
    Scratch,
    Checkpoint(PathBuf),
}

impl<'a> Init<'a> {
    fn of(section: &InitSection, base: Option<&'a Artifact>) -> Result<Self> {
        let missing = |what: &str| failed("tune")(format!("synthesizer.init: {what}").into());
        Ok(match section.from {
            InitFrom::Base => Self::Base(base.ok_or_else(|| missing("there is no base model"))?),
            InitFrom::Scratch => Self::Scratch,
            InitFrom::Checkpoint => {
                let path = section.checkpoint.as_ref();
                let path =
                    path.ok_or_else(|| missing("`from = \"checkpoint\"` needs `checkpoint`, a folder"))?;
                Self::Checkpoint(path.as_ref().to_owned())
            }
        })
    }

    /// Of the weights, wherever they lie.
    fn identity(&self) -> Result<serde_json::Value> {
        Ok(match self {
            Self::Base(base) => json!({"base": base.fingerprint}),
            Self::Scratch => json!("scratch"),
            Self::Checkpoint(folder) => json!({"checkpoint": content_of(folder)?}),
        })
    }

    fn start(&self, seed: u64) -> Start {
        match self {
            Self::Base(base) => Start::From(base.file("checkpoint")),
            // As every other model of the seed.
            Self::Scratch => Start::Fresh(RootSeed(seed).stream("init", &[])),
            Self::Checkpoint(folder) => Start::From(folder.clone()),
        }
    }
}

/// Of the configuration and the weights in a Hugging Face folder.
fn content_of(folder: &Path) -> Result<Vec<(String, Fingerprint)>> {
    let entries = std::fs::read_dir(folder).map_err(Error::file("read", folder))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(Error::file("read", folder))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name == "config.json"
            || name.ends_with(".safetensors")
            || name.ends_with(".safetensors.index.json")
        {
            let bytes = std::fs::read(&path).map_err(Error::file("read", &path))?;
            files.push((name, Fingerprint::of_bytes(&bytes)));
        }
    }
    files.sort();
    Ok(files)
}

/// Makes pairs into what is learned from them.
struct ExampleMaker<'a> {
    seeds: Seeds<'a>,
    objective: &'a dyn Objective,
    markers: Markers,
    context: usize,
}

impl ExampleMaker<'_> {
    /// The examples that fit into the context, and how many do not.
    fn examples(&self, pairs: &[Pair]) -> (Vec<Example>, usize) {
        let examples = pairs.iter().filter_map(|pair| self.example(pair));
        let examples: Vec<Example> = examples.collect();
        let too_long = pairs.len() - examples.len();
        (examples, too_long)
    }

    /// The example of a pair, if it fits.
    fn example(&self, pair: &Pair) -> Option<Example> {
        let target = self.seeds.row(pair.target);
        let seeds = self.seeds.of(self.seeds.row(pair.seed), Some(target));
        let example = self.objective.example(&views(&seeds), &self.seeds.whole(target), self.markers);
        (example.num_predictions() <= self.context).then_some(example)
    }
}
