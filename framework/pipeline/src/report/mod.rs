//! The report: made from `results.json` alone, small on purpose.

pub mod compare;
#[cfg(test)]
mod coverage;
mod csv;
pub mod curves;
mod figures;
mod holm;
mod html;
mod latex;
mod ledger;
mod nan;
mod numbers;
pub(crate) mod paired;
mod paper;
mod plot;
pub(crate) mod power;
mod published;
mod quality;
mod read;
mod replicates;
pub mod results;
mod scores;
pub mod table;

use std::path::{Path, PathBuf};

pub use self::paper::Paper;
pub(crate) use self::read::other_version;
pub use self::read::{Reported, read};
use self::results::Results;
pub use crate::stages::quality::Sample;
use crate::sweep::SweepResults;
use crate::{Result, files};

/// A form in which a run is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Tables for a terminal.
    Markdown,
    /// Scores for spreadsheets and data frames.
    Csv,
    /// Scores for a paper.
    Latex,
    /// Everything, with figures, on one page.
    Html,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Markdown, Self::Csv, Self::Latex, Self::Html];

    /// The name that it is asked for by.
    pub fn name(self) -> &'static str {
        match self {
            Self::Markdown => "md",
            Self::Csv => "csv",
            Self::Latex => "tex",
            Self::Html => "html",
        }
    }

    /// Its file in the folder of the report.
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Markdown => "table.md",
            Self::Csv => "table.csv",
            Self::Latex => "table.tex",
            Self::Html => "report.html",
        }
    }

    /// The report in this form; the published study stands on the page if it is asked for.
    pub fn render(self, results: &Results, paper: Option<&Paper>) -> String {
        match self {
            Self::Markdown => table::markdown(results),
            Self::Csv => csv::csv(results),
            Self::Latex => latex::latex(results),
            Self::Html => html::html(results, paper),
        }
    }
}

/// Writes a report into a folder, which is made if it is not there. The paths of what was written.
///
/// # Errors
/// When a file cannot be written.
pub fn write(
    results: &Results,
    paper: Option<&Paper>,
    formats: &[Format],
    folder: &Path,
) -> Result<Vec<PathBuf>> {
    let write =
        |format: &Format| write_text(&folder.join(format.file_name()), &format.render(results, paper));
    formats.iter().map(write).collect()
}

/// Writes the published study beside runs, `paper.md`.
///
/// # Errors
/// When the file cannot be written.
pub fn write_paper(paper: &Paper, folder: &Path) -> Result<PathBuf> {
    write_text(&folder.join("paper.md"), &paper.markdown())
}

/// Writes the table of a sweep, the one form that its report has.
///
/// # Errors
/// When the file cannot be written.
pub fn write_sweep(results: &SweepResults, folder: &Path) -> Result<PathBuf> {
    write_text(&folder.join(Format::Markdown.file_name()), &table::sweep(results))
}

fn write_text(path: &Path, text: &str) -> Result<PathBuf> {
    if let Some(folder) = path.parent() {
        files::create_folder(folder)?;
    }
    files::write_whole(path, text.as_bytes())?;
    Ok(path.to_owned())
}
