use std::collections::HashSet;

use sbp_plugin::ports::TopK;
use sbp_plugin::slots::embedder::Embeddings;
use sbp_plugin::slots::retriever::sort_neighbors;
use sbp_plugin::{Selected, slots};

use super::build;
use crate::{NaiveTopK, random_embeddings, search, search_in_calls};

/// Checks that the query is left out, that hits are sorted with ties by row, that k is clipped, that
/// similarities are inner products, that the division of queries into calls does not show, and that what says it is exact
/// search is.
///
/// # Panics
/// When the contract is broken.
pub fn retriever(selected: &Selected<slots::Retriever>) {
    let kind = selected.kind();
    let mut embeddings = random_embeddings(80, 8, 1);
    // Two equal rows, and a document with nothing to embed.
    let copy = embeddings.row(3).to_vec();
    embeddings.rows[8 * 70..8 * 71].copy_from_slice(&copy);
    embeddings.rows[8 * 20..8 * 21].fill(0.0);
    let queries = [70, 3, 20, 0, 79, 41];
    // A single document has no neighbor but itself.
    for embeddings in [embeddings, random_embeddings(2, 8, 2), random_embeddings(1, 8, 4)] {
        let queries: Vec<u32> =
            queries.into_iter().filter(|row| (*row as usize) < embeddings.len()).collect();
        for k in [0, 1, 5, 500] {
            let found = search(build(selected).as_mut(), &embeddings, &queries, k);
            let again = search(build(selected).as_mut(), &embeddings, &queries, k);
            assert_eq!(found, again, "{kind}: the same stream gives other neighbors");
            assert_eq!(found.len(), queries.len(), "{kind}: not one list a query");
            if build(selected).is_exact_search(embeddings.len(), false) {
                let exact = NaiveTopK.top_k(&embeddings.rows, embeddings.dim, &queries, k);
                assert_eq!(found, exact.expect("the search succeeds"), "{kind}: says it is exact search");
            }
            let finds_itself = build(selected).finds_itself();
            for (query, neighbors) in queries.iter().zip(&found) {
                if finds_itself {
                    assert!(neighbors.iter().all(|it| it.row == *query), "{kind}: says it finds itself");
                    continue;
                }
                check(kind, &embeddings, *query, k, neighbors);
            }
            let mut retriever = build(selected);
            let one_by_one = search_in_calls(retriever.as_mut(), &embeddings, queries.chunks(1), k);
            if !retriever.draws_at_random() {
                let at_once = search_in_calls(build(selected).as_mut(), &embeddings, [&queries[..]], k);
                assert_eq!(one_by_one, at_once, "{kind}: calls of other queries give other neighbors");
            }
        }
    }
    let none = search(build(selected).as_mut(), &random_embeddings(10, 4, 3), &[], 3);
    assert!(none.is_empty(), "{kind}: no queries have neighbors");
}

fn check(kind: &str, embeddings: &Embeddings, query: u32, k: usize, neighbors: &[sbp_core::Neighbor]) {
    assert!(neighbors.len() <= k, "{kind}: {} neighbors for k = {k}", neighbors.len());
    let mut sorted = neighbors.to_vec();
    sort_neighbors(&mut sorted);
    assert_eq!(neighbors, sorted, "{kind}: not best first with ties by row");
    let mut rows = HashSet::new();
    for neighbor in neighbors {
        assert_ne!(neighbor.row, query, "{kind}: the query is its own neighbor");
        assert!((neighbor.row as usize) < embeddings.len(), "{kind}: there is no row {}", neighbor.row);
        assert!(rows.insert(neighbor.row), "{kind}: row {} comes twice", neighbor.row);
        let similarity = embeddings.similarity(query as usize, neighbor.row as usize);
        assert!(
            (similarity - neighbor.similarity).abs() < 1e-4,
            "{kind}: similarity {} is not the inner product {similarity}",
            neighbor.similarity
        );
    }
}
