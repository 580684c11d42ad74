//! The choice of the next token from a row of probabilities.

use sbp_plugin::ports::Decoding;

/// Draws a token: of the `top_k` most probable, ties by token, those that are at least `min_p` times as probable as the first,
/// and of these the nucleus (Holtzman et al., arXiv 1904.09751), the smallest set that holds `top_p` of what `top_k` left.
/// `uniform` in [0, 1) is the one random number it uses.
///
/// Tokens below (1 - top_p) / vocabulary are left out unsorted: all of them together cannot hold more than
/// 1 - top_p, so the nucleus is full before it gets to them. A trained model leaves a few dozen to sort.
pub(crate) fn draw(probabilities: &[f32], how: &Decoding, uniform: f64) -> usize {
    let Decoding { top_p, top_k, min_p, .. } = *how;
    if top_p >= 1.0 && top_k == 0 && min_p <= 0.0 {
        let total: f64 = probabilities.iter().copied().map(f64::from).sum();
        return walk(probabilities.iter().copied().enumerate(), uniform * total);
    }
    // What `top_k` leaves may sum to less than 1, so that the bound does not hold for it.
    let least = match top_k {
        0 => ((1.0 - top_p) / probabilities.len() as f64 * SAFETY) as f32,
        _ => 0.0,
    };
    let mut candidates: Vec<(usize, f32)> =
        probabilities.iter().copied().enumerate().filter(|&(_, p)| p > least).collect();
    let order = |(a, p): &(usize, f32), (b, q): &(usize, f32)| q.total_cmp(p).then(a.cmp(b));
    if (1..candidates.len()).contains(&top_k) {
        candidates.select_nth_unstable_by(top_k - 1, order);
        candidates.truncate(top_k);
    }
    candidates.sort_unstable_by(order);
    let total = match top_k {
        0 => 1.0,
        _ => candidates.iter().map(|&(_, p)| f64::from(p)).sum(),
    };
    let mut sum = 0.0;
    let size = candidates.iter().position(|&(_, p)| {
        sum += f64::from(p);
        sum >= top_p * total
    });
    candidates.truncate(size.map_or(candidates.len(), |last| last + 1));
    if let Some(&(_, most)) = candidates.first() {
        candidates.retain(|&(_, p)| f64::from(p) >= min_p * f64::from(most));
    }
    let sum: f64 = candidates.iter().map(|&(_, p)| f64::from(p)).sum();
    walk(candidates.into_iter(), uniform * sum)
}

/// Room for rounding in the bound above: probabilities in `f32` do not sum to exactly 1.
const SAFETY: f64 = 0.99;

/// The token at which the running sum of probabilities passes `goal`.
fn walk(tokens: impl Iterator<Item = (usize, f32)>, goal: f64) -> usize {
    let (mut sum, mut last) = (0.0, 0);
    for (token, p) in tokens {
        if p > 0.0 {
            last = token;
            sum += f64::from(p);
            if sum > goal {
                break;
            }
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nucleus(probabilities: &[f32], top_p: f64, uniform: f64) -> usize {
        draw(probabilities, &Decoding { top_p, ..Decoding::default() }, uniform)
    }

    /// Every token that can be drawn.
    fn members(how: &Decoding) -> Vec<usize> {
        let mut drawn: Vec<usize> = (0..1000).map(|i| draw(&P, how, f64::from(i) / 1000.0)).collect();
        drawn.sort_unstable();
        drawn.dedup();
        drawn
    }

    const P: [f32; 5] = [0.05, 0.5, 0.0, 0.3, 0.15];

    #[test]
    fn the_nucleus_is_the_smallest_set_that_reaches_the_sum() {
        // 0.5 alone reaches 0.5; 0.5 and 0.3 reach 0.8; then 0.15 is needed.
        for (top_p, members) in
            [(0.5, vec![1]), (0.79, vec![1, 3]), (0.9, vec![1, 3, 4]), (1.0, vec![0, 1, 3, 4])]
        {
            let mut drawn: Vec<usize> =
                (0..1000).map(|i| nucleus(&P, top_p, f64::from(i) / 1000.0)).collect();
            drawn.sort_unstable();
            drawn.dedup();
            assert_eq!(drawn, members, "top_p {top_p}");
        }
    }

    #[test]
    fn few_or_improbable_tokens_are_left_out() {
        let all = Decoding::default();
        assert_eq!(members(&Decoding { top_k: 1, ..all }), [1]);
        assert_eq!(members(&Decoding { top_k: 3, ..all }), [1, 3, 4]);
        assert_eq!(members(&Decoding { top_k: 100, ..all }), [0, 1, 3, 4]);
        assert_eq!(members(&Decoding { min_p: 0.3, ..all }), [1, 3, 4]);
        assert_eq!(members(&Decoding { min_p: 0.31, ..all }), [1, 3]);
        // 0.5 of the 0.8 that two tokens leave is less than 0.63.
        assert_eq!(members(&Decoding { top_k: 2, top_p: 0.62, ..all }), [1]);
        assert_eq!(members(&Decoding { top_k: 2, top_p: 0.63, ..all }), [1, 3]);
    }

    #[test]
    fn draws_follow_the_probabilities() {
        let drawn: Vec<usize> = (0..1000).map(|i| nucleus(&P, 0.8, f64::from(i) / 1000.0)).collect();
        let share = drawn.iter().filter(|&&token| token == 1).count();
        assert!((share as f64 - 625.0).abs() <= 1.0, "{share} of 1000, expected 0.5 / 0.8");
    }

    #[test]
    fn even_rows_keep_all_their_tokens() {
        let even = [0.001_f32; 1000];
        let drawn: std::collections::BTreeSet<usize> =
            (0..20_000).map(|i| nucleus(&even, 0.9, f64::from(i) / 20_000.0)).collect();
        assert!((899..=901).contains(&drawn.len()), "{}", drawn.len());
    }

    #[test]
    fn an_impossible_token_is_never_drawn() {
        assert_eq!(nucleus(&[0.0, 1.0, 0.0], 1.0, 0.0), 1);
        assert_eq!(nucleus(&[0.0, 1.0, 0.0], 1.0, 1.0 - f64::EPSILON), 1);
    }
}
