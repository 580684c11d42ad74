//! Which objects a URL names: one, all below it, or those that fit a pattern.

use std::path::{Path, PathBuf};

use futures_util::TryStreamExt as _;
use glob::{MatchOptions, Pattern};
use object_store::{ObjectStore, ObjectStoreExt as _};

use super::client::{client, wait};
use super::explain::explain;
use super::url::ObjectUrl;
use crate::Result;
use crate::input::{InputFile, ends_with_one_of, is_pattern, nothing_below, nothing_fits};

/// As patterns for paths of a file system.
const AS_PATHS: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: false,
};

/// The files at a URL, as [`RecipePaths::files`](crate::input::RecipePaths::files) finds those at a path.
pub(crate) fn files_of(path: &Path, endings: &[&str]) -> Result<Vec<InputFile>> {
    let url = ObjectUrl::parse(path)?;
    found(client(&url)?.as_ref(), &url, endings)
}

fn found(client: &dyn ObjectStore, url: &ObjectUrl, endings: &[&str]) -> Result<Vec<InputFile>> {
    if is_pattern(&url.bucket) {
        return Err(format!(
            "{url} has a pattern for its bucket; name one bucket, and several URLs if need be"
        )
        .into());
    }
    let own_name = url.key.rsplit('/').next().unwrap_or_default();
    if is_pattern(&url.key) {
        let fixed: Vec<&str> = url.key.split('/').take_while(|part| !is_pattern(part)).collect();
        let listing = Listing::of(client, &url.with_key(&fixed.join("/")))?;
        let inside = url.key[fixed.iter().map(|part| part.len() + 1).sum()..].to_owned();
        let files = listing
            .fitting("", &inside)
            .map_err(|error| format!("{url} is no pattern for files: {error}"))?;
        if files.is_empty() {
            // A key may hold the characters of patterns.
            return match head(client, url)? {
                true => Ok(vec![file(url, own_name)]),
                false => Err(nothing_fits(&url.to_string())),
            };
        }
        return Ok(files);
    }
    if !url.is_folder && head(client, url)? {
        return Ok(vec![file(url, own_name)]);
    }
    let listing = Listing::of(client, url)?;
    if listing.keys.is_empty() && !url.key.is_empty() {
        return Err(format!(
            "there is nothing at {url}, neither an object nor others below it; check the URL, or upload what it should name"
        )
        .into());
    }
    let is_shown = |name: &str| !name.split('/').any(|part| part.starts_with('.'));
    let names = listing.keys.iter().filter(|name| is_shown(name) && ends_with_one_of(name, endings));
    let files: Vec<_> = names.map(|name| file(&url.join(name), name)).collect();
    if files.is_empty() {
        return Err(nothing_below(Path::new(&url.to_string()), endings));
    }
    Ok(files)
}

fn file(url: &ObjectUrl, name: &str) -> InputFile {
    InputFile { path: PathBuf::from(url.to_string()), name: name.to_owned() }
}

fn head(client: &dyn ObjectStore, url: &ObjectUrl) -> Result<bool> {
    match wait(client.head(&url.path()?))? {
        Ok(_) => Ok(true),
        Err(object_store::Error::NotFound { .. }) => Ok(false),
        Err(error) => Err(explain("look for", url, &error)),
    }
}

/// All objects below a URL, asked for once.
#[derive(Debug)]
pub(crate) struct Listing {
    folder: ObjectUrl,
    /// What keys have behind the folder's, sorted.
    keys: Vec<String>,
}

