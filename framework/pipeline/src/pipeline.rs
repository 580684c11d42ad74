//! The method, one line a stage.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sbp_core::{Cause, Cost, Ledger, RootSeed, TokenCount};
use sbp_plugin::ports::{Runtime, Tokenizer as _};
use sbp_plugin::slots::arm::{Share, Supply};
use sbp_plugin::slots::mixer::Source;
use sbp_plugin::team::Team;
use sbp_recipe::{InitFrom, Plan, Synthesis};

use crate::lock::Lock;
use crate::manifest::Manifest;
use crate::report::curves::{Curve, CurvePoint};
use crate::report::results::{ArmRun, Findings, Results};
use crate::run_folder::RunFolder;
use crate::stages::corpus::CorpusData;
use crate::stages::dynamics::{Dynamics, Measurement};
use crate::stages::train_arm::Pretraining;
use crate::stages::{
    Study, corpus, embed, evaluate, failed, pair, quality, related, round, synthesize, tokenize, train,
    train_arm, tune,
};
use crate::status::recorded;
use crate::store::Artifact;
use crate::together::{self, Together};
use crate::trackers::Trackers;
use crate::watch::{Reporter, Watch};
use crate::{Error, Result, files, report};

/// Where a run lies and where its recipe came from.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// Folder of the store and the runs, see [`crate::home_of`].
    pub home: &'a Path,
    /// Folder of the recipe, for the source state in the manifest.
    pub recipe_folder: &'a Path,
    /// Tells how long the run has taken so far, for the `timing` field of the results.
    pub elapsed: &'a dyn Fn() -> Duration,
}

/// A run that came to its table.
#[derive(Debug)]
pub struct Finished {
    /// Its folder.
    pub folder: RunFolder,
    /// Its results, as in `report/results.json`.
    pub results: Results,
    /// Its table, as in `report/table.md`.
    pub table: String,
}

/// Runs a plan to its report. What the store already has is reused, what was interrupted is resumed.
///
/// # Errors
/// See [`crate::Error`]; whatever was finished before stays in the store.
pub fn run(
    plan: &Plan,
    runtime: &mut dyn Runtime,
    reporter: &mut dyn Reporter,
    options: &Options<'_>,
) -> Result<Finished> {
    let team = runtime.team();
    let reporter = &mut Together { reporter, team: team.as_ref() };
    let mut trackers = Trackers::of(plan, options.home, reporter);
    let outcome = run_tracked(plan, runtime, reporter, &mut trackers, options);
    give_up(team.as_ref(), outcome.as_ref().err());
    // However it ended: what trackers lost is to be known.
    trackers.end();
    trackers.messages().iter().for_each(|message| reporter.warn(message));
    outcome
}

/// Takes part in a run that another process leads, to its end. Nothing is written or shown that the leader does not ask for.
///
/// # Errors
/// As [`run`].
pub fn follow(
    plan: &Plan,
    runtime: &mut dyn Runtime,
    reporter: &mut dyn Reporter,
    options: &Options<'_>,
) -> Result<()> {
    let team = runtime.team();
    let reporter = &mut Together { reporter, team: team.as_ref() };
    let folder = RunFolder::of(options.home, plan);
    let outcome = together::same_folder(team.as_ref(), options.home).and_then(|()| {
        let mut study = Study::new(plan, options.home, &folder, runtime, Watch::by(reporter));
        stages(&mut study).map(|_| ())
    });
    give_up(team.as_ref(), outcome.as_ref().err());
    outcome
}

/// Tells the others that this process goes no further, if they cannot know.
fn give_up(team: &dyn Team, error: Option<&Error>) {
    match error {
        None | Some(Error::Team(_) | Error::Stopped { .. }) => {}
        Some(error) => team.fail(&error.to_string()),
    }
}

fn run_tracked(
    plan: &Plan,
    runtime: &mut dyn Runtime,
    reporter: &mut dyn Reporter,
    trackers: &mut Trackers,
    options: &Options<'_>,
) -> Result<Finished> {
    let folder = RunFolder::of(options.home, plan);
    let _alone = folder.alone(reporter)?;
    folder.begin(plan)?;
    recorded(plan, &folder, reporter, |reporter| {
        together::same_folder(runtime.team().as_ref(), options.home)?;
        Lock::of(std::slice::from_ref(plan))?.write(&folder.path.join("recipe.lock.json"))?;
        let manifest = Manifest::of(plan, runtime.facts(), options.recipe_folder);
        files::write_json(&folder.path.join("manifest.json"), &manifest)?;
        let watch = Watch::new(reporter, trackers, &folder.events());
        let mut study = Study::new(plan, options.home, &folder, runtime, watch);

        let (findings, supply, vocabulary) = stages(&mut study)?;

        let elapsed = (options.elapsed)();
        let results = findings.conclude(plan, &supply, vocabulary, serde_json::json!(manifest), elapsed);
        files::write_json(&folder.results(), &results)?;
        report::write(&results, None, &report::Format::ALL, &folder.path.join("report"))?;
        let table = report::Format::Markdown.render(&results, None);
        study.watch.report(&serde_json::json!(results));
        Ok(Finished { folder: folder.clone(), results, table })
    })
}

