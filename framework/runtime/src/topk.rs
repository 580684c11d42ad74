//! Exact search for the rows of greatest inner product, in tiles.
//!
//! A tile of queries is multiplied with a tile of rows. On a CPU, what beats a query's threshold is collected from the
//! products where they lie; every thread has queries of its own, so that none waits for another and the neighbors do not
//! depend on how many there are. On a GPU, the best of each tile are taken there and merged here. Ties go to the lower row,
//! but on a GPU those for the last places go to any. Memory is one tile of products (8 MiB) a thread, one of rows and a
//! group of 4,096 queries, whatever the number of rows.

use std::thread;

use sbp_core::Neighbor;
use sbp_plugin::ports::{BLOCK_ROWS, Block, TopK};
use tch::{Device, Tensor};

use crate::error::{Error, Result};
use crate::language_model::to_vec;
use crate::native::products::product;

/// Queries of a tile.
const QUERY_TILE: usize = 512;
/// Queries that one passage over the rows serves.
const QUERY_GROUP: usize = 8 * QUERY_TILE;
/// Rows of a tile: few enough that its products are still in the cache when they are looked at.
const ROW_TILE: usize = BLOCK_ROWS;

/// Search on one device.
pub(crate) struct BlockedTopK {
    device: Device,
}

impl BlockedTopK {
    pub(crate) fn new(device: Device) -> Self {
        Self { device }
    }

    fn search(&self, rows: Rows<'_>, queries: &Queries<'_>, k: usize) -> Result<Vec<Vec<Neighbor>>> {
        if k == 0 {
            return Ok(vec![Vec::new(); queries.rows.len()]);
        }
        if self.device == Device::Cpu {
            rows.search_on_threads(queries, k)
        } else {
            rows.search(queries, k, self.device, offer_best)
        }
    }

    /// For rows picked from those that are searched, a group at a time.
    fn search_picked(&self, rows: Rows<'_>, queries: &[u32], k: usize) -> Result<Vec<Vec<Neighbor>>> {
        let num_rows = rows.len();
        if let Some(query) = queries.iter().find(|&&query| query as usize >= num_rows) {
            return refuse(format!("query row {query} is not among the {num_rows} rows"));
        }
        let mut found = Vec::with_capacity(queries.len());
        for group in queries.chunks(QUERY_GROUP) {
            let picked: Vec<f32> =
                group.iter().flat_map(|&query| rows.row(query as usize)).copied().collect();
            found.extend(self.search(rows, &Queries { rows: group, numbers: &picked }, k)?);
        }
        Ok(found)
    }
}

fn refuse<T>(what: String) -> Result<T> {
    Err(Error::Invalid(format!("search: {what}")))
}

/// What is searched, row-major.
#[derive(Clone, Copy)]
struct Rows<'a> {
    /// Which row the first is.
    first: u32,
    numbers: &'a [f32],
    dim: usize,
}

/// What neighbors are searched for, row-major, and which rows they are.
struct Queries<'a> {
    rows: &'a [u32],
    numbers: &'a [f32],
}

impl<'a> Rows<'a> {
    fn of(block: Block<'a>, dim: usize) -> Result<Self> {
        let Block { first, numbers } = block;
        if dim == 0 || !numbers.len().is_multiple_of(dim) {
            return refuse(format!("{} numbers are no rows of {dim}", numbers.len()));
        }
        let end = first as usize + numbers.len() / dim;
        if u32::try_from(end).is_err() {
            return refuse(format!("{end} rows are more than can be numbered"));
        }
        Ok(Self { first, numbers, dim })
    }

    fn len(self) -> usize {
        self.numbers.len() / self.dim
    }

