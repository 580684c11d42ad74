//! Synthesis: sample documents from the synthesizer, seeded by every document of D_pretrain, until there are as
//! many tokens after filters as the arms ask for, to the token.
//!
//! Every seed document gets its first draws, in random order, before any gets more. A draw is on the disk as soon as it ends,
//! so that a restart loses those under way alone; the text does not depend on restarts.

mod draws;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use sbp_core::{Cost, DocId, RootSeed, SyntheticDocument};
use sbp_plugin::ports::{Completion, Tokenizer as _};
use sbp_plugin::registry::BuildContext;
use sbp_plugin::slots::document_filter::{DocumentFilter, Verdict};
use sbp_plugin::slots::synthesizer::Request;
use sbp_recipe::SynthesizerSection;
use serde::{Deserialize, Serialize};
use serde_json::json;

use self::draws::{Record, Shard, Tally};
use super::corpus::{CorpusData, HELDOUT};
use super::pair::Pairs;
use super::tokenize::Tokens;
use super::tune::{Room, Seeds, views};
use super::{Study, failed};
use crate::leakage::LeakageGuard;
use crate::store::Artifact;
use crate::together::each_piece;
use crate::token_store::{SHARD_DOCUMENTS, TokenStore, Writer};
use crate::watch::Progress;
use crate::{Error, Result, files};

/// Draws of a shard: of the first, and at least and at most of another. What is sampled beyond the budget is lost, so that
/// the last are small.
const FIRST_SHARD: usize = 512;
const SMALLEST_SHARD: usize = 64;
const LARGEST_SHARD: usize = 65_536;

/// Batches that a process takes at a time: enough that few draws end alone, and the same however many processes there are, so
/// that draws have the same company.
const BATCHES_AT_ONCE: usize = 8;

/// Name of the accepted documents as tokens.
const ACCEPTED: &str = "accepted";

/// Folder of the draws in the artifact.
const DRAWS: &str = "draws";

/// What the synthesizer wrote and the filters kept.
pub(crate) struct Synthetic {
    pub(crate) artifact: Artifact,
    /// The accepted documents, in the order they were drawn.
    pub(crate) documents: Vec<SyntheticDocument>,
    pub(crate) tokens: TokenStore,
    pub(crate) summary: Summary,
}

/// Counts of the synthesis, `summary.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Summary {
    pub(crate) drawn: usize,
    pub(crate) accepted: usize,
    /// Training tokens of the accepted documents.
    pub(crate) tokens: u64,
    /// Training tokens asked for.
    pub(crate) wanted: u64,
    /// Dropped documents by reason.
    pub(crate) dropped: BTreeMap<String, usize>,
    pub(crate) cost: Cost,
}

/// What a synthesis is made from.
#[derive(Clone, Copy)]
pub(crate) struct Sources<'a> {
    pub(crate) section: &'a SynthesizerSection,
    pub(crate) corpus: &'a CorpusData,
    pub(crate) tokens: &'a Tokens,
    pub(crate) pairs: &'a Pairs,
    /// The tuned synthesizer.
    pub(crate) tuned: &'a Artifact,
}

