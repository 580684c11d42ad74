use sbp_core::{DocId, RootSeed};
use sbp_plugin::ports::Completion;
use sbp_plugin::slots::synthesizer::Request;
use sbp_plugin::{Selected, slots};

use super::{build, documents};
use crate::{BigramModel, ByteTokenizer};

/// Checks that a completion follows from model, prompt, seed document and draw, not from its place or its company.
///
/// # Panics
/// When the contract is broken.
pub fn synthesizer(selected: &Selected<slots::Synthesizer>) {
    let kind = selected.kind();
    let mut requests: Vec<Request> = (0..12)
        .map(|n| Request { seed: DocId(n / 3), draw: (n % 3) as u32, prompt: vec![256, 84, 104] })
        .collect();
    let completions = sample(selected, &requests);
    let most = build(selected).max_new_tokens();
    for completion in &completions {
        let emitted = completion.tokens.len() + usize::from(completion.finished);
        assert!(emitted <= most, "{kind}: {emitted} tokens emitted of at most {most}");
        assert!(!completion.tokens.contains(&256), "{kind}: the stop token is part of a completion");
        assert!(completion.log_prob <= 0.0, "{kind}: a probability above 1");
    }
    assert_eq!(completions, sample(selected, &requests), "{kind}: sampling twice gives two results");

    requests.reverse();
    let mut reversed = sample(selected, &requests);
    reversed.reverse();
    assert_eq!(completions, reversed, "{kind}: a completion depends on its place");
    for (request, expected) in requests.iter().rev().zip(&completions) {
        let alone = sample(selected, std::slice::from_ref(request));
        assert_eq!(&alone[0], expected, "{kind}: a completion depends on its company");
    }
    assert!(sample(selected, &[]).is_empty(), "{kind}: no requests have completions");
}

fn sample(selected: &Selected<slots::Synthesizer>, requests: &[Request]) -> Vec<Completion> {
    let mut model = BigramModel::untrained(256);
    documents(40).iter().for_each(|document| model.learn(&ByteTokenizer.document(&document.text)));
    let kind = selected.kind();
    let mut completions: Vec<Option<Completion>> = vec![None; requests.len()];
    let mut done = |place: usize, completion: Completion| {
        assert!(completions[place].replace(completion).is_none(), "{kind}: request {place} completed twice");
        Ok(())
    };
    if let Err(error) = build(selected).sample(&mut model, requests, 256, RootSeed(5), &mut done) {
        panic!("{kind}: cannot sample: {error}");
    }
    let completions: Vec<Completion> = completions.into_iter().flatten().collect();
    assert_eq!(completions.len(), requests.len(), "{kind}: not one completion a request");
    completions
}