    fn row(self, index: usize) -> &'a [f32] {
        &self.numbers[index * self.dim..][..self.dim]
    }

    /// The queries shared out among as many threads as libtorch uses.
    fn search_on_threads(self, queries: &Queries<'_>, k: usize) -> Result<Vec<Vec<Neighbor>>> {
        let threads = tch::get_num_threads();
        let share = queries.rows.len().div_ceil(threads.max(1) as usize).max(1);
        let found: Result<Vec<_>> = thread::scope(|scope| {
            let search = |(rows, numbers)| {
                move || {
                    tch::set_num_threads(1);
                    self.search(&Queries { rows, numbers }, k, Device::Cpu, offer_products)
                }
            };
            let shares = queries.rows.chunks(share).zip(queries.numbers.chunks(share * self.dim));
            let running: Vec<_> = shares.map(|queries| scope.spawn(search(queries))).collect();
            running
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        });
        // Threads that begin later take the number that was set last.
        tch::set_num_threads(threads);
        Ok(found?.concat())
    }

    /// All queries in one thread, tile by tile. Rows are brought to the device once for all of them.
    fn search(
        self,
        queries: &Queries<'_>,
        k: usize,
        device: Device,
        select: Select,
    ) -> Result<Vec<Vec<Neighbor>>> {
        let _guard = tch::no_grad_guard();
        let tiles = queries.rows.chunks(QUERY_TILE).zip(queries.numbers.chunks(QUERY_TILE * self.dim));
        let mut tiles = tiles
            .map(|(tile, numbers)| {
                let best: Vec<Best> = tile.iter().map(|&query| Best::new(query, k)).collect();
                Ok((matrix(numbers, self.dim, device)?, best))
            })
            .collect::<Result<Vec<_>>>()?;
        for (index, rows) in self.numbers.chunks(ROW_TILE * self.dim).enumerate() {
            let rows_dr = matrix(rows, self.dim, device)?.f_transpose(0, 1)?;
            for (queries_qd, best) in &mut tiles {
                let first = self.first + (index * ROW_TILE) as u32;
                select(best, first, &product(queries_qd, &rows_dr)?)?;
            }
        }
        Ok(tiles.into_iter().flat_map(|(_, best)| best).map(Best::finish).collect())
    }
}

impl TopK for BlockedTopK {
    fn is_on_gpu(&self) -> bool {
        self.device != Device::Cpu
    }

    fn top_k(
        &mut self,
        rows: &[f32],
        dim: usize,
        queries: &[u32],
        k: usize,
    ) -> sbp_plugin::Result<Vec<Vec<Neighbor>>> {
        Ok(self.search_picked(Rows::of(Block { first: 0, numbers: rows }, dim)?, queries, k)?)
    }

    fn top_k_within(
        &mut self,
        rows: Block<'_>,
        dim: usize,
        queries: Block<'_>,
        k: usize,
    ) -> sbp_plugin::Result<Vec<Vec<Neighbor>>> {
        let (rows, queries) = (Rows::of(rows, dim)?, Rows::of(queries, dim)?);
        let numbered: Vec<u32> = (queries.first..).take(queries.len()).collect();
        let mut found = Vec::with_capacity(numbered.len());
        for (group, numbers) in numbered.chunks(QUERY_GROUP).zip(queries.numbers.chunks(QUERY_GROUP * dim)) {
            found.extend(self.search(rows, &Queries { rows: group, numbers }, k)?);
        }
        Ok(found)
    }
}

fn matrix(values: &[f32], dim: usize, device: Device) -> Result<Tensor> {
    Ok(Tensor::f_from_slice(values)?
        .f_view([(values.len() / dim) as i64, dim as i64])?
        .f_to_device(device)?)
}

/// How the products of a tile, `[q, r]`, are looked through for what is better than the best so far; the first row of the
/// tile has the given number.
type Select = fn(best: &mut [Best], first: u32, products_qr: &Tensor) -> Result<()>;

/// Reads every product.
fn offer_products(best: &mut [Best], first: u32, products_qr: &Tensor) -> Result<()> {
    let (_, r) = products_qr.size2()?;
    for (best, products) in best.iter_mut().zip(in_place(products_qr)?.chunks_exact(r as usize)) {
        best.offer(first, products);
    }
    Ok(())
}

