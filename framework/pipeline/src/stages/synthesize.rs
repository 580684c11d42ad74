//! Synthesis: sample documents from the synthesizer, seeded by every document of D_pretrain, until there are as
//! many tokens after filters as the arms ask for.
//!
//! Draw 0 of every seed document comes first, in random order, then draw 1, and so on. Work is kept in shards that
//! are written whole, so that a restart loses at most one; the text does not depend on restarts.

use std::collections::BTreeMap;
use std::path::Path;

use sbp_core::{Cost, RootSeed, SyntheticDocument};
use sbp_plugin::ports::Tokenizer as _;
use sbp_plugin::registry::BuildContext;
use sbp_plugin::slots::document_filter::{DocumentFilter, Verdict};
use sbp_plugin::slots::synthesizer::Request;
use sbp_recipe::SynthesizerSection;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::corpus::{CorpusData, HELDOUT};
use super::tokenize::Tokens;
use super::tune::seed_room;
use super::{Study, failed};
use crate::leakage::LeakageGuard;
use crate::store::Artifact;
use crate::token_store::{SHARD_DOCUMENTS, TokenStore, Writer};
use crate::watch::Progress;
use crate::{Error, Result, files};

/// Requests in one shard: the work that a kill can lose.
const SHARD: usize = 512;

/// Name of the accepted documents as tokens.
const ACCEPTED: &str = "accepted";

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

/// One draw with its verdict, a line of a shard.
#[derive(Serialize, Deserialize)]
struct Record {
    #[serde(flatten)]
    document: SyntheticDocument,
    verdict: Verdict,
    /// Training tokens of the text.
    training_tokens: u32,
}

/// A finished shard.
#[derive(Serialize, Deserialize)]
struct Shard {
    cost: Cost,
    records: Vec<Record>,
}

pub(crate) fn make(
    study: &mut Study<'_>,
    section: &SynthesizerSection,
    corpus: &CorpusData,
    tokens: &Tokens,
    tuned: &Artifact,
    wanted: u64,
    seed: u64,
) -> Result<Synthetic> {
    let label = format!("synthesize seed {seed}");
    let splits = &study.plan.recipe.splits;
    let filters: Vec<_> = section.filters.iter().map(|filter| filter.identity()).collect();
    let inputs = json!({
        "synthesizer": tuned.fingerprint,
        "objective": section.objective.identity(),
        "sampling": section.sampling.identity(),
        "filters": filters,
        "max_draws_per_seed": section.max_draws_per_seed,
        "contamination": [json!(splits.contamination_ngram), json!(splits.contamination_share)],
        "wanted": wanted,
        "seed": seed,
    });
    let artifact = study.make(&label, "synthesize", &inputs, &mut |study, folder| {
        let summary = sample(study, section, corpus, tokens, tuned, wanted, seed, &label, folder)?;
        if summary.tokens < wanted {
            study.watch.warn(&format!(
                "{label}: {} of {wanted} tokens after {} draws for each seed document; the rest of the budget goes to real documents",
                summary.tokens, section.max_draws_per_seed
            ));
        }
        files::write_json(&folder.join("summary.json"), &summary)
    })?;
    let records: Vec<Record> = files::read_lines(&artifact.file("draws.jsonl"))?;
    let documents: Vec<SyntheticDocument> =
        records.into_iter().filter(|record| record.verdict.is_keep()).map(|record| record.document).collect();
    let tokens = TokenStore::open(&artifact.path, &[ACCEPTED])?;
    Ok(Synthetic { summary: files::read_json(&artifact.file("summary.json"))?, documents, tokens, artifact })
}

