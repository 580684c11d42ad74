//! The base model as an embedder: nothing external, so the method is bootstrapped in full.

use sbp_plugin::prelude::*;
use sbp_plugin::slots::embedder::{EmbedContext, Embedder, Embeddings};

/// Mean of the base model's last hidden states over the beginning of each document.
///
/// A document is read from `end_of_text` on, up to the model's context length; what comes after that is not seen. The
/// mean embedding of the corpus is taken off every row before rows are scaled to unit length: averaged hidden states
/// share one large direction that says nothing about the document, so that without this every pair looks alike (Mu
/// and Viswanath 2018, "All-but-the-Top", arXiv 1702.01417).
///
/// Cost: one forward pass of the base model over up to `context_length` tokens of every document; `documents *
/// hidden_size * 4` bytes for the rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LmConfig {
    /// Take the mean embedding of the corpus off every row.
    pub center: bool,
    /// Documents run through the model side by side. Changes speed and memory, not the embeddings.
    #[schemars(range(min = 1))]
    pub batch_size: usize,
}

impl Default for LmConfig {
    fn default() -> Self {
        Self { center: true, batch_size: 32 }
    }
}

impl Plugin<slots::Embedder> for LmConfig {
    const KIND: &'static str = "lm";
    fn example() -> Self {
        Self::default()
    }
    fn build(&self, _: &BuildContext) -> Result<Box<dyn Embedder>> {
        Ok(Box::new(LmEmbedder { center: self.center, batch_size: self.batch_size.max(1) }))
    }
}
register!(slots::Embedder => LmConfig);

struct LmEmbedder {
    center: bool,
    batch_size: usize,
}

impl Embedder for LmEmbedder {
    fn needs_base_model(&self) -> bool {
        true
    }

    fn embed(&mut self, documents: &[Document], context: &mut EmbedContext<'_>) -> Result<Embeddings> {
        let model = context
            .base
            .as_deref_mut()
            .ok_or("the embedder \"lm\" needs the base model, and none was given")?;
        let end_of_text = context.tokenizer.markers().end_of_text;
        let mut rows = Vec::new();
        let (mut dim, mut done) = (1, 0);
        for batch in documents.chunks(self.batch_size) {
            let mut sequences = Vec::with_capacity(batch.len());
            for document in batch {
                let mut tokens = vec![end_of_text];
                tokens.extend(context.tokenizer.encode(&document.text)?);
                tokens.truncate(model.context_length());
                sequences.push(tokens);
            }
            for (row, tokens) in model.mean_hidden(&sequences)?.into_iter().zip(&sequences) {
                if row.len() != dim && !rows.is_empty() {
                    return Err(format!("the model gave rows of {dim} and of {} numbers", row.len()).into());
                }
                dim = row.len().max(1);
                // Nothing to embed: a row of zeros, similar to nothing.
                let scale = if tokens.len() == 1 { 0.0 } else { 1.0 };
                rows.extend(row.into_iter().map(|x| x * scale));
            }
            done += batch.len();
            (context.progress)(done);
        }
        Ok(Embeddings { dim, rows })
    }

    fn finish(&mut self, Embeddings { dim, mut rows }: Embeddings) -> Result<Embeddings> {
        if self.center {
            let mean = mean(&rows, dim);
            for row in rows.chunks_exact_mut(dim).filter(|row| is_embedded(row)) {
                row.iter_mut().zip(&mean).for_each(|(x, mean)| *x = (f64::from(*x) - mean) as f32);
            }
        }
        Ok(Embeddings::normalised(dim, rows))
    }
}

/// Whether a row is of a document that had something to embed.
fn is_embedded(row: &[f32]) -> bool {
    row.iter().any(|x| *x != 0.0)
}

/// The mean of the rows that are not of empty documents.
fn mean(rows: &[f32], dim: usize) -> Vec<f64> {
    let mut sum = vec![0.0; dim];
    let mut count = 0.0f64;
    for row in rows.chunks_exact(dim).filter(|row| is_embedded(row)) {
        count += 1.0;
        sum.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(*x));
    }
    sum.iter_mut().for_each(|sum| *sum /= count.max(1.0));
    sum
}

#[cfg(test)]
mod tests {
    use sbp_testkit::BigramModel;

    use super::*;

    fn embed(config: &LmConfig, texts: &[&str]) -> Embeddings {
        let documents: Vec<Document> = texts.iter().map(|text| Document::new(text, *text)).collect();
        let mut embedder = config.build(&BuildContext::default()).unwrap();
        sbp_testkit::embed(embedder.as_mut(), Some(&mut BigramModel::untrained(16)), &documents, 3).unwrap().0
    }

    const TEXTS: [&str; 5] =
        ["aaaa aaaa", "aaaa aaab", "zzzz zzzz", "", "0123456789 longer than the context"];

    #[test]
    fn alike_texts_are_near_and_empty_ones_near_nothing() {
        let embeddings = embed(&LmConfig::default(), &TEXTS);
        assert!(embeddings.similarity(0, 1) > embeddings.similarity(0, 2));
        assert!(embeddings.row(3).iter().all(|x| *x == 0.0));
    }

    #[test]
    fn centering_takes_the_common_direction_away() {
        let mean = |config: &LmConfig| {
            let embeddings = embed(config, &TEXTS);
            let pairs = [(0, 1), (0, 2), (0, 4), (1, 2), (1, 4), (2, 4)];
            pairs.iter().map(|&(a, b)| embeddings.similarity(a, b)).sum::<f32>() / 6.0
        };
        assert!(mean(&LmConfig::default()) < mean(&LmConfig { center: false, ..LmConfig::default() }));
    }

    #[test]
    fn the_batch_size_does_not_matter() {
        let one = embed(&LmConfig { batch_size: 1, ..LmConfig::default() }, &TEXTS);
        assert_eq!(one, embed(&LmConfig::default(), &TEXTS));
    }

    #[test]
    fn without_a_model_it_says_so() {
        let mut embedder = LmConfig::default().build(&BuildContext::default()).unwrap();
        let error = sbp_testkit::embed(embedder.as_mut(), None, &[Document::new("a", "a")], 1);
        assert!(error.unwrap_err().to_string().contains("needs the base model"));
    }
}
