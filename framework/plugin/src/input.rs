//! The files that a recipe names: how they are found, and how they are opened.
//!
//! A recipe names a file, a folder, a pattern, or a list of these. What is found is sorted by name, and each file has a
//! name that does not depend on where the recipe's folder lies. Where a path is a URL, such as `s3://bucket/texts`, the same
//! is found in a bucket and under the same names.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek as _};
use std::path::{Component, Path, PathBuf};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::objects::{self, Listing, ObjectReader, ObjectUrl};
pub use crate::objects::{is_lost, is_url};
use crate::registry::RecipePath;
use crate::{Error, Result};

/// Bytes that are read from the disk at once.
const BUFFER: usize = 1 << 16;

/// Paths in a recipe: one, or a list; each a file, a folder, or a pattern such as `shards/*.jsonl.zst`, in a file system or in
/// a bucket. Relative ones are taken as [`RecipePath`] says, and they stay out of fingerprints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecipePaths(pub Vec<RecipePath>);

/// A file that a recipe names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct InputFile {
    /// Where it lies: a path, or the URL of an object.
    pub path: PathBuf,
    /// Its name in messages and for its documents: its path from the folder or from the fixed beginning of the pattern
    /// that it was found by, with `/` between the parts; the file's own name where the recipe names it itself.
    pub name: String,
}

impl RecipePaths {
    /// One path.
    pub fn one(path: impl AsRef<Path>) -> Self {
        Self(vec![RecipePath(path.as_ref().to_owned())])
    }

    /// The files, each once, by path. Of a folder, those at any depth whose names end with one of `endings` (all, if
    /// there are no endings), but nothing hidden; links to folders are not followed.
    ///
    /// # Errors
    /// When a pattern or a folder gives no file, or cannot be read. A path that is no pattern is taken to be a file, unless
    /// it is a URL.
    pub fn files(&self, endings: &[&str]) -> Result<Vec<InputFile>> {
        if self.0.is_empty() {
            return Err("no path is given; name a file, a folder or a pattern".into());
        }
        let mut found = BTreeMap::new();
        for path in &self.0 {
            let files = match is_url(path) {
                true => objects::files_of(path.as_ref(), endings)?,
                false => files_of(path.as_ref(), endings)?,
            };
            for file in files {
                found.entry(file.path).or_insert(file.name);
            }
        }
        Ok(found.into_iter().map(|(path, name)| InputFile { path, name }).collect())
    }
}

fn files_of(path: &Path, endings: &[&str]) -> Result<Vec<InputFile>> {
    if path.is_dir() {
        let mut files = Vec::new();
        below(path, path, endings, &mut files)?;
        return if files.is_empty() { Err(nothing_below(path, endings)) } else { Ok(files) };
    }
    let text = path.to_string_lossy();
    if path.exists() || !is_pattern(&text) {
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        return Ok(vec![InputFile { path: path.to_owned(), name }]);
    }
    let is_fixed = |part: &Component<'_>| !is_pattern(&part.as_os_str().to_string_lossy());
    let folder: PathBuf = path.components().take_while(is_fixed).collect();
    let found = glob::glob(&text).map_err(|error| format!("{text} is no pattern for files: {error}"))?;
    let mut files = Vec::new();
    for entry in found {
        let file = entry.map_err(|error| format!("{text}: {error}; allow reading that folder"))?;
        if file.is_file() {
            files.push(InputFile { name: name_in(&folder, &file), path: file });
        }
    }
    if files.is_empty() { Err(nothing_fits(&text)) } else { Ok(files) }
}

pub(crate) fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

pub(crate) fn ends_with_one_of(name: &str, endings: &[&str]) -> bool {
    endings.is_empty() || endings.iter().any(|ending| name.ends_with(ending))
}

pub(crate) fn nothing_below(folder: &Path, endings: &[&str]) -> Error {
    let what =
        if endings.is_empty() { String::new() } else { format!(" that ends with {}", listed(endings)) };
    format!(
        "there is no file{what} in {}; name another folder, or a pattern such as {}",
        folder.display(),
        folder.join(format!("**/*{}", endings.first().unwrap_or(&".txt"))).display()
    )
    .into()
}

