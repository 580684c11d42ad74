//! A world of concepts: a corpus whose truth is known.
//!
//! Concepts have names, kinds and attributes; documents are drawn from a concept in many genres and phrasings and
//! reveal some of its attributes. So there is an unlimited supply of documents, and whether a text is true, and
//! what it is about, can be computed.

mod chance;
mod language;
pub mod questions;
pub mod read;
pub mod render;
mod template;
pub mod world;

use std::collections::BTreeSet;

use sbp_plugin::prelude::*;
use sbp_plugin::slots::corpus::{Corpus, Judgement, Question, Records, Truth};

use read::{Reader, Statement};
use world::{World, WorldConfig};

/// A made-up world of concepts, and any number of documents about it in plain English, whose truth is known.
///
/// Concepts (towns, rivers, ...) have attributes; each document is about one concept, in one of several genres, and
/// states some of its attributes in one of many phrasings. Documents come round by round, one of every concept a
/// round, so that every beginning of the corpus is a fair sample. Questions ask for facts that the training documents
/// state, in phrasings that they need not have used.
///
/// Cost: the world takes some 200 bytes a concept; documents are written as they are asked for, in time
/// proportional to their words, and not kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ConceptsConfig {
    /// How many concepts there are. Fewer make D_pretrain of a given size tell more about each.
    #[schemars(range(min = 1, max = 100_000))]
    pub concepts: usize,
    /// Attributes of a concept.
    #[schemars(range(min = 1, max = 8))]
    pub attributes: usize,
    /// Genres that documents are written in: letters, notes, catalogues, dialogues, ...
    #[schemars(range(min = 1, max = 8))]
    pub genres: usize,
    /// Ways to state one attribute in prose.
    #[schemars(range(min = 1, max = 8))]
    pub phrasings: usize,
    /// Fewest attributes that a document states.
    #[schemars(range(min = 1, max = 8))]
    pub revealed_attributes_min: usize,
    /// Most attributes that a document states.
    #[schemars(range(min = 1, max = 8))]
    pub revealed_attributes_max: usize,
    /// Draws the world: another number, another world in the same language. Kept apart from the study's seeds, so
    /// that all of them study the same world.
    pub world_seed: u64,
    /// Documents kept for evaluation.
    #[schemars(range(min = 1))]
    pub heldout_documents: usize,
    /// Most questions to ask.
    pub max_questions: usize,
}

impl Default for ConceptsConfig {
    fn default() -> Self {
        let world = WorldConfig::default();
        Self {
            concepts: world.concepts,
            attributes: world.attributes,
            genres: world.genres,
            phrasings: world.phrasings,
            revealed_attributes_min: world.revealed_attributes_min,
            revealed_attributes_max: world.revealed_attributes_max,
            world_seed: world.seed,
            heldout_documents: 400,
            max_questions: 1000,
        }
    }
}

impl ConceptsConfig {
    fn world(&self) -> WorldConfig {
        WorldConfig {
            concepts: self.concepts,
            // How many documents are used is decided by the study's budgets.
            documents_per_concept: 1,
            attributes: self.attributes,
            genres: self.genres,
            phrasings: self.phrasings,
            revealed_attributes_min: self.revealed_attributes_min,
            revealed_attributes_max: self.revealed_attributes_max,
            seed: self.world_seed,
        }
    }
}

impl Plugin<slots::Corpus> for ConceptsConfig {
    const KIND: &'static str = "concepts";
    fn example() -> Self {
        Self::default()
    }
    fn check(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        if self.revealed_attributes_max > self.attributes {
            let message = format!(
                "a document cannot state {} attributes when a concept has {}",
                self.revealed_attributes_max, self.attributes
            );
            problems.push(("revealed_attributes_max", message));
        }
        if self.revealed_attributes_min > self.revealed_attributes_max {
            let message = format!(
                "{} is above revealed_attributes_max = {}",
                self.revealed_attributes_min, self.revealed_attributes_max
            );
            problems.push(("revealed_attributes_min", message));
        }
        problems
    }
    fn build(&self, _: &BuildContext) -> Result<Box<dyn Corpus>> {
        Ok(Box::new(ConceptsCorpus { world: World::new(self.world())?, config: self.clone() }))
    }
}
register!(slots::Corpus => ConceptsConfig);

/// The first rendering that is held out: no supply of training documents reaches it.
const FIRST_HELDOUT: u64 = 1 << 40;

/// Document number `i` is rendering `i / concepts` of concept `i % concepts`.
struct ConceptsCorpus {
    config: ConceptsConfig,
    world: World,
}

