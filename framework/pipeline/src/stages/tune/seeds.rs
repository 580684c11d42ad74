//! What a prompt is made of: a seed document, and neighbors of it where the objective asks for several.

use std::collections::HashMap;

use sbp_core::{DocId, Document, TokenId};
use sbp_plugin::registry::BuildContext;
use sbp_recipe::SynthesizerSection;

use crate::Result;
use crate::stages::pair::Pairs;
use crate::stages::{caught, failed};
use crate::token_store::TokenStore;

/// The seeds of every document of D_pretrain, as tokens.
pub(crate) struct Seeds<'a> {
    tokens: &'a TokenStore,
    rows: HashMap<DocId, usize>,
    /// Rows of the targets of each row, nearest first; empty where one document makes a prompt.
    targets: Vec<Vec<usize>>,
    room: Room,
}

/// How many documents make a prompt, and how many tokens of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Room {
    pub(crate) num_seeds: usize,
    pub(crate) tokens: usize,
}

impl Room {
    /// What is left of the context beside a longest completion and markers, divided evenly.
    pub(crate) fn of(section: &SynthesizerSection, context_length: usize, seed: u64) -> Result<Self> {
        let build = BuildContext { seed };
        let sampling = section.sampling.build(&build).map_err(failed("tune"))?;
        let objective = section.objective.build(&build).map_err(failed("tune"))?;
        let longest = caught("tune", || Ok(sampling.max_new_tokens()))?;
        let num_seeds = caught("tune", || Ok(objective.num_seeds()))?.max(1);
        let tokens = context_length.saturating_sub(longest + 1 + num_seeds) / num_seeds;
        if tokens == 0 {
            let message = format!(
                "completions of up to {longest} tokens leave no room for a seed document in a context of {context_length}; lower synthesizer.sampling.max_new_tokens or raise model.context_length",
            );
            return Err(failed("tune")(message.into()));
        }
        Ok(Self { num_seeds, tokens })
    }
}

impl<'a> Seeds<'a> {
    pub(crate) fn new(documents: &[Document], tokens: &'a TokenStore, pairs: &Pairs, room: Room) -> Self {
        let rows: HashMap<DocId, usize> =
            documents.iter().enumerate().map(|(row, document)| (document.id, row)).collect();
        let mut targets = Vec::new();
        if room.num_seeds > 1 {
            targets.resize(documents.len(), Vec::new());
            for pair in &pairs.pairs {
                targets[rows[&pair.seed]].push(rows[&pair.target]);
            }
        }
        Self { tokens, rows, targets, room }
    }

    /// Row of a document.
    pub(crate) fn row(&self, id: DocId) -> usize {
        self.rows[&id]
    }

    /// All tokens of a row's document.
    pub(crate) fn whole(&self, row: usize) -> Vec<TokenId> {
        self.tokens.document(row)
    }

    /// The document of a row and its nearest targets other than `except`, each cut to its room.
    pub(crate) fn of(&self, row: usize, except: Option<usize>) -> Vec<Vec<TokenId>> {
        let targets = self.targets.get(row).into_iter().flatten().copied();
        let others = targets.filter(|target| Some(*target) != except);
        let rows = std::iter::once(row).chain(others).take(self.room.num_seeds);
        rows.map(|row| {
            let mut tokens = self.tokens.document(row);
            tokens.truncate(self.room.tokens);
            tokens
        })
        .collect()
    }
}

/// As the slot of objectives takes them.
pub(crate) fn views(seeds: &[Vec<TokenId>]) -> Vec<&[TokenId]> {
    seeds.iter().map(Vec::as_slice).collect()
}
