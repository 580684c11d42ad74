//! A corpus that fits on a page.

use sbp_plugin::prelude::*;
use sbp_plugin::slots::corpus::{BadRecord, Corpus, Question, Records};

/// A few documents held in memory, with questions and, if asked for, bad records. Not registered: tests select it
/// with `Selected::new`.
///
/// Cost: documents are written as they are asked for and not kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TinyConfig {
    /// Documents that may be trained on.
    pub documents: usize,
    /// Documents kept for evaluation.
    pub heldout: usize,
    /// Every how many records one is bad; never when left out.
    pub bad_every: Option<usize>,
}

impl Default for TinyConfig {
    fn default() -> Self {
        Self { documents: 200, heldout: 20, bad_every: None }
    }
}

impl Plugin<slots::Corpus> for TinyConfig {
    const KIND: &'static str = "tiny";
    fn example() -> Self {
        Self::default()
    }
    fn build(&self, _: &BuildContext) -> Result<Box<dyn Corpus>> {
        Ok(Box::new(TinyCorpus(self.clone())))
    }
}

/// Documents about twenty subjects, round by round; a document's text and id follow from its number.
#[derive(Debug, Clone)]
pub struct TinyCorpus(pub TinyConfig);

const SUBJECTS: [&str; 20] = [
    "ash", "bell", "clay", "dune", "elm", "fern", "gate", "hill", "inn", "jar", "kite", "lake", "mill",
    "nest", "oak", "pond", "quay", "reed", "salt", "tide",
];
const QUALITIES: [&str; 8] = ["red", "old", "tall", "calm", "cold", "wide", "loud", "soft"];
const PLACES: [&str; 6] =
    ["by the sea", "in the hills", "near the town", "at the ford", "up north", "down south"];

/// What is true of a subject: it is the same in every document.
fn quality(subject: usize) -> usize {
    subject * 5 % QUALITIES.len()
}

impl TinyCorpus {
    /// Document number `n`.
    pub fn document(&self, n: usize) -> Document {
        let subject = n % SUBJECTS.len();
        let round = n / SUBJECTS.len();
        let (name, quality, place) =
            (SUBJECTS[subject], QUALITIES[quality(subject)], PLACES[round % PLACES.len()]);
        let text = match (n / 7) % 3 {
            0 => format!("The {name} is {quality}. It stands {place} in year {round}."),
            1 => format!("In year {round} we saw the {name} {place}, and the {name} is {quality}."),
            _ => format!(
                "Who knows the {name} {place}? They say the {name} is {quality}, now as in year {round}."
            ),
        };
        Document { id: DocId::of(&format!("tiny {n}")), text, source: name.to_owned() }
    }

    fn records(&self, first: usize, count: usize) -> Records<'_> {
        Box::new((first..first + count).map(|n| {
            match self.0.bad_every {
                Some(every) if n % every.max(1) == every.max(1) - 1 => Err(BadRecord {
                    file: "tiny".to_owned(),
                    line: n as u64 + 1,
                    reason: "bad on purpose".to_owned(),
                }
                .into()),
                _ => Ok(self.document(n)),
            }
        }))
    }
}

impl Corpus for TinyCorpus {
    fn documents(&self) -> Result<Records<'_>> {
        Ok(self.records(0, self.0.documents))
    }

    fn heldout(&self) -> Result<Records<'_>> {
        Ok(self.records(self.0.documents, self.0.heldout))
    }

    fn questions(&self, pretrain: &[Document]) -> Result<Vec<Question>> {
        let told = |name: &str| pretrain.iter().any(|document| document.source == name);
        let ask = |(subject, name): (usize, &&str)| {
            let answer = subject % 4;
            let choices = (0..4).map(|place| (quality(subject) + 8 + place - answer) % QUALITIES.len());
            Question {
                context: format!("The {name} is"),
                choices: choices.map(|choice| format!(" {}", QUALITIES[choice])).collect(),
                answer,
            }
        };
        Ok(SUBJECTS.iter().enumerate().filter(|(_, name)| told(name)).map(ask).collect())
    }

    fn fingerprint(&self) -> Result<Fingerprint> {
        Ok(Fingerprint::of_value(&self.0))
    }
}

/// A finished synthetic document with this text, seeded with `seed`.
pub fn synthetic(seed: &Document, text: &str) -> SyntheticDocument {
    SyntheticDocument {
        seed: seed.id,
        draw: 0,
        text: text.to_owned(),
        num_tokens: text.len() as u32 + 1,
        log_prob: -1.0,
        finished: true,
    }
}
