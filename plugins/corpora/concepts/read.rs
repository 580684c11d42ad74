//! Reading a text back: which claims it makes, and whether the world agrees.
//!
//! The reader inverts every phrasing of the language exactly. Of a text that is not in the language it takes what
//! it understands and counts the rest; no text can make it fail.

use std::collections::{HashMap, HashSet};

use super::language::{GENRES, KINDS};
use super::template::{Filled, Template};
use super::world::{AttributeId, World};

/// What a claim says of its subject.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Statement {
    /// That it is of the kind with this noun.
    Kind(String),
    /// That an attribute has this value, which need not be one of the attribute's values.
    Value(AttributeId, String),
}

/// One statement about one subject.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Claim {
    /// The concept's index, or nothing when no concept has that name.
    pub concept: Option<usize>,
    /// The name as written.
    pub concept_name: String,
    /// What is said of it.
    pub statement: Statement,
}

/// What a text says, as far as it is understood.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reading {
    /// Claims in the order of the text, repetitions included.
    pub claims: Vec<Claim>,
    /// How many sentences there are.
    pub sentences: usize,
    /// How many of them are neither a statement nor a frame of the language, or have no subject.
    pub unparsed: usize,
    /// The subjects named, in order, without repetitions, with the concept where there is one.
    pub subjects: Vec<(String, Option<usize>)>,
}

/// What a synthetic text made of its seed, counted over its different claims.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Judgement {
    /// Claims about anything, known or not.
    pub claims: usize,
    /// Claims that the world holds.
    pub true_claims: usize,
    /// Claims about a known concept that the world does not hold.
    pub false_claims: usize,
    /// Claims about a name that the world does not know.
    pub unknown_names: usize,
    /// Sentences that were not understood.
    pub unparsed: usize,
    /// Whether the first subject named is the seed's concept.
    pub about_seed_concept: bool,
    /// Attributes that the seed reveals.
    pub seed_facts: usize,
    /// Of those, how many the text restates rightly and never wrongly.
    pub carried: usize,
    /// Of those, how many the text gives another value for.
    pub contradicted: usize,
}

impl Judgement {
    /// A text is non-factual when it contradicts the world.
    pub fn non_factual(&self) -> bool {
        self.false_claims > 0
    }

    /// A text is relevant when it is about its seed's concept.
    pub fn relevant(&self) -> bool {
        self.about_seed_concept
    }
}

/// A reader of one world's language. Making it compiles the tables, so make one and keep it.
#[derive(Debug)]
pub struct Reader<'a> {
    world: &'a World,
    statements: Vec<(Template, AttributeId)>,
    frames: Vec<Template>,
    leads: Vec<&'static str>,
    /// Values in lower case, so that a value at a sentence's start is known again.
    values: HashMap<(AttributeId, String), &'static str>,
    kinds: HashSet<&'static str>,
    units: HashSet<&'static str>,
}

impl<'a> Reader<'a> {
    /// A reader for `world`.
    pub fn new(world: &'a World) -> Self {
        let mut statements = Vec::new();
        let mut values = HashMap::new();
        for attribute in AttributeId::all() {
            let table = attribute.table();
            let heading = format!("{}: {{V}}", table.label);
            let exchange = format!("Q: {}? A: {{V}}", table.question);
            let all = table.phrasings.iter().copied().chain([heading.as_str(), exchange.as_str()]);
            statements.extend(all.map(|phrasing| (Template::parse(phrasing), attribute)));
            values.extend(table.values.iter().map(|value| ((attribute, value.to_ascii_lowercase()), *value)));
        }
        let frames = GENRES
            .iter()
            .flat_map(|genre| genre.openings.iter().chain(genre.closings))
            .map(|frame| Template::parse(frame.trim_end_matches(MARKS)))
            .collect();
        let mut leads: Vec<&str> = GENRES.iter().flat_map(|genre| genre.leads).copied().collect();
        leads.sort_unstable_by_key(|lead| std::cmp::Reverse(lead.len()));
        Self {
            world,
            statements,
            frames,
            leads,
            values,
            kinds: KINDS.iter().map(|kind| kind.noun).collect(),
            units: KINDS.iter().map(|kind| kind.unit).collect(),
        }
    }

