//! Finds and reads the `results.json` that a report is made from.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::results::{RESULTS_VERSION, Results};
use crate::sweep::{SWEEP_VERSION, SweepResults};
use crate::{Error, Result};

/// What there is to report on.
#[derive(Debug)]
pub enum Reported {
    /// A run.
    Run(Box<Results>),
    /// A sweep.
    Sweep(Box<SweepResults>),
}

/// Reads the results of a run or a sweep. `path` is its folder, the folder of its report, or the file itself; the path of
/// the file comes with them.
///
/// # Errors
/// When there is no such file, or when it is of another version; the message says what to do.
pub fn read(path: &Path) -> Result<(PathBuf, Reported)> {
    let path = find(path)?;
    let text = std::fs::read_to_string(&path).map_err(Error::file("read", &path))?;
    let value: Value = serde_json::from_str(&text).map_err(|error| {
        refused(&path, &format!("it is not JSON ({error}); run its recipe again to have it anew"))
    })?;
    let is_sweep = value.get("sweep").is_some();
    let reported = match is_sweep {
        true => Reported::Sweep(decode(&path, value, SWEEP_VERSION)?),
        false => Reported::Run(decode(&path, value, RESULTS_VERSION)?),
    };
    Ok((path, reported))
}

fn find(path: &Path) -> Result<PathBuf> {
    if path.is_file() {
        return Ok(path.to_owned());
    }
    let candidates = [path.join("results.json"), path.join("report/results.json")];
    candidates.into_iter().find(|candidate| candidate.is_file()).ok_or_else(|| {
        let what = if path.is_dir() { "there are no results here" } else { "there is no such file or folder" };
        refused(
            path,
            &format!(
                "{what}; give the folder of a run, its report/ or a results.json. A run has one once it came to its end: `sbp run` on the same recipe goes on"
            ),
        )
    })
}

fn decode<T: DeserializeOwned>(path: &Path, value: Value, version: u32) -> Result<T> {
    other_version(&value, version).map_or(Ok(()), |reason| Err(refused(path, &reason)))?;
    serde_json::from_value(value).map_err(|error| {
        refused(path, &format!("it does not follow schemas/results.schema.json ({error}); run its recipe again to have it anew"))
    })
}

/// Why results are not of the version of their layout that is wanted, and what to do; none if they are.
pub(crate) fn other_version(results: &Value, wanted: u32) -> Option<String> {
    let Some(found) = results.get("schema_version").and_then(Value::as_u64) else {
        return Some("it has no schema_version, so it is no results.json of sbp".to_owned());
    };
    let maker = results.pointer("/provenance/sbp_version").and_then(Value::as_str);
    let other_maker = maker.filter(|maker| *maker != env!("CARGO_PKG_VERSION"));
    let or_its_maker =
        other_maker.map_or_else(String::new, |maker| format!(", or give it to sbp {maker}, which made it"));
    (found != u64::from(wanted)).then(|| {
        format!(
            "its schema_version is {found}, and this sbp reads {wanted}; run its recipe again with this sbp, which reuses the stages that did not change{or_its_maker}"
        )
    })
}

fn refused(path: &Path, reason: &str) -> Error {
    Error::Refused(format!("cannot report on {}: {reason}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(path: &Path) -> String {
        read(path).unwrap_err().to_string()
    }

    #[test]
    fn what_cannot_be_reported_on_is_refused_with_a_remedy() {
        let folder = tempfile::tempdir().unwrap();
        assert!(message(folder.path()).contains("there are no results here; give the folder of a run"));
        assert!(message(&folder.path().join("absent")).contains("no such file or folder"));
        let path = folder.path().join("results.json");
        for (text, part) in [
            ("{", "not JSON"),
            ("[1, 2]", "no schema_version"),
            (
                r#"{"schema_version": 1, "provenance": {"sbp_version": "0.2.0"}}"#,
                "its schema_version is 1, and this sbp reads 2; run its recipe again with this sbp, which reuses the stages that did not change, or give it to sbp 0.2.0, which made it",
            ),
            (r#"{"schema_version": 9, "sweep": "x"}"#, "schema_version is 9, and this sbp reads 2"),
            (r#"{"schema_version": 2}"#, "missing field"),
        ] {
            std::fs::write(&path, text).unwrap();
            let said = message(folder.path());
            assert!(said.contains(part) && said.contains("results.json"), "{text}: {said}");
        }
    }

    #[test]
    fn the_present_version_is_not_told_to_be_the_way_out() {
        let made_here = serde_json::json!({
            "schema_version": 1, "provenance": {"sbp_version": env!("CARGO_PKG_VERSION")}
        });
        assert!(!other_version(&made_here, 2).unwrap().contains("made it"));
        assert_eq!(other_version(&made_here, 1), None);
    }
}
