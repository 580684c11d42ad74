//! The neighbors of every document: found by all processes, and kept in shards until there are pairs.

use std::path::PathBuf;
use std::sync::Arc;

use sbp_core::{Document, Neighbor, RootSeed};
use sbp_plugin::ports::Block;
use sbp_plugin::slots::embedder::Embeddings;
use sbp_plugin::slots::retriever::{Retriever, SearchContext};
use sbp_plugin::team::Team;

use super::super::embed::Embedded;
use super::super::{Study, caught, failed};
use super::ring::Ring;
use super::shards;
use crate::together::{broken, concluded, each_piece, led};
use crate::watch::Progress;
use crate::{Error, Result};

/// Queries handed to the retriever at a time, and kept as one shard: the work that a kill can lose.
const QUERIES_AT_ONCE: usize = 4096;

/// Shards that a process with a GPU searches for while rows are handed round once, so that they come as fast as it searches them.
const SHARDS_A_ROUND: usize = 16;

/// Documents that those are.
pub(crate) const QUERIES_A_ROUND: usize = SHARDS_A_ROUND * QUERIES_AT_ONCE;

/// A search of D_pretrain for the neighbors of its documents.
pub(super) struct Search<'a> {
    pub(super) label: &'a str,
    pub(super) documents: &'a [Document],
    pub(super) embedded: &'a Embedded,
    pub(super) retriever: Box<dyn Retriever>,
    /// Neighbors of each.
    pub(super) k: usize,
    pub(super) seed: u64,
    /// Folder of what is found.
    pub(super) folder: PathBuf,
    /// Folder of this process's index.
    pub(super) scratch: PathBuf,
    /// All rows, once the retriever is prepared for them.
    pub(super) rows: Option<Embeddings>,
}

impl Search<'_> {
    /// Finds what an earlier attempt did not find.
    pub(super) fn all(&mut self, study: &mut Study<'_>) -> Result<()> {
        let (team, label) = (Arc::clone(&study.team), self.label);
        let is_on_gpu = study.runtime.top_k().is_on_gpu();
        let is_exact = caught(label, || Ok(self.retriever.is_exact_search(self.documents.len(), is_on_gpu)))?;
        if is_exact && !team.is_alone() {
            let outcome = self.in_rounds(study, team.as_ref(), is_on_gpu);
            return concluded(team.as_ref(), label, outcome);
        }
        self.rows = Some(self.prepare(study)?);
        each_piece(team.as_ref(), label, self.num_shards(), |number| {
            let queries = &self.shard(number);
            if shards::read(&self.folder, queries, self.documents.len())?.is_none() {
                if study.watch.reporter.stop_requested() {
                    return Err(Error::Stopped { stage: label.to_owned() });
                }
                self.neighbors(study, queries)?;
            }
            self.report(study, queries);
            Ok(())
        })
    }

    /// Whether neighbors may be missed: of a retriever that searched.
    pub(super) fn is_approximate(&self) -> bool {
        self.rows.is_some() && self.retriever.is_approximate()
    }

    /// Lets go of the index.
    pub(super) fn close(self) -> Result<()> {
        drop(self.retriever);
        std::fs::remove_dir_all(&self.scratch).map_err(Error::file("remove", &self.scratch))
    }

    /// Shards of documents.
    pub(super) fn num_shards(&self) -> usize {
        self.documents.len().div_ceil(QUERIES_AT_ONCE)
    }

    /// The documents of a shard.
    pub(super) fn shard(&self, number: usize) -> Vec<u32> {
        let first = number * QUERIES_AT_ONCE;
        (first as u32..self.documents.len().min(first + QUERIES_AT_ONCE) as u32).collect()
    }

    /// Neighbors of the documents of a shard: what was found, or if it is not there or not whole, found by this process.
    pub(super) fn neighbors(&mut self, study: &mut Study<'_>, queries: &[u32]) -> Result<Vec<Vec<Neighbor>>> {
        let (folder, num_rows) = (self.folder.clone(), self.documents.len());
        shards::neighbors(&folder, queries, num_rows, || {
            let rows = self.rows.take().map_or_else(|| self.prepare(study), Ok)?;
            let mut context = SearchContext {
                top_k: study.runtime.top_k(),
                documents: self.documents,
                scratch: &self.scratch,
                rng: RootSeed(self.seed).stream("retrieve", &[u64::from(queries[0])]),
            };
            let found = self.retriever.neighbors(&rows, queries, self.k, &mut context);
            self.rows = Some(rows);
            found.map_err(failed(self.label))
        })
    }

    /// All rows, for which the retriever builds what it needs: an index is built anew by every attempt.
    fn prepare(&mut self, study: &mut Study<'_>) -> Result<Embeddings> {
        let rows = self.embedded.rows(0..self.embedded.len)?;
        let mut context = SearchContext {
            top_k: study.runtime.top_k(),
            documents: self.documents,
            scratch: &self.scratch,
            rng: RootSeed(self.seed).stream("index", &[0]),
        };
        self.retriever.prepare(&rows, &mut context).map_err(failed(self.label))?;
        Ok(rows)
    }

    /// Exact search by all processes at once: each searches for other documents, while rows are handed round.
    fn in_rounds(&self, study: &mut Study<'_>, team: &dyn Team, is_on_gpu: bool) -> Result<()> {
        let (num_rows, label) = (self.documents.len(), self.label);
        let missing: Vec<usize> = led(team, || {
            let mut missing = Vec::new();
            for number in 0..self.num_shards() {
                if shards::read(&self.folder, &self.shard(number), num_rows)?.is_none() {
                    missing.push(number);
                }
            }
            Ok(missing)
        })?;
        let rows_of = |queries: &Vec<u32>| {
            let first = queries[0] as usize;
            self.embedded.rows(first..first + queries.len())
        };
        let of_each = if is_on_gpu { SHARDS_A_ROUND } else { 1 };
        let ring = Ring::new(team, num_rows, self.embedded.dim, |held| Ok(self.embedded.rows(held)?.rows))?;
        for round in missing.chunks(of_each * team.size()) {
            let stops = vec![u8::from(study.watch.reporter.stop_requested())];
            if team.collect(stops).map_err(broken)?.contains(&vec![1]) {
                return Err(Error::Stopped { stage: label.to_owned() });
            }
            let own = round.iter().skip(team.rank()).step_by(team.size());
            let own: Vec<Vec<u32>> = own.map(|&number| self.shard(number)).collect();
            let rows = own.iter().map(rows_of).collect::<Result<Vec<_>>>()?;
            let blocks: Vec<Block<'_>> = own
                .iter()
                .zip(&rows)
                .map(|(queries, rows)| Block { first: queries[0], numbers: &rows.rows })
                .collect();
            let found = ring.neighbors(study.runtime.top_k(), &blocks, self.k, failed(label))?;
            for (queries, found) in own.iter().zip(&found) {
                shards::write(&self.folder, queries, found)?;
                self.report(study, queries);
            }
        }
        Ok(())
    }

    fn report(&self, study: &mut Study<'_>, queries: &[u32]) {
        let done = u64::from(queries[queries.len() - 1]) + 1;
        let progress = Progress::of(self.label, done, self.documents.len() as u64, "documents");
        study.watch.reporter.progress(&progress);
    }
}
