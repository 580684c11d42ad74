//! Sentence templates that can be filled and matched again: the writer and the reader share one table.
//!
//! A template is literal text with slots: `{S}` the subject, `{V}` a value, `{U}` the unit of a count, `{K}` the
//! noun of a kind, `{P}` a person who writes or is written to.

/// What a slot of a template stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    Subject,
    Value,
    Unit,
    Kind,
    Person,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Slot(Slot),
}

/// A sentence with slots, without its final stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template {
    pieces: Vec<Piece>,
}

/// The texts found in the slots of a matched template.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Filled<'a> {
    pub(super) subject: Option<&'a str>,
    pub(super) value: Option<&'a str>,
    pub(super) unit: Option<&'a str>,
    pub(super) kind: Option<&'a str>,
    pub(super) person: Option<&'a str>,
}

impl Filled<'_> {
    fn get(&self, slot: Slot) -> &str {
        match slot {
            Slot::Subject => self.subject,
            Slot::Value => self.value,
            Slot::Unit => self.unit,
            Slot::Kind => self.kind,
            Slot::Person => self.person,
        }
        .unwrap_or("")
    }
}

impl<'a> Filled<'a> {
    fn set(&mut self, slot: Slot, text: &'a str) {
        match slot {
            Slot::Subject => self.subject = Some(text),
            Slot::Value => self.value = Some(text),
            Slot::Unit => self.unit = Some(text),
            Slot::Kind => self.kind = Some(text),
            Slot::Person => self.person = Some(text),
        }
    }
}

impl Template {
    /// Reads the table's notation. Text in braces that names no slot is kept as text.
    pub(super) fn parse(notation: &str) -> Self {
        const SLOTS: [(&str, Slot); 5] = [
            ("{S}", Slot::Subject),
            ("{V}", Slot::Value),
            ("{U}", Slot::Unit),
            ("{K}", Slot::Kind),
            ("{P}", Slot::Person),
        ];
        let mut pieces = Vec::new();
        let mut rest = notation;
        while !rest.is_empty() {
            let next = SLOTS
                .iter()
                .filter_map(|(mark, slot)| rest.find(mark).map(|at| (at, mark, *slot)))
                .min_by_key(|f| f.0);
            let Some((at, mark, slot)) = next else {
                pieces.push(Piece::Text(rest.to_owned()));
                break;
            };
            if at > 0 {
                pieces.push(Piece::Text(rest[..at].to_owned()));
            }
            pieces.push(Piece::Slot(slot));
            rest = &rest[at + mark.len()..];
        }
        Self { pieces }
    }

    /// The sentence with its slots filled, as the table writes it: no capital, no stop added.
    pub(super) fn fill(&self, with: &Filled<'_>) -> String {
        self.pieces
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => text.as_str(),
                Piece::Slot(slot) => with.get(*slot),
            })
            .collect()
    }

    /// True when the subject opens the sentence, so that a pronoun reads well there.
    pub(super) fn begins_with_subject(&self) -> bool {
        self.pieces.first() == Some(&Piece::Slot(Slot::Subject))
    }

    /// True when the value closes the sentence, so that the sentence without it is a cloze.
    pub(super) fn ends_with_value(&self) -> bool {
        self.pieces.last() == Some(&Piece::Slot(Slot::Value))
    }

    /// True when the sentence opens with literal text, whose capital is lost in the middle of another sentence.
    pub(super) fn begins_with_text(&self) -> bool {
        matches!(self.pieces.first(), Some(Piece::Text(_)))
    }

    /// Like [`Template::read`], for `sentence` from which this template's first literal, `prefix`, was taken.
    pub(super) fn read_after<'a>(&self, prefix: &str, sentence: &'a str) -> Option<Filled<'a>> {
        let (first, rest) = self.pieces.split_first()?;
        let Piece::Text(literal) = first else { return None };
        let tail = literal.strip_prefix(prefix)?;
        let head = sentence.get(..tail.len())?;
        let mut filled = Filled::default();
        (head.eq_ignore_ascii_case(tail) && read_pieces(rest, &sentence[tail.len()..], &mut filled))
            .then_some(filled)
    }

    /// The slots' texts when `sentence` (without its stop) is this template filled, whatever its capitals.
    pub(super) fn read<'a>(&self, sentence: &'a str) -> Option<Filled<'a>> {
        let mut filled = Filled::default();
        read_pieces(&self.pieces, sentence, &mut filled).then_some(filled)
    }
}

/// Matches all of `text` against `pieces`, trying every place where the literal after a slot occurs.
fn read_pieces<'a>(pieces: &[Piece], text: &'a str, filled: &mut Filled<'a>) -> bool {
    let Some((first, rest)) = pieces.split_first() else { return text.is_empty() };
    match first {
        Piece::Text(literal) => match text.get(..literal.len()) {
            Some(head) if head.eq_ignore_ascii_case(literal) => {
                read_pieces(rest, &text[literal.len()..], filled)
            }
            _ => false,
        },
        Piece::Slot(slot) => {
            // A slot ends at the sentence's end or at a space or mark, so only those places are tried.
            let ends = text
                .char_indices()
                .map(|(at, _)| at)
                .chain([text.len()])
                .filter(|&at| at > 0 && (at == text.len() || !is_word_byte(text.as_bytes()[at])));
            for end in ends {
                filled.set(*slot, &text[..end]);
                if read_pieces(rest, &text[end..], filled) {
                    return true;
                }
            }
            false
        }
    }
}

fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte >= 0x80
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_filled_is_read_back() {
        let template = Template::parse("The {U} of {S} number {V}");
        let filled =
            Filled { subject: Some("Belora"), value: Some("nine"), unit: Some("gates"), ..Filled::default() };
        let sentence = template.fill(&filled);
        assert_eq!(sentence, "The gates of Belora number nine");
        assert_eq!(template.read(&sentence), Some(filled));
        assert_eq!(template.read("the gates of Belora number nine"), Some(filled));
        let longer = template.read("The gates of Belora number nine times");
        assert_eq!(longer.and_then(|filled| filled.value), Some("nine times"));
        assert_eq!(template.read("The gates of Belora"), None);
        assert_eq!(template.read(""), None);
    }

    #[test]
    fn neighbouring_slots_are_split_at_words() {
        let filled = Template::parse("With its {V} {U} {S} stands out")
            .read("With its two old gates Belora stands out");
        assert_eq!(filled.and_then(|f| f.value), Some("two"));
    }

    #[test]
    fn text_beyond_ascii_is_no_danger() {
        let template = Template::parse("{S} is é {V}");
        assert!(template.read("日本 is é ü").is_some());
        assert!(template.read("日").is_none());
    }
}