/// The numbers of a tensor where they lie.
fn in_place(tensor: &Tensor) -> Result<&[f32]> {
    if tensor.device() != Device::Cpu || tensor.kind() != tch::Kind::Float || !tensor.is_contiguous() {
        return Err(Error::Invalid("search: products are not rows of f32 on the CPU".to_owned()));
    }
    #[expect(unsafe_code, reason = "a copy of every product would cost as much as looking at it")]
    // SAFETY: contiguous f32 on the CPU, as was just checked, which lives and stays as it is while it is borrowed.
    Ok(unsafe { std::slice::from_raw_parts(tensor.data_ptr().cast(), tensor.numel()) })
}

/// Takes the best of each query where the products are: only they are brought here.
fn offer_best(best: &mut [Best], first: u32, products_qr: &Tensor) -> Result<()> {
    let (_, r) = products_qr.size2()?;
    // One more, since a query may find itself.
    let most = best.iter().map(|best| best.k as i64 + 1).max().unwrap_or(1).min(r);
    let (values, places) = products_qr.f_topk(most, -1, true, true)?;
    let (values, places) = (to_vec(&values)?, Vec::<i64>::try_from(places.f_view([-1])?)?);
    let most = most as usize;
    for ((best, values), places) in
        best.iter_mut().zip(values.chunks_exact(most)).zip(places.chunks_exact(most))
    {
        for (&similarity, &place) in values.iter().zip(places) {
            best.offer_one(first + place as u32, similarity);
        }
    }
    Ok(())
}

/// The best rows of one query so far.
struct Best {
    query: u32,
    k: usize,
    /// At least the best k of all rows offered; cut back to them when it is twice as long.
    kept: Vec<Neighbor>,
    /// Similarity that a later row must exceed: equal is not enough, since ties go to the lower row.
    threshold: f32,
}

impl Best {
    fn new(query: u32, k: usize) -> Self {
        Self { query, k, kept: Vec::new(), threshold: f32::NEG_INFINITY }
    }

    /// Rows come in ascending order; `first` is the first of these.
    fn offer(&mut self, first: u32, similarities: &[f32]) {
        for (chunk, values) in similarities.chunks(16).enumerate() {
            // Most chunks hold nothing new, and this test compiles to a few vector instructions.
            if !values.iter().fold(false, |any, &value| any | (value > self.threshold)) {
                continue;
            }
            for (place, &similarity) in values.iter().enumerate() {
                self.offer_one(first + (chunk * 16 + place) as u32, similarity);
            }
        }
    }

    fn offer_one(&mut self, row: u32, similarity: f32) {
        if similarity > self.threshold && row != self.query {
            // Plus zero, since -0.0 would sort below 0.0 instead of tying with it.
            self.kept.push(Neighbor { row, similarity: similarity + 0.0 });
            if self.kept.len() >= self.k.saturating_mul(2) {
                self.cut();
            }
        }
    }

    fn cut(&mut self) {
        let order =
            |a: &Neighbor, b: &Neighbor| b.similarity.total_cmp(&a.similarity).then(a.row.cmp(&b.row));
        if self.kept.len() > self.k {
            self.kept.select_nth_unstable_by(self.k - 1, order);
            self.kept.truncate(self.k);
        }
        if self.kept.len() == self.k {
            self.threshold = self.kept.iter().map(|kept| kept.similarity).fold(f32::INFINITY, f32::min);
        }
    }

