//! How rows are kept on disk, and what that does to the neighbors that are found among them.

use half::f16;
use sbp_core::RootSeed;
use sbp_plugin::ports::TopK;
use sbp_plugin::slots::embedder::Embeddings;
use sbp_recipe::Storage;
use serde::{Deserialize, Serialize};

/// Documents whose neighbors are compared.
const SAMPLE: usize = 200;
/// Neighbors of each.
const NEIGHBORS: usize = 10;

/// Share of the `k` nearest neighbors among rows as they were that are nearest among the stored ones too, over a sample
/// of documents.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct StorageRecall {
    pub(crate) k: usize,
    pub(crate) documents: usize,
    pub(crate) share: f64,
}

/// Name of the file of rows.
pub(super) fn file_of(storage: Storage) -> String {
    format!("rows.{}", storage.name())
}

/// Bytes that a row takes.
pub(crate) fn row_bytes(dim: usize, storage: Storage) -> usize {
    match storage {
        Storage::F32 => dim * 4,
        Storage::F16 => dim * 2,
        Storage::Int8 => SCALE_BYTES + dim,
    }
}

/// Bytes of the scale before a row of int8.
const SCALE_BYTES: usize = size_of::<f32>();

/// Rows as they are written, little-endian. A row of int8 is its scale, an `f32`, and its numbers divided by it: the
/// greatest becomes 127.
pub(super) fn encode(embeddings: &Embeddings, storage: Storage) -> Vec<u8> {
    let rows = &embeddings.rows;
    match storage {
        Storage::F32 => rows.iter().flat_map(|x| x.to_le_bytes()).collect(),
        Storage::F16 => rows.iter().flat_map(|x| f16::from_f32(*x).to_le_bytes()).collect(),
        Storage::Int8 => {
            let mut bytes = Vec::with_capacity(embeddings.len() * row_bytes(embeddings.dim, storage));
            for row in rows.chunks_exact(embeddings.dim) {
                let scale = row.iter().fold(0.0, |most: f32, x| most.max(x.abs())) / 127.0;
                bytes.extend(scale.to_le_bytes());
                let divisor = if scale > 0.0 { scale } else { 1.0 };
                bytes.extend(row.iter().flat_map(|x| ((x / divisor).round() as i8).to_le_bytes()));
            }
            bytes
        }
    }
}

/// Rows as they were written, of unit length again.
pub(super) fn decode(bytes: &[u8], dim: usize, storage: Storage) -> Embeddings {
    match storage {
        Storage::F32 => {
            let rows = bytes.as_chunks::<4>().0.iter().map(|&x| f32::from_le_bytes(x)).collect();
            Embeddings { dim, rows }
        }
        Storage::F16 => {
            let rows = bytes.as_chunks::<2>().0.iter().map(|&x| f16::from_le_bytes(x).to_f32()).collect();
            Embeddings::normalised(dim, rows)
        }
        Storage::Int8 => {
            let mut rows = Vec::with_capacity(bytes.len());
            for row in bytes.chunks_exact(row_bytes(dim, storage)) {
                let (scale, numbers) = row.split_at(SCALE_BYTES);
                let scale = f32::from_le_bytes(scale.as_chunks::<4>().0[0]);
                rows.extend(numbers.iter().map(|&x| f32::from(i8::from_le_bytes([x])) * scale));
            }
            Embeddings::normalised(dim, rows)
        }
    }
}

/// What storing them did to rows.
pub(super) fn recall(
    exact: &Embeddings,
    stored: &Embeddings,
    top_k: &mut dyn TopK,
) -> sbp_plugin::Result<StorageRecall> {
    let mut queries = RootSeed(0).stream("recall of storage", &[]).permutation(exact.len());
    queries.truncate(SAMPLE);
    let mut search = |of: &Embeddings| top_k.top_k(&of.rows, of.dim, &queries, NEIGHBORS);
    let (wanted, found) = (search(exact)?, search(stored)?);
    let (mut hits, mut all) = (0, 0);
    for (wanted, found) in wanted.iter().zip(&found) {
        let is_found = |row| found.iter().any(|neighbor| neighbor.row == row);
        hits += wanted.iter().filter(|neighbor| is_found(neighbor.row)).count();
        all += wanted.len();
    }
    let share = if all == 0 { 1.0 } else { hits as f64 / all as f64 };
    Ok(StorageRecall { k: NEIGHBORS, documents: queries.len(), share })
}

#[cfg(test)]
mod tests {
    use sbp_testkit::{NaiveTopK, random_embeddings};

    use super::*;

    const ALL: [Storage; 3] = [Storage::F32, Storage::F16, Storage::Int8];

    #[test]
    fn rows_of_known_numbers() {
        let embeddings = Embeddings { dim: 2, rows: vec![0.6, -0.8, 0.0, 0.0] };
        let int8 = encode(&embeddings, Storage::Int8);
        // 0.6 / (0.8 / 127) = 95.25.
        assert_eq!(int8[..6], [&(0.8_f32 / 127.0).to_le_bytes()[..], &[95, (-127_i8) as u8]].concat());
        assert_eq!(int8[6..], [0; 6]);
        // The nearest halves: 0.6 is 1229 / 2048, 0.8 is 1638 / 2048 or so.
        let f16 = encode(&embeddings, Storage::F16);
        assert_eq!(f16[..4], [0xCD, 0x38, 0x66, 0xBA]);
        for storage in ALL {
            let bytes = encode(&embeddings, storage);
            assert_eq!(bytes.len(), 2 * row_bytes(2, storage));
            let back = decode(&bytes, 2, storage);
            let norm: f32 = back.row(0).iter().map(|x| x * x).sum();
            assert!((norm - 1.0).abs() < 1e-6 && back.row(1) == [0.0, 0.0]);
            assert!((back.row(0)[0] - 0.6).abs() < 0.002);
        }
    }

    #[test]
    fn rows_kept_as_they_are_come_back_bit_by_bit() {
        let embeddings = random_embeddings(20, 7, 1);
        assert_eq!(decode(&encode(&embeddings, Storage::F32), 7, Storage::F32), embeddings);
    }

    #[test]
    fn recall_counts_the_neighbors_that_are_still_nearest() {
        let exact = random_embeddings(300, 16, 1);
        let of = |stored: &Embeddings| recall(&exact, stored, &mut NaiveTopK).unwrap();
        assert_eq!(of(&exact), StorageRecall { k: 10, documents: 200, share: 1.0 });
        let stored = |storage| of(&decode(&encode(&exact, storage), 16, storage)).share;
        assert!(stored(Storage::F16) > 0.99 && stored(Storage::Int8) > 0.9 && stored(Storage::Int8) < 1.0);
        // Ten of 299 others are near by chance.
        assert!(of(&random_embeddings(300, 16, 2)).share < 0.1);
        let one = random_embeddings(1, 16, 1);
        assert_eq!(recall(&one, &one, &mut NaiveTopK).unwrap().share, 1.0);
    }
}
