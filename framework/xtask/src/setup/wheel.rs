//! Takes files out of a wheel, each checked against the wheel's own list of hashes (`RECORD`).

use crate::Result;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Component, Path};
use zip::ZipArchive;

/// One line of `RECORD`: `path,sha256=<url-safe base64 without padding>,size`.
#[derive(Debug, PartialEq)]
struct Entry {
    path: String,
    sha256: String,
}

/// Extracts what `destination` names and returns how many files that were.
///
/// A file that the list names and the wheel lacks, or whose content differs, is an error.
pub(super) fn extract(
    wheel: &Path,
    into: &Path,
    destination: impl Fn(&str) -> Option<String>,
) -> Result<usize> {
    let broken = |why: String| {
        let name = wheel.file_name().unwrap_or_default().to_string_lossy();
        format!("{name}: {why}.\n  The download is damaged; run the same command again.")
    };
    let file = File::open(wheel).map_err(|e| broken(e.to_string()))?;
    let mut archive = ZipArchive::new(io::BufReader::new(file)).map_err(|e| broken(e.to_string()))?;
    let mut count = 0;
    for entry in record(&mut archive).map_err(broken)? {
        let Some(relative) = destination(&entry.path) else { continue };
        let plain = Path::new(&relative).components().all(|part| matches!(part, Component::Normal(_)));
        if !plain {
            return Err(broken(format!("it wants to write outside its folder: {relative}")));
        }
        let target = into.join(&relative);
        let mut content = archive.by_name(&entry.path).map_err(|e| broken(format!("{}: {e}", entry.path)))?;
        let found = copy_hashed(&mut content, &target)
            .map_err(|e| format!("cannot write {}: {}", target.display(), super::cache::explain(&e)))?;
        if found != entry.sha256 {
            return Err(broken(format!("{} is not what RECORD says (sha256 {found})", entry.path)));
        }
        count += 1;
    }
    Ok(count)
}

fn record(archive: &mut ZipArchive<impl Read + io::Seek>) -> std::result::Result<Vec<Entry>, String> {
    let name = archive.file_names().find(|it| it.ends_with(".dist-info/RECORD")).map(str::to_owned);
    let name = name.ok_or("it has no RECORD")?;
    let mut text = String::new();
    let mut file = archive.by_name(&name).map_err(|e| e.to_string())?;
    file.read_to_string(&mut text).map_err(|e| e.to_string())?;
    Ok(text.lines().filter_map(parse).collect())
}

/// Lines without a hash (RECORD itself) are passed over: nothing unhashed is ever extracted.
fn parse(line: &str) -> Option<Entry> {
    let mut fields = line.rsplitn(3, ',');
    let (_size, hash, path) = (fields.next()?, fields.next()?, fields.next()?);
    let path = match path.strip_prefix('"').and_then(|it| it.strip_suffix('"')) {
        Some(quoted) => quoted.replace("\"\"", "\""),
        None => path.to_owned(),
    };
    Some(Entry { path, sha256: hash.strip_prefix("sha256=")?.to_owned() })
}

fn copy_hashed(from: &mut impl Read, to: &Path) -> io::Result<String> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = File::create(to)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 18];
    loop {
        let length = from.read(&mut buffer)?;
        if length == 0 {
            return Ok(url_safe_base64(&hasher.finalize()));
        }
        hasher.update(&buffer[..length]);
        file.write_all(&buffer[..length])?;
    }
}

fn url_safe_base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = (0..3).fold(0_u32, |bits, i| bits << 8 | u32::from(chunk.get(i).copied().unwrap_or(0)));
        for i in 0..=chunk.len() {
            text.push(ALPHABET[(bits >> (18 - 6 * i) & 63) as usize].into());
        }
    }
    text
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::path::PathBuf;
    use zip::write::{FileOptions, ZipWriter};

    /// A wheel of one header and one library; `recorded` is what RECORD believes the library to hold.
    pub(in crate::setup) fn tiny_wheel(folder: &Path, library: &[u8], recorded: &[u8]) -> PathBuf {
        let hash = |bytes: &[u8]| url_safe_base64(&Sha256::digest(bytes));
        let record = format!(
            "\"torch/include/a,b.h\",sha256={},3\ntorch/lib/libx.so,sha256={},{}\nx.dist-info/RECORD,,\n",
            hash(b"one"),
            hash(recorded),
            recorded.len()
        );
        let path = folder.join("x-1.0-py3-none-any.whl");
        let mut zip = ZipWriter::new(File::create(&path).unwrap());
        for (name, content) in [
            ("torch/include/a,b.h", &b"one"[..]),
            ("torch/lib/libx.so", library),
            ("x.dist-info/RECORD", record.as_bytes()),
        ] {
            zip.start_file(name, FileOptions::default()).unwrap();
            zip.write_all(content).unwrap();
        }
        zip.finish().unwrap();
        path
    }

    fn all(file: &str) -> Option<String> {
        file.strip_prefix("torch/").map(str::to_owned)
    }

    #[test]
    fn files_come_out_verified() {
        let dir = tempfile::tempdir().unwrap();
        let wheel = tiny_wheel(dir.path(), b"library", b"library");
        assert_eq!(extract(&wheel, &dir.path().join("out"), all), Ok(2));
        assert_eq!(fs::read(dir.path().join("out/lib/libx.so")).unwrap(), b"library");
        assert_eq!(fs::read(dir.path().join("out/include/a,b.h")).unwrap(), b"one");
    }

    #[test]
    fn changed_content_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let wheel = tiny_wheel(dir.path(), b"librarY", b"library");
        let error = extract(&wheel, &dir.path().join("out"), all).unwrap_err();
        assert!(error.contains("torch/lib/libx.so is not what RECORD says"), "{error}");
    }

    #[test]
    fn a_cut_off_wheel_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let wheel = tiny_wheel(dir.path(), b"library", b"library");
        let bytes = fs::read(&wheel).unwrap();
        fs::write(&wheel, &bytes[..bytes.len() / 2]).unwrap();
        assert!(extract(&wheel, &dir.path().join("out"), all).unwrap_err().contains("damaged"));
    }

    #[test]
    fn nothing_is_written_outside() {
        let dir = tempfile::tempdir().unwrap();
        let wheel = tiny_wheel(dir.path(), b"library", b"library");
        let outside = |file: &str| file.strip_prefix("torch/").map(|it| format!("../{it}"));
        assert!(extract(&wheel, &dir.path().join("out"), outside).unwrap_err().contains("outside"));
    }

    #[test]
    fn record_lines() {
        let entry = |path: &str| Some(Entry { path: path.into(), sha256: "abc".into() });
        assert_eq!(parse("a/b.h,sha256=abc,12"), entry("a/b.h"));
        assert_eq!(parse("\"a, \"\"b\"\".h\",sha256=abc,12"), entry("a, \"b\".h"));
        assert_eq!(parse("x.dist-info/RECORD,,"), None);
    }

    #[test]
    fn base64_matches_known_values() {
        assert_eq!(url_safe_base64(b""), "");
        assert_eq!(url_safe_base64(b"f"), "Zg");
        assert_eq!(url_safe_base64(b"foobar"), "Zm9vYmFy");
        assert_eq!(url_safe_base64(&[0xfb, 0xff]), "-_8");
    }
}
