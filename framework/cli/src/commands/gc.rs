//! `sbp gc`: what the store holds that no run refers to.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::SystemTime;

use sbp_pipeline::gc::{Choice, Unneeded, Waste, free, unneeded};
use serde_json::json;

use crate::args::GcArgs;
use crate::exit::{Done, Failure};
use crate::here;
use crate::say::say;
use crate::words;

/// Says what may be freed; frees it where that is asked.
pub(crate) fn run(args: &GcArgs) -> Result<Done, Failure> {
    let home = here::home();
    let choice = Choice { before: before(args)?, half_made: args.half_made };
    let (found, kept) = if args.yes {
        let outcome = free(&home, &choice)?;
        (outcome.freed, outcome.kept)
    } else {
        (unneeded(&home, &choice)?, Vec::new())
    };
    if args.json {
        say(json!({"store": home.join("store"), "changed": args.yes, "unneeded": found, "kept": kept}));
        return Ok(Done::Fully);
    }
    if found.is_empty() {
        say(format_args!("nothing to free in {}", home.join("store").display()));
    } else {
        say(table(&found));
        say(match args.yes {
            true => "freed",
            false => "nothing was changed; the same command with --yes frees it",
        });
    }
    if !kept.is_empty() {
        say(format_args!("{} kept: a run is at work on them, or has come to need them", kept.len()));
    }
    Ok(Done::Fully)
}

#[expect(clippy::disallowed_methods, reason = "the age of files decides what is freed, and about no result")]
fn before(args: &GcArgs) -> Result<Option<SystemTime>, Failure> {
    let Some(age) = args.older_than else { return Ok(None) };
    let before = SystemTime::now().checked_sub(age.into());
    before.map(Some).ok_or_else(|| Failure::Other(format!("--older-than {age} is before all time")))
}

/// Counts and bytes, a line for each stage.
fn table(found: &[Unneeded]) -> String {
    let mut stages: BTreeMap<&str, Vec<&Unneeded>> = BTreeMap::new();
    for it in found {
        stages.entry(&it.stage).or_default().push(it);
    }
    let mut text = format!("{:<12} {:>7} {:>10} {:>8}  size\n", "stage", "unused", "half-made", "damaged");
    for (stage, found) in &stages {
        let _ = writeln!(text, "{}", row(stage, found));
    }
    text.push_str(&row("all", &found.iter().collect::<Vec<_>>()));
    text
}

fn row(name: &str, found: &[&Unneeded]) -> String {
    let count = |why: &[Waste]| match found.iter().filter(|it| why.contains(&it.why)).count() {
        0 => "-".to_owned(),
        count => count.to_string(),
    };
    let bytes: u64 = found.iter().map(|it| it.bytes).sum();
    format!(
        "{name:<12} {:>7} {:>10} {:>8}  {}",
        count(&[Waste::Unused, Waste::HalfFreed]),
        count(&[Waste::HalfMade]),
        count(&[Waste::Damaged]),
        words::size(bytes)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_counted_by_reason() {
        let it = |stage: &str, why, bytes| Unneeded {
            stage: stage.to_owned(),
            fingerprint: "1".repeat(32),
            why,
            bytes,
            path: "store".into(),
        };
        let found = [
            it("train", Waste::Unused, 2048),
            it("train", Waste::HalfMade, 1024),
            it("corpus", Waste::Damaged, 10),
        ];
        assert_eq!(
            table(&found),
            "stage         unused  half-made  damaged  size\n\
             corpus             -          -        1  10 B\n\
             train              1          1        -  3.0 KiB\n\
             all                1          1        1  3.0 KiB"
        );
    }
}
