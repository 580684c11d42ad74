//! Exact search by several processes, each of which holds a share of the rows: they are handed round, and what each share gives
//! is merged.
//!
//! In turn t a process gets the rows of the process t places behind it and gives its own to the one t places before it, a tile at
//! a time, while it searches the tile that came before. So it holds its share and two tiles, and every row travels to every
//! other process once.

use std::borrow::Cow;
use std::ops::Range;
use std::thread;

use sbp_core::Neighbor;
use sbp_plugin::ports::{BLOCK_ROWS, Block, TopK};
use sbp_plugin::slots::retriever::sort_neighbors;
use sbp_plugin::team::Team;

use crate::Result;
use crate::together::broken;

/// Numbers of a tile, at most: 64 MiB.
const TILE: usize = 16 << 20;

/// The rows, as one process sees them.
pub(super) struct Ring<'a> {
    team: &'a dyn Team,
    dim: usize,
    /// By process: which rows it holds.
    held: Vec<Range<usize>>,
    /// Rows handed round at once.
    tile_rows: usize,
    /// Those that this process holds.
    own: Vec<f32>,
}

impl<'a> Ring<'a> {
    /// Shares out `num_rows`; `read` gives those that this process is to hold.
    pub(super) fn new(
        team: &'a dyn Team,
        num_rows: usize,
        dim: usize,
        read: impl FnOnce(Range<usize>) -> Result<Vec<f32>>,
    ) -> Result<Self> {
        let tile_rows = (TILE / dim / BLOCK_ROWS).max(1) * BLOCK_ROWS;
        Self::cut(team, num_rows, dim, (BLOCK_ROWS, tile_rows), read)
    }

    /// Shares are multiples of `block_rows`, so that they give the bits that the whole gives.
    fn cut(
        team: &'a dyn Team,
        num_rows: usize,
        dim: usize,
        (block_rows, tile_rows): (usize, usize),
        read: impl FnOnce(Range<usize>) -> Result<Vec<f32>>,
    ) -> Result<Self> {
        let num_blocks = num_rows.div_ceil(block_rows);
        let cut = |rank: usize| num_rows.min(num_blocks * rank / team.size() * block_rows);
        let held: Vec<_> = (0..team.size()).map(|rank| cut(rank)..cut(rank + 1)).collect();
        let own = read(held[team.rank()].clone())?;
        Ok(Self { team, dim, held, tile_rows, own })
    }

    /// The k nearest of all rows for each row of some blocks, block by block. Called by every process at once, though it may have
    /// nothing to ask.
    pub(super) fn neighbors(
        &self,
        top_k: &mut dyn TopK,
        queries: &[Block<'_>],
        k: usize,
        failed: impl Fn(sbp_plugin::Error) -> crate::Error,
    ) -> Result<Vec<Vec<Vec<Neighbor>>>> {
        let mut best: Vec<Vec<Vec<Neighbor>>> =
            queries.iter().map(|block| vec![Vec::new(); block.numbers.len() / self.dim]).collect();
        let most = self.held.iter().map(Range::len).max().unwrap_or(0);
        let mut turns = (1..self.held.len())
            .flat_map(|turn| (0..most.div_ceil(self.tile_rows)).map(move |tile| (turn, tile)));
        let (mut first, mut rows) = (self.held[self.team.rank()].start, Cow::Borrowed(self.own.as_slice()));
        thread::scope(|scope| {
            loop {
                let coming = turns.next().map(|(turn, tile)| scope.spawn(move || self.take(turn, tile)));
                for (queries, best) in queries.iter().zip(&mut best) {
                    let rows = Block { first: first as u32, numbers: &rows };
                    let found = top_k.top_k_within(rows, self.dim, *queries, k).map_err(&failed)?;
                    for (best, found) in best.iter_mut().zip(found) {
                        best.extend(found);
                        sort_neighbors(best);
                        best.truncate(k);
                    }
                }
                let Some(coming) = coming else { return Ok(best) };
                let came = coming.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
                (first, rows) = (came.0, Cow::Owned(came.1));
            }
        })
    }

    /// A tile of the rows that are taken in a turn, and which row its first is; given against one of this process's own.
    fn take(&self, turn: usize, tile: usize) -> Result<(usize, Vec<f32>)> {
        let (size, rank) = (self.team.size(), self.team.rank());
        let (from, to) = ((rank + turn) % size, (rank + size - turn) % size);
        let (own, theirs) = (self.tile(rank, tile), self.tile(from, tile));
        let (mut given, mut taken) = (vec![0; size], vec![0; size]);
        given[to] = own.len() * self.dim;
        taken[from] = theirs.len() * self.dim;
        let start = (own.start - self.held[rank].start) * self.dim;
        let numbers = &self.own[start..start + given[to]];
        Ok((theirs.start, self.team.swap(numbers, &given, &taken).map_err(broken)?))
    }

    fn tile(&self, rank: usize, tile: usize) -> Range<usize> {
        let Range { start, end } = self.held[rank];
        let place = |tile: usize| end.min(start + tile * self.tile_rows);
        place(tile)..place(tile + 1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sbp_testkit::{NaiveTopK, ThreadTeam};

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn rows_that_are_handed_round_give_what_all_of_them_give(
            // Small whole numbers: ties are many.
            values in prop::collection::vec(-2_i8..3, 0..120),
            dim in 1_usize..4,
            k in 0_usize..8,
            size in 1_usize..5,
            block_rows in 1_usize..7,
            tile_blocks in 1_usize..3,
            of_each in 1_usize..9,
        ) {
            let num_rows = values.len() / dim;
            let rows: Vec<f32> = values[..num_rows * dim].iter().map(|&value| f32::from(value)).collect();
            let of = |range: Range<usize>| &rows[range.start * dim..range.end * dim];
            let queries: Vec<u32> = (0..num_rows as u32).collect();
            let expected = NaiveTopK.top_k(&rows, dim, &queries, k).unwrap();
            let found = ThreadTeam::run(size, |team| {
                let cut = (block_rows, tile_blocks * block_rows);
                let ring = Ring::cut(team.as_ref(), num_rows, dim, cut, |held| Ok(of(held).to_vec())).unwrap();
                // Everybody asks for some, the last perhaps for none.
                let place = |rank: usize| num_rows.min(rank * of_each);
                let [start, end] = [place(team.rank()), place(team.rank() + 1)];
                let middle = start + (end - start) / 2;
                let block = |range: Range<usize>| Block { first: range.start as u32, numbers: of(range) };
                let queries = [block(start..middle), block(middle..end)];
                ring.neighbors(&mut NaiveTopK, &queries, k, |error| panic!("{error}")).unwrap().concat()
            });
            let found = found.concat();
            prop_assert_eq!(&found, &expected[..num_rows.min(size * of_each)]);
        }
    }
}