    fn finish(mut self) -> Vec<Neighbor> {
        self.cut();
        self.kept.sort_unstable_by(|a, b| b.similarity.total_cmp(&a.similarity).then(a.row.cmp(&b.row)));
        self.kept
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn naive(rows: &[f32], dim: usize, query: u32, k: usize) -> Vec<Neighbor> {
        let row = |index: u32| &rows[index as usize * dim..][..dim];
        let mut all: Vec<Neighbor> = (0..(rows.len() / dim) as u32)
            .filter(|&other| other != query)
            .map(|other| Neighbor {
                row: other,
                similarity: row(query).iter().zip(row(other)).map(|(a, b)| a * b).sum::<f32>() + 0.0,
            })
            .collect();
        all.sort_by(|a, b| b.similarity.total_cmp(&a.similarity).then(a.row.cmp(&b.row)));
        all.truncate(k);
        all
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn equals_a_naive_search(
            // Small whole numbers: products are exact, and ties are many.
            values in prop::collection::vec(-2_i8..3, 4..1200),
            dim in 1_usize..5,
            k in 0_usize..40,
        ) {
            let rows: Vec<f32> = values[..values.len() / dim * dim].iter().map(|&value| f32::from(value)).collect();
            let queries: Vec<u32> = (0..(rows.len() / dim) as u32).step_by(3).collect();
            let found = BlockedTopK::new(Device::Cpu).top_k(&rows, dim, &queries, k).unwrap();
            for (&query, found) in queries.iter().zip(found) {
                prop_assert_eq!(found, naive(&rows, dim, query, k));
            }
        }
    }

    /// What a GPU does, done on the CPU.
    #[test]
    fn the_best_of_every_tile_are_the_best_of_all() {
        let num_rows = 2 * ROW_TILE + 17;
        // All different, so that no tie is left to chance.
        let rows: Vec<f32> =
            (0..num_rows).map(|row| ((row * 7919) % 8209) as f32 + row as f32 * 1e-5).collect();
        let queries: Vec<u32> = (0..9).map(|query| query * 900).collect();
        let picked: Vec<f32> = queries.iter().map(|&query| rows[query as usize]).collect();
        let rows = Rows { first: 0, numbers: &rows, dim: 1 };
        let queries = Queries { rows: &queries, numbers: &picked };
        for k in [1, 20, ROW_TILE + 5] {
            let found = rows.search(&queries, k, Device::Cpu, offer_best).unwrap();
            assert_eq!(found, rows.search_on_threads(&queries, k).unwrap());
        }
    }

    #[test]
    fn tiles_do_not_show() {
        let num_rows = 4 * (QUERY_GROUP + 5);
        let rows: Vec<f32> = (0..num_rows).map(|row| ((row * 7919) % 1013) as f32).collect();
        let queries: Vec<u32> = (0..QUERY_GROUP as u32 + 5).map(|query| query * 4).collect();
        let found = BlockedTopK::new(Device::Cpu).top_k(&rows, 1, &queries, 20).unwrap();
        for place in [0, 7, QUERY_TILE, QUERY_TILE + 4, QUERY_GROUP, QUERY_GROUP + 4] {
            assert_eq!(found[place], naive(&rows, 1, queries[place], 20));
        }
    }

    #[test]
    fn blocks_have_the_bits_of_the_whole() {
        let (num_rows, dim, k) = (2 * BLOCK_ROWS + 37, 24, 9);
        let rows = sbp_testkit::random_embeddings(num_rows, dim, 1).rows;
        let mut search = BlockedTopK::new(Device::Cpu);
        for queries in [0..500_u32, BLOCK_ROWS as u32..BLOCK_ROWS as u32 + 700] {
            let numbers = &rows[queries.start as usize * dim..queries.end as usize * dim];
            let block = Block { first: queries.start, numbers };
            let queries: Vec<u32> = queries.collect();
            let expected = search.top_k(&rows, dim, &queries, k).unwrap();
            let mut found = vec![Vec::new(); queries.len()];
            for (index, numbers) in rows.chunks(BLOCK_ROWS * dim).enumerate() {
                let rows = Block { first: (index * BLOCK_ROWS) as u32, numbers };
                let within = search.top_k_within(rows, dim, block, k).unwrap();
                found.iter_mut().zip(within).for_each(|(all, within)| all.extend(within));
            }
            for (mut found, expected) in found.into_iter().zip(expected) {
                sbp_plugin::slots::retriever::sort_neighbors(&mut found);
                assert_eq!(found[..k], expected);
            }
        }
    }

    #[test]
    fn sizes_that_do_not_fit_are_an_error() {
        let search = |rows: &[f32], dim, queries: &[u32]| {
            BlockedTopK::new(Device::Cpu).top_k(rows, dim, queries, 1).unwrap_err().to_string()
        };
        assert_eq!(search(&[1.0; 5], 2, &[0]), "search: 5 numbers are no rows of 2");
        assert_eq!(search(&[1.0; 4], 2, &[2]), "search: query row 2 is not among the 2 rows");
    }
}
