//! Lines of bounded length.

use std::io::{self, BufRead, Read};

pub(super) enum Line {
    Whole(Vec<u8>),
    TooLong(u64),
}

pub(super) struct Lines<'r> {
    pub(super) reader: &'r mut dyn BufRead,
    pub(super) most: usize,
}

impl Lines<'_> {
    pub(super) fn next(&mut self) -> io::Result<Option<Line>> {
        let mut line = Vec::new();
        // One more for the line end and one to see that there is more.
        let len = (&mut self.reader).take(self.most as u64 + 2).read_until(b'\n', &mut line)?;
        if len == 0 {
            return Ok(None);
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        } else if len as u64 == self.most as u64 + 2 {
            return Ok(Some(Line::TooLong(len as u64 + self.skip_line()?)));
        }
        Ok(Some(if line.len() > self.most { Line::TooLong(line.len() as u64) } else { Line::Whole(line) }))
    }

    /// Reads on to the line's end and says how much that was.
    fn skip_line(&mut self) -> io::Result<u64> {
        let mut skipped = 0;
        loop {
            let buffer = self.reader.fill_buf()?;
            let end = buffer.iter().position(|byte| *byte == b'\n');
            let len = end.map_or(buffer.len(), |end| end + 1);
            self.reader.consume(len);
            // The line end is not part of the line.
            skipped += end.unwrap_or(len) as u64;
            if end.is_some() || len == 0 {
                return Ok(skipped);
            }
        }
    }
}