pub(crate) fn make(study: &mut Study<'_>, from: Sources<'_>, wanted: u64, seed: u64) -> Result<Synthetic> {
    let label = format!("synthesize seed {seed}");
    let splits = &study.plan.recipe.splits;
    let section = from.section;
    let filters = section.filters.iter().map(|filter| {
        let content = filter.build(&BuildContext { seed })?.content()?;
        Ok(json!({"filter": filter.identity(), "content": content}))
    });
    let filters: Vec<_> = filters.collect::<sbp_plugin::Result<_>>().map_err(failed(&label))?;
    let inputs = json!({
        "synthesizer": from.tuned.fingerprint,
        "objective": section.objective.identity(),
        "sampling": section.sampling.identity(),
        "precision": section.precision,
        "filters": filters,
        "max_draws_per_seed": section.max_draws_per_seed,
        "draws_at_once": section.draws_at_once,
        "contamination": [json!(splits.contamination_ngram), json!(splits.contamination_share)],
        "wanted": wanted,
        "seed": seed,
    });
    let artifact = study.share(&label, "synthesize", &inputs, &mut |study, folder| {
        let made = sample(study, from, wanted, seed, &label, folder)?;
        if !study.team.is_leader() {
            return Ok(());
        }
        let summary = made.finish(folder, from.tokens, &failed(&label))?;
        if summary.tokens < wanted {
            study.watch.warn(&format!(
                "{label}: {} of {wanted} tokens after {} draws for each seed document; the rest of the budget goes to real documents",
                summary.tokens, section.max_draws_per_seed
            ));
        }
        files::write_json(&folder.join("summary.json"), &summary)
    })?;
    let kept = all_records(&artifact)?.into_iter().filter(|record| record.verdict.is_keep());
    let documents = kept.map(|record| record.document).collect();
    let tokens = TokenStore::open(&artifact.path, &[ACCEPTED])?;
    Ok(Synthetic { summary: files::read_json(&artifact.file("summary.json"))?, documents, tokens, artifact })
}

/// Every draw with its verdict, in the order they were asked for.
fn all_records(artifact: &Artifact) -> Result<Vec<Record>> {
    let mut all = Vec::new();
    let draws = artifact.file(DRAWS);
    for number in (0..).take_while(|&number| Shard::is_whole(&draws, number)) {
        all.extend(Shard::read_whole(&draws, number)?);
    }
    Ok(all)
}

impl Synthetic {
    /// All draws that hold any text, those that were dropped too.
    pub(crate) fn all_draws(&self) -> Result<Vec<SyntheticDocument>> {
        let drawn = all_records(&self.artifact)?.into_iter().map(|record| record.document);
        Ok(drawn.filter(|document| !document.text.trim().is_empty()).collect())
    }
}

