//! `sbp corpus`: what is in a recipe's corpus, in numbers and to read.

use std::fmt::Write as _;

use sbp_core::Document;
use sbp_pipeline::{CorpusStats, Lengths, corpus_sample, corpus_stats};
use sbp_recipe::Plan;
use serde_json::json;

use crate::args::{CorpusArgs, CorpusVerb, RecipeArgs};
use crate::exit::{Done, Failure};
use crate::say::say;

/// Characters of a document that are shown.
const SHOWN_CHARS: usize = 1500;

/// Shows numbers or documents; makes and stores nothing.
pub(crate) fn run(args: &CorpusArgs) -> Result<Done, Failure> {
    match &args.verb {
        CorpusVerb::Stats(args) => {
            let stats = corpus_stats(&plan(&args.recipe)?, args.limit)?;
            if args.recipe.json {
                say(json!(stats));
            } else {
                say(numbers(&stats).trim_end());
            }
        }
        CorpusVerb::Sample(args) => {
            let drawn = corpus_sample(&plan(&args.recipe)?, args.num_documents, args.seed)?;
            if args.recipe.json {
                say(json!({"documents": drawn}));
            } else {
                say(texts(&drawn).trim_end());
            }
        }
    }
    Ok(Done::Fully)
}

fn plan(recipe: &RecipeArgs) -> Result<Plan, Failure> {
    Ok(Plan::new(sbp_recipe::load(&recipe.recipe, &recipe.overrides())?))
}

fn numbers(stats: &CorpusStats) -> String {
    let mut text = String::new();
    let more = if stats.is_all { "" } else { " (the first ones; there are more, see --limit)" };
    let _ = writeln!(text, "documents        {}{more}", stats.documents);
    let _ = writeln!(text, "bytes            {}", stats.bytes);
    let _ = writeln!(text, "tokens           ~{} for the recipe's vocabulary", stats.estimated_tokens);
    let _ = writeln!(text, "duplicates       {}", stats.duplicates);
    let _ = writeln!(text, "bad records      {}", stats.bad_records);
    for bad in &stats.first_bad_records {
        let _ = writeln!(text, "                 {} line {}: {}", bad.file, bad.line, bad.reason);
    }
    let _ = writeln!(text, "\nin a document    mean    min    10%    50%    90%    99%    max");
    for (name, lengths) in [("words", &stats.words), ("bytes", &stats.document_bytes)] {
        let Lengths { mean, min, p10, median, p90, p99, max } = lengths;
        let _ =
            writeln!(text, "{name:<14} {mean:>6.0} {min:>6} {p10:>6} {median:>6} {p90:>6} {p99:>6} {max:>6}");
    }
    text.push_str(&histogram(stats));
    if stats.num_sources > 0 {
        let _ = writeln!(text, "\nsources          {} in all", stats.num_sources);
        for (source, documents) in &stats.sources {
            let _ = writeln!(text, "{documents:>14}   {source}");
        }
    }
    let splits = &stats.splits;
    text.push_str("\nsplits           found of asked\n");
    let found = [splits.pretrain_documents, splits.oracle_documents, splits.heldout_documents];
    for (name, (found, asked)) in
        ["D_pretrain", "oracle's pool", "held out"].iter().zip(found.iter().zip(splits.asked))
    {
        let _ = writeln!(text, "{name:<14}   {found} of {asked}");
    }
    for (set, documents) in &splits.contaminated_by {
        let _ = writeln!(text, "left out         {documents} with text of {set}");
    }
    if let Some(problem) = &splits.problem {
        let _ = writeln!(text, "\na run would end here: {problem}");
    }
    text
}

fn histogram(stats: &CorpusStats) -> String {
    let most = stats.words_histogram.iter().map(|bar| bar.documents).max().unwrap_or(0).max(1);
    let mut text = String::new();
    if !stats.words_histogram.is_empty() {
        text.push_str("\nwords from   documents\n");
    }
    for bar in &stats.words_histogram {
        let length = "#".repeat((bar.documents * 40).div_ceil(most));
        let _ = writeln!(text, "{:>10}   {:>9}  {length}", bar.from, bar.documents);
    }
    text
}

fn texts(documents: &[Document]) -> String {
    let mut text = String::new();
    for (number, document) in documents.iter().enumerate() {
        let source = match document.source.as_str() {
            "" => String::new(),
            source => format!("  {source}"),
        };
        let bytes = document.text.len();
        let _ = writeln!(text, "{}. {}{source}  {bytes} bytes\n", number + 1, document.id);
        let shown = document.text.trim();
        let end = shown.char_indices().nth(SHOWN_CHARS).map(|(end, _)| end);
        let (shown, more) = end.map_or((shown, ""), |end| (&shown[..end], " …"));
        for line in shown.lines() {
            let _ = writeln!(text, "{}", format!("   {line}").trim_end());
        }
        let _ = writeln!(text, "{more}");
    }
    text
}

#[cfg(test)]
mod tests {
    use sbp_pipeline::{Bar, SplitStats};

    use super::*;

    #[test]
    fn numbers_bars_and_problems_are_shown() {
        let lengths = Lengths { mean: 9.5, min: 1, p10: 2, median: 8, p90: 20, p99: 30, max: 40 };
        let stats = CorpusStats {
            documents: 12,
            is_all: false,
            bytes: 900,
            estimated_tokens: 200,
            duplicates: 3,
            bad_records: 1,
            first_bad_records: vec![sbp_plugin::slots::corpus::BadRecord {
                file: "a.jsonl".to_owned(),
                line: 7,
                reason: "no field `text`".to_owned(),
            }],
            words: lengths.clone(),
            document_bytes: lengths,
            words_histogram: vec![Bar { from: 8, documents: 4 }, Bar { from: 16, documents: 8 }],
            num_sources: 2,
            sources: vec![("a.org".to_owned(), 7)],
            splits: SplitStats {
                pretrain_documents: 5,
                oracle_documents: 10,
                heldout_documents: 1,
                asked: [5, 20, 2],
                contaminated_by: [("mmlu".to_owned(), 2)].into(),
                problem: Some("corpus: none".to_owned()),
            },
        };
        let text = numbers(&stats);
        for line in [
            "documents        12 (the first ones; there are more, see --limit)",
            "                 a.jsonl line 7: no field `text`",
            "words              10      1      2      8     20     30     40",
            "         8           4  ####################",
            "             7   a.org",
            "oracle's pool    10 of 20",
            "left out         2 with text of mmlu",
            "a run would end here: corpus: none",
        ] {
            assert!(text.lines().any(|found| found == line), "{line:?} is not in\n{text}");
        }
    }

    #[test]
    fn a_long_document_is_cut_and_keeps_its_lines() {
        let text = texts(&[Document::new("a", "one\n\ntwo"), Document::new("b", "x".repeat(2000))]);
        assert!(text.contains("8 bytes\n\n   one\n\n   two\n"), "{text}");
        assert!(text.contains(&format!("{}\n …", "x".repeat(1500))), "{text}");
    }
}
