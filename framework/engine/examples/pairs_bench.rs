//! Our side of `cargo xtask bench pairs`: searches, near-duplicates and embeddings, each printed as `NAME NUMBER` lines.
//!
//! `pairs_bench exact|arroy|hnsw FOLDER DOCUMENTS THREADS`, `pairs_bench near_duplicates FOLDER DOCUMENTS THREADS TEXTS` or
//! `pairs_bench embedding FOLDER DOCUMENTS THREADS TEXTS ENCODER`, where TEXTS is a JSONL file or `made-up`. It writes what a
//! peer needs to do the same job into FOLDER: vectors and true neighbors, or texts and what was made of them.
#![expect(clippy::print_stdout, reason = "its output is what it is for")]

use std::collections::HashSet;
use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Instant;

use sbp_core::text::{NearDuplicateOptions, near_duplicates};
use sbp_core::{Neighbor, RootSeed};
use sbp_plugin::ports::{EncoderOptions, Runtime as _};
use sbp_plugin::registry::BuildContext;
use sbp_plugin::slots::embedder::Embeddings;
use sbp_plugin::slots::retriever::{Retriever, SearchContext};
use sbp_plugin::{Result, Selected, slots};
use sbp_plugins as _;
use sbp_runtime::{TorchRuntime, device, native};
use sbp_testkit::peak_mib;
use serde_json::{Value, json};

const DIM: usize = 384;
const K: usize = 10;
const CLUSTERS: usize = 2000;
/// Size of the noise around the centre of a cluster, beside which the centre has length 1.
const NOISE: f64 = 0.9;
/// Documents that ask at once, as in a study.
const QUERIES_AT_ONCE: usize = 4096;
/// Documents whose true neighbors are known, and that approximate searches are timed on.
const SAMPLE: usize = 2000;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [case, folder, documents, threads, rest @ ..] = arguments.as_slice() else {
        return Err("usage: pairs_bench CASE FOLDER DOCUMENTS THREADS ...".into());
    };
    let (folder, documents) = (Path::new(folder), documents.parse()?);
    native::tune_allocator();
    let ready = device::init("cpu".parse()?, NonZeroUsize::new(threads.parse()?))?;
    let mut bench = Bench { runtime: TorchRuntime::alone(ready), folder: folder.to_owned(), documents };
    match (case.as_str(), rest) {
        ("exact", []) => bench.exact()?,
        ("arroy", []) => bench.approximate(
            0.95,
            &[1_000, 4_000, 16_000, 64_000]
                .map(|effort| json!({"kind": "arroy", "num_trees": 30, "search_k": effort})),
        )?,
        ("hnsw", []) => bench.approximate(
            0.99,
            &[64, 128, 256, 512].map(|effort| json!({"kind": "hnsw", "expansion_search": effort})),
        )?,
        ("near_duplicates", [texts]) => bench.near_duplicates(texts)?,
        ("embedding", [texts, encoder]) => bench.embedding(texts, Path::new(encoder))?,
        _ => return Err(format!("no case {case} with {} more arguments", rest.len()).into()),
    }
    println!("peak_mib {:.0}", peak_mib()?);
    Ok(())
}

struct Bench {
    runtime: TorchRuntime,
    folder: PathBuf,
    documents: usize,
}

impl Bench {
    /// Every document asks for its neighbors.
    fn exact(&mut self) -> Result<()> {
        let embeddings = self.vectors()?;
        let queries: Vec<u32> = (0..self.documents as u32).collect();
        let mut retriever = build(&json!({"kind": "exact"}))?;
        let start = Instant::now();
        self.prepare(retriever.as_mut(), &embeddings)?;
        let found = self.search(retriever.as_mut(), &embeddings, &queries)?;
        println!("seconds {:.3}", start.elapsed().as_secs_f64());
        println!("recall 1.0");
        self.write_truth(&found)
    }

