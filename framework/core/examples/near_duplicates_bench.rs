//! Near-duplicates among the texts of a file, timed: one side of a comparison with other programs.
//!
//! `near_duplicates_bench TEXTS.jsonl PAIRS.txt SHINGLE_WORDS MAX_JACCARD [THREADS]`, where every line of the first
//! file is an object with a `text`. Pairs found are written to the second, a line `a b` each, counted from 0.
//!
//! Prints what it took: `documents N`, `seconds X` (from texts in memory to pairs in memory), `pairs N`, `peak_mib N`;
//! and `seen_seconds X` and `admitted N` of the same texts one after another.
#![expect(clippy::print_stdout, reason = "its output is what it is for")]

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::time::Instant;

use sbp_core::text::{NearDuplicateOptions, Seen, near_duplicates};
use serde_json::Value;

fn main() -> Result<(), Box<dyn Error>> {
    let usage = "near_duplicates_bench TEXTS.jsonl PAIRS.txt SHINGLE_WORDS MAX_JACCARD [THREADS]";
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [texts, pairs, shingle_words, max_jaccard, threads @ ..] = arguments.as_slice() else {
        return Err(usage.into());
    };
    let options = NearDuplicateOptions {
        shingle_words: shingle_words.parse()?,
        max_jaccard: max_jaccard.parse()?,
        ..NearDuplicateOptions::default()
    };
    if let Some(threads) = threads.first() {
        rayon::ThreadPoolBuilder::new().num_threads(threads.parse()?).build_global()?;
    }
    let mut documents = Vec::new();
    for (number, line) in fs::read_to_string(texts)?.lines().enumerate() {
        let line: Value = serde_json::from_str(line)?;
        let text = line["text"].as_str().ok_or_else(|| format!("line {} has no text", number + 1))?;
        documents.push(text.to_owned());
    }

    let start = Instant::now();
    let found = near_duplicates(&documents, options);
    let seconds = start.elapsed().as_secs_f64();
    println!("documents {}", documents.len());
    println!("seconds {seconds:.6}");
    println!("pairs {}", found.len());
    println!("peak_mib {:.0}", peak_mib()?);

    let start = Instant::now();
    let mut seen = Seen::new(options);
    for text in &documents {
        seen.admit(text);
    }
    println!("seen_seconds {:.6}", start.elapsed().as_secs_f64());
    println!("admitted {}", seen.len());

    let mut lines = String::new();
    for pair in found {
        writeln!(lines, "{} {}", pair.first, pair.second)?;
    }
    Ok(fs::write(pairs, lines)?)
}

/// Most memory this process held at once, in MiB, as Linux counts it.
fn peak_mib() -> Result<f64, Box<dyn Error>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib / 1024.0)
}
