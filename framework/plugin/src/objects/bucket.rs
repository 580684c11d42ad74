//! A bucket, or a folder of one, that is written to.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use object_store::{ObjectStore, ObjectStoreExt as _, PutPayload, WriteMultipart};

use super::client::{client, wait};
use super::explain::explain;
use super::read::ObjectReader;
use super::url::ObjectUrl;
use crate::{Error, Result};

/// Bytes that are sent in one request; more of them go in parts.
const PART: u64 = 16 << 20;

/// The most parts that services take.
const PARTS: u64 = 10_000;

/// Parts under way at once.
const AT_ONCE: usize = 4;

/// A folder of objects that files are copied to and from.
#[derive(Debug, Clone)]
pub struct Bucket {
    client: Arc<dyn ObjectStore>,
    folder: ObjectUrl,
}

impl Bucket {
    /// The folder at a URL. Nothing is asked of the service yet.
    ///
    /// # Errors
    /// When the URL is none, or the environment holds what cannot be right.
    pub fn open(url: &str) -> Result<Self> {
        let folder = ObjectUrl::parse(url)?;
        Ok(Self { client: client(&folder)?, folder })
    }

    /// A folder in memory, for tests.
    #[doc(hidden)]
    pub fn in_memory(url: &str) -> Self {
        let folder = ObjectUrl::parse(url).expect("a URL");
        Self { client: Arc::new(object_store::memory::InMemory::new()), folder }
    }

    /// Where an object of it lies.
    pub fn url(&self, name: &str) -> ObjectUrl {
        self.folder.join(name)
    }

    /// Whether it has an object of this name.
    ///
    /// # Errors
    /// When that cannot be asked.
    pub fn has(&self, name: &str) -> Result<bool> {
        let url = self.url(name);
        match wait(self.client.head(&url.path()?))? {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(explain("look for", &url, &error)),
        }
    }

    /// The content of an object that is small; none where there is no such object.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn bytes(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let url = self.url(name);
        let key = url.path()?;
        let answer = wait(async { self.client.get(&key).await?.bytes().await })?;
        match answer {
            Ok(bytes) => Ok(Some(bytes.to_vec())),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(explain("read", &url, &error)),
        }
    }

    /// Begins to read an object; none where there is no such object.
    ///
    /// # Errors
    /// When it cannot be reached.
    pub fn read(&self, name: &str) -> Result<Option<ObjectReader>> {
        let url = self.url(name);
        match ObjectReader::begin(Arc::clone(&self.client), &url)? {
            Ok(reader) => Ok(Some(reader)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(explain("read", &url, &error)),
        }
    }

    /// Writes an object of a few bytes.
    ///
    /// # Errors
    /// When the service does not take it.
    pub fn write(&self, name: &str, bytes: Vec<u8>) -> Result<()> {
        let url = self.url(name);
        let payload = PutPayload::from(bytes);
        wait(self.client.put(&url.path()?, payload))?.map_err(|error| explain("write", &url, &error))?;
        Ok(())
    }

    /// Copies a file to an object, which is there once all of it is.
    ///
    /// # Errors
    /// When the file cannot be read, or the service does not take it.
    pub fn upload(&self, file: &Path, name: &str) -> Result<()> {
        let unread = |error: std::io::Error| -> Error {
            format!("cannot read {}: {error}; allow reading it", file.display()).into()
        };
        let mut content = File::open(file).map_err(unread)?;
        let len = content.metadata().map_err(unread)?.len();
        if len <= PART {
            let mut bytes = Vec::with_capacity(len as usize);
            content.read_to_end(&mut bytes).map_err(unread)?;
            return self.write(name, bytes);
        }
        let url = self.url(name);
        let explain = |error: object_store::Error| explain("write", &url, &error);
        let key = url.path()?;
        let upload = wait(self.client.put_multipart(&key))?.map_err(explain)?;
        let part = part_of(len);
        let mut writer = WriteMultipart::new_with_chunk_size(upload, part);
        let mut bytes = vec![0; part];
        loop {
            let count = match read_full(&mut content, &mut bytes) {
                Ok(count) => count,
                Err(error) => {
                    // What was sent stays otherwise, unseen and paid for.
                    let _ = wait(writer.abort())?;
                    return Err(unread(error));
                }
            };
            if count == 0 {
                break;
            }
            wait(async {
                writer.wait_for_capacity(AT_ONCE).await?;
                writer.write(&bytes[..count]);
                Ok(())
            })?
            .map_err(explain)?;
        }
        // A failed part ends the upload by itself.
        wait(writer.finish())?.map_err(explain)?;
        Ok(())
    }
}

/// Bytes of each part of a file of so many.
fn part_of(len: u64) -> usize {
    PART.max(len.div_ceil(PARTS)) as usize
}

fn read_full(file: &mut File, into: &mut [u8]) -> std::io::Result<usize> {
    let mut count = 0;
    while count < into.len() {
        match file.read(&mut into[count..])? {
            0 => break,
            more => count += more,
        }
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_small_and_large_come_back_as_they_were() {
        let bucket = Bucket::in_memory("s3://bucket/below/");
        let folder = tempfile::tempdir().expect("a folder");
        for len in [0, 10, PART as usize + 12_345] {
            let bytes: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
            let file = folder.path().join("file");
            std::fs::write(&file, &bytes).expect("written");
            let name = format!("a/{len}");
            assert!(!bucket.has(&name).expect("asked"));
            bucket.upload(&file, &name).expect("uploaded");
            assert!(bucket.has(&name).expect("asked"));
            let mut read = Vec::new();
            bucket.read(&name).expect("asked").expect("there").read_to_end(&mut read).expect("read");
            assert!(read == bytes);
            assert!(bucket.bytes(&name).expect("read") == Some(bytes));
        }
        assert!(
            bucket.bytes("none").expect("asked").is_none() && bucket.read("none").expect("asked").is_none()
        );
        assert!(bucket.upload(&folder.path().join("gone"), "x").is_err());
    }

    #[test]
    fn no_file_has_more_parts_than_services_take() {
        for len in [1, PART * PARTS, PART * PARTS + 1, 5 << 40] {
            assert!(len.div_ceil(part_of(len) as u64) <= PARTS, "{len}");
        }
    }
}
