//! The world itself: concepts, their kinds and names, and what is true of them.

use std::collections::{HashMap, HashSet};
use std::fmt;

use super::chance::Chance;
use super::language::{
    ATTRIBUTES, AttributeTable, CODAS, CORRESPONDENTS, GENRES, KINDS, KindTable, MAX_ATTRIBUTES,
    MAX_PHRASINGS, SYLLABLES,
};

/// How large the world is and how its documents vary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorldConfig {
    /// How many concepts there are.
    pub concepts: usize,
    /// How many documents of each concept the corpus holds; more can always be rendered.
    pub documents_per_concept: usize,
    /// How many attributes each concept has, at most 8.
    pub attributes: usize,
    /// How many genres documents are written in, at most 8.
    pub genres: usize,
    /// How many ways there are to state one attribute in prose, at most 8.
    pub phrasings: usize,
    /// The fewest attributes that a document reveals.
    pub revealed_attributes_min: usize,
    /// The most attributes that a document reveals.
    pub revealed_attributes_max: usize,
    /// What the world is drawn from; another seed is another world in the same language.
    pub seed: u64,
}

impl Default for WorldConfig {
    fn default() -> Self {
        Self {
            concepts: 400,
            documents_per_concept: 3,
            attributes: 6,
            genres: 8,
            phrasings: 8,
            revealed_attributes_min: 4,
            revealed_attributes_max: 6,
            seed: 1,
        }
    }
}

/// Why no world can be made from a config. The message names the field and its range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorldError(String);

impl fmt::Display for WorldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for WorldError {}

/// The place of an attribute in the language's table, stable across worlds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttributeId(pub(super) usize);

impl AttributeId {
    /// The attribute's word, as reports name it: `region`, `patron`, `year`, ...
    pub fn key(self) -> &'static str {
        self.table().key
    }

    /// Every value that the attribute can have.
    pub fn values(self) -> &'static [&'static str] {
        self.table().values
    }

    /// All attributes of the language.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..ATTRIBUTES.len()).map(Self)
    }

    pub(super) fn table(self) -> &'static AttributeTable {
        &ATTRIBUTES[self.0]
    }

    fn of_key(key: &str) -> Option<Self> {
        Self::all().find(|attribute| attribute.key() == key)
    }
}

/// One concept: a name, a kind, and a value for each of its attributes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Concept {
    name: String,
    kind: usize,
    values: Vec<(AttributeId, &'static str)>,
}

impl Concept {
    /// The name, unique in its world.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The noun of its kind: `town`, `river`, ...
    pub fn kind(&self) -> &'static str {
        self.kind_table().noun
    }

    /// What is true of it, in the order of its kind.
    pub fn facts(&self) -> &[(AttributeId, &'static str)] {
        &self.values
    }

    /// The value of `attribute`, or nothing where its kind has no such attribute.
    pub fn value(&self, attribute: AttributeId) -> Option<&'static str> {
        self.values.iter().find(|(own, _)| *own == attribute).map(|(_, value)| *value)
    }

    pub(super) fn kind_table(&self) -> &'static KindTable {
        &KINDS[self.kind]
    }
}

/// A world drawn from its config: every question about it has one answer.
#[derive(Debug, Clone)]
pub struct World {
    config: WorldConfig,
    concepts: Vec<Concept>,
    by_name: HashMap<String, usize>,
}

impl World {
    /// Draws the world of `config`.
    ///
    /// # Errors
    /// When a knob is out of the language's range.
    pub fn new(config: WorldConfig) -> Result<Self, WorldError> {
        check(&config)?;
        let names = names(config.seed, config.concepts);
        let concepts: Vec<Concept> =
            names.into_iter().enumerate().map(|(index, name)| concept(&config, index, name)).collect();
        let by_name =
            concepts.iter().enumerate().map(|(index, c)| (c.name.to_ascii_lowercase(), index)).collect();
        Ok(Self { config, concepts, by_name })
    }

    /// What the world was drawn from.
    pub fn config(&self) -> &WorldConfig {
        &self.config
    }

    /// All concepts; a concept's place here is its index everywhere.
    pub fn concepts(&self) -> &[Concept] {
        &self.concepts
    }

    /// The index of the concept called `name`, whatever its capitals.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.by_name.get(&name.to_ascii_lowercase()).copied()
    }

    /// Whether the world holds that `attribute` of the concept at `concept` is `value`.
    pub fn holds(&self, concept: usize, attribute: AttributeId, value: &str) -> bool {
        self.concepts.get(concept).and_then(|c| c.value(attribute)) == Some(value)
    }
}

