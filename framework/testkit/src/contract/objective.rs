use sbp_core::{Markers, TokenId};
use sbp_plugin::{Selected, slots};

use super::build;

/// Checks that examples begin with the prompt, align with their weights and teach when to end.
///
/// # Panics
/// When the contract is broken.
pub fn objective(selected: &Selected<slots::Objective>) {
    let kind = selected.kind();
    let objective = build(selected);
    let markers = Markers { end_of_text: 1000, related: 1001 };
    assert!(objective.num_seeds() > 0, "{kind}: a prompt of no document");
    let texts: [&[TokenId]; 4] = [&[], &[7], &[1, 2, 3], &[9; 50]];
    for seed in texts {
        let prompt = objective.prompt(&[seed], markers);
        assert!(!prompt.is_empty(), "{kind}: sampling cannot start from an empty prompt");
        for target in texts {
            let example = objective.example(&[seed], target, markers);
            let (tokens, weights) = (&example.tokens, &example.loss_weights);
            assert_eq!(tokens.len(), weights.len(), "{kind}: not one weight a token");
            let exchanged = objective.prompt(&[target], markers);
            assert!(
                tokens.starts_with(&prompt) || tokens.starts_with(&exchanged),
                "{kind}: an example begins neither with the prompt of its seed nor with that of its target"
            );
            assert_eq!(weights[0], 0.0, "{kind}: the first token is predicted from nothing");
            let sound = weights.iter().all(|weight| weight.is_finite() && *weight >= 0.0);
            assert!(sound, "{kind}: weights must be finite and not negative: {weights:?}");
            assert_eq!(tokens.last(), Some(&markers.end_of_text), "{kind}: an example must end");
            assert!(weights.last() > Some(&0.0), "{kind}: the end is not learned, so sampling would not end");
            assert_eq!(
                example,
                objective.example(&[seed], target, markers),
                "{kind}: two examples of one pair"
            );
        }
    }
}
