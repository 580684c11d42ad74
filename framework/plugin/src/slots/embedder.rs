//! The embedder slot.

use sbp_core::Document;

use crate::Result;
use crate::ports::{LanguageModel, Tokenizer};

/// Maps documents to rows of numbers.
///
/// # Contract
/// Row i belongs to document i; every row has the same length and unit L2 norm (a document with nothing to embed
/// gives a row of zeros, similar to nothing); the result depends on the documents alone.
pub trait Embedder: Send {
    /// Whether [`EmbedContext::base`] must be there.
    fn needs_base_model(&self) -> bool {
        false
    }
    /// Embeds a corpus. All of it is given at once, since some embedders weigh words by how common they are.
    ///
    /// # Errors
    /// When the model fails.
    fn embed(&mut self, documents: &[Document], context: &mut EmbedContext<'_>) -> Result<Embeddings>;
}

/// What an embedder may use.
pub struct EmbedContext<'a> {
    /// The base model, pretrained on the same documents.
    pub base: Option<&'a mut dyn LanguageModel>,
    /// The study's tokenizer.
    pub tokenizer: &'a dyn Tokenizer,
    /// Told after each batch how many documents are done.
    pub progress: &'a mut dyn FnMut(usize),
}

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
        self.row(a).iter().zip(self.row(b)).map(|(x, y)| x * y).sum()
    }
}
