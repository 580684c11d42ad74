//! Perplexity of documents of the user's own.

use std::path::PathBuf;

use sbp_plugin::input::name_uncompressed;
use sbp_plugin::ports::Continuation;
use sbp_plugin::prelude::*;
use sbp_plugin::slots::corpus::{Corpus, NoDocument};
use sbp_plugin::slots::evaluator::{EvalContext, Evaluator, Score};

use super::task::is_name;
use crate::corpora::jsonl::JsonlConfig;
#[cfg(feature = "parquet")]
use crate::corpora::parquet::ParquetConfig;
use crate::corpora::text::TextConfig;

/// Perplexity and compression of documents in files, such as a test set of OpenWebText2 or WikiText.
///
/// `val/<name>/ppl` is e to the mean of nats a token, and `val/<name>/bpb` is bits a byte of UTF-8; lower is better in
/// both, and the units are documents. The perplexity compares models with the same tokenizer; bits a byte, all. Each
/// document is scored alone, from `end_of_text` on, every token of it and the `end_of_text` behind it.
///
/// Without `stride`, a document longer than the context is scored in consecutive windows, each preceded by
/// `end_of_text` and blind to those before it, as `bits_per_byte` does: quick, and pessimistic about the first tokens
/// of a window. With it, windows of the context's length advance by so many tokens, and only the tokens that no window
/// before has scored count, as in Hugging Face's guide to the perplexity of fixed-length models.
///
/// Files are read as the corpora `jsonl`, `parquet` and `text` read them: `.jsonl` and the like (also `.gz`, `.zst`,
/// `.tar`) and `.parquet` by their field `text`, other files as one document each. A document that is there twice is
/// scored once, and they come in an order shuffled by a hash of their text. What is no document is an error.
///
/// Cost: one forward pass over the tokens of the documents; with `stride`, over a context for every `stride` tokens.
/// Memory as of the corpus, at most 1 GiB.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PerplexityConfig {
    /// What metrics call the documents.
    pub name: String,
    /// Where the documents are: a file, a folder, a pattern such as `shards/*.jsonl.zst`, or a list of these.
    pub path: RecipePaths,
    /// Score this many documents, the first by the hash of their text; all of them when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_documents: Option<usize>,
    /// Tokens by which windows advance, fewer than the context; consecutive windows when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub stride: Option<usize>,
}

impl PerplexityConfig {
    fn corpus(&self, context: &BuildContext) -> Result<Box<dyn Corpus>> {
        let is =
            |name: &str, endings: &[&str]| endings.iter().any(|it| name_uncompressed(name).ends_with(it));
        let names: Vec<String> = self.path.files(&[])?.into_iter().map(|file| file.name).collect();
        let is_lines = names.iter().any(|name| is(name, &[".jsonl", ".json", ".ndjson", ".tar"]));
        let is_columns = names.iter().any(|name| is(name, &[".parquet"]));
        // Only the path is given, so that every document is one of the corpus, none held out.
        let (path, heldout_share) = (self.path.clone(), 0.0);
        match (is_lines, is_columns) {
            (true, true) => {
                Err("path holds both JSON lines and Parquet files; name one kind by a pattern such as `*.parquet`".into())
            }
            (true, false) => JsonlConfig { path, heldout_share, ..JsonlConfig::of("") }.build(context),
            (false, true) => columns(path, heldout_share, context),
            (false, false) => TextConfig { path, heldout_share, ..TextConfig::of("") }.build(context),
        }
    }
}

#[cfg(feature = "parquet")]
fn columns(path: RecipePaths, heldout_share: f64, context: &BuildContext) -> Result<Box<dyn Corpus>> {
    ParquetConfig { path, heldout_share, ..ParquetConfig::of("") }.build(context)
}

#[cfg(not(feature = "parquet"))]
fn columns(_: RecipePaths, _: f64, _: &BuildContext) -> Result<Box<dyn Corpus>> {
    Err("path holds Parquet files; build with the feature `parquet`, or convert them to JSONL".into())
}

impl Plugin<slots::Evaluator> for PerplexityConfig {
    const KIND: &'static str = "perplexity";
    fn example() -> Self {
        Self {
            name: "openwebtext2".to_owned(),
            path: RecipePaths::one(PathBuf::from("openwebtext2-test.jsonl.zst")),
            max_documents: Some(1000),
            stride: None,
        }
    }
    fn check(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        if !is_name(&self.name) {
            problems.push(("name", "use letters, digits, `_`, `-` and `.`".to_owned()));
        }
        if self.name == "heldout" {
            problems.push((
                "name",
                "`heldout` is the corpus's own held-out documents; choose another".to_owned(),
            ));
        }
        problems
    }
    fn build(&self, context: &BuildContext) -> Result<Box<dyn Evaluator>> {
        Ok(Box::new(Perplexity { config: self.clone(), context: *context }))
    }
}
register!(slots::Evaluator => PerplexityConfig);