/// All stages in order: what was found, the unique tokens there were, and the size of the vocabulary.
pub(crate) fn stages(study: &mut Study<'_>) -> Result<(Findings, Supply, usize)> {
    let plan = study.plan;
    let corpus = corpus::make(study)?;
    let tokens = tokenize::make(study, &corpus)?;
    let mut supply = tokens.supply();
    let wanted = plan.synthetic_wanted(&supply).map_err(failed("plan"))?;
    supply.synthetic = wanted;
    let arms = plan.arms(&supply, 0.0, 1.0).map_err(failed("plan"))?;
    study.watch.reporter.show(&plan.tree(&arms, &supply, ""));

    let needs_pairs = plan.needs_pairs().map_err(failed("plan"))?;
    let mut findings = Findings::new(plan, &corpus);
    for &seed in &plan.recipe.recipe.seeds {
        let mut pairing = Ledger::default();
        let mut overhead = Ledger::default();
        let (mut synthetic, mut related) = (None, None);
        if wanted > 0 || needs_pairs {
            let method = plan.synthesis().map_err(failed("plan"))?;
            let first = Round::first(study, method, &corpus, &tokens, seed)?;
            pairing = first.pairing.clone();
            if needs_pairs {
                related = Some(related::make(study, &corpus, &tokens, &first.pairs, seed)?);
            }
            if wanted > 0 {
                synthetic = Some(rounds(study, method, first, wanted, seed, &mut overhead, &mut findings)?);
            }
        }
        supply.synthetic = synthetic.as_ref().map_or(0, |synthetic| synthetic.tokens.num_training_tokens());
        let flops_per_token = flops_per_token(plan, &tokens);
        let arms =
            plan.arms(&supply, overhead.end_to_end_flops(), flops_per_token).map_err(failed("plan"))?;
        for arm in &arms {
            let pretraining = Pretraining {
                kind: "train",
                arm: &arm.name,
                seed,
                steps: arm.budget.steps,
                schedule_steps: arm.budget.steps,
                shares: &arm.shares,
                synthetic: synthetic.as_ref(),
                related: related.as_ref(),
                dynamics: Dynamics::of(study, &corpus, &tokens, arm.budget.steps),
            };
            let model = train_arm::make(study, &tokens, &pretraining)?;
            let (evaluation, scores) = evaluate::make(study, &corpus, &tokens, &arm.name, seed, &model)?;
            let trained = train::summary(&model)?;
            let mut ledger = scores.ledger.clone();
            ledger.charge(Cause::Train, trained.cost);
            for measured in Measurement::read(&model)? {
                ledger.charge(Cause::Evaluate, measured.cost);
            }
            let last = CurvePoint {
                step: trained.steps,
                tokens: trained.cost.tokens,
                flops: trained.cost.flops,
                metrics: scores.values(),
            };
            if arm.synthetic_wanted > 0 {
                ledger.absorb(&overhead);
            } else if arm.shares.iter().any(|share| share.source == Source::Related) {
                ledger.absorb(&pairing);
            }
            for (name, target) in [
                ("metrics.jsonl", model.file("metrics.jsonl")),
                ("hf", model.file("checkpoint")),
                ("eval", evaluation.path.clone()),
            ] {
                study.link_arm(&arm.name, seed, name, &target)?;
            }
            findings.arm(ArmRun {
                plan: arm.clone(),
                seed,
                ledger,
                final_loss: trained.final_loss,
                scores: scores.scores,
                curve: Curve::read(&model, seed, last)?,
            });
        }
    }
    Ok((findings, supply, tokens.tokenizer.vocab_size()))
}

/// Documents that were paired, as far as a round comes without a synthesizer.
struct Round<'c> {
    corpus: &'c CorpusData,
    tokens: &'c tokenize::Tokens,
    base: Option<Artifact>,
    embedded: embed::Embedded,
    pairs: pair::Pairs,
    /// What pairing took; the base model too, where the embedder needs it.
    pairing: Ledger,
    /// What the base model took, where the synthesizer alone needs it.
    start: Cost,
}

