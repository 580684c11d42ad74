//! Questions whose answers are known: the beginning of a sentence and four ways to end it.

use std::collections::BTreeSet;

use super::chance::Chance;
use super::template::{Filled, Template};
use super::world::{AttributeId, World};

/// How many choices a question offers, one of them true.
pub const CHOICES: usize = 4;

/// One multiple-choice item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The text before the choice, without a space at its end.
    pub context: String,
    /// What may follow, each beginning with a space: values of the attribute, no two alike.
    pub choices: Vec<String>,
    /// Which choice is true.
    pub gold: usize,
    /// The concept asked about.
    pub concept: usize,
    /// The attribute asked for.
    pub attribute: AttributeId,
}

impl World {
    /// `count` questions about facts in `revealed`, or fewer where there are fewer facts.
    ///
    /// Each asks in one of the phrasings that end with the value, whichever phrasing the corpus used for the fact,
    /// so that having memorised one sentence is seldom enough.
    pub fn questions(&self, count: usize, revealed: &BTreeSet<(usize, AttributeId)>) -> Vec<Question> {
        let mut facts: Vec<_> = revealed
            .iter()
            .copied()
            .filter(|&(concept, attribute)| {
                self.concepts().get(concept).is_some_and(|c| c.value(attribute).is_some())
            })
            .collect();
        Chance::new(self.config().seed, "questions", &[]).shuffle(&mut facts);
        facts.truncate(count);
        facts.into_iter().filter_map(|(concept, attribute)| self.question(concept, attribute)).collect()
    }

    fn question(&self, concept: usize, attribute: AttributeId) -> Option<Question> {
        let mut chance = Chance::new(self.config().seed, "question", &[concept as u64, attribute.0 as u64]);
        let subject = self.concepts().get(concept)?;
        let truth = subject.value(attribute)?;
        let context = self.cloze(concept, attribute, &mut chance);

        let mut others: Vec<&str> = attribute.values().iter().copied().filter(|v| *v != truth).collect();
        chance.shuffle(&mut others);
        others.truncate(CHOICES - 1);
        let gold = chance.below(CHOICES);
        others.insert(gold, truth);
        let choices = others.iter().map(|value| format!(" {value}")).collect();
        Some(Question { context, choices, gold, concept, attribute })
    }

    /// The subject introduced, then a statement up to its value.
    fn cloze(&self, concept: usize, attribute: AttributeId, chance: &mut Chance) -> String {
        let subject = &self.concepts()[concept];
        let unit = subject.kind_table().unit;
        let named = Filled { subject: Some(subject.name()), unit: Some(unit), ..Filled::default() };
        let statements: Vec<Template> = attribute.table().phrasings[..self.config().phrasings]
            .iter()
            .map(|phrasing| Template::parse(phrasing))
            .filter(Template::ends_with_value)
            .collect();
        let statement = if statements.is_empty() {
            // With few phrasings none may end with the value; the dialogue's form always does.
            format!("Q: {}? A:", Template::parse(attribute.table().question).fill(&named))
        } else {
            statements[chance.below(statements.len())].fill(&named)
        };
        format!("{} is a {}. {}", subject.name(), subject.kind(), statement.trim_end())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::corpora::concepts::read::{Reader, Statement};
    use crate::corpora::concepts::world::WorldConfig;

    fn world(phrasings: usize) -> World {
        World::new(WorldConfig { phrasings, ..WorldConfig::default() }).expect("in range")
    }

    fn revealed(world: &World, renderings: u64) -> BTreeSet<(usize, AttributeId)> {
        (0..world.concepts().len())
            .flat_map(|concept| (0..renderings).map(move |rendering| (concept, rendering)))
            .map(|(concept, rendering)| world.document(concept, rendering))
            .flat_map(|document| {
                document.revealed.into_iter().map(move |attribute| (document.concept, attribute))
            })
            .collect()
    }

    #[test]
    fn the_gold_choice_and_no_other_completes_a_true_claim() {
        for phrasings in [1, 8] {
            let world = world(phrasings);
            let reader = Reader::new(&world);
            for question in world.questions(500, &revealed(&world, 1)) {
                assert_eq!(question.choices.iter().collect::<HashSet<_>>().len(), CHOICES);
                for (index, choice) in question.choices.iter().enumerate() {
                    let text = format!("{}{choice}.", question.context);
                    let claims = reader.claims(&text);
                    let asked = claims.last().expect("a question is about something");
                    assert!(
                        matches!(&asked.statement, Statement::Value(a, _) if *a == question.attribute),
                        "{text}"
                    );
                    assert_eq!(asked.concept, Some(question.concept));
                    assert_eq!(reader.is_true(asked), index == question.gold, "{text}");
                }
            }
        }
    }

    #[test]
    fn only_revealed_facts_are_asked_for_and_each_once() {
        let world = world(8);
        let revealed = revealed(&world, 1);
        let questions = world.questions(100_000, &revealed);
        let asked: BTreeSet<_> = questions.iter().map(|q| (q.concept, q.attribute)).collect();
        assert_eq!(asked.len(), questions.len());
        assert_eq!(asked, revealed);
    }

    #[test]
    fn questions_are_the_same_every_time_and_gold_is_anywhere() {
        let world = world(8);
        let revealed = revealed(&world, 1);
        let questions = world.questions(400, &revealed);
        assert_eq!(questions, world.questions(400, &revealed));
        for place in 0..CHOICES {
            let share = questions.iter().filter(|q| q.gold == place).count();
            assert!((60..140).contains(&share), "{share} of 400 at place {place}");
        }
    }
}
