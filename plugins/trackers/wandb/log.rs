//! The framing of a `.wandb` file: the log format of LevelDB with another checksum.
//!
//! Records are cut into chunks that do not cross blocks of 32 KiB. A chunk is the CRC-32 (IEEE) of what follows its length,
//! four bytes; its length, two bytes; its kind, one byte; and its data. Where fewer than seven bytes of a block are left,
//! zeros fill it.

use std::io::{self, Write};

const BLOCK: usize = 32 * 1024;
const HEADER: usize = 7;

/// A name, the number 0xBEE1 and a version.
const START: [u8; 7] = [b':', b'W', b'&', b'B', 0xE1, 0xBE, 0];

/// A record in one chunk; its first chunk of several, those between, its last.
const FULL: u8 = 1;
const FIRST: u8 = 2;
const MIDDLE: u8 = 3;
const LAST: u8 = 4;

pub(super) struct LogWriter<W> {
    to: W,
    /// Bytes written so far.
    at: usize,
}

impl<W: Write> LogWriter<W> {
    /// Begins a log.
    pub(super) fn begin(mut to: W) -> io::Result<Self> {
        to.write_all(&START)?;
        Ok(Self { to, at: START.len() })
    }

    /// Appends records in one write, so that a killed run leaves whole ones. After an error the log is broken where it
    /// ends.
    pub(super) fn append(&mut self, records: &[Vec<u8>]) -> io::Result<()> {
        let mut bytes = Vec::new();
        for record in records {
            self.frame(record, &mut bytes);
        }
        self.to.write_all(&bytes)
    }

    fn frame(&mut self, record: &[u8], bytes: &mut Vec<u8>) {
        let mut rest = record;
        let mut is_first = true;
        loop {
            let mut room = BLOCK - self.at % BLOCK;
            if room < HEADER {
                bytes.resize(bytes.len() + room, 0);
                self.at += room;
                room = BLOCK;
            }
            let (data, after) = rest.split_at(rest.len().min(room - HEADER));
            let kind = match (is_first, after.is_empty()) {
                (true, true) => FULL,
                (true, false) => FIRST,
                (false, false) => MIDDLE,
                (false, true) => LAST,
            };
            let mut checksum = crc32fast::Hasher::new();
            checksum.update(&[kind]);
            checksum.update(data);
            bytes.extend(checksum.finalize().to_le_bytes());
            // A block, and so a chunk, is shorter than 2^16 bytes.
            bytes.extend((data.len() as u16).to_le_bytes());
            bytes.push(kind);
            bytes.extend(data);
            self.at += HEADER + data.len();
            (rest, is_first) = (after, false);
            if rest.is_empty() {
                return;
            }
        }
    }
}

/// The whole records of a log, as far as it goes: to its end, or to where it was cut or damaged.
pub(super) struct Records<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl<'b> Records<'b> {
    pub(super) fn of(bytes: &'b [u8]) -> Self {
        // What does not begin as a log has no records.
        let at = if bytes.starts_with(&START) { START.len() } else { bytes.len() };
        Self { bytes, at }
    }
}

impl Iterator for Records<'_> {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let mut record = Vec::new();
        loop {
            let room = BLOCK - self.at % BLOCK;
            if room < HEADER {
                self.at += room;
            }
            let (header, rest) = self.bytes.get(self.at..)?.split_first_chunk::<HEADER>()?;
            let [c0, c1, c2, c3, l0, l1, kind] = *header;
            let data = rest.get(..usize::from(u16::from_le_bytes([l0, l1])))?;
            let mut checksum = crc32fast::Hasher::new();
            checksum.update(&[kind]);
            checksum.update(data);
            if checksum.finalize() != u32::from_le_bytes([c0, c1, c2, c3]) {
                return None;
            }
            self.at += HEADER + data.len();
            record.extend_from_slice(data);
            if kind == FULL || kind == LAST {
                return Some(record);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn log(records: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer = LogWriter::begin(&mut bytes).unwrap();
        for record in records {
            writer.append(std::slice::from_ref(record)).unwrap();
        }
        bytes
    }

    fn read(bytes: &[u8]) -> Vec<Vec<u8>> {
        Records::of(bytes).collect()
    }

    #[test]
    fn a_short_record_is_one_chunk_with_the_ieee_checksum_of_kind_and_data() {
        // The check value of CRC-32 (IEEE), and that of 1, "a", "b" by Python's zlib.
        assert_eq!(crc32fast::hash(b"123456789"), 0xcbf4_3926);
        let bytes = log(&[b"ab".to_vec()]);
        assert_eq!(bytes[..7], *b":W&B\xe1\xbe\x00");
        assert_eq!(bytes[7..11], 0x21d9_e9b7_u32.to_le_bytes());
        assert_eq!(bytes[11..], [2, 0, FULL, b'a', b'b']);
    }

    #[test]
    fn a_long_record_is_cut_at_the_ends_of_blocks() {
        let record: Vec<u8> = (0..70_000).map(|n| (n % 251) as u8).collect();
        let bytes = log(std::slice::from_ref(&record));
        let kinds = [bytes[START.len() + 6], bytes[BLOCK + 6], bytes[2 * BLOCK + 6]];
        assert_eq!(kinds, [FIRST, MIDDLE, LAST]);
        assert_eq!(read(&bytes), [record]);
    }

    #[test]
    fn a_block_whose_end_has_no_room_for_a_header_is_filled_with_zeros() {
        for left in 0..=8 {
            let first = vec![7; BLOCK - START.len() - HEADER - left];
            let bytes = log(&[first.clone(), b"next".to_vec()]);
            if left < HEADER {
                assert_eq!(bytes[BLOCK - left..BLOCK], vec![0; left]);
                assert_eq!(bytes[BLOCK + 6], FULL);
            }
            assert_eq!(read(&bytes), [first, b"next".to_vec()], "{left} bytes left");
        }
    }

    #[test]
    fn a_cut_or_damaged_log_is_read_to_its_last_whole_record() {
        let records = [b"one".to_vec(), vec![5; 40_000], b"three".to_vec()];
        let bytes = log(&records);
        assert_eq!(read(&bytes[..bytes.len() - 1]), records[..2]);
        assert_eq!(read(&bytes[..BLOCK + 100]), records[..1]);
        let mut damaged = bytes.clone();
        damaged[BLOCK + 100] ^= 1;
        assert_eq!(read(&damaged), records[..1]);
        assert_eq!(read(b"something else"), [[0; 0]; 0]);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(lengths in prop::collection::vec(0usize..70_000, 0..8)) {
            let records: Vec<Vec<u8>> =
                lengths.iter().enumerate().map(|(n, &length)| vec![n as u8 + 1; length]).collect();
            prop_assert_eq!(read(&log(&records)), records);
        }
    }
}