    /// An index of all documents, asked by some, with the least effort that reaches the wanted recall.
    fn approximate(&mut self, wanted: f64, efforts: &[Value]) -> Result<()> {
        let embeddings = self.vectors()?;
        let queries: Vec<u32> = (0..SAMPLE.min(self.documents) as u32).collect();
        // All documents ask, at the speed of the first ones.
        let share = queries.len() as f64 / self.documents as f64;
        let of_all = |start: Instant| start.elapsed().as_secs_f64() / share;
        let start = Instant::now();
        let true_found = self.search(build(&json!({"kind": "exact"}))?.as_mut(), &embeddings, &queries)?;
        println!("exact_seconds {:.3}", of_all(start));
        self.write_truth(&true_found)?;
        let mut last = None;
        for (place, options) in efforts.iter().enumerate() {
            let mut retriever = build(options)?;
            let start = Instant::now();
            self.prepare(retriever.as_mut(), &embeddings)?;
            let build_seconds = start.elapsed().as_secs_f64();
            let start = Instant::now();
            let found = self.search(retriever.as_mut(), &embeddings, &queries)?;
            let query_seconds = of_all(start);
            let recall = recall(&found, &true_found);
            last = Some((build_seconds, query_seconds, recall, place));
            if recall >= wanted {
                break;
            }
        }
        let (build_seconds, query_seconds, recall, place) = last.ok_or("no effort was asked for")?;
        println!("build_seconds {build_seconds:.3}");
        println!("query_seconds {query_seconds:.3}");
        println!("seconds {:.3}", build_seconds + query_seconds);
        println!("recall {recall:.4}");
        println!("effort {place}");
        Ok(())
    }

    /// Near-duplicates among texts, a tenth of which are copies of others with some words changed.
    fn near_duplicates(&self, texts: &str) -> Result<()> {
        let mut texts = self.texts(texts, self.documents * 9 / 10)?;
        let mut stream = RootSeed(1).stream("copies", &[]);
        let mut draw = |bound: usize| stream.below(bound as u64) as usize;
        let originals = texts.len();
        while texts.len() < self.documents {
            let mut words: Vec<String> = texts[draw(originals)].split(' ').map(str::to_owned).collect();
            for _ in 0..draw(10) {
                let place = draw(words.len());
                words[place] = format!("changed{}", draw(100));
            }
            texts.push(words.join(" "));
        }
        let lines: String = texts.iter().map(|text| json!({"text": text}).to_string() + "\n").collect();
        fs::write(self.folder.join(format!("texts-{}.jsonl", self.documents)), lines)?;

        let start = Instant::now();
        let found = near_duplicates(&texts, NearDuplicateOptions::default());
        println!("seconds {:.3}", start.elapsed().as_secs_f64());
        println!("pairs {}", found.len());
        let lines: String = found.iter().map(|pair| format!("{} {}\n", pair.first, pair.second)).collect();
        Ok(fs::write(self.folder.join(format!("pairs-{}.txt", self.documents)), lines)?)
    }

    fn embedding(&mut self, texts: &str, encoder: &Path) -> Result<()> {
        let texts = self.texts(texts, self.documents)?;
        let lines: String = texts.iter().map(|text| json!({"text": text}).to_string() + "\n").collect();
        fs::write(self.folder.join(format!("texts-{}.jsonl", self.documents)), lines)?;
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let mut encoder = self.runtime.open_encoder(encoder, &EncoderOptions::default())?;
        encoder.encode(&texts[..32.min(texts.len())], &mut |_| {})?;
        let start = Instant::now();
        let rows = encoder.encode(&texts, &mut |_| {})?;
        println!("seconds {:.3}", start.elapsed().as_secs_f64());
        let bytes: Vec<u8> = rows.iter().flat_map(|number| number.to_le_bytes()).collect();
        Ok(fs::write(self.folder.join(format!("embeddings-{}.f32", self.documents)), bytes)?)
    }

