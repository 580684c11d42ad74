//! `sbp report`: the reports of finished runs, from their results alone.

use std::path::{Path, PathBuf};

use sbp_pipeline::Results;
use sbp_pipeline::report::{self, Format, Paper, Reported};
use serde_json::{Value, json};

use crate::args::{FormatChoice, ReportArgs};
use crate::exit::{Done, Failure};
use crate::say::say;

/// Writes the report of every run, and prints its table and what was written.
pub(crate) fn run(args: &ReportArgs) -> Result<Done, Failure> {
    if args.out.is_some() && args.runs.len() > 1 {
        return Err(Failure::Other(format!(
            "--out is one folder, and {} runs have a report each with files of the same names; leave it out to write each beside its results",
            args.runs.len()
        )));
    }
    let found = args.runs.iter().map(|run| report::read(run)).collect::<Result<Vec<_>, _>>()?;
    let paper = if args.paper { Some(paper(&found)?) } else { None };
    let mut answers = Vec::new();
    for (path, reported) in &found {
        let beside = path.parent().unwrap_or(Path::new(""));
        let folder = args.out.as_deref().unwrap_or(beside);
        let written = match reported {
            Reported::Run(results) => run_report(args, results, paper.as_ref(), folder)?,
            Reported::Sweep(results) => sweep_report(args, results, folder)?,
        };
        if args.json {
            answers.push(answer(path, reported, &written));
            continue;
        }
        say(&written.table);
        for path in &written.paths {
            say(format_args!("written  {}", path.display()));
        }
        if let Some(note) = &written.note {
            say(note);
        }
    }
    if args.json {
        say(json!({"reports": answers}));
    }
    Ok(Done::Fully)
}

/// What came of a report.
struct Written {
    table: String,
    paths: Vec<PathBuf>,
    note: Option<String>,
}

fn paper(found: &[(PathBuf, Reported)]) -> Result<Paper, Failure> {
    let mut runs: Vec<&Results> = Vec::new();
    for (path, reported) in found {
        match reported {
            Reported::Run(results) => runs.push(results),
            Reported::Sweep(_) => {
                return Err(Failure::Other(format!(
                    "{} is the report of a sweep, and --paper compares runs; name the runs of its points",
                    path.display()
                )));
            }
        }
    }
    Ok(Paper::beside(&runs))
}

fn run_report(
    args: &ReportArgs,
    results: &Results,
    paper: Option<&Paper>,
    folder: &Path,
) -> Result<Written, Failure> {
    let mut paths = report::write(results, paper, &formats(args.format), folder)?;
    let mut table = Format::Markdown.render(results, None);
    if let Some(paper) = paper {
        paths.push(report::write_paper(paper, folder)?);
        table.push_str(&format!("\n{}", paper.markdown()));
    }
    Ok(Written { table, paths, note: None })
}

/// Sweeps have a table in Markdown and nothing else.
fn sweep_report(
    args: &ReportArgs,
    results: &sbp_pipeline::SweepResults,
    folder: &Path,
) -> Result<Written, Failure> {
    const NOTE: &str = "a sweep is reported in Markdown alone; its points are runs, and `sbp report` makes CSV, LaTeX and a page of each";
    match args.format {
        FormatChoice::Md | FormatChoice::All => {
            let path = report::write_sweep(results, folder)?;
            let note = (args.format == FormatChoice::All).then(|| NOTE.to_owned());
            Ok(Written { table: report::table::sweep(results), paths: vec![path], note })
        }
        FormatChoice::Csv | FormatChoice::Tex | FormatChoice::Html => Err(Failure::Other(NOTE.to_owned())),
    }
}

fn formats(choice: FormatChoice) -> Vec<Format> {
    match choice {
        FormatChoice::Md => vec![Format::Markdown],
        FormatChoice::Csv => vec![Format::Csv],
        FormatChoice::Tex => vec![Format::Latex],
        FormatChoice::Html => vec![Format::Html],
        FormatChoice::All => Format::ALL.to_vec(),
    }
}

fn answer(results: &Path, reported: &Reported, written: &Written) -> Value {
    let matched = match reported {
        Reported::Run(results) => results.compute_match.matched,
        Reported::Sweep(results) => results.is_matched(),
    };
    json!({"results": results, "written": written.paths, "compute_matched": matched})
}
