//! Evaluation: every evaluator's scores of one trained model.

use sbp_core::{Cause, Ledger};
use sbp_plugin::ports::Precision;
use sbp_plugin::registry::BuildContext;
use sbp_plugin::slots::evaluator::{EvalContext, Score};
use sbp_plugin::slots::tracker::MetricPoint;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::corpus::CorpusData;
use super::tokenize::Tokens;
use super::{Study, failed, train};
use crate::store::Artifact;
use crate::watch::Progress;
use crate::{Result, files};

/// Scores of one model, `scores.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Scores {
    pub(crate) scores: Vec<Score>,
    pub(crate) ledger: Ledger,
}

pub(crate) fn make(
    study: &mut Study<'_>,
    corpus: &CorpusData,
    tokens: &Tokens,
    arm: &str,
    seed: u64,
    model: &Artifact,
) -> Result<(Artifact, Scores)> {
    let label = format!("evaluate {arm} seed {seed}");
    let evaluators: Vec<_> =
        study.plan.recipe.evaluators.iter().map(|evaluator| evaluator.identity()).collect();
    let inputs = json!({
        "model": model.fingerprint,
        "corpus": corpus.artifact.fingerprint,
        "tokens": tokens.artifact.fingerprint,
        "evaluators": evaluators,
    });
    let trained = train::summary(model)?;
    let artifact = study.make(&label, "evaluate", &inputs, &mut |study, folder| {
        let fail = failed(&label);
        let mut opened = study.runtime.open(&model.file("checkpoint"), Precision::Fp32).map_err(&fail)?;
        let mut scores = Vec::new();
        let total = study.plan.recipe.evaluators.len() as u64;
        for (index, selected) in study.plan.recipe.evaluators.iter().enumerate() {
            let mut evaluator = selected.build(&BuildContext { seed }).map_err(&fail)?;
            let mut context = EvalContext {
                model: opened.as_mut(),
                tokenizer: tokens.tokenizer.as_ref(),
                heldout: &corpus.heldout,
                questions: &corpus.questions,
            };
            scores.extend(evaluator.evaluate(&mut context).map_err(&fail)?);
            study.watch.reporter.progress(&Progress {
                stage: &label,
                done: index as u64 + 1,
                total,
                unit: "evaluators",
                tokens: 0,
                flops: 0,
                peak_flops: None,
                loss: None,
                dropped: None,
            });
        }
        let mut ledger = Ledger::default();
        ledger.charge(Cause::Evaluate, opened.take_cost());
        files::write_json(&folder.join("scores.json"), &Scores { scores, ledger })
    })?;
    let scores: Scores = files::read_json(&artifact.file("scores.json"))?;
    let values: Vec<(&str, f64)> =
        scores.scores.iter().map(|score| (score.metric.as_str(), score.value())).collect();
    study.watch.metrics(&MetricPoint {
        stage: "evaluate",
        arm,
        seed,
        step: trained.steps,
        tokens: trained.cost.tokens,
        values: &values,
    });
    Ok((artifact, scores))
}