impl Listing {
    /// Those below the URL; none where there is nothing.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let url = ObjectUrl::parse(path)?;
        Self::of(client(&url)?.as_ref(), &url)
    }

    /// Whether the URL itself is an object.
    pub(crate) fn is_object(path: &Path) -> Result<bool> {
        let url = ObjectUrl::parse(path)?;
        Ok(!url.is_folder && head(client(&url)?.as_ref(), &url)?)
    }

    fn of(client: &dyn ObjectStore, url: &ObjectUrl) -> Result<Self> {
        let prefix = url.path()?;
        let all: Vec<_> = wait(client.list(Some(&prefix)).try_collect())?
            .map_err(|error| explain("list what is below", url, &error))?;
        let begin = if url.key.is_empty() { 0 } else { url.key.len() + 1 };
        let mut sized: Vec<(String, u64)> = all
            .into_iter()
            .filter_map(|object| Some((object.location.as_ref().get(begin..)?.to_owned(), object.size)))
            .filter(|(key, _)| !key.is_empty())
            .collect();
        sized.sort_unstable();
        // Some tools mark a folder by an empty object, which is no file.
        let is_folder = |key: &str| {
            let inside = format!("{key}/");
            let next = sized.partition_point(|(other, _)| *other < inside);
            sized.get(next).is_some_and(|(other, _)| other.starts_with(&inside))
        };
        let is_file = |(key, size): &&(String, u64)| *size > 0 || !is_folder(key);
        let keys = sized.iter().filter(is_file).map(|(key, _)| key.clone()).collect();
        Ok(Self { folder: url.clone(), keys })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Those below a folder of it that fit a pattern, named from that folder on.
    pub(crate) fn fitting(
        &self,
        folder: &str,
        pattern: &str,
    ) -> std::result::Result<Vec<InputFile>, glob::PatternError> {
        let pattern = Pattern::new(pattern)?;
        let begin = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let inside = self.keys.iter().filter_map(|key| Some((key, key.strip_prefix(&begin)?)));
        let fitting = inside.filter(|(_, name)| pattern.matches_with(name, AS_PATHS));
        Ok(fitting.map(|(key, name)| file(&self.folder.join(key), name)).collect())
    }
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;
    use object_store::path::Path as Key;

    use super::*;

    fn bucket(keys: &[&str]) -> InMemory {
        let bucket = InMemory::new();
        for key in keys {
            let content = if key.ends_with('/') { Vec::new() } else { key.as_bytes().to_vec() };
            let location = Key::parse(key).expect("a key");
            wait(bucket.put(&location, content.into())).expect("a runtime").expect("written");
        }
        bucket
    }

    fn names(bucket: &InMemory, url: &str, endings: &[&str]) -> std::result::Result<Vec<String>, String> {
        let url = ObjectUrl::parse(url).expect("a URL");
        let files = found(bucket, &url, endings).map_err(|error| error.to_string())?;
        assert!(files.iter().all(|file| file.path.to_string_lossy().starts_with("s3://b/")));
        Ok(files.into_iter().map(|file| file.name).collect())
    }

    #[test]
    fn objects_folders_and_patterns_name_what_paths_would() {
        let bucket = bucket(&[
            "b/2.txt",
            "b/1.txt",
            "b/c/",
            "b/c/3.txt",
            "b/.hidden",
            "b/.git/x.txt",
            "b/4.jsonl",
            "a.txt",
            "bb.txt",
            "q[1].txt",
        ]);
        let names = |url: &str, endings: &[&str]| names(&bucket, url, endings).expect("files");
        assert_eq!(names("s3://b/a.txt", &[]), ["a.txt"]);
        for folder in ["s3://b/b", "s3://b/b/"] {
            assert_eq!(names(folder, &[]), ["1.txt", "2.txt", "4.jsonl", "c/3.txt"]);
        }
        assert_eq!(names("s3://b/b", &[".jsonl"]), ["4.jsonl"]);
        assert_eq!(names("s3://b", &[".jsonl"]), ["b/4.jsonl"]);
        assert_eq!(names("s3://b/**/[12].txt", &[]), ["b/1.txt", "b/2.txt"]);
        assert_eq!(names("s3://b/b/*.txt", &[]), ["1.txt", "2.txt"]);
        assert_eq!(names("s3://b/b/**/*.txt", &[]), [".git/x.txt", "1.txt", "2.txt", "c/3.txt"]);
        assert_eq!(names("s3://b/*.txt", &[]), ["a.txt", "bb.txt", "q[1].txt"]);
        assert_eq!(names("s3://b/q[1].txt", &[]), ["q[1].txt"]);
    }

    #[test]
    fn where_there_is_nothing_place_and_remedy_are_told() {
        let bucket = bucket(&["b/1.txt"]);
        let error = |url: &str, endings: &[&str]| names(&bucket, url, endings).expect_err("an error");
        assert!(error("s3://b/none", &[]).contains("there is nothing at s3://b/none"));
        assert!(error("s3://b/none/", &[]).contains("there is nothing at s3://b/none"));
        assert!(error("s3://b/*.zst", &[]).contains("no file fits s3://b/*.zst"));
        assert!(error("s3://b/***", &[]).contains("is no pattern for files"));
        assert!(error("s3://*/x", &[]).contains("name one bucket"));
        let told = error("s3://b/b", &[".parquet"]);
        assert!(
            told.contains("ends with .parquet in s3://b/b") && told.ends_with("s3://b/b/**/*.parquet"),
            "{told}"
        );
    }

    #[test]
    fn a_listing_is_looked_through_folder_by_folder() {
        let bucket = bucket(&["set/t/data/test-1.csv", "set/t/data/test-0.csv", "set/test.csv"]);
        let listing =
            Listing::of(&bucket, &ObjectUrl::parse("s3://b/set").expect("a URL")).expect("a listing");
        let fitting = |folder: &str| {
            let files = listing.fitting(folder, "test*").expect("a pattern");
            files.into_iter().map(|file| file.path.display().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(fitting("t/data"), ["s3://b/set/t/data/test-0.csv", "s3://b/set/t/data/test-1.csv"]);
        assert_eq!(fitting(""), ["s3://b/set/test.csv"]);
        assert!(fitting("t").is_empty() && !listing.is_empty());
    }
}