struct Perplexity {
    config: PerplexityConfig,
    context: BuildContext,
}

/// Windows that are handed to the model at once: enough to fill its batches, few enough for the memory.
const WINDOWS_AT_ONCE: usize = 1024;

impl Evaluator for Perplexity {
    fn metrics(&self) -> Vec<String> {
        ["ppl", "bpb"].map(|metric| format!("val/{}/{metric}", self.config.name)).to_vec()
    }

    fn evaluate(&mut self, context: &mut EvalContext<'_>) -> Result<Vec<Score>> {
        let context_length = context.model.context_length();
        if let Some(stride) = self.config.stride
            && stride >= context_length
        {
            return Err(format!(
                "stride = {stride} leaves no token before those that are scored in a context of {context_length}; lower it"
            )
            .into());
        }
        let end_of_text = context.tokenizer.markers().end_of_text;
        // Nats, tokens and bytes of each document.
        let mut sums: Vec<(f64, f64, f64)> = Vec::new();
        let (mut windows, mut owners) = (Vec::new(), Vec::new());
        let mut score =
            |windows: &mut Vec<Continuation>, owners: &mut Vec<usize>, sums: &mut [(f64, f64, f64)]| {
                let likelihoods = context.model.likelihoods(windows)?;
                for (likelihood, owner) in likelihoods.iter().zip(owners.iter()) {
                    sums[*owner].0 -= likelihood.log_prob;
                }
                windows.clear();
                owners.clear();
                Ok::<_, Error>(())
            };
        let corpus = self.config.corpus(&self.context)?;
        let records = corpus.documents()?.filter(|record| !matches!(record, Err(NoDocument::Duplicate)));
        for record in records.take(self.config.max_documents.unwrap_or(usize::MAX)) {
            let document = record.map_err(|problem| self.explain(problem))?;
            let mut tokens = vec![end_of_text];
            tokens.extend(context.tokenizer.encode(&document.text)?);
            tokens.push(end_of_text);
            let owner = sums.len();
            sums.push((0.0, (tokens.len() - 1) as f64, document.text.len() as f64));
            for window in windows_of(&tokens, context_length, self.config.stride) {
                windows.push(window);
                owners.push(owner);
                if windows.len() == WINDOWS_AT_ONCE {
                    score(&mut windows, &mut owners, &mut sums)?;
                }
            }
        }
        score(&mut windows, &mut owners, &mut sums)?;
        if sums.is_empty() {
            return Err("path holds no document to score; name other files".into());
        }
        let [ppl, bpb] = ["ppl", "bpb"].map(|metric| format!("val/{}/{metric}", self.config.name));
        let nats = sums.iter().map(|(nats, tokens, _)| (*nats, *tokens)).collect();
        let bits = sums.iter().map(|(nats, _, bytes)| (nats / std::f64::consts::LN_2, *bytes)).collect();
        Ok(vec![Score::perplexity(ppl, nats), Score::ratio(bpb, false, bits)])
    }

    fn content(&self) -> Result<Option<Fingerprint>> {
        Ok(Some(self.config.corpus(&self.context)?.fingerprint()?))
    }
}

impl Perplexity {
    fn explain(&self, problem: NoDocument) -> Error {
        match problem {
            NoDocument::Bad(record) => format!(
                "line {} of {} is no document: {}; mend it or take it out, since a score is one of all documents",
                record.line, record.file, record.reason
            )
            .into(),
            other => format!("the documents of {} cannot be read: {other:?}", self.config.name).into(),
        }
    }
}

/// Windows that score every token but the first once. Tokens begin with `end_of_text`.
fn windows_of(tokens: &[TokenId], context_length: usize, stride: Option<usize>) -> Vec<Continuation> {
    let Some(stride) = stride else {
        let most = context_length.saturating_sub(1).max(1);
        let blind = |part: &[TokenId]| Continuation { context: tokens[..1].to_vec(), tokens: part.to_vec() };
        return tokens[1..].chunks(most).map(blind).collect();
    };
    let mut windows = Vec::new();
    let (mut begin, mut scored) = (0, 1);
    while scored < tokens.len() {
        let end = tokens.len().min(begin + context_length);
        windows.push(Continuation {
            context: tokens[begin..scored].to_vec(),
            tokens: tokens[scored..end].to_vec(),
        });
        scored = end;
        begin += stride;
    }
    windows
}

#[cfg(test)]
mod tests {
    use sbp_testkit::{BigramModel, ByteTokenizer};

    use super::*;

    const TEXTS: [&str; 3] =
        ["a document that is longer than the context", "short", "and another one, not so short"];