    /// Reads `text`. A pronoun or `the town` stands for the last subject named before it.
    pub fn read(&self, text: &str) -> Reading {
        let mut reading = Reading::default();
        let mut subject: Option<String> = None;
        for sentence in sentences(text) {
            reading.sentences += 1;
            let Some(parsed) = self.parse(sentence) else {
                reading.unparsed += 1;
                continue;
            };
            if let Some(Subject::Name(name)) = parsed.subject {
                subject = Some(name.to_owned());
                if !reading.subjects.iter().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
                    reading.subjects.push((name.to_owned(), self.world.find(name)));
                }
            }
            let Some(statement) = parsed.statement else { continue };
            match &subject {
                None => reading.unparsed += 1,
                Some(name) => {
                    let concept = self.world.find(name);
                    let statement = self.with_true_unit(statement, parsed.unit, concept);
                    reading.claims.push(Claim { concept, concept_name: name.clone(), statement });
                }
            }
        }
        reading
    }

    /// The claims of `text` alone.
    pub fn claims(&self, text: &str) -> Vec<Claim> {
        self.read(text).claims
    }

    /// Whether the world holds `claim`.
    pub fn is_true(&self, claim: &Claim) -> bool {
        let Some(concept) = claim.concept else { return false };
        match &claim.statement {
            Statement::Kind(noun) => self.world.concepts()[concept].kind() == noun,
            Statement::Value(attribute, value) => self.world.holds(concept, *attribute, value),
        }
    }

    /// What `synthetic` made of `seed`.
    pub fn judge(&self, seed: &str, synthetic: &str) -> Judgement {
        let source = self.read(seed);
        let reading = self.read(synthetic);
        let claims: HashSet<&Claim> = reading.claims.iter().collect();
        let mut judgement =
            Judgement { claims: claims.len(), unparsed: reading.unparsed, ..Judgement::default() };
        for claim in unique(&reading.claims) {
            if claim.concept.is_none() {
                judgement.unknown_names += 1;
            } else if self.is_true(claim) {
                judgement.true_claims += 1;
            } else {
                judgement.false_claims += 1;
            }
        }
        let seed_concept = source.subjects.first().and_then(|(_, concept)| *concept);
        judgement.about_seed_concept = seed_concept.is_some()
            && reading.subjects.first().and_then(|(_, concept)| *concept) == seed_concept;
        for claim in unique(&source.claims) {
            let Statement::Value(attribute, value) = &claim.statement else { continue };
            judgement.seed_facts += 1;
            let mut restated = false;
            let mut contradicted = false;
            for other in unique(&reading.claims) {
                if let Statement::Value(own, said) = &other.statement
                    && own == attribute
                    && other.concept == claim.concept
                {
                    restated |= said == value;
                    contradicted |= said != value;
                }
            }
            judgement.carried += usize::from(restated && !contradicted);
            judgement.contradicted += usize::from(contradicted);
        }
        judgement
    }

    fn parse<'t>(&self, sentence: &'t str) -> Option<Parsed<'t>> {
        let sentence = sentence.strip_prefix("- ").unwrap_or(sentence).trim();
        let sentence = sentence.trim_end_matches(MARKS).trim_end();
        self.parse_statement(sentence, true)
            .or_else(|| self.parse_frame(sentence))
            .or_else(|| self.parse_statement(sentence, false))
            .or_else(|| self.parse(self.without_lead(sentence)?.0))
    }

    /// A statement; with `known`, only one whose value the attribute can have.
    fn parse_statement<'t>(&self, sentence: &'t str, known: bool) -> Option<Parsed<'t>> {
        // A dialogue's lead stands behind its mark, where the templates do not expect it.
        if let Some(question) = sentence.strip_prefix("Q: ")
            && let Some((_, lead)) = self.without_lead(question)
        {
            let rest = &sentence["Q: ".len() + lead..];
            return self.statements.iter().find_map(|(template, attribute)| {
                let filled = template.read_after("Q: ", rest.trim_start())?;
                self.accept(*attribute, &filled, known)
            });
        }
        self.statements
            .iter()
            .find_map(|(template, attribute)| self.accept(*attribute, &template.read(sentence)?, known))
    }

    fn accept<'t>(&self, attribute: AttributeId, filled: &Filled<'t>, known: bool) -> Option<Parsed<'t>> {
        let subject = match filled.subject {
            Some(text) => Some(self.reference(text)?),
            None => None,
        };
        if filled.unit.is_some_and(|unit| !self.units.contains(unit)) {
            return None;
        }
        let said = filled.value?;
        let value = match self.values.get(&(attribute, said.to_ascii_lowercase())) {
            Some(value) => (*value).to_owned(),
            // A value that no attribute has is still a claim, and a wrong one; a whole clause is not a value.
            None if !known && said.split_whitespace().count() <= 2 => said.to_owned(),
            None => return None,
        };
        Some(Parsed { subject, statement: Some(Statement::Value(attribute, value)), unit: filled.unit })
    }

    fn parse_frame<'t>(&self, sentence: &'t str) -> Option<Parsed<'t>> {
        self.frames.iter().find_map(|frame| {
            let filled = frame.read(sentence)?;
            let subject = match filled.subject {
                Some(text) => Some(self.reference(text)?),
                None => None,
            };
            if filled.person.is_some_and(|person| person.contains(' ')) {
                return None;
            }
            let statement = match filled.kind {
                Some(kind) if self.kinds.contains(kind) => Some(Statement::Kind(kind.to_owned())),
                Some(_) => return None,
                None => None,
            };
            Some(Parsed { subject, statement, unit: None })
        })
    }

    /// The sentence behind its lead, and the lead's length with its space.
    fn without_lead<'t>(&self, sentence: &'t str) -> Option<(&'t str, usize)> {
        self.leads.iter().find_map(|lead| {
            let head = sentence.get(..lead.len())?;
            let rest = sentence[lead.len()..].strip_prefix(' ')?;
            head.eq_ignore_ascii_case(lead).then_some((rest, lead.len() + 1))
        })
    }

    fn reference<'t>(&self, text: &'t str) -> Option<Subject<'t>> {
        if text.eq_ignore_ascii_case("it") {
            return Some(Subject::LastNamed);
        }
        if text.get(..4).is_some_and(|head| head.eq_ignore_ascii_case("the ")) {
            return self.kinds.contains(&text[4..]).then_some(Subject::LastNamed);
        }
        let one_word = !text.contains(|c: char| c.is_whitespace() || c.is_ascii_punctuation());
        let is_name = one_word && text.chars().next().is_some_and(char::is_uppercase);
        is_name.then_some(Subject::Name(text))
    }

    /// A count of the wrong thing is not the count that the world knows: its unit stays in the value.
    fn with_true_unit(&self, statement: Statement, unit: Option<&str>, concept: Option<usize>) -> Statement {
        let (Some(unit), Some(concept)) = (unit, concept) else { return statement };
        match statement {
            Statement::Value(attribute, value)
                if self.world.concepts()[concept].kind_table().unit != unit =>
            {
                Statement::Value(attribute, format!("{value} {unit}"))
            }
            right => right,
        }
    }
}

