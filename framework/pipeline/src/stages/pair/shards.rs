//! Neighbors in shards, each written whole, so that an attempt that was ended loses at most one.

use std::path::{Path, PathBuf};

use sbp_core::Neighbor;

use crate::{Error, Result, files};

/// Neighbors of each of `queries` among `num_rows` rows, in a file of `folder` that is named by the first: read if it is there
/// and whole, else found and written.
pub(super) fn neighbors(
    folder: &Path,
    queries: &[u32],
    num_rows: usize,
    find: impl FnOnce() -> Result<Vec<Vec<Neighbor>>>,
) -> Result<Vec<Vec<Neighbor>>> {
    if let Some(found) = read(folder, queries, num_rows)? {
        return Ok(found);
    }
    let found = find()?;
    write(folder, queries, &found)?;
    Ok(found)
}

/// What was found before, if that is there and whole.
pub(super) fn read(folder: &Path, queries: &[u32], num_rows: usize) -> Result<Option<Vec<Vec<Neighbor>>>> {
    let path = path_of(folder, queries);
    if !path.exists() {
        return Ok(None);
    }
    let bytes = std::fs::read(&path).map_err(Error::file("read", &path))?;
    let is_whole = |found: &Vec<Vec<Neighbor>>| {
        found.len() == queries.len() && found.iter().flatten().all(|it| (it.row as usize) < num_rows)
    };
    Ok(decode(&bytes).filter(is_whole))
}

/// Keeps what was found.
pub(super) fn write(folder: &Path, queries: &[u32], found: &[Vec<Neighbor>]) -> Result<()> {
    files::write_whole(&path_of(folder, queries), &encode(found))
}

fn path_of(folder: &Path, queries: &[u32]) -> PathBuf {
    folder.join(format!("{:010}-{}.neighbors", queries.first().copied().unwrap_or(0), queries.len()))
}

/// The number of neighbors of each query, then row and similarity of each; all little-endian.
fn encode(found: &[Vec<Neighbor>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for neighbors in found {
        bytes.extend((neighbors.len() as u32).to_le_bytes());
        for neighbor in neighbors {
            bytes.extend(neighbor.row.to_le_bytes());
            bytes.extend(neighbor.similarity.to_le_bytes());
        }
    }
    bytes
}

fn decode(bytes: &[u8]) -> Option<Vec<Vec<Neighbor>>> {
    let (words, []) = bytes.as_chunks::<4>() else { return None };
    let mut words = words.iter();
    let mut found = Vec::new();
    while let Some(&count) = words.next() {
        let neighbors = (0..u32::from_le_bytes(count)).map(|_| {
            let (row, similarity) = (words.next()?, words.next()?);
            Some(Neighbor { row: u32::from_le_bytes(*row), similarity: f32::from_le_bytes(*similarity) })
        });
        found.push(neighbors.collect::<Option<Vec<_>>>()?);
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        // Every case syncs its files to the disk.
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn exactly_what_is_missing_or_damaged_is_found_again(
            lists in prop::collection::vec(prop::collection::vec((any::<u32>(), any::<i8>()), 0..4), 1..30),
            size in 1_usize..8,
            // A shard is not there, cut, or whole.
            before in prop::collection::vec((0_u8..3, any::<prop::sample::Index>()), 29),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let rows: Vec<u32> = (0..lists.len() as u32).collect();
            let neighbor = |&(row, similarity): &(u32, i8)| Neighbor {
                row: row % rows.len() as u32,
                similarity: f32::from(similarity) / 128.0,
            };
            let all: Vec<Vec<Neighbor>> =
                lists.iter().map(|list| list.iter().map(neighbor).collect()).collect();
            let shards = || rows.chunks(size).zip(all.chunks(size)).zip(&before);
            for ((queries, found), (state, cut)) in shards() {
                let whole = encode(found);
                let len = match state {
                    0 => continue,
                    1 => cut.index(whole.len()),
                    _ => whole.len(),
                };
                std::fs::write(path_of(folder.path(), queries), &whole[..len]).unwrap();
            }
            let mut read = Vec::new();
            for ((queries, found), (state, _)) in shards() {
                let mut is_searched = false;
                let result = neighbors(folder.path(), queries, rows.len(), || {
                    is_searched = true;
                    Ok(found.to_vec())
                });
                read.extend(result.unwrap());
                prop_assert_eq!(is_searched, *state < 2);
            }
            prop_assert_eq!(&read, &all);
        }
    }

    fn found() -> Vec<Vec<Neighbor>> {
        let neighbor = |row, similarity| Neighbor { row, similarity };
        vec![vec![neighbor(7, 0.5), neighbor(1, -0.25)], vec![], vec![neighbor(9, 1.0)]]
    }

    #[test]
    fn what_was_found_is_not_looked_for_again() {
        let folder = tempfile::tempdir().unwrap();
        let queries = [4, 5, 6];
        assert_eq!(read(folder.path(), &queries, 10).unwrap(), None);
        assert_eq!(neighbors(folder.path(), &queries, 10, || Ok(found())).unwrap(), found());
        assert_eq!(read(folder.path(), &queries, 10).unwrap(), Some(found()));
        assert_eq!(neighbors(folder.path(), &queries, 10, || panic!("it is there")).unwrap(), found());
        // Shards of another size are of other documents.
        assert_eq!(read(folder.path(), &queries[..2], 10).unwrap(), None);
    }

    #[test]
    fn a_damaged_shard_is_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let queries = [4, 5, 6];
        let write = |bytes: &[u8]| std::fs::write(path_of(folder.path(), &queries), bytes).unwrap();
        let find = |num_rows| {
            let mut is_searched = false;
            let result = neighbors(folder.path(), &queries, num_rows, || {
                is_searched = true;
                Ok(found())
            });
            assert_eq!(result.unwrap(), found());
            is_searched
        };
        write(&encode(&found())[..10]);
        assert!(find(10), "cut");
        assert!(!find(10), "whole");
        // A row that is not there.
        assert!(find(9));
        let whole = encode(&found());
        assert_eq!(decode(&whole), Some(found()));
        for len in 1..whole.len() {
            assert!(decode(&whole[..len]).is_none_or(|cut| cut.len() < 3), "cut to {len}");
        }
    }
}