    fn lines() -> (tempfile::TempDir, PerplexityConfig) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("test.jsonl");
        let lines: String = TEXTS.map(|text| format!("{{\"text\": \"{text}\"}}\n")).concat();
        std::fs::write(&path, lines.clone() + &lines).expect("written");
        let config = PerplexityConfig {
            name: "own".to_owned(),
            path: RecipePaths::one(path),
            max_documents: None,
            stride: None,
        };
        (folder, config)
    }

    fn scores(config: &PerplexityConfig, model: &mut BigramModel) -> Result<Vec<Score>> {
        let mut context = EvalContext::new(model, &ByteTokenizer);
        config.build(&BuildContext::default())?.evaluate(&mut context)
    }

    #[test]
    fn a_model_that_knows_nothing_is_as_perplexed_as_it_has_tokens() {
        let (_folder, config) = lines();
        for stride in [None, Some(1), Some(5), Some(11)] {
            let config = PerplexityConfig { stride, ..config.clone() };
            let scores = scores(&config, &mut BigramModel::untrained(12)).expect("scores");
            assert_eq!(scores[0].metric, "val/own/ppl");
            assert!((scores[0].value() - 258.0).abs() < 1e-6, "{stride:?}: {}", scores[0].value());
            // Every token once, and the end of each document.
            let bytes: usize = TEXTS.iter().map(|text| text.len()).sum();
            let tokens: f64 = scores[0].units.iter().map(|(_, tokens)| tokens).sum();
            assert_eq!((scores[0].units.len(), tokens as usize), (3, bytes + 3));
            let bits = (bytes + 3) as f64 * 258f64.log2();
            assert!((scores[1].value() - bits / bytes as f64).abs() < 1e-6, "{}", scores[1].value());
        }
    }

    #[test]
    fn strides_show_what_is_before_and_consecutive_windows_do_not() {
        let tokens: Vec<TokenId> = (0..8).collect();
        let shown = |stride| {
            let window = |it: Continuation| (it.context, it.tokens);
            windows_of(&tokens, 4, stride).into_iter().map(window).collect::<Vec<_>>()
        };
        assert_eq!(shown(None), [(vec![0], vec![1, 2, 3]), (vec![0], vec![4, 5, 6]), (vec![0], vec![7])]);
        assert_eq!(
            shown(Some(2)),
            [(vec![0], vec![1, 2, 3]), (vec![2, 3], vec![4, 5]), (vec![4, 5], vec![6, 7])]
        );
        assert_eq!(shown(Some(3)), [(vec![0], vec![1, 2, 3]), (vec![3], vec![4, 5, 6]), (vec![6], vec![7])]);
    }

    #[test]
    fn every_kind_of_file_is_read_and_the_content_counts() {
        let (folder, config) = lines();
        let content = |config: &PerplexityConfig| {
            config.build(&BuildContext::default()).expect("built").content().expect("read").expect("content")
        };
        let before = content(&config);
        std::fs::create_dir(folder.path().join("texts")).expect("made");
        for (index, text) in TEXTS.iter().enumerate() {
            std::fs::write(folder.path().join(format!("texts/{index}.txt")), text).expect("written");
        }
        let texts =
            PerplexityConfig { path: RecipePaths::one(folder.path().join("texts")), ..config.clone() };
        let model = &mut BigramModel::untrained(12);
        assert_eq!(scores(&texts, model).expect("scores"), scores(&config, model).expect("scores"));
        let few = PerplexityConfig { max_documents: Some(2), ..config.clone() };
        assert_eq!(scores(&few, model).expect("scores")[0].units.len(), 2);
        std::fs::write(folder.path().join("test.jsonl"), "{\"text\": \"another\"}\n").expect("written");
        assert_ne!(content(&config), before);
    }

    #[test]
    fn what_cannot_be_scored_is_told_with_a_remedy() {
        let (folder, config) = lines();
        let error = |config: &PerplexityConfig| {
            scores(config, &mut BigramModel::untrained(12)).expect_err("an error").to_string()
        };
        assert!(error(&PerplexityConfig { stride: Some(12), ..config.clone() }).contains("lower it"));
        std::fs::write(folder.path().join("test.jsonl"), "{\"text\": \"a\"}\n{\"body\": \"b\"}\n")
            .expect("written");
        let told = error(&config);
        assert!(told.contains("line 2 of test.jsonl is no document: no field `text`"), "{told}");
        std::fs::write(folder.path().join("test.jsonl"), "\n").expect("written");
        assert!(error(&config).contains("no document to score"));
        std::fs::write(folder.path().join("x.parquet"), "").expect("written");
        let both = PerplexityConfig { path: RecipePaths::one(folder.path()), ..config.clone() };
        assert!(error(&both).contains("name one kind"), "{}", error(&both));
        for name in ["", "a/b", "heldout"] {
            assert!(!PerplexityConfig { name: name.to_owned(), ..config.clone() }.check().is_empty());
        }
    }
}