impl<'c> Round<'c> {
    fn first(
        study: &mut Study<'_>,
        method: Synthesis<'_>,
        corpus: &'c CorpusData,
        tokens: &'c tokenize::Tokens,
        seed: u64,
    ) -> Result<Self> {
        let from_base = method.synthesizer.init.from == InitFrom::Base;
        let embeds_with_base = embed::needs_base(method.embedder, seed)?;
        let base = match from_base || embeds_with_base {
            true => Some(base(study, tokens, seed)?),
            false => None,
        };
        let mut round = Self::of(study, method, (corpus, tokens), base, seed)?;
        if let Some(base) = &round.base {
            let cost = train::summary(base)?.cost;
            match embeds_with_base {
                true => round.pairing.charge(Cause::Base, cost),
                false => round.start = cost,
            }
        }
        Ok(round)
    }

    fn of(
        study: &mut Study<'_>,
        method: Synthesis<'_>,
        (corpus, tokens): (&'c CorpusData, &'c tokenize::Tokens),
        base: Option<Artifact>,
        seed: u64,
    ) -> Result<Self> {
        let mut pairing = Ledger::default();
        let embedded = embed::make(study, method.embedder, corpus, tokens, base.as_ref(), seed)?; // d -> e(d)
        let pairs = pair::make(study, method, corpus, &embedded, seed)?; // (d1, d2), filtered
        pairing.charge(Cause::Embed, embedded.cost);
        Ok(Self { corpus, tokens, base, embedded, pairs, pairing, start: Cost::default() })
    }

    /// Tunes a synthesizer on the pairs and samples from it.
    fn synthesize(
        &self,
        study: &mut Study<'_>,
        method: Synthesis<'_>,
        wanted: TokenCount,
        name: &str,
        seed: u64,
        (ledger, findings): (&mut Ledger, &mut Findings),
    ) -> Result<synthesize::Synthetic> {
        let Self { corpus, tokens, base, embedded, pairs, pairing, start } = self;
        let section = method.synthesizer;
        let tuned = tune::make(study, section, corpus, tokens, base.as_ref(), pairs, seed)?; // max log p(d2 | d1)
        let sources = synthesize::Sources { section, corpus, tokens, pairs, tuned: &tuned.artifact };
        let drawn = synthesize::make(study, sources, wanted, seed)?; // d2 ~ p(. | d1)
        ledger.absorb(pairing);
        ledger.charge(Cause::Base, *start);
        ledger.charge(Cause::Tune, train::summary(&tuned.artifact)?.cost);
        ledger.charge(Cause::Generate, drawn.summary.cost);
        let sources = quality::Sources {
            section,
            embedder: method.embedder,
            corpus,
            tokens,
            pairs,
            tuned: &tuned.artifact,
            base: base.as_ref(),
        };
        let (quality, samples) = quality::make(study, sources, &drawn, seed)?;
        findings.synthesis(name, embedded.stored, &pairs.summary, &tuned.summary, quality, samples);
        Ok(drawn)
    }
}

/// All rounds of synthesis; what the last one wrote.
fn rounds(
    study: &mut Study<'_>,
    method: Synthesis<'_>,
    first: Round<'_>,
    wanted: TokenCount,
    seed: u64,
    ledger: &mut Ledger,
    findings: &mut Findings,
) -> Result<synthesize::Synthetic> {
    let rounds = &method.synthesizer.rounds;
    let name = |round: u32| {
        if rounds.count > 1 { format!("seed-{seed} round {round}") } else { format!("seed-{seed}") }
    };
    let mut drawn = first.synthesize(study, method, wanted, &name(1), seed, (ledger, findings))?;
    // Owned from the second on.
    let mut before: Option<(CorpusData, tokenize::Tokens)> = None;
    for round in 2..=rounds.count {
        let given = before.as_ref().map_or((first.corpus, first.tokens), |(corpus, tokens)| (corpus, tokens));
        study.round = Some(round);
        let next = round::next(study, given, &drawn, rounds.keep, &format!("documents seed {seed}"))?;
        let round_of = Round::of(study, method, (&next.0, &next.1), first.base.clone(), seed)?;
        drawn = round_of.synthesize(study, method, wanted, &name(round), seed, (ledger, findings))?;
        before = Some(next);
    }
    study.round = None;
    Ok(drawn)
}

/// Pairs that a plan comes to, with some to read.
#[derive(Debug)]
pub struct FoundPairs {
    /// A folder of Parquet files with the columns `seed_id`, `target_id`, `similarity` and `rank`.
    pub path: PathBuf,
    /// Its counts, as in `summary.json` beside it.
    pub summary: serde_json::Value,
    /// Some of them, drawn at random.
    pub samples: Vec<PairSample>,
}