pub(crate) fn nothing_fits(pattern: &str) -> Error {
    format!("no file fits {pattern}; patterns are relative to the recipe's folder").into()
}

fn below(root: &Path, folder: &Path, endings: &[&str], files: &mut Vec<InputFile>) -> Result<()> {
    let explain = |error: io::Error| -> Error {
        format!("cannot list {}: {error}; allow reading it", folder.display()).into()
    };
    for entry in fs::read_dir(folder).map_err(explain)? {
        let entry = entry.map_err(explain)?;
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        if name.starts_with('.') {
            continue;
        }
        if entry.file_type().map_err(explain)?.is_dir() {
            below(root, &path, endings, files)?;
        } else if path.is_file() && ends_with_one_of(&name, endings) {
            files.push(InputFile { name: name_in(root, &path), path });
        }
    }
    Ok(())
}

fn name_in(folder: &Path, file: &Path) -> String {
    let inside = file.strip_prefix(folder).unwrap_or(file);
    let parts: Vec<_> = inside.components().map(|part| part.as_os_str().to_string_lossy()).collect();
    parts.join("/")
}

fn listed(endings: &[&str]) -> String {
    match endings {
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
        [] => String::new(),
    }
}

/// Opens a file for reading, uncompressed by what its name ends with.
///
/// # Errors
/// When it cannot be opened, or is packed in a way that is not read; the message says what to do.
pub fn open(path: &Path) -> Result<Box<dyn BufRead>> {
    let content: Box<dyn Read> = match is_url(path) {
        true => Box::new(ObjectReader::open(&ObjectUrl::parse(path)?)?),
        false => Box::new(open_file(path)?),
    };
    let name = path.to_string_lossy();
    if let Some(packing) =
        [".zip", ".xz", ".bz2", ".7z", ".rar", ".lz4"].iter().find(|it| name.ends_with(*it))
    {
        return Err(format!(
            "{name} is packed as {packing}, which is not read; unpack it, or pack it as .gz or .zst"
        )
        .into());
    }
    uncompressed(content, &name).map_err(|error| explain_open(path, &error))
}

/// Opens a file for reading as it is, at any place.
///
/// An object is fetched first, to a file without a name in the folder of temporary files: whoever reads here and there asks
/// for most of it in the end, piece by piece, and each piece would be a request of its own.
///
/// # Errors
/// When it cannot be opened or fetched, or is a folder; the message says what to do.
pub fn open_raw(path: &Path) -> Result<File> {
    if !is_url(path) {
        return open_file(path);
    }
    let mut content = ObjectReader::open(&ObjectUrl::parse(path)?)?;
    let mut fetch = || {
        let mut file = tempfile::tempfile()?;
        io::copy(&mut content, &mut file)?;
        file.rewind()?;
        Ok(file)
    };
    fetch().map_err(|error: io::Error| match is_lost(&error) {
        true => error.into(),
        false => format!(
            "cannot fetch {}: {error}; free some space there, or let TMPDIR name a folder on another disk",
            path.display()
        )
        .into(),
    })
}

/// The bytes of a file or an object, as they are.
///
/// # Errors
/// When it cannot be read; the message says what to do.
pub fn bytes(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if is_url(path) {
        ObjectReader::open(&ObjectUrl::parse(path)?)?.read_to_end(&mut bytes)?;
    } else {
        open_file(path)?.read_to_end(&mut bytes).map_err(|error| explain_open(path, &error))?;
    }
    Ok(bytes)
}

/// Whether a path is a file or an object. What cannot be looked at is none.
///
/// # Errors
/// When the service of a URL does not say.
pub fn is_file(path: &Path) -> Result<bool> {
    if is_url(path) { Listing::is_object(path) } else { Ok(path.is_file()) }
}

/// Why a path that must be one of a file system cannot be used; none where it can.
pub fn not_local(path: &Path) -> Option<String> {
    is_url(path).then(|| {
        format!(
            "{} is in a bucket, and this must lie in a folder; copy it to one, and name that",
            path.display()
        )
    })
}

