use std::collections::HashSet;

use sbp_core::Document;
use sbp_plugin::slots::corpus::{NoDocument, Records};
use sbp_plugin::{Selected, slots};

use super::{build, strange_texts};

/// How many records are looked at; a corpus may have no end.
const MOST: usize = 2000;

/// Checks order, ids, held-out documents, questions, truth and fingerprint.
///
/// # Panics
/// When the contract is broken.
pub fn corpus(selected: &Selected<slots::Corpus>) {
    let kind = selected.kind();
    let (corpus, again) = (build(selected), build(selected));
    let documents = take(corpus.documents());
    let heldout = take(corpus.heldout());
    assert!(!documents.is_empty(), "{kind}: there are no documents");
    assert_eq!(documents, take(corpus.documents()), "{kind}: the second reading differs from the first");
    assert_eq!(documents, take(again.documents()), "{kind}: the corpus differs when opened again");
    assert_eq!(heldout, take(again.heldout()), "{kind}: the held-out documents differ when opened again");

    let (mut ids, mut texts) = (HashSet::new(), HashSet::new());
    for document in documents.iter().chain(&heldout) {
        assert!(!document.text.trim().is_empty(), "{kind}: document {} has no text", document.id);
        assert!(ids.insert(document.id), "{kind}: two documents have the id {}", document.id);
        assert!(
            texts.insert(document.text.trim()),
            "{kind}: two documents have the text {:?}",
            document.text
        );
    }

    let fingerprint = corpus.fingerprint().expect("a corpus that can be read has a fingerprint");
    assert_eq!(Some(fingerprint), again.fingerprint().ok(), "{kind}: its fingerprint is not stable");

    let pretrain = &documents[..documents.len().min(100)];
    let questions = corpus.questions(pretrain).expect("questions can be made");
    assert_eq!(
        questions,
        again.questions(pretrain).expect("they can"),
        "{kind}: its questions are not stable"
    );
    for question in &questions {
        assert!(question.answer < question.choices.len(), "{kind}: no answer: {question:?}");
        let choices: HashSet<&String> = question.choices.iter().collect();
        assert_eq!(choices.len(), question.choices.len(), "{kind}: two choices are equal: {question:?}");
        let spaced = question.choices.iter().all(|choice| choice.starts_with(' '));
        assert!(spaced, "{kind}: a choice lacks its leading space: {question:?}");
    }

    if let Some(truth) = corpus.truth() {
        for seed in &documents[..documents.len().min(20)] {
            let own = truth.judge(&seed.text, &seed.text);
            assert!(own.relevant, "{kind}: a document is not relevant to itself: {}", seed.text);
            assert_eq!(own.true_claims, own.claims, "{kind}: a real document is not true: {}", seed.text);
            assert_eq!(own.carried_claims, own.seed_claims, "{kind}: a document does not carry itself");
            for strange in strange_texts() {
                let judgement = truth.judge(&seed.text, &strange);
                assert!(judgement.true_claims <= judgement.claims, "{kind}: {judgement:?}");
                assert!(judgement.carried_claims <= judgement.seed_claims, "{kind}: {judgement:?}");
            }
        }
    }
}

/// The documents among the first records.
fn take(records: sbp_plugin::Result<Records<'_>>) -> Vec<Document> {
    let document = |record| match record {
        Ok(document) => Some(document),
        Err(NoDocument::Failed(error)) => panic!("the corpus cannot be read to its end: {error}"),
        Err(NoDocument::Bad(_) | NoDocument::Duplicate) => None,
    };
    match records {
        Ok(records) => records.take(MOST).filter_map(document).collect(),
        Err(error) => panic!("the corpus cannot be read: {error}"),
    }
}
