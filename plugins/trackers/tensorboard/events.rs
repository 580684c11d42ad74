//! Event files: records of TensorFlow, each a message of `tensorflow/core/util/event.proto`.
//!
//! A record is its length, eight bytes; the masked CRC-32C of these, four bytes; the message; and its masked CRC-32C. The fields
//! here are those that are written.

use std::io::{self, Write};

use prost::{Message, Oneof};

#[derive(Clone, PartialEq, Message)]
pub(super) struct Event {
    /// Seconds since 1970.
    #[prost(double, tag = "1")]
    pub(super) wall_time: f64,
    #[prost(int64, tag = "2")]
    pub(super) step: i64,
    #[prost(oneof = "What", tags = "3, 5")]
    pub(super) what: Option<What>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum What {
    /// The first event of every file.
    #[prost(string, tag = "3")]
    FileVersion(String),
    #[prost(message, tag = "5")]
    Summary(Summary),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Summary {
    #[prost(message, repeated, tag = "1")]
    pub(super) value: Vec<Value>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Value {
    #[prost(string, tag = "1")]
    pub(super) tag: String,
    #[prost(message, optional, tag = "9")]
    pub(super) metadata: Option<Metadata>,
    #[prost(oneof = "Content", tags = "2, 8")]
    pub(super) content: Option<Content>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum Content {
    #[prost(float, tag = "2")]
    Scalar(f32),
    #[prost(message, tag = "8")]
    Tensor(Tensor),
}

/// Which of TensorBoard's pages shows a tensor.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Metadata {
    #[prost(message, optional, tag = "1")]
    pub(super) plugin: Option<Plugin>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Plugin {
    #[prost(string, tag = "1")]
    pub(super) name: String,
}

/// A tensor of texts.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Tensor {
    /// 7 for texts.
    #[prost(int32, tag = "1")]
    pub(super) dtype: i32,
    #[prost(message, optional, tag = "2")]
    pub(super) shape: Option<Shape>,
    #[prost(bytes = "vec", repeated, tag = "8")]
    pub(super) texts: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Shape {
    #[prost(message, repeated, tag = "2")]
    pub(super) dim: Vec<Dim>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Dim {
    #[prost(int64, tag = "1")]
    pub(super) size: i64,
}

impl Value {
    pub(super) fn scalar(tag: &str, number: f64) -> Self {
        // TensorBoard has no wider scalars.
        Self { tag: tag.to_owned(), metadata: None, content: Some(Content::Scalar(number as f32)) }
    }

    /// A text in Markdown.
    pub(super) fn text(tag: &str, text: &str) -> Self {
        Self {
            tag: tag.to_owned(),
            metadata: Some(Metadata { plugin: Some(Plugin { name: "text".to_owned() }) }),
            content: Some(Content::Tensor(Tensor {
                dtype: 7,
                shape: Some(Shape { dim: vec![Dim { size: 1 }] }),
                texts: vec![text.as_bytes().to_vec()],
            })),
        }
    }
}

/// Appends an event in one write, so that a killed run leaves whole ones.
pub(super) fn append(to: &mut impl Write, event: &Event) -> io::Result<()> {
    let message = event.encode_to_vec();
    let length = (message.len() as u64).to_le_bytes();
    let mut record = Vec::with_capacity(message.len() + 16);
    record.extend(length);
    record.extend(masked(&length).to_le_bytes());
    record.extend(&message);
    record.extend(masked(&message).to_le_bytes());
    to.write_all(&record)
}

/// The whole events of a file, as far as it goes: to its end, or to where it was cut or damaged.
pub(super) fn read(mut bytes: &[u8]) -> Vec<Event> {
    let mut events = Vec::new();
    while let Some((event, rest)) = first(bytes) {
        events.push(event);
        bytes = rest;
    }
    events
}

fn first(bytes: &[u8]) -> Option<(Event, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    let (length_check, rest) = rest.split_first_chunk::<4>()?;
    if masked(length) != u32::from_le_bytes(*length_check) {
        return None;
    }
    let (message, rest) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    let (check, rest) = rest.split_first_chunk::<4>()?;
    if masked(message) != u32::from_le_bytes(*check) {
        return None;
    }
    Some((Event::decode(message).ok()?, rest))
}

/// The checksum of a record: rotated and moved, so that a checksum of data with checksums in it stays a good one.
fn masked(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version() -> Event {
        Event { wall_time: 1.5, step: 0, what: Some(What::FileVersion("brain.Event:2".to_owned())) }
    }

    #[test]
    fn checksums_are_masked_crc_32c() {
        // The check value of CRC-32C, and 32 zeros of RFC 3720, B.4.
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c::crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(masked(b"123456789"), 0xc78a_b0e5);
    }

    #[test]
    fn a_record_has_the_bytes_that_tensorflow_writes() {
        let mut bytes = Vec::new();
        append(&mut bytes, &version()).unwrap();
        let message = b"\x09\0\0\0\0\0\0\xf8\x3f\x1a\x0dbrain.Event:2";
        assert_eq!(bytes[..8], 24_u64.to_le_bytes());
        assert_eq!(bytes[12..36], *message);
        let scalar = Event {
            wall_time: 0.0,
            step: 3,
            what: Some(What::Summary(Summary { value: vec![Value::scalar("a", 0.5)] })),
        };
        assert_eq!(scalar.encode_to_vec(), b"\x10\x03\x2a\x0a\x0a\x08\x0a\x01a\x15\0\0\0\x3f");
    }

    #[test]
    fn a_cut_or_damaged_file_is_read_to_its_last_whole_event() {
        let mut bytes = Vec::new();
        let text = Event {
            step: 9,
            what: Some(What::Summary(Summary { value: vec![Value::text("recipe", "# x")] })),
            ..version()
        };
        append(&mut bytes, &version()).unwrap();
        append(&mut bytes, &text).unwrap();
        assert_eq!(read(&bytes), [version(), text]);
        assert_eq!(read(&bytes[..bytes.len() - 1]), [version()]);
        let end = bytes.len() - 6;
        bytes[end] ^= 1;
        assert_eq!(read(&bytes), [version()]);
        assert_eq!(read(&[0xff; 30]), []);
    }
}
