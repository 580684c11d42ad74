//! Where an object lies: `s3://bucket/key`.

use std::fmt;
use std::path::Path;

use crate::{Error, Result};

/// Who keeps a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Service {
    S3,
    Google,
    Azure,
}

/// What URLs begin with, and whose they are.
const SCHEMES: [(&str, Service); 4] =
    [("s3", Service::S3), ("gs", Service::Google), ("az", Service::Azure), ("abfss", Service::Azure)];

/// The place of an object, or of all objects below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectUrl {
    pub(super) service: Service,
    /// Scheme and bucket: `s3://bucket`.
    pub(super) bucket: String,
    /// The rest, without a slash on either side; empty for the whole bucket.
    pub(super) key: String,
    /// Whether it was written with a slash in the end, as folders are.
    pub(super) is_folder: bool,
}

/// Whether a path is a URL, and so no path of a file system.
pub fn is_url(path: impl AsRef<Path>) -> bool {
    path.as_ref().to_str().and_then(|text| text.split_once("://")).is_some_and(|(scheme, _)| {
        scheme.starts_with(|first: char| first.is_ascii_lowercase())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    })
}

impl ObjectUrl {
    /// Reads a URL.
    ///
    /// # Errors
    /// When it is none of the known services, or names no bucket.
    pub fn parse(url: impl AsRef<Path>) -> Result<Self> {
        let url = url.as_ref().to_string_lossy();
        let (scheme, rest) = url.split_once("://").unwrap_or((&url, ""));
        let Some((_, service)) = SCHEMES.into_iter().find(|(known, _)| *known == scheme) else {
            let known = SCHEMES.map(|(scheme, _)| format!("{scheme}://")).join(", ");
            return Err(format!(
                "{url} is of a kind that is not read; give a path, or a URL that begins with one of {known}"
            )
            .into());
        };
        let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(format!("{url} names no bucket; write {scheme}://BUCKET/KEY").into());
        }
        let is_folder = key.is_empty() || key.ends_with('/');
        let key = key.strip_suffix('/').unwrap_or(key).to_owned();
        Ok(Self { service, bucket: format!("{scheme}://{bucket}"), key, is_folder })
    }

    /// The place of something below this one.
    pub fn join(&self, below: &str) -> Self {
        let key = if self.key.is_empty() { below.to_owned() } else { format!("{}/{below}", self.key) };
        Self { key, is_folder: false, ..self.clone() }
    }

    /// The same place of the same bucket with another key.
    pub(super) fn with_key(&self, key: &str) -> Self {
        Self { key: key.to_owned(), is_folder: false, ..self.clone() }
    }

    /// The key as the client has it.
    pub(super) fn path(&self) -> Result<object_store::path::Path> {
        object_store::path::Path::parse(&self.key).map_err(|error| -> Error {
            format!(
                "{self} cannot be a key: {error}; give the object a name without empty parts, `.` and `..`"
            )
            .into()
        })
    }
}

impl fmt::Display for ObjectUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key.as_str() {
            "" => f.write_str(&self.bucket),
            key => write!(f, "{}/{key}", self.bucket),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_told_from_paths() {
        for url in ["s3://b/k", "abfss://c@a.dfs.core.windows.net/k", "http://x"] {
            assert!(is_url(url), "{url}");
        }
        for path in ["a/b.jsonl", "/a/b", "C://x", "a b://c", "://", "notes/s3:/b"] {
            assert!(!is_url(path), "{path}");
        }
    }

    #[test]
    fn a_url_is_service_bucket_and_key() {
        let url = ObjectUrl::parse("s3://bucket/a/b.jsonl").expect("a URL");
        assert_eq!(
            (url.service, url.bucket.as_str(), url.key.as_str()),
            (Service::S3, "s3://bucket", "a/b.jsonl")
        );
        assert!(!url.is_folder && ObjectUrl::parse("gs://bucket/a/").expect("a URL").is_folder);
        assert_eq!(ObjectUrl::parse("az://c").expect("a URL").join("x").to_string(), "az://c/x");
        assert_eq!(url.join("c").to_string(), "s3://bucket/a/b.jsonl/c");
        for (wrong, told) in
            [("ftp://a/b", "begins with one of s3://, gs://"), ("s3:///key", "names no bucket")]
        {
            let error = ObjectUrl::parse(wrong).expect_err("an error").to_string();
            assert!(error.contains(told) && error.contains(wrong), "{error}");
        }
        let error = ObjectUrl::parse("s3://b/a//c").expect("a URL").path().expect_err("an error").to_string();
        assert!(error.contains("s3://b/a//c cannot be a key"), "{error}");
    }
}
