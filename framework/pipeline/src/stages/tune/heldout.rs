//! Held-out pairs: which they are, what the synthesizer makes of them, and when it learns no more.

use std::path::Path;

use sbp_core::{Cost, DocId, Example, Pair, RootSeed};
use sbp_plugin::ports::{KeepCheckpoints, LanguageModel, Precision};
use sbp_recipe::HeldoutPairsSection;
use serde::{Deserialize, Serialize};

use crate::stages::tokenize::Tokens;
use crate::stages::train::{Job, Outcome, Pause, TrainingSummary, finish, run};
use crate::stages::{Study, failed};
use crate::{Error, Result, files};

/// The pairs to tune on, and those held out: all pairs of seed documents that are chosen by their ids alone, so that nothing
/// else moves them; those of the first document if none is chosen.
pub(crate) fn split(pairs: &[Pair], section: Option<&HeldoutPairsSection>) -> (Vec<Pair>, Vec<Pair>) {
    let Some(section) = section else { return (pairs.to_vec(), Vec::new()) };
    let chosen = |seed: DocId| RootSeed(0).stream("held-out pairs", &[seed.0]).uniform() < section.share;
    let fallback =
        pairs.first().filter(|_| !pairs.iter().any(|pair| chosen(pair.seed))).map(|pair| pair.seed);
    let is_held_out = |pair: &&Pair| chosen(pair.seed) || Some(pair.seed) == fallback;
    let (heldout, tuned): (Vec<&Pair>, Vec<&Pair>) = pairs.iter().partition(is_held_out);
    (tuned.into_iter().copied().collect(), heldout.into_iter().copied().take(section.max_pairs).collect())
}

/// One measurement, a line of `heldout.jsonl`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Measurement {
    /// What training had come to.
    trained: TrainingSummary,
    /// Nats per weighted token of the held-out pairs.
    loss: f64,
    /// Of all measurements so far.
    cost: Cost,
}

/// What tuning came to, written before weights are put in place, so that a kill between the two loses nothing.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Conclusion {
    best: u64,
    summary: TrainingSummary,
}

/// Makes the job anew, with its data from the start, and hands it to what is to be done with it.
type Maker<'a> = dyn FnMut(&mut dyn FnMut(Job<'_>) -> Result<Outcome>) -> Result<Outcome> + 'a;

/// Tunes until held-out pairs have not come out better for a while, and leaves the weights that were best for them.
///
/// The job pauses where it is measured and goes on as a stopped one does, so that pauses leave no trace in it.
pub(super) fn train_until_worse(
    study: &mut Study<'_>,
    tokens: &Tokens,
    folder: &Path,
    (section, every): (&HeldoutPairsSection, u64),
    heldout: &[Example],
    job: &mut Maker<'_>,
) -> Result<()> {
    let log = folder.join("heldout.jsonl");
    let mut measured: Vec<Measurement> = if log.exists() { files::read_lines(&log)? } else { Vec::new() };
    let keep = KeepCheckpoints { every_steps: Some(every), ..KeepCheckpoints::default() };
    let concluded = folder.join("concluded.json");
    loop {
        let after = study.led(|_| {
            if concluded.exists() {
                return Ok(None);
            }
            let best = measured.iter().min_by(|a, b| a.loss.total_cmp(&b.loss));
            let last = measured.last();
            if let (Some(best), Some(last)) = (best, last) {
                let is_done = folder.join("checkpoint").exists();
                let since = (last.trained.steps - best.trained.steps) / every;
                if is_done || since >= section.patience {
                    let mut summary = TrainingSummary { steps: best.trained.steps, ..last.trained };
                    summary.cost.add(last.cost);
                    files::write_json(&concluded, &Conclusion { best: best.trained.steps, summary })?;
                    return Ok(None);
                }
            }
            Ok(Some(last.map_or(0, |last| last.trained.steps) + every))
        })?;
        let Some(after) = after else { break };
        let mut label = String::new();
        let outcome = job(&mut |job| {
            label = job.label.to_owned();
            run(study, tokens, folder, Job { pause: Some(Pause { after, keep: keep.clone() }), ..job })
        })?;
        let (trained, checkpoint) = match outcome {
            Outcome::Paused(trained) => (trained, kept(folder, after)),
            Outcome::Finished(trained) => (trained, folder.join("checkpoint")),
        };
        study.led(|study| {
            let mut model = study.runtime.open(&checkpoint, Precision::Fp32).map_err(failed(&label))?;
            let loss = loss(model.as_mut(), heldout).map_err(failed(&label))?;
            let mut cost = measured.last().map_or_else(Cost::default, |last| last.cost);
            cost.add(model.take_cost());
            measured.push(Measurement { trained, loss, cost });
            files::write_lines(&log, &measured)
        })?;
    }
    study.led(|study| {
        let Conclusion { best, summary } = files::read_json(&concluded)?;
        let (kept, checkpoint) = (kept(folder, best), folder.join("checkpoint"));
        // Where the last weights are the best they are in place, or were kept last.
        if kept.exists() {
            remove(&checkpoint)?;
            std::fs::rename(&kept, &checkpoint).map_err(Error::file("rename", &kept))?;
        }
        remove(&folder.join("checkpoints"))?;
        remove(&folder.join("progress"))?;
        finish(study, tokens, folder, summary)
    })
}