/// Samples until enough is accepted; leaves every draw with its verdict. Each process takes the next few draws that nobody has.
fn sample(
    study: &mut Study<'_>,
    from: Sources<'_>,
    wanted: u64,
    seed: u64,
    label: &str,
    folder: &Path,
) -> Result<Made> {
    let fail = failed(label);
    let team = Arc::clone(&study.team);
    let Sources { section, corpus, tokens, pairs, tuned } = from;
    let build = BuildContext { seed };
    let objective = section.objective.build(&build).map_err(&fail)?;
    let mut sampler = section.sampling.build(&build).map_err(&fail)?;
    let filters = section.filters.iter().map(|filter| {
        let mut filter = filter.build(&build)?;
        filter.prepare(&corpus.pretrain)?;
        Ok(filter)
    });
    let judge = Judge {
        corpus,
        tokens,
        filters: filters.collect::<sbp_plugin::Result<_>>().map_err(&fail)?,
        guard: guard(study, corpus),
    };
    let room = Room::of(section, study.plan.recipe.model.context_length, seed)?;
    let seeds = Seeds::new(&corpus.pretrain, &tokens.pretrain, pairs, room);
    let end_of_text = tokens.tokenizer.markers().end_of_text;
    let root = RootSeed(seed);
    let draws = folder.join(DRAWS);
    files::create_folder(&draws)?;
    let mut model = study.runtime.open(&tuned.file("checkpoint"), section.precision).map_err(&fail)?;

    let mut order = order(section, corpus, root);
    let mut made = Made { wanted, ..Made::default() };
    for number in 0.. {
        let places: Vec<(usize, u32)> = order.by_ref().take(made.next_shard()).collect();
        let room = made.missing();
        if places.is_empty() || room == 0 {
            break;
        }
        let id = |row: usize| corpus.pretrain[row].id;
        let asked: Vec<(DocId, u32)> = places.iter().map(|&(row, draw)| (id(row), draw)).collect();
        // Which draws are there is looked at by one process, before any adds to them.
        let mut opened = None;
        let missing: Option<Vec<usize>> = study.led(|_| {
            if Shard::is_whole(&draws, number) {
                return Ok(None);
            }
            let shard = opened.insert(Shard::open(&draws, number)?);
            Ok(Some((0..places.len()).filter(|&place| !shard.has(asked[place])).collect()))
        })?;
        if let Some(missing) = missing {
            let mut shard = match opened {
                Some(shard) => shard,
                None => Shard::open_beside(&draws, number, team.rank())?,
            };
            let requests: Vec<Request> = missing
                .iter()
                .map(|&place| {
                    let (row, draw) = places[place];
                    let seeds = seeds.of(row, None);
                    let prompt = objective.prompt(&views(&seeds), tokens.tokenizer.markers());
                    Request { seed: id(row), draw, prompt }
                })
                .collect();
            let pieces: Vec<&[Request]> =
                requests.chunks(BATCHES_AT_ONCE * sampler.batch_size().max(1)).collect();
            let reporter = &mut study.watch.reporter;
            let (sampler, model) = (sampler.as_mut(), model.as_mut());
            let (judge, seeds, made, fail) = (&judge, &seeds, &made, &fail);
            // The shard goes along, and is closed with it: others see what was written to a file once it is.
            each_piece(team.as_ref(), label, pieces.len(), move |piece| {
                let requests = pieces[piece];
                // What the slot's error type cannot carry.
                let mut stopped = None;
                let sampled = sampler.sample(model, requests, end_of_text, root, &mut |place, completion| {
                    let request = &requests[place];
                    let record = judge.record(request, seeds.row(request.seed), completion)?;
                    if let Err(error) = shard.add(record) {
                        stopped = Some(error);
                    } else if reporter.stop_requested() {
                        stopped = Some(Error::Stopped { stage: label.to_owned() });
                    }
                    reporter.progress(&made.progress(label, shard.tally()));
                    if stopped.is_some() { Err("stopped".into()) } else { Ok(()) }
                });
                if let Some(error) = stopped {
                    return Err(error);
                }
                sampled.map_err(fail)
            })?;
            study.led(|_| Shard::open(&draws, number)?.finish(&draws, number, &asked, room))?;
        }
        made.add(Shard::read_whole(&draws, number)?);
    }
    Ok(made)
}

/// Every draw that may be made: rounds of `draws_at_once` draws for every row, each round in an order of its own.
fn order<'a>(
    section: &SynthesizerSection,
    corpus: &'a CorpusData,
    root: RootSeed,
) -> impl Iterator<Item = (usize, u32)> + use<'a> {
    let (most, at_once) = (section.max_draws_per_seed, section.draws_at_once.max(1));
    (0..most).step_by(at_once as usize).flat_map(move |first| {
        let order = root.stream("order/seeds", &[u64::from(first)]).permutation(corpus.pretrain.len());
        let draws = first..most.min(first + at_once);
        order.into_iter().flat_map(move |row| draws.clone().map(move |draw| (row as usize, draw)))
    })
}

/// What there is so far.
#[derive(Default)]
struct Made {
    wanted: u64,
    records: Vec<Record>,
    tally: Tally,
}

impl Made {
    fn add(&mut self, records: Vec<Record>) {
        records.iter().for_each(|record| self.tally.add(record));
        self.records.extend(records);
    }

    /// Training tokens that are missing.
    fn missing(&self) -> u64 {
        self.wanted.saturating_sub(self.tally.tokens)
    }

    /// Draws that are likely to give what is missing. A function of what whole shards hold, so that a restart asks for the
    /// same.
    fn next_shard(&self) -> usize {
        if self.records.is_empty() {
            return FIRST_SHARD;
        }
        let per_draw = self.tally.tokens as f64 / self.records.len() as f64;
        // As a whole number, which infinity has too.
        ((self.missing() as f64 / per_draw).ceil() as usize).clamp(SMALLEST_SHARD, LARGEST_SHARD)
    }

