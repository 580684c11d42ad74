//! Hashed word n-grams weighed by how rare they are: lexical similarity with nothing to train.

use std::collections::HashMap;

use sbp_core::text::{hash_sequence, word_hashes};
use sbp_plugin::prelude::*;
use sbp_plugin::slots::embedder::{EmbedContext, Embedder, EmbedderSize, Embeddings};

/// Word n-grams, weighed by tf-idf and hashed into columns.
///
/// The weight of an n-gram in a document is (1 + ln tf) * (1 + ln((1 + n) / (1 + df))), with tf its count there and
/// df the number of the corpus's n documents that have it. N-grams share columns by a signed hash (Weinberger et al.
/// 2009, arXiv 0902.2206), which leaves inner products unbiased, with an error of about 1 / sqrt(dim).
///
/// Cost: two passes over the text, O(words * ngram_words) each; `documents * dim * 4` bytes for the rows and 12
/// bytes a different n-gram of the corpus.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TfidfConfig {
    /// Columns of an embedding. More tell n-grams apart better, and cost memory and search time in proportion.
    #[schemars(range(min = 1, max = 1_048_576))]
    pub dim: usize,
    /// The longest run of words that counts as a feature. 1 takes single words only, which suits short documents: runs
    /// of words seldom come again, so that they drown the words that do.
    #[schemars(range(min = 1, max = 8))]
    pub ngram_words: usize,
}

impl Default for TfidfConfig {
    fn default() -> Self {
        Self { dim: 1024, ngram_words: 1 }
    }
}

impl Plugin<slots::Embedder> for TfidfConfig {
    const KIND: &'static str = "tfidf";
    fn example() -> Self {
        Self::default()
    }
    fn build(&self, _: &BuildContext) -> Result<Box<dyn Embedder>> {
        Ok(Box::new(TfidfEmbedder {
            dim: self.dim.max(1),
            ngram_words: self.ngram_words.max(1),
            num_documents: 0,
            num_documents_with: HashMap::new(),
        }))
    }
}
register!(slots::Embedder => TfidfConfig);

struct TfidfEmbedder {
    dim: usize,
    ngram_words: usize,
    /// Documents of the corpus.
    num_documents: usize,
    /// Those of them that have an n-gram, by its hash.
    num_documents_with: HashMap<u64, u32>,
}

impl TfidfEmbedder {
    /// The n-grams of a text with their counts, sorted by hash so that sums are always taken in one order.
    fn features(&self, text: &str) -> Vec<(u64, u32)> {
        let words = word_hashes(text);
        let mut hashes: Vec<u64> =
            (1..=self.ngram_words).flat_map(|n| words.windows(n).map(hash_sequence)).collect();
        hashes.sort_unstable();
        hashes.chunk_by(|a, b| a == b).map(|run| (run[0], run.len() as u32)).collect()
    }
}

const UNSEEN: &str = "a document was not among those that words were counted in";

impl Embedder for TfidfEmbedder {
    fn size(&self) -> Result<EmbedderSize> {
        Ok(EmbedderSize { dim: self.dim, parameters: 0, max_tokens: None })
    }

    fn prepare(&mut self, documents: &[Document]) -> Result<()> {
        self.num_documents = documents.len();
        self.num_documents_with.clear();
        for document in documents {
            for (feature, _) in self.features(&document.text) {
                *self.num_documents_with.entry(feature).or_default() += 1;
            }
        }
        Ok(())
    }

    fn embed(&mut self, documents: &[Document], context: &mut EmbedContext<'_>) -> Result<Embeddings> {
        let n = self.num_documents as f64;
        let mut rows = Vec::with_capacity(documents.len() * self.dim);
        let mut row = vec![0.0f64; self.dim];
        for (index, document) in documents.iter().enumerate() {
            row.fill(0.0);
            for (feature, count) in self.features(&document.text) {
                let df = f64::from(*self.num_documents_with.get(&feature).ok_or(UNSEEN)?);
                let weight = (1.0 + f64::from(count).ln()) * (1.0 + ((1.0 + n) / (1.0 + df)).ln());
                // The top bit signs, the others choose the column.
                let sign = if feature >> 63 == 0 { 1.0 } else { -1.0 };
                row[((feature & (u64::MAX >> 1)) % self.dim as u64) as usize] += sign * weight;
            }
            rows.extend(row.iter().map(|x| *x as f32));
            (context.progress)(index + 1);
        }
        Ok(Embeddings::normalised(self.dim, rows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn embed(config: &TfidfConfig, texts: &[&str]) -> Embeddings {
        let documents: Vec<Document> =
            texts.iter().enumerate().map(|(i, text)| Document::new(&i.to_string(), *text)).collect();
        let mut embedder = config.build(&BuildContext::default()).unwrap();
        sbp_testkit::embed(embedder.as_mut(), None, &documents, 3).unwrap().0
    }

    #[test]
    fn weights_of_a_hand_counted_corpus() {
        // One word a column as long as no hash collides, which in 2^20 columns these do not.
        let config = TfidfConfig { dim: 1 << 20, ngram_words: 1 };
        let embeddings = embed(&config, &["cat cat dog", "dog"]);
        let cat = (1.0 + 2f64.ln()) * (1.0 + (3.0f64 / 2.0).ln());
        let dog = 1.0 + (3.0f64 / 3.0).ln();
        let expected = dog / (cat * cat + dog * dog).sqrt();
        assert!((f64::from(embeddings.similarity(0, 1)) - expected).abs() < 1e-6);
    }

    #[test]
    fn documents_that_share_words_are_nearer() {
        let embeddings = embed(
            &TfidfConfig::default(),
            &["the cat sat on the mat", "a cat sat on a mat", "stocks fell in early trading", ""],
        );
        assert!(embeddings.similarity(0, 1) > 0.3);
        assert!(embeddings.similarity(0, 2).abs() < 0.15);
        assert!(embeddings.row(3).iter().all(|x| *x == 0.0));
    }
}
