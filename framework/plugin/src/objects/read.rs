//! Reading an object as a stream, as if it were a file.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use object_store::path::Path as Key;
use object_store::{GetOptions, GetRange, GetResult, ObjectStore, ObjectStoreExt as _};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::client::{client, runtime, wait};
use super::explain::explain;
use super::url::ObjectUrl;
use crate::{Error, Result};

/// Chunks that may wait to be read, each as long as the network gives them: up to some tens of KiB.
const AHEAD: usize = 64;

/// How often a stream may break without having given a byte.
const BREAKS: u32 = 5;

/// An object could not be read to its end, though there is nothing wrong with what it holds.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct Lost(String);

/// Whether reading failed on the way to an object, and not by what it holds.
pub fn is_lost(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|error| error.is::<Lost>())
}

/// The bytes of an object, read ahead by a little while they are worked on.
pub struct ObjectReader {
    chunks: Receiver<std::result::Result<Bytes, Lost>>,
    chunk: Bytes,
    /// Told again whenever it is read on.
    lost: Option<Lost>,
}

impl ObjectReader {
    /// Begins to read.
    ///
    /// # Errors
    /// When there is no such object, or it cannot be reached; the message says what to do.
    pub fn open(url: &ObjectUrl) -> Result<Self> {
        Self::begin(client(url)?, url)?.map_err(|error| explain("read", url, &error))
    }

    pub(super) fn begin(client: Arc<dyn ObjectStore>, url: &ObjectUrl) -> Result<object_store::Result<Self>> {
        let key = url.path()?;
        let begun = match wait(client.get(&key))? {
            Ok(begun) => begun,
            Err(error) => return Ok(Err(error)),
        };
        let (sender, chunks) = channel(AHEAD);
        runtime()?.spawn(pass_on(client, key, url.clone(), begun, sender));
        Ok(Ok(Self { chunks, chunk: Bytes::new(), lost: None }))
    }
}

impl Read for ObjectReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.chunk.is_empty() && !into.is_empty() {
            if let Some(lost) = &self.lost {
                return Err(io::Error::other(lost.clone()));
            }
            match self.chunks.blocking_recv() {
                None => return Ok(0),
                Some(Ok(chunk)) => self.chunk = chunk,
                Some(Err(lost)) => self.lost = Some(lost),
            }
        }
        let count = into.len().min(self.chunk.len());
        into[..count].copy_from_slice(&self.chunk.split_to(count));
        Ok(count)
    }
}

/// Passes an object on chunk by chunk. Where the stream breaks it is asked for anew from the byte that was reached: the
/// client itself does so too, but only for services that give each state of an object a tag, and within the time that one
/// request may take.
async fn pass_on(
    client: Arc<dyn ObjectStore>,
    key: Key,
    url: ObjectUrl,
    begun: GetResult,
    to: Sender<std::result::Result<Bytes, Lost>>,
) {
    let meta = begun.meta.clone();
    let mut stream = begun.into_stream();
    let (mut at, mut breaks) = (0, 0);
    while at < meta.size {
        let error = match stream.next().await {
            Some(Ok(chunk)) => {
                at += chunk.len() as u64;
                breaks = 0;
                // Whoever does not read on needs no more.
                if !chunk.is_empty() && to.send(Ok(chunk)).await.is_err() {
                    return;
                }
                continue;
            }
            Some(Err(error)) => explain("read", &url, &error),
            None => {
                format!("cannot read {url}: it ended after {at} of {} bytes; run again", meta.size).into()
            }
        };
        breaks += 1;
        if breaks > BREAKS {
            return lost(&to, error).await;
        }
        tokio::time::sleep(Duration::from_millis(100) * breaks).await;
        let rest = GetOptions {
            // The rest of another state would be spliced on otherwise.
            if_match: meta.e_tag.clone(),
            range: Some(GetRange::Offset(at)),
            ..GetOptions::default()
        };
        match client.get_opts(&key, rest).await {
            Ok(again) if again.meta.size == meta.size && again.meta.last_modified == meta.last_modified => {
                stream = again.into_stream();
            }
            Ok(_) => {
                let changed = format!("cannot read {url}: it was changed while it was read; run again");
                return lost(&to, changed.into()).await;
            }
            Err(error) => return lost(&to, explain("read", &url, &error)).await,
        }
    }
}

async fn lost(to: &Sender<std::result::Result<Bytes, Lost>>, error: Error) {
    // Whoever does not read on need not know.
    let _ = to.send(Err(Lost(error.to_string()))).await;
}

#[cfg(test)]
mod tests {
    use super::super::server::{Server, client_of};
    use super::*;

    fn read(server: &Server) -> io::Result<Vec<u8>> {
        let url = ObjectUrl::parse("s3://bucket/object").expect("a URL");
        let mut bytes = Vec::new();
        let mut reader = ObjectReader::begin(client_of(server), &url).expect("a runtime").expect("it begins");
        reader.read_to_end(&mut bytes).map(|_| bytes)
    }

    fn object() -> Vec<u8> {
        (0..300_000u32).flat_map(u32::to_le_bytes).collect()
    }

    #[test]
    fn a_stream_that_breaks_goes_on_from_the_byte_it_reached() {
        for tag in [None, Some("\"a\"")] {
            let server = Server::start(object(), tag, &[Some(100_000), Some(0), Some(500_000), None]);
            assert!(read(&server).expect("read") == object(), "{tag:?}");
            let asked = server.asked();
            assert_eq!(asked[0], None, "{asked:?}");
            assert_eq!(asked.len(), 4, "{asked:?}");
            assert!(asked[1..].iter().all(Option::is_some), "{asked:?}");
            assert_eq!(asked[1], asked[2], "{asked:?}");
        }
    }

    #[test]
    fn one_that_breaks_again_and_again_is_lost_and_not_ended() {
        let server = Server::start(object(), None, &[Some(10); 40]);
        // Ten bytes an answer are progress, until nobody answers; none are not.
        assert!(is_lost(&read(&server).expect_err("lost")));
        assert_eq!(server.asked().len(), 40);
        let server = Server::start(object(), None, &[Some(0); 40]);
        let error = read(&server).expect_err("lost");
        assert!(is_lost(&error) && !is_lost(&io::Error::other("x")), "{error}");
        assert_eq!(server.asked().len(), 1 + BREAKS as usize);
        assert!(error.to_string().contains("cannot read s3://bucket/object"), "{error}");
    }

    #[test]
    fn a_reader_that_is_dropped_ends_its_stream() {
        let server = Server::start(object(), None, &[None]);
        let url = ObjectUrl::parse("s3://bucket/object").expect("a URL");
        let mut reader =
            ObjectReader::begin(client_of(&server), &url).expect("a runtime").expect("it begins");
        let mut some = [0; 10];
        reader.read_exact(&mut some).expect("read");
        assert_eq!(some[..], object()[..10]);
    }
}
