//! The corpus slot.

use sbp_core::{Document, Fingerprint};

use crate::Result;

/// A source of documents.
///
/// # Contract
/// - `documents` gives the same documents in the same order every time, and every prefix of it is a fair sample:
///   D_pretrain is its beginning, the oracle's pool a longer beginning.
/// - No two documents share an id or a text, and no held-out document is among `documents`.
/// - A record that cannot be read is a [`BadRecord`], never a panic and never the end of the iteration.
/// - Memory stays bounded, however many documents there are: they are given one by one.
pub trait Corpus: Send + Sync {
    /// The documents that may be trained on. May be unlimited.
    ///
    /// # Errors
    /// When the source cannot be opened.
    fn documents(&self) -> Result<Records<'_>>;
    /// Documents kept for evaluation.
    ///
    /// # Errors
    /// When the source cannot be opened.
    fn heldout(&self) -> Result<Records<'_>>;
    /// Questions about facts that `pretrain` states, with known answers. None for most corpora.
    ///
    /// # Errors
    /// When the questions cannot be made.
    fn questions(&self, pretrain: &[Document]) -> Result<Vec<Question>> {
        let _ = pretrain;
        Ok(Vec::new())
    }
    /// The truth behind the documents, where it is known.
    fn truth(&self) -> Option<&dyn Truth> {
        None
    }
    /// Identity of the ordered contents: files' bytes or the generator's version and options, never a path.
    ///
    /// # Errors
    /// When the source cannot be read.
    fn fingerprint(&self) -> Result<Fingerprint>;
}

/// Documents, or what stands in the place of one.
pub type Records<'a> = Box<dyn Iterator<Item = std::result::Result<Document, NoDocument>> + 'a>;

/// What stands in the place of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoDocument {
    /// A record that is not a document.
    Bad(BadRecord),
    /// A record with the very text of a document that is given, held-out ones included.
    Duplicate,
    /// The source failed while it was read, with what to do about it. Nothing comes after it.
    Failed(String),
}

impl From<BadRecord> for NoDocument {
    fn from(bad: BadRecord) -> Self {
        Self::Bad(bad)
    }
}

/// A record that is not a document.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct BadRecord {
    /// The file, without the folder that the recipe names; after it the member, in an archive.
    pub file: String,
    /// Line or row in the file, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub reason: String,
}

/// A multiple-choice question whose answer is known.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Question {
    /// Text that every choice continues.
    pub context: String,
    /// Continuations, each with its leading space.
    pub choices: Vec<String>,
    /// Index of the right choice.
    pub answer: usize,
}

/// Knows what is true, so that synthetic documents can be checked instead of judged.
pub trait Truth {
    /// Checks a synthetic text against the world and against the document it was seeded with.
    fn judge(&self, seed: &str, synthetic: &str) -> Judgement;
}

/// What a check against the truth found in one synthetic text.
#[derive(Debug, Clone, Copy, PartialEq, Default, serde::Serialize)]
pub struct Judgement {
    /// Statements of fact that could be read.
    pub claims: u32,
    /// How many of them are true.
    pub true_claims: u32,
    /// Whether the text is about what the seed document is about.
    pub relevant: bool,
    /// Statements of the seed document.
    pub seed_claims: u32,
    /// How many of the seed document's statements the text restates rightly.
    pub carried_claims: u32,
}
