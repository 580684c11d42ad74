"""The other side of `cargo xtask bench pairs`: the job that pairs_bench.rs wrote, by the libraries that others use.

pairs_peer.py exact|arroy FOLDER DOCUMENTS THREADS
pairs_peer.py near_duplicates FOLDER DOCUMENTS THREADS TEXTS
pairs_peer.py embedding FOLDER DOCUMENTS THREADS TEXTS ENCODER
"""

import json
import os
import sys
import time

case, folder, documents, threads = sys.argv[1:5]
documents, threads = int(documents), int(threads)
os.environ["OMP_NUM_THREADS"] = str(threads)
os.environ["HF_HUB_OFFLINE"] = "1"

import numpy

DIM, K = 384, 10
# The least recall that an approximate search is used at.
RECALL = 0.95


def vectors():
    return numpy.fromfile(f"{folder}/vectors-{documents}.f32", dtype="<f4").reshape(documents, DIM)


def truth():
    """Exact neighbors of the first rows, as our side found them."""
    return numpy.fromfile(f"{folder}/truth-{documents}.u32", dtype="<u4").reshape(-1, K)


def recall(found, rows):
    """Share of the true neighbors among the first K found that are not the query itself."""
    hits = 0
    for query, (own, true) in enumerate(zip(found, rows)):
        hits += len(set([row for row in own if row != query][:K]) & set(true))
    return hits / rows.size


def exact():
    import faiss

    faiss.omp_set_num_threads(threads)
    rows = vectors()
    start = time.perf_counter()
    index = faiss.IndexFlatIP(DIM)
    index.add(rows)
    found = numpy.empty((documents, K + 1), dtype="int64")
    for first in range(0, documents, 4096):
        # One more, since the query finds itself.
        _, found[first : first + 4096] = index.search(rows[first : first + 4096], K + 1)
    print(f"seconds {time.perf_counter() - start:.3f}")
    print(f"recall {recall(found, truth()):.4f}")


def graph():
    import hnswlib

    rows, true = vectors(), truth()
    start = time.perf_counter()
    index = hnswlib.Index(space="ip", dim=DIM)
    index.init_index(max_elements=documents, ef_construction=200, M=16)
    index.set_num_threads(threads)
    index.add_items(rows)
    build = time.perf_counter() - start
    for effort in [20, 40, 80, 160, 320, 640, 1280]:
        index.set_ef(effort)
        start = time.perf_counter()
        found, _ = index.knn_query(rows[: len(true)], k=K + 1)
        query = (time.perf_counter() - start) / len(true)
        if recall(found, true) >= RECALL:
            break
    print(f"build_seconds {build:.3f}")
    print(f"query_seconds {query * documents:.3f}")
    # All documents ask, at the speed of the first ones.
    print(f"seconds {build + query * documents:.3f}")
    print(f"recall {recall(found, true):.4f}")
    print(f"effort {effort}")


def near_duplicates():
    import re
    import zlib

    from datasketch import MinHash, MinHashLSH

    shingle_words, max_jaccard = 5, 0.8
    word = re.compile(r"[^\W_]+")
    with open(f"{folder}/texts-{documents}.jsonl", encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line in lines]

    def shingles(text):
        words = [found.lower() for found in word.findall(text)]
        if len(words) < shingle_words:
            return {" ".join(words)} if words else set()
        return {" ".join(words[start : start + shingle_words]) for start in range(len(words) - shingle_words + 1)}

    start = time.perf_counter()
    sets = [shingles(text) for text in texts]
    # A checksum of zlib is the quickest hash at hand; the library's own (SHA-1) is slower.
    hashed = [[zlib.crc32(shingle.encode()) for shingle in own] for own in sets]
    signatures = MinHash.bulk(hashed, num_perm=128, seed=1, hashfunc=lambda value: value)
    # The bands that our side takes for this threshold: those of the library's choice miss more pairs.
    index = MinHashLSH(threshold=max_jaccard, num_perm=128, params=(21, 6))
    found = set()
    for second, signature in enumerate(signatures):
        own = sets[second]
        if not own:
            continue
        for first in index.query(signature):
            other = sets[first]
            shared = len(own & other)
            if shared > max_jaccard * (len(own) + len(other) - shared):
                found.add((first, second))
        index.insert(second, signature, check_duplication=False)
    print(f"seconds {time.perf_counter() - start:.3f}")
    print(f"pairs {len(found)}")
    with open(f"{folder}/pairs-{documents}.txt") as lines:
        ours = {tuple(map(int, line.split())) for line in lines}
    print(f"only_ours {len(ours - found)}")
    print(f"only_theirs {len(found - ours)}")


def embedding():
    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(threads)
    with open(f"{folder}/texts-{documents}.jsonl") as lines:
        texts = [json.loads(line)["text"] for line in lines]
    model = SentenceTransformer(sys.argv[6], device="cpu")
    model.encode(texts[:32])
    start = time.perf_counter()
    rows = model.encode(texts, normalize_embeddings=True)
    print(f"seconds {time.perf_counter() - start:.3f}")
    ours = numpy.fromfile(f"{folder}/embeddings-{documents}.f32", dtype="<f4").reshape(rows.shape)
    print(f"least_cosine {(ours * rows).sum(axis=1).min():.6f}")


{"exact": exact, "arroy": graph, "near_duplicates": near_duplicates, "embedding": embedding}[case]()

with open("/proc/self/status") as status:
    peak = next(line for line in status if line.startswith("VmHWM:"))
print(f"peak_mib {int(peak.split()[1]) / 1024:.0f}")