    /// The first texts of a JSONL file, or of a made-up world.
    fn texts(&self, texts: &str, count: usize) -> Result<Vec<String>> {
        let corpus = if texts == "made-up" {
            json!({"kind": "concepts", "concepts": count.div_ceil(3)})
        } else {
            json!({"kind": "jsonl", "path": texts})
        };
        let corpus: Selected<slots::Corpus> = serde_json::from_value(corpus)?;
        let corpus = corpus.build(&BuildContext::default())?;
        let documents = corpus.documents()?.filter_map(std::result::Result::ok);
        let texts: Vec<String> = documents.take(count).map(|document| document.text).collect();
        if texts.len() < count {
            return Err(format!("there are {} texts, {count} are wanted", texts.len()).into());
        }
        Ok(texts)
    }

    /// Rows around the centres of clusters, the same for everybody.
    fn vectors(&self) -> Result<Embeddings> {
        let path = self.folder.join(format!("vectors-{}.f32", self.documents));
        if let Ok(bytes) = fs::read(&path) {
            let rows = bytes.as_chunks().0.iter().map(|&four| f32::from_le_bytes(four)).collect();
            return Ok(Embeddings { dim: DIM, rows });
        }
        let mut stream = RootSeed(1).stream("vectors", &[]);
        // Sums of uniform numbers are near enough to normal ones.
        let mut normal = || (0..4).map(|_| stream.uniform() - 0.5).sum::<f64>() * 3f64.sqrt();
        let scale = (DIM as f64).sqrt();
        let centres: Vec<f64> = (0..CLUSTERS * DIM).map(|_| normal() / scale).collect();
        let mut rows = Vec::with_capacity(self.documents * DIM);
        for row in 0..self.documents {
            let centre = &centres[row % CLUSTERS * DIM..][..DIM];
            rows.extend(centre.iter().map(|x| (x + NOISE * normal() / scale) as f32));
        }
        let embeddings = Embeddings::normalised(DIM, rows);
        let bytes: Vec<u8> = embeddings.rows.iter().flat_map(|number| number.to_le_bytes()).collect();
        fs::write(path, bytes)?;
        Ok(embeddings)
    }

    fn prepare(&mut self, retriever: &mut dyn Retriever, embeddings: &Embeddings) -> Result<()> {
        let scratch = self.folder.join("index");
        let _ = fs::remove_dir_all(&scratch);
        fs::create_dir_all(&scratch)?;
        retriever.prepare(embeddings, &mut self.context(&scratch))
    }

    fn search(
        &mut self,
        retriever: &mut dyn Retriever,
        embeddings: &Embeddings,
        queries: &[u32],
    ) -> Result<Vec<Vec<Neighbor>>> {
        let scratch = self.folder.join("index");
        let mut found = Vec::with_capacity(queries.len());
        for queries in queries.chunks(QUERIES_AT_ONCE) {
            found.extend(retriever.neighbors(embeddings, queries, K, &mut self.context(&scratch))?);
        }
        Ok(found)
    }

    fn context<'a>(&'a mut self, scratch: &'a Path) -> SearchContext<'a> {
        let rng = RootSeed(1).stream("index", &[]);
        SearchContext { top_k: self.runtime.top_k(), documents: &[], scratch, rng }
    }

    fn write_truth(&self, found: &[Vec<Neighbor>]) -> Result<()> {
        let rows = found.iter().take(SAMPLE).flatten();
        let bytes: Vec<u8> = rows.flat_map(|neighbor| neighbor.row.to_le_bytes()).collect();
        Ok(fs::write(self.folder.join(format!("truth-{}.u32", self.documents)), bytes)?)
    }
}

fn build(options: &Value) -> Result<Box<dyn Retriever>> {
    let selected: Selected<slots::Retriever> = serde_json::from_value(options.clone())?;
    selected.build(&BuildContext::default())
}

fn recall(found: &[Vec<Neighbor>], true_found: &[Vec<Neighbor>]) -> f64 {
    let (mut hits, mut all) = (0, 0);
    for (found, true_found) in found.iter().zip(true_found) {
        let rows: HashSet<u32> = found.iter().map(|neighbor| neighbor.row).collect();
        hits += true_found.iter().filter(|neighbor| rows.contains(&neighbor.row)).count();
        all += true_found.len();
    }
    hits as f64 / all as f64
}
