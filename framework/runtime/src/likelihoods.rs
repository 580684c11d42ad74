//! How likely given continuations are. A context is read once, however many continuations it has.
//!
//! The continuations of a context are branches of a tree: in one row stand the context and then the branches, one after
//! another, each at the positions that follow the context. A mask lets a token see the context and what comes before it in
//! its own branch, and nothing of the other branches. The head is computed for the end of the context and for the branches
//! alone. Four answers of a few words after a question take about a third of the time that four whole sequences do.

use std::collections::BTreeMap;

use sbp_core::TokenId;
use sbp_plugin::ports::{Continuation, Likelihood};
use tch::Tensor;

use crate::blocks::{Block, Layout};
use crate::error::{Error, Result};
use crate::language_model::{OpenedModel, group_size};
use crate::loss::picked;
use crate::model::Tokens;

/// A context with some of its continuations.
struct Tree<'a> {
    context: &'a [TokenId],
    branches: Vec<Branch<'a>>,
}

/// A continuation.
struct Branch<'a> {
    /// Its place in the list that was given.
    place: usize,
    tokens: &'a [TokenId],
}

impl Branch<'_> {
    /// The tokens that are read: the last one is predicted and nothing comes of it.
    fn read(&self) -> &[TokenId] {
        &self.tokens[..self.tokens.len() - 1]
    }
}

impl Tree<'_> {
    fn len(&self) -> usize {
        self.context.len() + self.branches.iter().map(|branch| branch.read().len()).sum::<usize>()
    }

    /// First flat token of each branch, counted from that of the tree.
    fn starts(&self) -> impl Iterator<Item = usize> {
        self.branches.iter().scan(self.context.len(), |next, branch| {
            let start = *next;
            *next += branch.read().len();
            Some(start)
        })
    }

    /// Whether a token could see a branch that is not its own.
    fn needs_mask(&self) -> bool {
        self.branches.iter().filter(|branch| !branch.read().is_empty()).count() > 1
    }

    fn ids(&self) -> Vec<TokenId> {
        let branches = self.branches.iter().flat_map(Branch::read);
        self.context.iter().chain(branches).copied().collect()
    }

    fn positions(&self) -> impl Iterator<Item = usize> {
        let first = self.context.len();
        let branches = self.branches.iter().flat_map(move |branch| first..first + branch.read().len());
        (0..first).chain(branches)
    }

    /// What each of the first `length` tokens of its row does not see: minus infinity at those places of `mask`. Padding
    /// sees all before it, as it does without a mask.
    fn hide(&self, mask: &mut [f32], length: usize) {
        let context = self.context.len();
        for (start, branch) in self.starts().zip(&self.branches) {
            for token in start..start + branch.read().len() {
                mask[token * length + context..token * length + start].fill(f32::NEG_INFINITY);
            }
        }
    }
}

/// How likely each continuation is, in the order given.
pub(crate) fn likelihoods(model: &mut OpenedModel, given: &[Continuation]) -> Result<Vec<Likelihood>> {
    let _guard = tch::no_grad_guard();
    let mut trees = trees(model, given)?;
    trees.sort_by_key(|tree| std::cmp::Reverse(tree.len()));
    let mut likelihoods = vec![Likelihood { log_prob: 0.0, is_greedy: true }; given.len()];
    let mut rest = trees.as_slice();
    while !rest.is_empty() {
        let (group, others) = rest.split_at(group_size(rest.iter().map(Tree::len)));
        rest = others;
        read(model, group, &mut likelihoods)?;
        for tree in group {
            model.charge(tree.len());
        }
    }
    Ok(likelihoods)
}