/// A pair to read.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct PairSample {
    /// Inner product of the two embeddings.
    pub similarity: f32,
    /// Text of the seed document.
    pub seed: String,
    /// Text of its target.
    pub target: String,
}

/// Makes the pairs of a plan's first seed, and nothing that comes after them.
///
/// # Errors
/// See [`crate::Error`]; also when the recipe has no synthesis to pair documents for.
pub fn pairs(
    plan: &Plan,
    runtime: &mut dyn Runtime,
    reporter: &mut dyn Reporter,
    options: &Options<'_>,
    num_samples: usize,
) -> Result<FoundPairs> {
    let team = runtime.team();
    let reporter = &mut Together { reporter, team: team.as_ref() };
    let outcome = pairs_together(plan, runtime, reporter, options, num_samples);
    give_up(team.as_ref(), outcome.as_ref().err());
    outcome
}

fn pairs_together(
    plan: &Plan,
    runtime: &mut dyn Runtime,
    reporter: &mut dyn Reporter,
    options: &Options<'_>,
    num_samples: usize,
) -> Result<FoundPairs> {
    let (team, folder) = (runtime.team(), RunFolder::of(options.home, plan));
    let mut trackers = None;
    let _alone = match team.is_leader() {
        true => {
            let alone = folder.alone(reporter)?;
            folder.begin(plan)?;
            trackers = Some(Trackers::of(plan, options.home, reporter));
            Some(alone)
        }
        false => None,
    };
    together::same_folder(team.as_ref(), options.home)?;
    let watch = match &mut trackers {
        Some(trackers) => Watch::new(reporter, trackers, &folder.events()),
        None => Watch::by(reporter),
    };
    let mut study = Study::new(plan, options.home, &folder, runtime, watch);
    let method = plan.synthesis().map_err(failed("plan"))?;
    let seed = plan.recipe.recipe.seeds[0];

    let corpus = corpus::make(&mut study)?;
    let tokens = tokenize::make(&mut study, &corpus)?;
    let base = match embed::needs_base(method.embedder, seed)? {
        true => Some(base(&mut study, &tokens, seed)?),
        false => None,
    };
    let embedded = embed::make(&mut study, method.embedder, &corpus, &tokens, base.as_ref(), seed)?;
    let pairs = pair::make(&mut study, method, &corpus, &embedded, seed)?;

    let texts: HashMap<_, _> = corpus.pretrain.iter().map(|document| (document.id, &document.text)).collect();
    let order = RootSeed(seed).stream("shown pairs", &[]).permutation(pairs.pairs.len());
    let samples = order.into_iter().take(num_samples).map(|place| {
        let pair = pairs.pairs[place as usize];
        let text = |id| texts[&id].clone();
        PairSample { similarity: pair.similarity, seed: text(pair.seed), target: text(pair.target) }
    });
    let mut summary = serde_json::json!(pairs.summary);
    summary["embeddings"] = serde_json::json!(embedded.stored);
    Ok(FoundPairs { path: pairs.artifact.file(pair::PAIRS), summary, samples: samples.collect() })
}

/// The model that the synthesizer starts from: D_pretrain alone, for the base duration.
fn base(study: &mut Study<'_>, tokens: &tokenize::Tokens, seed: u64) -> Result<crate::store::Artifact> {
    let recipe = &study.plan.recipe;
    let per_step = recipe.training.tokens_per_step;
    let steps_of =
        |duration: sbp_core::Duration| duration.steps(per_step, tokens.pretrain.num_training_tokens());
    let steps = steps_of(recipe.base.duration);
    let schedule_steps = recipe.base.schedule_duration.map_or(steps, steps_of).max(steps);
    let shares = [Share::real(Source::Pretrain, steps * per_step)];
    let pretraining = Pretraining {
        kind: "base",
        arm: "",
        seed,
        steps,
        schedule_steps,
        shares: &shares,
        synthetic: None,
        related: None,
        dynamics: None,
    };
    train_arm::make(study, tokens, &pretraining)
}

/// What one token of pretraining costs, for matching on total FLOPs.
fn flops_per_token(plan: &Plan, tokens: &tokenize::Tokens) -> f64 {
    let model = &plan.recipe.model;
    let mean_context = match plan.recipe.training.cross_documents {
        true => (model.context_length as f64 + 1.0) / 2.0,
        false => tokens.pretrain.mean_context(model.context_length),
    };
    model.train_flops_per_token(tokens.tokenizer.vocab_size(), mean_context)
}