    /// With what the shard under way has.
    fn progress<'p>(&self, label: &'p str, under_way: Tally) -> Progress<'p> {
        let mut cost = self.tally.cost;
        cost.add(under_way.cost);
        let drawn = self.tally.drawn + under_way.drawn;
        let dropped = self.tally.dropped + under_way.dropped;
        let done = (self.tally.tokens + under_way.tokens).min(self.wanted);
        Progress {
            tokens: cost.tokens,
            flops: cost.flops,
            dropped: Some(dropped as f64 / drawn.max(1) as f64),
            ..Progress::of(label, done, self.wanted, "tokens")
        }
    }

    /// Writes the accepted documents as tokens.
    fn finish(
        self,
        folder: &Path,
        tokens: &Tokens,
        fail: &dyn Fn(sbp_plugin::Error) -> Error,
    ) -> Result<Summary> {
        let mut dropped = BTreeMap::new();
        let mut accepted = Vec::new();
        for record in &self.records {
            match &record.verdict {
                Verdict::Keep => {
                    let mut text = tokens.tokenizer.encode(&record.document.text).map_err(fail)?;
                    // The last is cut to what the budget has room for, its end marker included.
                    text.truncate(record.training_tokens as usize - 1);
                    accepted.push(text);
                }
                Verdict::Drop(reason) => *dropped.entry(reason.clone()).or_insert(0) += 1,
            }
        }
        let mut writer = Writer::new(folder, ACCEPTED, tokens.tokenizer.vocab_size())?;
        for shard in accepted.chunks(SHARD_DOCUMENTS) {
            writer.shard(|| Ok(shard.to_vec()))?;
        }
        Ok(Summary {
            drawn: self.records.len(),
            accepted: accepted.len(),
            tokens: self.tally.tokens,
            wanted: self.wanted,
            dropped,
            cost: self.tally.cost,
        })
    }
}

/// Everything that decides on a draw.
struct Judge<'a> {
    corpus: &'a CorpusData,
    tokens: &'a Tokens,
    filters: Vec<Box<dyn DocumentFilter>>,
    guard: LeakageGuard,
}

impl Judge<'_> {
    fn record(&self, request: &Request, row: usize, completion: Completion) -> sbp_plugin::Result<Record> {
        let text = self.tokens.tokenizer.decode(&completion.tokens)?;
        let training_tokens = self.tokens.tokenizer.encode(&text)?.len() as u32 + 1;
        let document = SyntheticDocument {
            seed: request.seed,
            draw: request.draw,
            text,
            num_tokens: completion.tokens.len() as u32 + u32::from(completion.finished),
            log_prob: completion.log_prob,
            finished: completion.finished,
        };
        let verdict = self.verdict(&document, &self.corpus.pretrain[row]);
        Ok(Record { document, verdict, training_tokens, cost: completion.cost })
    }

    fn verdict(&self, document: &SyntheticDocument, seed: &sbp_core::Document) -> Verdict {
        if document.text.trim().is_empty() {
            return Verdict::drop("empty");
        }
        if self.guard.is_contaminated(&document.text) {
            return Verdict::drop("contaminated");
        }
        let verdicts = self.filters.iter().map(|filter| filter.judge(document, seed));
        verdicts.into_iter().find(|verdict| !verdict.is_keep()).unwrap_or(Verdict::Keep)
    }
}

/// Evaluation text must not come back through the synthesizer.
fn guard(study: &Study<'_>, corpus: &CorpusData) -> LeakageGuard {
    let splits = &study.plan.recipe.splits;
    let questions: Vec<String> = corpus
        .questions
        .iter()
        .map(|question| format!("{}{}", question.context, question.choices[question.answer]))
        .collect();
    let mut guard = LeakageGuard::new(splits.contamination_ngram, splits.contamination_share);
    guard.guard(HELDOUT, corpus.heldout.iter().map(|document| document.text.as_str()));
    guard.guard("questions", questions.iter().map(String::as_str));
    corpus.evaluation_sets.guard(&mut guard);
    guard
}
