use sbp_core::Document;
use sbp_plugin::ports::LanguageModel;
use sbp_plugin::slots::embedder::Embeddings;
use sbp_plugin::{Selected, slots};

use super::{build, documents, strange_texts};
use crate::BigramModel;

/// Rows of the same document may be so far apart when others stand beside it, by rounding.
const ROUNDING: f32 = 1e-3;

/// Checks that rows are of unit length, belong to their documents and depend on them alone. Encoders are
/// [`ByteEncoder`](crate::ByteEncoder)s.
///
/// # Panics
/// When the contract is broken.
pub fn embedder(selected: &Selected<slots::Embedder>) {
    let kind = selected.kind();
    let mut all = documents(40);
    all.extend(
        strange_texts().iter().enumerate().map(|(n, text)| Document::new(&format!("strange {n}"), text)),
    );
    let whole = all.len();
    let embeddings = embed(selected, &all, whole);
    assert_eq!(embeddings.len(), all.len(), "{kind}: not one row a document");
    for (index, document) in all.iter().enumerate() {
        let norm: f32 = embeddings.row(index).iter().map(|x| x * x).sum();
        let is_unit = (norm - 1.0).abs() < 1e-3;
        assert!(is_unit || norm == 0.0, "{kind}: a row of squared length {norm}: {:?}", document.text);
        assert!(!document.text.is_empty() || norm == 0.0, "{kind}: nothing to embed gives no row of zeros");
    }
    assert_eq!(embeddings, embed(selected, &all, whole), "{kind}: embedding twice gives two results");
    for part in [1, 7] {
        let in_parts = embed(selected, &all, part);
        for index in 0..all.len() {
            let apart = apart(embeddings.row(index), in_parts.row(index));
            assert!(apart < ROUNDING, "{kind}: a row moves by {apart} in parts of {part} documents");
        }
    }

    all.reverse();
    let reversed = embed(selected, &all, whole);
    for index in 0..all.len() {
        let apart = apart(embeddings.row(index), reversed.row(all.len() - 1 - index));
        assert!(apart < ROUNDING, "{kind}: a row moves by {apart} when documents change places");
    }
    assert!(embed(selected, &[], 1).is_empty(), "{kind}: no documents give rows");
    let content = || build(selected).content().expect("content can be read");
    assert_eq!(content(), content(), "{kind}: the content of one choice has two identities");
}

fn apart(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

fn embed(selected: &Selected<slots::Embedder>, documents: &[Document], part: usize) -> Embeddings {
    let mut embedder = build(selected);
    let mut model = BigramModel::untrained(64);
    let base: Option<&mut dyn LanguageModel> =
        if embedder.needs_base_model() { Some(&mut model) } else { None };
    let found = crate::embed(embedder.as_mut(), base, documents, part);
    found.unwrap_or_else(|error| panic!("{}: {error}", selected.kind())).0
}