/// What closes a sentence.
const MARKS: [char; 4] = ['.', '?', '!', ':'];

#[derive(Debug, Clone, Copy)]
enum Subject<'t> {
    Name(&'t str),
    LastNamed,
}

struct Parsed<'t> {
    subject: Option<Subject<'t>>,
    statement: Option<Statement>,
    unit: Option<&'t str>,
}

/// Lines, split again behind each stop. A question mark splits nothing: its answer belongs to it.
fn sentences(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .flat_map(|line| line.split_inclusive(". "))
        .map(str::trim)
        .filter(|sentence| !sentence.is_empty())
}

fn unique(claims: &[Claim]) -> impl Iterator<Item = &Claim> {
    let mut seen = HashSet::new();
    claims.iter().filter(move |claim| seen.insert(*claim))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::corpora::concepts::world::WorldConfig;

    fn world(seed: u64) -> World {
        let all = WorldConfig {
            attributes: 8,
            revealed_attributes_min: 1,
            revealed_attributes_max: 8,
            seed,
            ..WorldConfig::default()
        };
        World::new(all).expect("in range")
    }

    /// A small fixed place to look for what a claim should say.
    fn values(claims: &[Claim]) -> Vec<(&str, &'static str, &str)> {
        claims
            .iter()
            .filter_map(|claim| match &claim.statement {
                Statement::Value(attribute, value) => {
                    Some((claim.concept_name.as_str(), attribute.key(), value.as_str()))
                }
                Statement::Kind(_) => None,
            })
            .collect()
    }

    fn assert_round_trip(world: &World, reader: &Reader<'_>, concept: usize, rendering: u64) {
        let document = world.document(concept, rendering);
        let reading = reader.read(&document.text);
        let subject = &world.concepts()[concept];
        let expected: Vec<_> = document
            .revealed
            .iter()
            .map(|&a| (subject.name(), a.key(), subject.value(a).expect("its own attribute")))
            .collect();
        assert_eq!(values(&reading.claims), expected, "{}", document.text);
        assert_eq!(reading.unparsed, 0, "{}", document.text);
        assert_eq!(reading.subjects, [(subject.name().to_owned(), Some(concept))], "{}", document.text);
        assert!(reading.claims.iter().all(|claim| reader.is_true(claim)), "{}", document.text);
        let kinds = reading.claims.iter().filter(|c| matches!(c.statement, Statement::Kind(_))).count();
        assert_eq!(kinds, 1, "{}", document.text);
    }

    #[test]
    fn thousands_of_documents_are_read_back_exactly() {
        let world = world(11);
        let reader = Reader::new(&world);
        for concept in 0..world.concepts().len() {
            for rendering in 0..24 {
                assert_round_trip(&world, &reader, concept, rendering);
            }
        }
    }

    #[test]
    fn every_phrasing_of_every_value_means_one_thing() {
        let world = world(12);
        let reader = Reader::new(&world);
        let name = world.concepts()[0].name();
        for attribute in AttributeId::all() {
            for phrasing in attribute.table().phrasings {
                for value in attribute.values() {
                    let filled = Filled {
                        subject: Some(name),
                        value: Some(value),
                        unit: Some(world.concepts()[0].kind_table().unit),
                        ..Filled::default()
                    };
                    let text = Template::parse(phrasing).fill(&filled);
                    assert_eq!(values(&reader.claims(&text)), [(name, attribute.key(), *value)], "{text}");
                    let meanings = reader
                        .statements
                        .iter()
                        .filter(|(t, a)| t.read(&text).is_some_and(|f| reader.accept(*a, &f, true).is_some()))
                        .count();
                    assert_eq!(meanings, 1, "{text}");
                }
            }
        }
    }

    #[test]
    fn false_and_unknown_claims_are_told_apart() {
        let world = world(13);
        let reader = Reader::new(&world);
        let town = world.concepts().iter().position(|c| c.kind() == "town").expect("a town");
        let (name, emblem) =
            (world.concepts()[town].name(), AttributeId::all().find(|a| a.key() == "emblem"));
        let emblem = emblem.expect("an attribute");
        let truth = world.concepts()[town].value(emblem).expect("towns have one");
        let other = emblem.values().iter().find(|v| **v != truth).expect("another value");
        let seed = format!("{name} is a town. The emblem of {name} is the {truth}.");

        let right = reader
            .judge(&seed, &format!("Some facts about {name}, a town:\n- Flags for it show the {truth}."));
        // `it` stands only at a sentence's start in our documents, but reads well anywhere.
        assert_eq!((right.claims, right.true_claims, right.carried, right.contradicted), (2, 2, 1, 0));
        assert!(right.relevant() && !right.non_factual());

        let wrong =
            reader.judge(&seed, &format!("{name} is a river. Flags for {name} show the {other}. Bla bla."));
        assert_eq!((wrong.true_claims, wrong.false_claims, wrong.unparsed), (0, 2, 1));
        assert_eq!((wrong.seed_facts, wrong.carried, wrong.contradicted), (1, 0, 1));
        assert!(wrong.relevant() && wrong.non_factual());

        let made_up =
            reader.judge(&seed, "Xyzzy is a town. It has nine gates. The emblem of Xyzzy is the zorb.");
        assert_eq!((made_up.claims, made_up.unknown_names, made_up.false_claims), (3, 3, 0));
        assert!(!made_up.relevant());

        let nonsense =
            reader.judge(&seed, &format!("{name} has nine strings. The emblem of {name} is the zorb."));
        assert_eq!((nonsense.true_claims, nonsense.false_claims), (0, 2));
    }

    #[test]
    fn a_pronoun_without_a_subject_claims_nothing() {
        let world = world(14);
        let reading = Reader::new(&world).read("It smells of thyme. The town smells of thyme.");
        assert_eq!((reading.claims.len(), reading.unparsed, reading.sentences), (0, 2, 2));
    }

    proptest! {
        #[test]
        fn any_document_of_any_world_is_read_back(seed in 0u64..1000, concept in 0usize..50, rendering: u64) {
            let config = WorldConfig {
                concepts: 50, attributes: 8, revealed_attributes_min: 1, revealed_attributes_max: 8, seed,
                ..WorldConfig::default()
            };
            let world = World::new(config).expect("in range");
            assert_round_trip(&world, &Reader::new(&world), concept, rendering);
        }

        #[test]
        fn no_text_is_too_strange(text in "\\PC{0,200}") {
            let world = world(15);
            let reader = Reader::new(&world);
            let reading = reader.read(&text);
            prop_assert!(reading.unparsed <= reading.sentences);
            reader.judge(&world.document(0, 0).text, &text);
        }

        #[test]
        fn damaged_documents_are_no_danger(concept in 0usize..50, cut in 0usize..300, at in 0usize..300, with in "[ .:?a-zA-Zé-]{0,12}") {
            let world = world(16);
            let reader = Reader::new(&world);
            let mut text = world.document(concept, 3).text;
            text.truncate(text.floor_char_boundary(cut));
            text.insert_str(text.floor_char_boundary(at), &with);
            let judgement = reader.judge(&world.document(concept, 0).text, &text);
            prop_assert_eq!(
                judgement.claims, judgement.true_claims + judgement.false_claims + judgement.unknown_names
            );
        }
    }
}