fn check(config: &WorldConfig) -> Result<(), WorldError> {
    let ranges = [
        ("concepts", config.concepts, 1, most_names() / 4),
        ("documents_per_concept", config.documents_per_concept, 1, usize::MAX),
        ("attributes", config.attributes, 1, MAX_ATTRIBUTES),
        ("genres", config.genres, 1, GENRES.len()),
        ("phrasings", config.phrasings, 1, MAX_PHRASINGS),
        ("revealed_attributes_max", config.revealed_attributes_max, 1, config.attributes),
        ("revealed_attributes_min", config.revealed_attributes_min, 1, config.revealed_attributes_max),
    ];
    match ranges.iter().find(|(_, value, least, most)| value < least || value > most) {
        None => Ok(()),
        Some((field, value, least, usize::MAX)) => {
            Err(WorldError(format!("{field} = {value} is too small: give at least {least}")))
        }
        Some((field, value, least, most)) => {
            Err(WorldError(format!("{field} = {value} is out of range: give {least} to {most}")))
        }
    }
}

/// How many names have two syllables; those after them have three. Short names are few tokens, and a small model
/// copies few tokens more surely; but there are only so many of them that look different.
const SHORT_NAMES: usize = 2000;

/// How many different names three syllables and a coda make.
fn most_names() -> usize {
    SYLLABLES.len().pow(3) * CODAS.len()
}

/// Distinct names in a stable order: the first names of a larger world are those of a smaller one.
fn names(seed: u64, count: usize) -> Vec<String> {
    // No name may be a person or a value, or the reader could take one for the other.
    let mut taken: HashSet<String> = ATTRIBUTES
        .iter()
        .flat_map(|attribute| attribute.values)
        .chain(&CORRESPONDENTS)
        .map(|word| word.to_ascii_lowercase())
        .collect();
    let mut chance = Chance::new(seed, "name", &[]);
    let mut names = Vec::with_capacity(count);
    while names.len() < count {
        let syllables = if names.len() < SHORT_NAMES { 2 } else { 3 };
        let mut name: String = (0..syllables).map(|_| chance.pick(&SYLLABLES)).collect();
        name.push_str(chance.pick(&CODAS));
        if taken.insert(name.clone()) {
            name[..1].make_ascii_uppercase();
            names.push(name);
        }
    }
    names
}

fn concept(config: &WorldConfig, index: usize, name: String) -> Concept {
    let kind = Chance::new(config.seed, "kind", &[index as u64]).below(KINDS.len());
    let values = KINDS[kind]
        .attributes
        .iter()
        .take(config.attributes)
        .filter_map(|key| AttributeId::of_key(key))
        .map(|attribute| {
            let mut chance = Chance::new(config.seed, "value", &[index as u64, attribute.0 as u64]);
            (attribute, chance.pick(attribute.values()))
        })
        .collect();
    Concept { name, kind, values }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world() -> World {
        World::new(WorldConfig::default()).expect("the defaults are in range")
    }

    #[test]
    fn the_language_is_consistent() {
        for kind in &KINDS {
            for key in kind.attributes {
                assert!(AttributeId::of_key(key).is_some(), "{} has an unknown attribute {key}", kind.noun);
            }
        }
        let mut owner = HashMap::new();
        for attribute in AttributeId::all() {
            assert!(attribute.values().len() >= 4, "{} needs four choices", attribute.key());
            for value in attribute.values() {
                let other = owner.insert(value.to_ascii_lowercase(), attribute.key());
                assert_eq!(other, None, "{value} belongs to two attributes");
            }
        }
        for person in CORRESPONDENTS {
            assert!(!owner.contains_key(&person.to_ascii_lowercase()), "{person} is a value too");
        }
    }

    #[test]
    fn names_are_unique_and_found() {
        let world = world();
        assert_eq!(world.by_name.len(), world.concepts().len());
        for (index, concept) in world.concepts().iter().enumerate() {
            assert_eq!(world.find(concept.name()), Some(index));
            assert_eq!(concept.facts().len(), world.config().attributes);
        }
        assert_eq!(world.find("Nobody"), None);
    }

    #[test]
    fn a_world_depends_on_its_seed_alone() {
        assert_eq!(world().concepts(), world().concepts());
        let other = World::new(WorldConfig { seed: 2, ..WorldConfig::default() }).expect("in range");
        assert_ne!(world().concepts(), other.concepts());
    }

    #[test]
    fn a_larger_world_begins_with_the_smaller_one() {
        let larger = World::new(WorldConfig { concepts: 500, ..WorldConfig::default() }).expect("in range");
        assert_eq!(&larger.concepts()[..400], world().concepts());
    }

    #[test]
    fn a_large_world_has_names_enough() {
        let larger =
            World::new(WorldConfig { concepts: 20_000, ..WorldConfig::default() }).expect("in range");
        assert_eq!(larger.by_name.len(), 20_000);
    }

    #[test]
    fn knobs_out_of_range_are_named() {
        let config = WorldConfig { revealed_attributes_max: 7, ..WorldConfig::default() };
        let error = World::new(config).expect_err("seven of six attributes").to_string();
        assert_eq!(error, "revealed_attributes_max = 7 is out of range: give 1 to 6");
        let error = World::new(WorldConfig { documents_per_concept: 0, ..WorldConfig::default() });
        assert!(error.is_err());
    }
}