/// The continuations by their contexts. The branches of one tree are together no longer than the model attends, so that a
/// context with a great many of them does not take memory without bound.
fn trees<'a>(model: &OpenedModel, given: &'a [Continuation]) -> Result<Vec<Tree<'a>>> {
    let most = model.config.context_length;
    let mut by_context: BTreeMap<&[TokenId], Vec<Branch<'_>>> = BTreeMap::new();
    for (place, Continuation { context, tokens }) in given.iter().enumerate() {
        model.check(place, context)?;
        model.check(place, tokens)?;
        let length = context.len() + tokens.len();
        if length > most + 1 {
            let reason = format!(
                "has {length} tokens with its context, the model attends over {most} and predicts one more"
            );
            return Err(Error::Sequence { index: place, reason });
        }
        by_context.entry(context).or_default().push(Branch { place, tokens });
    }
    let mut trees: Vec<Tree<'_>> = Vec::new();
    for (context, branches) in by_context {
        trees.push(Tree { context, branches: Vec::new() });
        for branch in branches {
            let is_full = |tree: &Tree<'_>| tree.len() - context.len() + branch.read().len() > most;
            match trees.last_mut() {
                Some(tree) if tree.branches.is_empty() || !is_full(tree) => tree.branches.push(branch),
                _ => trees.push(Tree { context, branches: vec![branch] }),
            }
        }
    }
    Ok(trees)
}

