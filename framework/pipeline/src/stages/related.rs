//! Related documents in one context: a path through the pairs, cut where the context is full.
//!
//! After In-Context Pretraining (Shi et al. 2023, arXiv 2310.10638): the path begins at the document with fewest neighbors that it
//! has not been to, goes to the nearest one that it has not been to, and begins anew where there is none.

use std::collections::HashMap;

use sbp_core::{DocId, TokenId};
use sbp_plugin::ports::Tokenizer as _;
use serde_json::json;

use super::Study;
use super::corpus::CorpusData;
use super::pair::Pairs;
use super::tokenize::Tokens;
use crate::Result;
use crate::store::Artifact;
use crate::token_store::{SHARD_DOCUMENTS, TokenStore, Writer};

const RELATED: &str = "related";

/// D_pretrain, several documents in one.
pub(crate) struct Related {
    pub(crate) artifact: Artifact,
    pub(crate) tokens: TokenStore,
}

pub(crate) fn make(
    study: &mut Study<'_>,
    corpus: &CorpusData,
    tokens: &Tokens,
    pairs: &Pairs,
    seed: u64,
) -> Result<Related> {
    let label = format!("related seed {seed}");
    let context = study.plan.recipe.model.context_length;
    let inputs = json!({
        "pairs": pairs.artifact.fingerprint,
        "tokens": tokens.artifact.fingerprint,
        "context_length": context,
    });
    let artifact = study.make(&label, "related", &inputs, &mut |_, folder| {
        let rows: HashMap<DocId, usize> =
            corpus.pretrain.iter().enumerate().map(|(row, document)| (document.id, row)).collect();
        let mut targets = vec![Vec::new(); corpus.pretrain.len()];
        for pair in &pairs.pairs {
            targets[rows[&pair.seed]].push(rows[&pair.target]);
        }
        let contexts = contexts(&targets, tokens.pretrain.lengths(), context);
        let end = tokens.tokenizer.markers().end_of_text;
        let joined: Vec<Vec<TokenId>> = contexts
            .iter()
            .map(|rows| {
                let documents: Vec<_> = rows.iter().map(|&row| tokens.pretrain.document(row)).collect();
                documents.join(&end)
            })
            .collect();
        let mut writer = Writer::new(folder, RELATED, tokens.tokenizer.vocab_size())?;
        for shard in joined.chunks(SHARD_DOCUMENTS) {
            writer.shard(|| Ok(shard.to_vec()))?;
        }
        Ok(())
    })?;
    Ok(Related { tokens: TokenStore::open(&artifact.path, &[RELATED])?, artifact })
}

/// Rows that stand in one context each, every row once. `lengths` are in training tokens, end markers included.
fn contexts(targets: &[Vec<usize>], lengths: &[u32], context: usize) -> Vec<Vec<usize>> {
    let mut starts: Vec<usize> = (0..targets.len()).collect();
    starts.sort_by_key(|&row| (targets[row].len(), row));
    let mut is_visited = vec![false; targets.len()];
    let mut contexts: Vec<Vec<usize>> = Vec::new();
    for start in starts {
        let mut next = Some(start).filter(|&row| !is_visited[row]);
        let mut used = usize::MAX;
        while let Some(row) = next {
            is_visited[row] = true;
            let length = lengths[row] as usize;
            match contexts.last_mut() {
                Some(last) if used.saturating_add(length) <= context => last.push(row),
                _ => {
                    contexts.push(vec![row]);
                    used = 0;
                }
            }
            used += length;
            next = targets[row].iter().copied().find(|&target| !is_visited[target]);
        }
    }
    contexts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_path_goes_to_the_nearest_that_is_left() {
        // 3 has no neighbors and stands alone; the path begins at 0, which has one.
        let targets = [vec![1], vec![0, 2], vec![1, 0], vec![]];
        assert_eq!(contexts(&targets, &[10; 4], 100), [vec![3], vec![0, 1, 2]]);
        assert_eq!(contexts(&targets, &[10; 4], 20), [vec![3], vec![0, 1], vec![2]]);
        assert_eq!(contexts(&targets, &[10; 4], 5), [vec![3], vec![0], vec![1], vec![2]]);
    }

    proptest! {
        #[test]
        fn every_row_stands_once_and_contexts_are_not_overfull(
            lists in prop::collection::vec((prop::collection::vec(0_usize..30, 0..5), 1_u32..60), 1..30),
            context in 1_usize..200,
        ) {
            let n = lists.len();
            let targets: Vec<Vec<usize>> =
                lists.iter().map(|(list, _)| list.iter().map(|row| row % n).collect()).collect();
            let lengths: Vec<u32> = lists.iter().map(|(_, length)| *length).collect();
            let found = contexts(&targets, &lengths, context);
            let mut rows: Vec<usize> = found.iter().flatten().copied().collect();
            rows.sort_unstable();
            prop_assert_eq!(rows, (0..n).collect::<Vec<_>>());
            for rows in found {
                let sum: usize = rows.iter().map(|&row| lengths[row] as usize).sum();
                prop_assert!(rows.len() == 1 || sum <= context);
            }
        }
    }
}
