//! A comparison as programs read it: `target/bench/NAME.json`, a list of entries.

use crate::Result;
use crate::setup::repository_root;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

/// One number of ours beside one of a peer's.
pub(super) struct Entry {
    /// What was run.
    pub(super) case: String,
    /// What was measured.
    pub(super) metric: &'static str,
    /// In what.
    pub(super) unit: &'static str,
    /// Our number.
    pub(super) ours: f64,
    /// Theirs.
    pub(super) peer: f64,
    /// Who they are.
    pub(super) peer_name: &'static str,
    /// Above 1 is in our favour.
    pub(super) ratio: f64,
    /// The ratio that is wanted, where one is.
    pub(super) target: Option<f64>,
}

impl Entry {
    /// None of the texts has a character that JSON escapes.
    fn to_json(&self) -> String {
        let number = |x: f64| match x.abs() {
            size if !size.is_finite() => "null".to_owned(),
            // Differences by rounding have no digits there.
            size if size > 0.0 && size < 0.01 => format!("{x:.4e}"),
            _ => format!("{x:.4}"),
        };
        let target = self.target.map_or("null".to_owned(), number);
        let met = self.target.map_or("null".to_owned(), |target| (self.ratio >= target).to_string());
        format!(
            "{{\"case\": \"{}\", \"metric\": \"{}\", \"unit\": \"{}\", \"ours\": {}, \"peer\": {}, \
             \"peer_name\": \"{}\", \"ratio\": {}, \"target\": {target}, \"met\": {met}}}",
            self.case,
            self.metric,
            self.unit,
            number(self.ours),
            number(self.peer),
            self.peer_name,
            number(self.ratio),
        )
    }
}

/// Runs the cases of a benchmark, each in a folder of its own that is removed afterwards, and writes their entries.
pub(super) fn of_cases<C: AsRef<str>>(
    name: &str,
    cases: &[C],
    mut compare: impl FnMut(&str, &Path) -> Result<Vec<Entry>>,
) -> Result<ExitCode> {
    let scratch = std::env::temp_dir().join(format!("sbp-bench-{}", std::process::id()));
    let mut entries = Vec::new();
    let outcome = cases.iter().map(AsRef::as_ref).try_for_each(|case| {
        let folder = scratch.join(case);
        fs::create_dir_all(&folder).map_err(|e| format!("cannot create {}: {e}", folder.display()))?;
        entries.extend(compare(case, &folder)?);
        Ok(())
    });
    // Failing to tidy up a temporary folder is no failure.
    let _ = fs::remove_dir_all(&scratch);
    outcome.and_then(|()| write(name, &entries)).map(|()| ExitCode::SUCCESS)
}

/// Writes the entries of a benchmark.
fn write(name: &str, entries: &[Entry]) -> Result<()> {
    let folder = repository_root().join("target/bench");
    let path = folder.join(format!("{name}.json"));
    let lines: Vec<String> = entries.iter().map(|entry| format!("  {}", entry.to_json())).collect();
    let text = format!("[\n{}\n]\n", lines.join(",\n"));
    fs::create_dir_all(&folder)
        .and_then(|()| fs::write(&path, text))
        .map_err(|e| format!("cannot write {}: {e}", path.display()))?;
    eprintln!("written to {}", path.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_says_whether_its_target_is_met() {
        let entry = Entry {
            case: "small".to_owned(),
            metric: "speed",
            unit: "tokens/s",
            ours: 30.0,
            peer: 20.0,
            peer_name: "PyTorch eager",
            ratio: 1.5,
            target: Some(1.3),
        };
        assert_eq!(
            entry.to_json(),
            "{\"case\": \"small\", \"metric\": \"speed\", \"unit\": \"tokens/s\", \"ours\": 30.0000, \
             \"peer\": 20.0000, \"peer_name\": \"PyTorch eager\", \"ratio\": 1.5000, \"target\": 1.3000, \
             \"met\": true}"
        );
        assert!(Entry { ratio: 1.2, ..entry }.to_json().ends_with("\"met\": false}"));
    }

    #[test]
    fn small_differences_keep_their_digits() {
        let entry = Entry {
            case: "small".to_owned(),
            metric: "difference",
            unit: "nats",
            ours: 1.25e-6,
            peer: 0.0,
            peer_name: "peer",
            ratio: f64::INFINITY,
            target: None,
        };
        let json = entry.to_json();
        assert!(
            json.contains("\"ours\": 1.2500e-6, \"peer\": 0.0000") && json.contains("\"ratio\": null"),
            "{json}"
        );
    }
}