/// Runs some trees and adds up what their branches come to.
fn read(model: &OpenedModel, trees: &[Tree<'_>], likelihoods: &mut [Likelihood]) -> Result<()> {
    let lengths: Vec<usize> = trees.iter().map(Tree::len).collect();
    let layout = Layout::new(&lengths);
    let ids: Vec<Vec<TokenId>> = trees.iter().map(Tree::ids).collect();
    let positions: Vec<Vec<usize>> = trees.iter().map(|tree| tree.positions().collect()).collect();
    let flat_ids = layout.spread(&views(&ids), 0_i64, i64::from);
    let flat_positions = layout.spread(&views(&positions), 0_i64, |position| position as i64);
    let masks = masks(model, &layout, trees)?;
    let starts = layout.starts.clone();
    let tokens = Tokens::new(layout, &flat_ids, &flat_positions, &[], &model.rotary, model.device)?;
    let hidden_nd = model.transformer.hidden(&tokens.with_masks(masks), None)?;

    // Rows that the head is computed for, and what is asked of each: a row, a token, the continuation it belongs to.
    let (mut rows, mut asked, mut places) = (Vec::new(), Vec::new(), Vec::new());
    for (tree, first) in trees.iter().zip(starts) {
        let end_of_context = rows.len() as i64;
        rows.push((first + tree.context.len() - 1) as i64);
        for branch in &tree.branches {
            asked.push((end_of_context, i64::from(branch.tokens[0])));
            places.push(branch.place);
        }
        for (start, branch) in tree.starts().zip(&tree.branches) {
            for (offset, &token) in branch.tokens[1..].iter().enumerate() {
                asked.push((rows.len() as i64, i64::from(token)));
                places.push(branch.place);
                rows.push((first + start + offset) as i64);
            }
        }
    }
    let rows_m = Tensor::f_from_slice(&rows)?.f_to_device(model.device)?;
    let hidden_md = hidden_nd.f_index_select(0, &rows_m)?;
    for (place, (log_prob, is_greatest)) in
        places.into_iter().zip(picked(&hidden_md, model.transformer.head(), &asked)?)
    {
        likelihoods[place].log_prob += f64::from(log_prob);
        likelihoods[place].is_greedy &= is_greatest;
    }
    Ok(())
}

fn views<T>(lists: &[Vec<T>]) -> Vec<&[T]> {
    lists.iter().map(Vec::as_slice).collect()
}

/// A mask `[s, 1, l, l]` for each block in which a token could see a branch that is not its own.
fn masks(model: &OpenedModel, layout: &Layout, trees: &[Tree<'_>]) -> Result<Vec<Option<Tensor>>> {
    let mut in_order = layout.rows().map(|(tree, _, _)| &trees[tree]);
    let mask = |&Block { rows, length }: &Block| {
        let of_block: Vec<&Tree<'_>> = in_order.by_ref().take(rows).collect();
        if !of_block.iter().any(|tree| tree.needs_mask()) {
            return Ok(None);
        }
        let mut mask = vec![f32::NEG_INFINITY; rows * length * length];
        for (tree, mask) in of_block.iter().zip(mask.chunks_exact_mut(length * length)) {
            for (token, seen) in mask.chunks_exact_mut(length).enumerate() {
                seen[..=token].fill(0.0);
            }
            tree.hide(mask, length);
        }
        let (s, l) = (rows as i64, length as i64);
        let mask = Tensor::f_from_slice(&mask)?.f_view([s, 1, l, l])?.f_to_device(model.device)?;
        Ok(Some(mask.f_to_kind(model.transformer.kind())?))
    };
    layout.blocks.iter().map(mask).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sbp_core::Cost;
    use sbp_plugin::ports::LanguageModel as _;

    use super::*;
    use crate::language_model::tests::model;

    fn continuation(context: &[TokenId], tokens: &[TokenId]) -> Continuation {
        Continuation { context: context.to_vec(), tokens: tokens.to_vec() }
    }

    /// Each as a whole sequence of its own.
    fn alone(model: &mut OpenedModel, given: &[Continuation]) -> Vec<f64> {
        let of = |it: &Continuation, model: &mut OpenedModel| {
            let whole = [it.context.as_slice(), &it.tokens].concat();
            let row = model.log_probs(&[whole]).unwrap().remove(0);
            row[it.context.len() - 1..].iter().map(|log_prob| f64::from(*log_prob)).sum()
        };
        given.iter().map(|it| of(it, model)).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
        #[test]
        fn branches_score_as_whole_sequences_do(
            shared in prop::collection::vec(prop::collection::vec(0_u32..50, 1..20), 1..4),
            branches in prop::collection::vec((0_usize..4, prop::collection::vec(0_u32..50, 1..13)), 1..16),
        ) {
            let given: Vec<Continuation> = branches
                .iter()
                .map(|(context, tokens)| continuation(&shared[context % shared.len()], tokens))
                .collect();
            let mut model = model(true);
            let found = model.likelihoods(&given).unwrap();
            for (found, expected) in found.iter().zip(alone(&mut model, &given)) {
                prop_assert!((found.log_prob - expected).abs() < 1e-4, "{} {expected}", found.log_prob);
            }
        }
    }

    #[test]
    fn the_likeliest_tokens_are_greedy_and_others_are_not() {
        let mut model = model(false);
        let context = [3, 9, 27];
        let every: Vec<Continuation> = (0..50).map(|token| continuation(&context, &[token])).collect();
        let found = model.likelihoods(&every).unwrap();
        assert_eq!(found.iter().filter(|it| it.is_greedy).count(), 1);
        let best = (0..50).max_by(|&a, &b| found[a].log_prob.total_cmp(&found[b].log_prob)).unwrap();
        assert!(found[best].is_greedy);
        let longer: Vec<Continuation> =
            (0..50).map(|token| continuation(&context, &[best as TokenId, token])).collect();
        assert_eq!(model.likelihoods(&longer).unwrap().iter().filter(|it| it.is_greedy).count(), 1);
    }

    #[test]
    fn a_context_is_read_once_and_its_branches_within_bounds() {
        let mut model = model(true);
        let four: Vec<Continuation> = (0..4).map(|token| continuation(&[1; 20], &[token, 2, 3])).collect();
        model.likelihoods(&four).unwrap();
        assert_eq!(model.take_cost().tokens, 20 + 4 * 2);
        // Branches of 11 read tokens: two of them are within the context of 32, a third is not.
        let long: Vec<Continuation> = (0..3).map(|token| continuation(&[1; 20], &[token; 12])).collect();
        let found = model.likelihoods(&long).unwrap();
        assert_eq!(model.take_cost().tokens, (20 + 22) + (20 + 11));
        assert!((found[2].log_prob - alone(&mut model, &long)[2]).abs() < 1e-4);
        model.take_cost();
        assert_eq!((model.likelihoods(&[]).unwrap(), model.take_cost()), (vec![], Cost::default()));
    }

    #[test]
    fn what_cannot_be_scored_is_an_error_that_says_which() {
        let mut model = model(true);
        let message = |model: &mut OpenedModel, context: &[TokenId], tokens: &[TokenId]| {
            let given = [continuation(&[1], &[1]), continuation(context, tokens)];
            model.likelihoods(&given).unwrap_err().to_string()
        };
        assert_eq!(message(&mut model, &[], &[1]), "sequence 1 is empty");
        assert_eq!(message(&mut model, &[1], &[]), "sequence 1 is empty");
        assert!(message(&mut model, &[1; 30], &[1; 4]).contains("has 34 tokens with its context"));
        assert!(message(&mut model, &[1], &[50]).contains("outside the vocabulary"));
        // The last token is predicted, never read.
        model.likelihoods(&[continuation(&[1; 30], &[1; 3])]).unwrap();
    }
}