/// A folder whose files are looked for by patterns, in a file system or in a bucket.
#[derive(Debug)]
pub struct InputFolder {
    path: PathBuf,
    /// All that is there, where it is in a bucket.
    objects: Option<Listing>,
}

impl InputFolder {
    /// Opens a folder; none where there is no such folder.
    ///
    /// # Errors
    /// When the service of a URL does not say.
    pub fn open(path: &Path) -> Result<Option<Self>> {
        let objects = if is_url(path) { Some(Listing::open(path)?) } else { None };
        let is_there = objects.as_ref().map_or_else(|| path.is_dir(), |listing| !listing.is_empty());
        Ok(is_there.then(|| Self { path: path.to_owned(), objects }))
    }

    /// The files below `folder` of it that fit a pattern, sorted, named from there on.
    ///
    /// # Errors
    /// When it is no pattern. What cannot be listed holds nothing.
    pub fn fitting(&self, folder: &str, pattern: &str) -> Result<Vec<InputFile>> {
        let wrong =
            |error: glob::PatternError| -> Error { format!("{pattern} is no pattern: {error}").into() };
        if let Some(objects) = &self.objects {
            return objects.fitting(folder, pattern).map_err(wrong);
        }
        let folder = if folder.is_empty() { self.path.clone() } else { self.path.join(folder) };
        let whole = format!("{}/{pattern}", glob::Pattern::escape(&folder.to_string_lossy()));
        let paths = glob::glob(&whole).map_err(wrong)?.filter_map(std::result::Result::ok);
        let files = paths.filter(|path| path.is_file());
        Ok(files.map(|path| InputFile { name: name_in(&folder, &path), path }).collect())
    }
}

fn open_file(path: &Path) -> Result<File> {
    let file = File::open(path).map_err(|error| explain_open(path, &error))?;
    if file.metadata().map_err(|error| explain_open(path, &error))?.is_dir() {
        return Err(explain_open(path, &io::ErrorKind::IsADirectory.into()));
    }
    Ok(file)
}

fn explain_open(path: &Path, error: &io::Error) -> Error {
    let remedy = match error.kind() {
        io::ErrorKind::NotFound => {
            "give the path of a file that is there: one in a recipe is taken from the folder of the recipe, one after `--set` from where you are"
        }
        io::ErrorKind::PermissionDenied => "allow reading it",
        _ => "check that it is a file that can be read",
    };
    format!("cannot open {}: {error}; {remedy}", path.display()).into()
}

/// The content behind a reader, uncompressed if its name ends with `.zst`, `.gz` or `.tgz`. Several frames or members may
/// follow each other.
///
/// # Errors
/// When a decompressor cannot be set up.
pub fn uncompressed<'r>(reader: impl Read + 'r, name: &str) -> io::Result<Box<dyn BufRead + 'r>> {
    Ok(if name.ends_with(".zst") {
        let mut decoder = zstd::stream::read::Decoder::new(reader)?;
        // The largest window there is, for files written with `zstd --long=31`.
        decoder.window_log_max(31)?;
        Box::new(BufReader::with_capacity(BUFFER, decoder))
    } else if name.ends_with(".gz") || name.ends_with(".tgz") {
        let decoder = flate2::read::MultiGzDecoder::new(reader);
        Box::new(BufReader::with_capacity(BUFFER, decoder))
    } else {
        Box::new(BufReader::with_capacity(BUFFER, reader))
    })
}

/// A name without the endings that [`uncompressed`] goes by.
pub fn name_uncompressed(name: &str) -> Cow<'_, str> {
    if let Some(archive) = name.strip_suffix(".tgz") {
        return Cow::Owned(format!("{archive}.tar"));
    }
    Cow::Borrowed(name.strip_suffix(".zst").or_else(|| name.strip_suffix(".gz")).unwrap_or(name))
}

impl Serialize for RecipePaths {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [one] => one.serialize(serializer),
            list => list.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for RecipePaths {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            One(RecipePath),
            List(Vec<RecipePath>),
        }
        Ok(match Written::deserialize(deserializer)? {
            Written::One(path) => Self(vec![path]),
            Written::List(paths) => Self(paths),
        })
    }
}

