//! Exact search for the rows of greatest inner product, in tiles.
//!
//! A tile of queries is multiplied with a tile of rows; what beats a query's threshold is collected in Rust.
//! Ties go to the lower row. Memory is one tile of products (16 MiB), one of rows and a group of 4,096 queries, whatever
//! the number of rows.

use sbp_core::Neighbor;
use sbp_plugin::ports::TopK;
use tch::{Device, Tensor};

use crate::error::{Error, Result};
use crate::language_model::to_vec;

/// Queries of a tile.
const QUERY_TILE: usize = 256;
/// Queries that one passage over the rows serves.
const QUERY_GROUP: usize = 16 * QUERY_TILE;
/// Rows of a tile.
const ROW_TILE: usize = 16_384;

/// Search on one device.
pub(crate) struct BlockedTopK {
    device: Device,
}

impl BlockedTopK {
    pub(crate) fn new(device: Device) -> Self {
        Self { device }
    }

    fn search(&self, rows: &[f32], dim: usize, queries: &[u32], k: usize) -> Result<Vec<Vec<Neighbor>>> {
        let refuse = |what: String| Err(Error::Invalid(format!("search: {what}")));
        if dim == 0 || !rows.len().is_multiple_of(dim) {
            return refuse(format!("{} numbers are no rows of {dim}", rows.len()));
        }
        let num_rows = rows.len() / dim;
        if u32::try_from(num_rows).is_err() {
            return refuse(format!("{num_rows} rows are more than can be numbered"));
        }
        if let Some(query) = queries.iter().find(|&&query| query as usize >= num_rows) {
            return refuse(format!("query row {query} is not among the {num_rows} rows"));
        }
        if k == 0 {
            return Ok(vec![Vec::new(); queries.len()]);
        }
        let _guard = tch::no_grad_guard();
        let mut found = Vec::with_capacity(queries.len());
        for group in queries.chunks(QUERY_GROUP) {
            let mut tiles = group
                .chunks(QUERY_TILE)
                .map(|tile| {
                    let mut picked = Vec::with_capacity(tile.len() * dim);
                    for &query in tile {
                        picked.extend_from_slice(&rows[query as usize * dim..][..dim]);
                    }
                    let best: Vec<Best> = tile.iter().map(|&query| Best::new(query, k)).collect();
                    Ok((matrix(&picked, dim, self.device)?, best))
                })
                .collect::<Result<Vec<_>>>()?;
            // Rows are brought to the device once a group of queries, not once a tile.
            for (index, rows) in rows.chunks(ROW_TILE * dim).enumerate() {
                let rows_dr = matrix(rows, dim, self.device)?.f_transpose(0, 1)?;
                for (queries_qd, best) in &mut tiles {
                    let products = to_vec(&queries_qd.f_matmul(&rows_dr)?)?;
                    for (best, products) in best.iter_mut().zip(products.chunks_exact(rows.len() / dim)) {
                        best.offer((index * ROW_TILE) as u32, products);
                    }
                }
            }
            found.extend(tiles.into_iter().flat_map(|(_, best)| best).map(Best::finish));
        }
        Ok(found)
    }
}

impl TopK for BlockedTopK {
    fn top_k(
        &mut self,
        rows: &[f32],
        dim: usize,
        queries: &[u32],
        k: usize,
    ) -> sbp_plugin::Result<Vec<Vec<Neighbor>>> {
        Ok(self.search(rows, dim, queries, k)?)
    }
}

fn matrix(values: &[f32], dim: usize, device: Device) -> Result<Tensor> {
    Ok(Tensor::f_from_slice(values)?
        .f_view([(values.len() / dim) as i64, dim as i64])?
        .f_to_device(device)?)
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
                let row = first + (chunk * 16 + place) as u32;
                if similarity > self.threshold && row != self.query {
                    // Plus zero, since -0.0 would sort below 0.0 instead of tying with it.
                    self.kept.push(Neighbor { row, similarity: similarity + 0.0 });
                    if self.kept.len() >= self.k.saturating_mul(2) {
                        self.cut();
                    }
                }
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
            let found = BlockedTopK::new(Device::Cpu).search(&rows, dim, &queries, k).unwrap();
            for (&query, found) in queries.iter().zip(found) {
                prop_assert_eq!(found, naive(&rows, dim, query, k));
            }
        }
    }

    #[test]
    fn tiles_do_not_show() {
        let num_rows = ROW_TILE + 300;
        let rows: Vec<f32> = (0..num_rows).map(|row| ((row * 7919) % 1013) as f32).collect();
        let queries: Vec<u32> = (0..QUERY_GROUP as u32 + 5).map(|query| query * 4).collect();
        let found = BlockedTopK::new(Device::Cpu).search(&rows, 1, &queries, 20).unwrap();
        for place in [0, 7, QUERY_TILE, QUERY_TILE + 4, QUERY_GROUP, QUERY_GROUP + 4] {
            assert_eq!(found[place], naive(&rows, 1, queries[place], 20));
        }
    }

    #[test]
    fn sizes_that_do_not_fit_are_an_error() {
        let search = |rows: &[f32], dim, queries: &[u32]| {
            BlockedTopK::new(Device::Cpu).search(rows, dim, queries, 1).unwrap_err().to_string()
        };
        assert_eq!(search(&[1.0; 5], 2, &[0]), "search: 5 numbers are no rows of 2");
        assert_eq!(search(&[1.0; 4], 2, &[2]), "search: query row 2 is not among the 2 rows");
    }
}
