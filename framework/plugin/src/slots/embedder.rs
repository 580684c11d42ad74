//! The embedder slot.

use std::path::Path;

use sbp_core::{Cost, Document, Fingerprint};

use crate::Result;
use crate::ports::{EncoderOptions, LanguageModel, TextEncoder, Tokenizer};

/// Maps documents to rows of numbers.
///
/// # Contract
/// Called in this order: [`prepare`](Self::prepare) once with the whole corpus, [`embed`](Self::embed) for parts of it in
/// order, [`finish`](Self::finish) once with the rows of all parts. After that row i belongs to document i; every row has
/// the same length and unit L2 norm (a document with nothing to embed gives a row of zeros, similar to nothing); the
/// result depends on the documents alone, and up to rounding not on how they were divided into parts. Rows of parts that
/// were embedded before an interruption are used again, so nothing may be carried from one part to the next.
pub trait Embedder: Send {
    /// Whether [`EmbedContext::base`] must be there.
    fn needs_base_model(&self) -> bool {
        false
    }
    /// Identity of content that the options only say the place of, such as the weights of an encoder. Never a path.
    ///
    /// # Errors
    /// When the content cannot be read.
    fn content(&self) -> Result<Option<Fingerprint>> {
        Ok(None)
    }
    /// What it comes to, for a plan; not asked of one that needs the base model, whose size the study knows.
    ///
    /// # Errors
    /// When that cannot be told before documents are embedded: by default.
    fn size(&self) -> Result<EmbedderSize> {
        Err("it does not say what embedding takes".into())
    }
    /// Looks at all documents before the first is embedded, since some embedders weigh words by how common they are.
    ///
    /// # Errors
    /// When the documents are not usable.
    fn prepare(&mut self, documents: &[Document]) -> Result<()> {
        let _ = documents;
        Ok(())
    }
    /// Embeds a part of the corpus: one row a document.
    ///
    /// # Errors
    /// When the model fails.
    fn embed(&mut self, documents: &[Document], context: &mut EmbedContext<'_>) -> Result<Embeddings>;
    /// Does what takes all rows, such as centering, and makes them unit length where they are not yet.
    ///
    /// # Errors
    /// When the rows are not usable.
    fn finish(&mut self, embeddings: Embeddings) -> Result<Embeddings> {
        Ok(embeddings)
    }
}

/// What an embedder comes to, as far as that can be told before it embeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EmbedderSize {
    /// Numbers in a row.
    pub dim: usize,
    /// Parameters that a token meets in matrix products; 0 where no model reads the documents.
    pub parameters: u64,
    /// Tokens of a document that are read at most, where its options say so.
    pub max_tokens: Option<usize>,
}

/// What an embedder may use.
pub struct EmbedContext<'a> {
    /// The base model, pretrained on the same documents. Its cost is charged by the caller.
    pub base: Option<&'a mut dyn LanguageModel>,
    /// The study's tokenizer.
    pub tokenizer: &'a dyn Tokenizer,
    /// Opens the Hugging Face folder of a text encoder on the runtime's device.
    pub open_encoder: &'a mut OpenEncoder<'a>,
    /// What encoders cost: an embedder adds what its own took.
    pub cost: &'a mut Cost,
    /// Told after each batch how many documents of this part are done.
    pub progress: &'a mut dyn FnMut(usize),
}

/// Opens text encoders, as [`Runtime::open_encoder`](crate::ports::Runtime::open_encoder) does.
pub type OpenEncoder<'a> = dyn FnMut(&Path, &EncoderOptions) -> Result<Box<dyn TextEncoder>> + 'a;

/// Rows of unit norm, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct Embeddings {
    /// Numbers in a row.
    pub dim: usize,
    /// `len * dim` numbers.
    pub rows: Vec<f32>,
}

impl Embeddings {
    /// Rows from a flat list, normalised to unit length; rows of zeros stay.
    ///
    /// # Panics
    /// When the list does not divide into rows.
    pub fn normalised(dim: usize, mut rows: Vec<f32>) -> Self {
        assert!(dim > 0 && rows.len().is_multiple_of(dim), "{} numbers in rows of {dim}", rows.len());
        for row in rows.chunks_exact_mut(dim) {
            let norm = row.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt();
            if norm > 0.0 {
                row.iter_mut().for_each(|x| *x = (f64::from(*x) / norm) as f32);
            }
        }
        Self { dim, rows }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows.len() / self.dim
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Row `index`.
    pub fn row(&self, index: usize) -> &[f32] {
        &self.rows[index * self.dim..(index + 1) * self.dim]
    }

    /// Inner product of two rows.
    pub fn similarity(&self, a: usize, b: usize) -> f32 {
        inner_product(self.row(a), self.row(b))
    }
}

/// Inner product of two rows.
pub fn inner_product(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}
