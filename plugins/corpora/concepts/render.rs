//! Documents: a concept and a rendering index become a text that reveals some of what is true of the concept.
//!
//! Every rendering index gives a document, so the supply has no end: the first few are the corpus, those after it
//! the oracle's pool, and indices far away are held out.

use super::chance::Chance;
use super::language::{CORRESPONDENTS, GENRES, GenreTable, Layout};
use super::template::{Filled, Template};
use super::world::{AttributeId, Concept, World};

/// One rendered document and what it tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The document.
    pub text: String,
    /// The concept that it is about.
    pub concept: usize,
    /// The genre's name.
    pub genre: &'static str,
    /// The attributes whose true values it states, in the order of the text.
    pub revealed: Vec<AttributeId>,
}

impl World {
    /// The document number `rendering` about the concept at index `concept`.
    ///
    /// # Panics
    /// When there is no such concept.
    pub fn document(&self, concept: usize, rendering: u64) -> Rendered {
        let subject = &self.concepts()[concept];
        let seed = self.config().seed;
        let mut chance = Chance::new(seed, "document", &[concept as u64, rendering]);
        let genre = &GENRES[self.genre_of(concept, rendering)];
        let revealed = self.choose_revealed(subject, &mut chance);
        let writer = Writer { subject, genre, phrasings: self.config().phrasings };
        Rendered {
            text: writer.write(&revealed, &mut chance),
            concept,
            genre: genre.name,
            revealed: revealed.into_iter().map(|(attribute, _)| attribute).collect(),
        }
    }

    /// Every concept walks through the genres in rounds, each round in its own order, so that few documents of one
    /// concept already differ in genre.
    fn genre_of(&self, concept: usize, rendering: u64) -> usize {
        let genres = self.config().genres;
        let round = rendering / genres as u64;
        let mut order: Vec<usize> = (0..genres).collect();
        Chance::new(self.config().seed, "genre", &[concept as u64, round]).shuffle(&mut order);
        order[(rendering % genres as u64) as usize]
    }

    fn choose_revealed(&self, subject: &Concept, chance: &mut Chance) -> Vec<(AttributeId, &'static str)> {
        let (least, most) = (self.config().revealed_attributes_min, self.config().revealed_attributes_max);
        let count = least + chance.below(most - least + 1);
        let mut facts = subject.facts().to_vec();
        chance.shuffle(&mut facts);
        facts.truncate(count);
        facts
    }
}

struct Writer<'a> {
    subject: &'a Concept,
    genre: &'static GenreTable,
    phrasings: usize,
}

impl Writer<'_> {
    fn write(&self, facts: &[(AttributeId, &'static str)], chance: &mut Chance) -> String {
        let mut parts = vec![self.frame(self.genre.openings, chance)];
        for &(attribute, value) in facts {
            parts.push(match self.genre.layout {
                Layout::Prose => self.sentence(attribute, value, chance),
                Layout::List => format!("- {}", self.sentence(attribute, value, chance)),
                Layout::Catalogue => self.heading(attribute, value),
                Layout::Dialogue => self.exchange(attribute, value, chance),
            });
        }
        // Every other document just ends: lengths vary, and an end is not always announced.
        if !self.genre.closings.is_empty() && chance.percent(50) {
            parts.push(self.frame(self.genre.closings, chance));
        }
        let joint = match self.genre.layout {
            Layout::Prose | Layout::Catalogue => " ",
            Layout::List | Layout::Dialogue => "\n",
        };
        parts.join(joint)
    }

    fn frame(&self, frames: &[&str], chance: &mut Chance) -> String {
        let person = chance.pick(&CORRESPONDENTS);
        Template::parse(chance.pick(frames)).fill(&Filled { person: Some(person), ..self.named() })
    }

    /// A statement in prose: a phrasing, a way to refer to the subject, perhaps a lead before it.
    fn sentence(&self, attribute: AttributeId, value: &str, chance: &mut Chance) -> String {
        let template = Template::parse(chance.pick(&attribute.table().phrasings[..self.phrasings]));
        let the_kind = format!("the {}", self.subject.kind());
        let reference = match chance.below(10) {
            0..=4 => self.subject.name(),
            // A pronoun reads well only as the first word.
            5..=7 if template.begins_with_subject() => "it",
            _ => &the_kind,
        };
        let body = template.fill(&Filled { subject: Some(reference), value: Some(value), ..self.named() });
        if !self.genre.leads.is_empty() && chance.percent(30) {
            let body = if template.begins_with_text() { uncapitalised(&body) } else { body };
            format!("{} {body}.", chance.pick(self.genre.leads))
        } else {
            format!("{}.", capitalised(&body))
        }
    }

    fn heading(&self, attribute: AttributeId, value: &str) -> String {
        format!("{}: {value}.", Template::parse(attribute.table().label).fill(&self.named()))
    }

    fn exchange(&self, attribute: AttributeId, value: &str, chance: &mut Chance) -> String {
        let question = Template::parse(attribute.table().question).fill(&self.named());
        let question = if !self.genre.leads.is_empty() && chance.percent(30) {
            format!("{} {question}", chance.pick(self.genre.leads))
        } else {
            capitalised(&question)
        };
        format!("Q: {question}? A: {value}.")
    }

    fn named(&self) -> Filled<'_> {
        Filled {
            subject: Some(self.subject.name()),
            unit: Some(self.subject.kind_table().unit),
            kind: Some(self.subject.kind()),
            ..Filled::default()
        }
    }
}

fn capitalised(text: &str) -> String {
    let mut text = text.to_owned();
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    text
}

fn uncapitalised(text: &str) -> String {
    let mut text = text.to_owned();
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::corpora::concepts::world::WorldConfig;

    fn world() -> World {
        World::new(WorldConfig::default()).expect("the defaults are in range")
    }

    #[test]
    fn documents_are_functions_of_their_indices() {
        assert_eq!(world().document(7, 1000), world().document(7, 1000));
        assert_ne!(world().document(7, 1000).text, world().document(7, 1001).text);
    }

    #[test]
    fn renderings_rarely_repeat() {
        let world = world();
        let texts: HashSet<String> = (0..1000).map(|rendering| world.document(3, rendering).text).collect();
        assert!(texts.len() > 990, "{} different texts", texts.len());
    }

    #[test]
    fn a_round_of_renderings_shows_every_genre() {
        let world = world();
        let genres: HashSet<&str> = (8..16).map(|rendering| world.document(5, rendering).genre).collect();
        assert_eq!(genres.len(), 8);
    }

    #[test]
    fn every_document_names_its_subject_and_its_values() {
        let world = world();
        for concept in 0..100 {
            let document = world.document(concept, 0);
            let subject = &world.concepts()[concept];
            assert!(document.text.contains(subject.name()) && document.text.contains(subject.kind()));
            assert!((4..=6).contains(&document.revealed.len()));
            for attribute in document.revealed {
                let value = subject.value(attribute).expect("a concept's own attribute");
                let shown = document.text.to_ascii_lowercase();
                assert!(shown.contains(&value.to_ascii_lowercase()), "{value} in {}", document.text);
            }
        }
    }
}