/// Samples until enough is accepted; leaves `draws.jsonl` (every draw with its verdict) and the accepted tokens.
#[expect(clippy::too_many_arguments, reason = "one call, whose arguments are the stage's inputs")]
fn sample(
    study: &mut Study<'_>,
    section: &SynthesizerSection,
    corpus: &CorpusData,
    tokens: &Tokens,
    tuned: &Artifact,
    wanted: u64,
    seed: u64,
    label: &str,
    folder: &Path,
) -> Result<Summary> {
    let fail = failed(label);
    let build = BuildContext { seed };
    let objective = section.objective.build(&build).map_err(&fail)?;
    let mut sampler = section.sampling.build(&build).map_err(&fail)?;
    let filters = section
        .filters
        .iter()
        .map(|filter| filter.build(&build))
        .collect::<sbp_plugin::Result<Vec<_>>>()
        .map_err(&fail)?;
    let guard = guard(study, corpus);
    let room = seed_room(section, study.plan.recipe.model.context_length, seed)?;
    let markers = tokens.tokenizer.markers();
    let root = RootSeed(seed);
    let mut model = study.runtime.open(&tuned.file("checkpoint")).map_err(&fail)?;
    let shards = folder.join("shards");
    files::create_folder(&shards)?;

    let mut records = Vec::new();
    let mut cost = Cost::default();
    let mut accepted_tokens = 0;
    let mut number = 0;
    'draws: for draw in 0..section.max_draws_per_seed {
        let order = root.stream("order/seeds", &[u64::from(draw)]).permutation(corpus.pretrain.len());
        for rows in order.chunks(SHARD) {
            if accepted_tokens >= wanted {
                break 'draws;
            }
            let path = shards.join(format!("{number:06}.json"));
            number += 1;
            let shard = if path.exists() {
                files::read_json(&path)?
            } else {
                if study.watch.reporter.stop_requested() {
                    return Err(Error::Stopped { stage: label.to_owned() });
                }
                let requests: Vec<Request> = rows
                    .iter()
                    .map(|&row| {
                        let text = tokens.pretrain.document(row as usize);
                        let prompt = objective.prompt(&text[..text.len().min(room)], markers);
                        Request { seed: corpus.pretrain[row as usize].id, draw, prompt }
                    })
                    .collect();
                let completions =
                    sampler.sample(model.as_mut(), &requests, markers.end_of_text, root).map_err(&fail)?;
                let mut records = Vec::new();
                for ((&row, request), completion) in rows.iter().zip(&requests).zip(completions) {
                    let text = tokens.tokenizer.decode(&completion.tokens).map_err(&fail)?;
                    let training_tokens = tokens.tokenizer.encode(&text).map_err(&fail)?.len() as u32 + 1;
                    let document = SyntheticDocument {
                        seed: request.seed,
                        draw,
                        text,
                        num_tokens: completion.tokens.len() as u32 + u32::from(completion.finished),
                        log_prob: completion.log_prob,
                        finished: completion.finished,
                    };
                    let verdict = judge(&document, &corpus.pretrain[row as usize], &filters, &guard);
                    records.push(Record { document, verdict, training_tokens });
                }
                let shard = Shard { cost: model.take_cost(), records };
                files::write_json(&path, &shard)?;
                shard
            };
            cost.tokens += shard.cost.tokens;
            cost.flops += shard.cost.flops;
            accepted_tokens += shard
                .records
                .iter()
                .filter(|record| record.verdict.is_keep())
                .map(|record| u64::from(record.training_tokens))
                .sum::<u64>();
            records.extend(shard.records);
            study.watch.reporter.progress(&Progress {
                stage: label,
                done: accepted_tokens.min(wanted),
                total: wanted,
                unit: "tokens",
                tokens: cost.tokens,
                flops: cost.flops,
                peak_flops: None,
                loss: None,
            });
        }
    }
    finish(folder, &records, tokens, wanted, cost).map_err(|error| match error {
        Finish::Plugin(source) => fail(source),
        Finish::Other(error) => error,
    })
}

enum Finish {
    Plugin(sbp_plugin::Error),
    Other(Error),
}

/// Joins the shards into `draws.jsonl` and the accepted tokens, and removes them.
fn finish(
    folder: &Path,
    records: &[Record],
    tokens: &Tokens,
    wanted: u64,
    cost: Cost,
) -> std::result::Result<Summary, Finish> {
    let mut dropped = BTreeMap::new();
    let mut accepted = Vec::new();
    for record in records {
        match &record.verdict {
            Verdict::Keep => {
                accepted.push(tokens.tokenizer.encode(&record.document.text).map_err(Finish::Plugin)?)
            }
            Verdict::Drop(reason) => *dropped.entry(reason.clone()).or_insert(0) += 1,
        }
    }
    let vocab_size = tokens.tokenizer.vocab_size();
    let mut writer = Writer::new(folder, ACCEPTED, vocab_size).map_err(Finish::Other)?;
    for shard in accepted.chunks(SHARD_DOCUMENTS) {
        writer.shard(|| Ok(shard.to_vec())).map_err(Finish::Other)?;
    }
    files::write_lines(&folder.join("draws.jsonl"), records).map_err(Finish::Other)?;
    let shards = folder.join("shards");
    std::fs::remove_dir_all(&shards).map_err(Error::file("remove", &shards)).map_err(Finish::Other)?;
    Ok(Summary {
        drawn: records.len(),
        accepted: accepted.len(),
        tokens: accepted.iter().map(|document| document.len() as u64 + 1).sum(),
        wanted,
        dropped,
        cost,
    })
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

fn judge(
    document: &SyntheticDocument,
    seed: &sbp_core::Document,
    filters: &[Box<dyn DocumentFilter>],
    guard: &LeakageGuard,
) -> Verdict {
    if document.text.trim().is_empty() {
        return Verdict::drop("empty");
    }
    if guard.is_contaminated(&document.text) {
        return Verdict::drop("contaminated");
    }
    filters
        .iter()
        .map(|filter| filter.judge(document, seed))
        .find(|verdict| !verdict.is_keep())
        .unwrap_or(Verdict::Keep)
}