impl JsonSchema for RecipePaths {
    fn schema_name() -> Cow<'static, str> {
        "RecipePaths".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        // Each keyword speaks of one of the two types only.
        json_schema!({
            "type": ["string", "array"],
            "format": "path",
            "items": {"type": "string", "format": "path"},
            "minItems": 1,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn tree(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for file in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().expect("inside")).expect("made");
            fs::write(path, file).expect("written");
        }
        folder
    }

    fn names(paths: &RecipePaths, endings: &[&str]) -> Vec<String> {
        paths.files(endings).expect("files").into_iter().map(|file| file.name).collect()
    }

    #[test]
    fn files_folders_patterns_and_lists_of_them_name_each_file_once() {
        let folder = tree(&["b/2.txt", "b/1.txt", "b/c/3.txt", "b/.hidden", "b/4.jsonl", "a.txt"]);
        let at = |path: &str| RecipePath(folder.path().join(path));
        let one = |path: &str| RecipePaths(vec![at(path)]);
        assert_eq!(names(&one("a.txt"), &[]), ["a.txt"]);
        assert_eq!(names(&one("b"), &[]), ["1.txt", "2.txt", "4.jsonl", "c/3.txt"]);
        assert_eq!(names(&one("b"), &[".jsonl"]), ["4.jsonl"]);
        assert_eq!(names(&one("**/[12].txt"), &[]), ["b/1.txt", "b/2.txt"]);
        let list = RecipePaths(vec![at("b/*.txt"), at("a.txt"), at("b/1.txt")]);
        assert_eq!(names(&list, &[]), ["a.txt", "1.txt", "2.txt"]);
    }

    #[test]
    fn where_there_is_nothing_place_and_remedy_are_told() {
        let folder = tree(&["b/1.txt"]);
        let error = |path: &str, endings: &[&str]| {
            RecipePaths::one(folder.path().join(path)).files(endings).expect_err("nothing").to_string()
        };
        assert!(error("*.zst", &[]).contains("no file fits"));
        let told = error("b", &[".parquet"]);
        assert!(
            told.contains("there is no file that ends with .parquet in") && told.ends_with("**/*.parquet"),
            "{told}"
        );
        assert!(RecipePaths(Vec::new()).files(&[]).is_err());
        let error = open(&folder.path().join("none.jsonl")).err().expect("an error").to_string();
        assert!(error.contains("none.jsonl") && error.contains("give the path"), "{error}");
        let error = open(&folder.path().join("b")).err().expect("an error").to_string();
        assert!(error.contains("check that it is a file"), "{error}");
        fs::write(folder.path().join("x.zip"), "PK").expect("written");
        let error = open(&folder.path().join("x.zip")).err().expect("an error").to_string();
        assert!(error.contains("unpack it"), "{error}");
    }

    #[test]
    fn compressed_files_are_read_through_all_their_frames() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut zst = zstd::encode_all(&b"one "[..], 3).expect("packed");
        zst.extend(zstd::encode_all(&b"two"[..], 3).expect("packed"));
        let mut gz = Vec::new();
        for part in ["one ", "two"] {
            let mut encoder = flate2::write::GzEncoder::new(&mut gz, flate2::Compression::fast());
            encoder.write_all(part.as_bytes()).expect("packed");
        }
        for (name, bytes) in [("a.txt", b"one two".to_vec()), ("a.txt.zst", zst), ("a.txt.gz", gz)] {
            let path = folder.path().join(name);
            fs::write(&path, bytes).expect("written");
            let mut text = String::new();
            open(&path).expect("opened").read_to_string(&mut text).expect("read");
            assert_eq!(text, "one two");
            assert_eq!(name_uncompressed(name), "a.txt");
        }
        assert_eq!(name_uncompressed("a.tgz"), "a.tar");
    }

    #[test]
    fn one_path_is_written_as_text_and_several_as_a_list() {
        for text in [r#""a""#, r#"["a","b"]"#] {
            let paths: RecipePaths = serde_json::from_str(text).expect("paths");
            assert_eq!(serde_json::to_string(&paths).expect("text"), text);
        }
    }
}
