//! `sbp runs`: which runs there are, and removing one.

use std::fmt::Write as _;

use sbp_pipeline::{Run, Size};
use serde_json::json;

use crate::args::{RunsArgs, RunsVerb};
use crate::exit::{Done, Failure};
use crate::here;
use crate::say::say;
use crate::words;

/// Lists runs, or removes one.
pub(crate) fn run(args: &RunsArgs) -> Result<Done, Failure> {
    match &args.verb {
        RunsVerb::Ls { json } => ls(*json)?,
        RunsVerb::Rm { run } => {
            let run = here::run(Some(run))?;
            run.remove()?;
            say(format_args!("removed {}; `sbp gc` says what it alone referred to", run.name()));
        }
    }
    Ok(Done::Fully)
}

fn ls(as_json: bool) -> Result<(), Failure> {
    let mut rows = Vec::new();
    for run in sbp_pipeline::runs(&here::home())? {
        let size = run.size()?;
        rows.push((run, size));
    }
    if as_json {
        let rows: Vec<_> = rows.iter().map(|(run, size)| answer(run, *size)).collect();
        say(json!(rows));
    } else if rows.is_empty() {
        say(format_args!("there are no runs in {}", here::home().join("runs").display()));
    } else {
        say(table(&rows));
    }
    Ok(())
}

fn answer(run: &Run, size: Size) -> serde_json::Value {
    let status = run.status.as_ref();
    json!({
        "recipe": run.recipe,
        "id": run.id,
        "state": run.state,
        "began": status.map(|status| status.began),
        "updated": status.map(|status| status.updated),
        "arms": status.map(|status| &status.arms),
        "seeds": status.map(|status| &status.seeds),
        "size": size,
        "run_dir": run.folder.path,
    })
}

fn table(rows: &[(Run, Size)]) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    let name_width = rows.iter().map(|(run, _)| run.name().len()).max().unwrap_or(0).max(3);
    let mut text = format!(
        "{:<name_width$}  {:<9}  {:<12}  {:>12}  {:>8}  where\n",
        "run", "state", "when", "arms x seeds", "size"
    );
    for (run, size) in rows {
        let sides = run.status.as_ref().map_or_else(
            || "-".to_owned(),
            |status| format!("{} x {}", status.arms.len(), status.seeds.len()),
        );
        let path = run.folder.path.strip_prefix(&here).unwrap_or(&run.folder.path);
        let _ = writeln!(
            text,
            "{:<name_width$}  {:<9}  {:<12}  {sides:>12}  {:>8}  {}",
            run.name(),
            run.state.name(),
            words::ago(run.when.elapsed().unwrap_or_default()),
            words::size(size.own_bytes + size.artifact_bytes),
            path.display(),
        );
    }
    text.push_str("sizes count artifacts that runs share once for each");
    text
}
