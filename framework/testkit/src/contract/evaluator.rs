use sbp_plugin::ports::LanguageModel;
use sbp_plugin::slots::corpus::Corpus;
use sbp_plugin::slots::evaluator::{EvalContext, Score};
use sbp_plugin::{Selected, slots};

use super::{build, documents};
use crate::{BigramModel, ByteTokenizer, TinyConfig, TinyCorpus};

/// Checks names, units and direction of the scores, and that they follow from the model alone.
///
/// # Panics
/// When the contract is broken.
pub fn evaluator(selected: &Selected<slots::Evaluator>) {
    let kind = selected.kind();
    let mut untrained = BigramModel::untrained(128);
    let mut trained = untrained.clone();
    documents(200).iter().for_each(|document| trained.learn(&ByteTokenizer.document(&document.text)));
    let before = evaluate(selected, &mut untrained);
    let after = evaluate(selected, &mut trained);
    assert_eq!(after, evaluate(selected, &mut trained), "{kind}: scoring twice gives two results");
    assert!(!before.is_empty(), "{kind}: there are no scores");
    let computed: Vec<_> = after.iter().map(|score| score.metric.clone()).collect();
    assert_eq!(build(selected).metrics(), computed, "{kind}: other metrics than it announces");
    for (before, after) in before.iter().zip(&after) {
        let metric = &after.metric;
        let parts: Vec<&str> = metric.split('/').collect();
        assert!(
            matches!(parts[..], ["eval" | "val", task, name] if !task.is_empty() && !name.is_empty()),
            "{kind}: {metric} is neither eval/<task>/<metric> nor val/<set>/<metric>"
        );
        assert_eq!(before.metric, after.metric, "{kind}: metrics depend on the model");
        assert_eq!(
            before.units.len(),
            after.units.len(),
            "{kind}: the units of {metric} depend on the model"
        );
        for (own, other) in after.units.iter().zip(&before.units) {
            assert!(
                own.0.is_finite() && own.1.is_finite() && own.1 > 0.0,
                "{kind}: {metric} has a unit {own:?}"
            );
            assert_eq!(own.1, other.1, "{kind}: the denominators of {metric} depend on the model");
        }
    }
    let first = (before[0].value(), after[0].value());
    let improved = if after[0].higher_is_better { first.1 >= first.0 } else { first.1 <= first.0 };
    assert!(improved, "{kind}: {} is worse after training: {first:?}", after[0].metric);

    // What the task asks about may be missing: an error, never a panic or a score of nothing.
    let mut context = EvalContext::new(&mut untrained, &ByteTokenizer);
    if let Ok(scores) = build(selected).evaluate(&mut context) {
        assert!(scores.iter().all(|score| !score.units.is_empty()), "{kind}: a score of nothing");
    }
}

fn evaluate(selected: &Selected<slots::Evaluator>, model: &mut dyn LanguageModel) -> Vec<Score> {
    let corpus = TinyCorpus(TinyConfig::default());
    let heldout: Vec<_> = corpus.heldout().expect("in memory").filter_map(Result::ok).collect();
    let questions = corpus.questions(&documents(200)).expect("in memory");
    let mut context =
        EvalContext { heldout: &heldout, questions: &questions, ..EvalContext::new(model, &ByteTokenizer) };
    match build(selected).evaluate(&mut context) {
        Ok(scores) => scores,
        Err(error) => panic!("{}: cannot score: {error}", selected.kind()),
    }
}
