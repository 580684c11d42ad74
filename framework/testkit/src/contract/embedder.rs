use sbp_core::Document;
use sbp_plugin::slots::embedder::{EmbedContext, Embeddings};
use sbp_plugin::{Selected, slots};

use super::{build, documents, strange_texts};
use crate::{BigramModel, ByteTokenizer};

/// Checks that rows are of unit length, belong to their documents and depend on them alone.
///
/// # Panics
/// When the contract is broken.
pub fn embedder(selected: &Selected<slots::Embedder>) {
    let kind = selected.kind();
    let mut all = documents(40);
    all.extend(
        strange_texts().iter().enumerate().map(|(n, text)| Document::new(&format!("strange {n}"), text)),
    );
    let embeddings = embed(selected, &all);
    assert_eq!(embeddings.len(), all.len(), "{kind}: not one row a document");
    for (index, document) in all.iter().enumerate() {
        let norm: f32 = embeddings.row(index).iter().map(|x| x * x).sum();
        let is_unit = (norm - 1.0).abs() < 1e-3;
        assert!(is_unit || norm == 0.0, "{kind}: a row of squared length {norm}: {:?}", document.text);
        assert!(!document.text.is_empty() || norm == 0.0, "{kind}: nothing to embed gives no row of zeros");
    }
    assert_eq!(embeddings, embed(selected, &all), "{kind}: embedding twice gives two results");

    all.reverse();
    let reversed = embed(selected, &all);
    for index in 0..all.len() {
        let pairs = embeddings.row(index).iter().zip(reversed.row(all.len() - 1 - index));
        let apart = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(apart < 1e-3, "{kind}: a row moves by {apart} when documents change places");
    }
    assert!(embed(selected, &[]).is_empty(), "{kind}: no documents give rows");
}

fn embed(selected: &Selected<slots::Embedder>, documents: &[Document]) -> Embeddings {
    let mut embedder = build(selected);
    let mut model = BigramModel::untrained(64);
    let base = embedder.needs_base_model().then_some(&mut model as _);
    let mut done = 0;
    let mut progress = |count| {
        assert!(count > done, "{}: progress goes back", selected.kind());
        done = count;
    };
    let mut context = EmbedContext { base, tokenizer: &ByteTokenizer, progress: &mut progress };
    let embeddings = embedder.embed(documents, &mut context).expect("documents can be embedded");
    assert_eq!(done, documents.len(), "{}: progress does not reach the end", selected.kind());
    embeddings
}