fn kept(folder: &Path, step: u64) -> std::path::PathBuf {
    folder.join(format!("checkpoints/step-{step:06}"))
}

fn remove(folder: &Path) -> Result<()> {
    if folder.exists() {
        std::fs::remove_dir_all(folder).map_err(Error::file("remove", folder))
    } else {
        Ok(())
    }
}

/// Mean loss of examples in nats per weighted token.
pub(crate) fn loss(model: &mut dyn LanguageModel, examples: &[Example]) -> sbp_plugin::Result<f64> {
    let sums = sums(model, examples)?;
    let (loss, weights) = sums.iter().fold((0.0, 0.0), |(loss, weights), it| (loss + it.0, weights + it.1));
    Ok(loss / weights)
}

/// Weighted loss of each example in nats, and the sum of its weights.
pub(crate) fn sums(
    model: &mut dyn LanguageModel,
    examples: &[Example],
) -> sbp_plugin::Result<Vec<(f64, f64)>> {
    let sequences: Vec<_> = examples.iter().map(|example| example.tokens.clone()).collect();
    let log_probs = model.log_probs(&sequences)?;
    let sum = |(example, log_probs): (&Example, Vec<f32>)| {
        let weighted = example.loss_weights[1..].iter().zip(log_probs);
        weighted.fold((0.0, 0.0), |(loss, weights), (&weight, log_prob)| {
            (loss - f64::from(weight) * f64::from(log_prob), weights + f64::from(weight))
        })
    };
    Ok(examples.iter().zip(log_probs).map(sum).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_of_a_seed_are_held_out_together_and_nothing_else_moves_them() {
        let pair = |seed: u64, target: u64| Pair {
            seed: DocId(seed),
            target: DocId(target),
            similarity: 0.5,
            rank: 0,
        };
        let pairs: Vec<Pair> = (0..400).map(|n| pair(n / 4, 1000 + n)).collect();
        let section = HeldoutPairsSection { share: 0.2, ..HeldoutPairsSection::default() };
        let (tuned, heldout) = split(&pairs, Some(&section));
        assert_eq!(tuned.len() + heldout.len(), pairs.len());
        assert!((40..120).contains(&heldout.len()), "{}", heldout.len());
        assert!(heldout.iter().all(|held| tuned.iter().all(|it| it.seed != held.seed)));
        // Fewer documents: those that were held out still are.
        let (_, fewer) = split(&pairs[..200], Some(&section));
        assert!(fewer.iter().all(|pair| heldout.contains(pair)));
        assert_eq!(split(&pairs, None), (pairs.clone(), Vec::new()));
        let tiny = HeldoutPairsSection { share: 1e-9, ..section };
        assert_eq!(split(&pairs, Some(&tiny)).1, pairs[..4]);
    }
}