impl ConceptsCorpus {
    fn document(&self, index: u64, first_rendering: u64) -> Document {
        let concepts = self.world.concepts().len() as u64;
        let (concept, rendering) = ((index % concepts) as usize, first_rendering + index / concepts);
        Document {
            id: DocId::of(&format!("concept {concept} rendering {rendering}")),
            text: self.world.document(concept, rendering).text,
            source: self.world.concepts()[concept].name().to_owned(),
        }
    }
}

impl Corpus for ConceptsCorpus {
    fn documents(&self) -> Result<Records<'_>> {
        let limit = FIRST_HELDOUT * self.world.concepts().len() as u64;
        Ok(Box::new((0..limit).map(|index| Ok(self.document(index, 0)))))
    }

    fn heldout(&self) -> Result<Records<'_>> {
        let count = self.config.heldout_documents as u64;
        Ok(Box::new((0..count).map(|index| Ok(self.document(index, FIRST_HELDOUT)))))
    }

    fn questions(&self, pretrain: &[Document]) -> Result<Vec<Question>> {
        let reader = Reader::new(&self.world);
        let mut revealed = BTreeSet::new();
        for document in pretrain {
            for claim in reader.claims(&document.text).iter().filter(|claim| reader.is_true(claim)) {
                if let (Some(concept), Statement::Value(attribute, _)) = (claim.concept, &claim.statement) {
                    revealed.insert((concept, *attribute));
                }
            }
        }
        let questions = self.world.questions(self.config.max_questions, &revealed);
        Ok(questions
            .into_iter()
            .map(|q| Question { context: q.context, choices: q.choices, answer: q.gold })
            .collect())
    }

    fn truth(&self) -> Option<&dyn Truth> {
        Some(self)
    }

    fn fingerprint(&self) -> Result<Fingerprint> {
        let version = <ConceptsConfig as Plugin<slots::Corpus>>::VERSION;
        Ok(Fingerprint::of_value(&("concepts", version, &self.config)))
    }
}

impl Truth for ConceptsCorpus {
    fn judge(&self, seed: &str, synthetic: &str) -> Judgement {
        // Claims about names that no concept has are claims, and not true ones.
        let judgement = Reader::new(&self.world).judge(seed, synthetic);
        Judgement {
            claims: judgement.claims as u32,
            true_claims: judgement.true_claims as u32,
            relevant: judgement.relevant(),
            seed_claims: judgement.seed_facts as u32,
            carried_claims: judgement.carried as u32,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn corpus(config: ConceptsConfig) -> Box<dyn Corpus> {
        config.build(&BuildContext::default()).unwrap()
    }

    fn small() -> ConceptsConfig {
        ConceptsConfig { concepts: 20, heldout_documents: 30, ..ConceptsConfig::default() }
    }

    fn take(records: Records<'_>, count: usize) -> Vec<Document> {
        records.take(count).map(|record| record.unwrap()).collect()
    }

    #[test]
    fn a_round_has_one_document_of_every_concept() {
        let corpus = corpus(small());
        let documents = take(corpus.documents().unwrap(), 40);
        for round in documents.chunks(20) {
            assert_eq!(round.iter().map(|d| &d.source).collect::<HashSet<_>>().len(), 20);
        }
        assert!(documents.iter().all(|d| d.text.contains(&d.source)));
    }

    #[test]
    fn questions_grow_with_what_was_told() {
        let corpus = corpus(small());
        let documents = take(corpus.documents().unwrap(), 100);
        let count = |n: usize| corpus.questions(&documents[..n]).unwrap().len();
        assert!((4..=6).contains(&count(1)));
        // In five documents of four to six facts each, nearly all six facts of 20 concepts are told.
        assert!((110..=120).contains(&count(100)), "{}", count(100));
        assert_eq!(count(0), 0);
    }

    #[test]
    fn another_document_of_the_concept_is_true_relevant_and_carries_some_facts() {
        let corpus = corpus(small());
        let documents = take(corpus.documents().unwrap(), 40);
        let truth = corpus.truth().unwrap();
        let own = truth.judge(&documents[0].text, &documents[20].text);
        assert!(own.relevant && own.claims >= 4 && own.true_claims == own.claims && own.carried_claims > 0);
        let other = truth.judge(&documents[0].text, &documents[1].text);
        assert!(!other.relevant && other.carried_claims == 0 && other.seed_claims >= 4);
    }

    #[test]
    fn options_that_do_not_fit_together_are_named() {
        let config = ConceptsConfig { attributes: 3, ..ConceptsConfig::default() };
        assert_eq!(config.check()[0].0, "revealed_attributes_max");
        assert!(config.build(&BuildContext::default()).is_err());
    }
}
