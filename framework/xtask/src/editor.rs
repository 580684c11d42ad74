//! The recipes as an editor sees them: checked against the schema that the first line of each names.

use crate::Result;
use crate::setup::{repository_root, tombi};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// Lints every shipped recipe; first makes sure that mistakes would be found.
///
/// An editor that cannot follow the schema finds nothing wrong with anything, so mistakes are planted in a recipe
/// and must be reported.
pub(crate) fn lint_recipes() -> Result<()> {
    eprintln!("== recipes, as editors see them");
    let tombi = tombi()?;
    let sample = repository_root().join("recipes/quickstart.toml");
    let text = fs::read_to_string(&sample).map_err(|e| format!("cannot read {}: {e}", sample.display()))?;
    for (mistake, reported) in planted(&text) {
        let said = lint_as(&tombi, &sample, &mistake)?;
        if !said.contains(reported) {
            return Err(format!(
                "an editor would not find a planted mistake: no word of `{reported}` in {said:?}.\n  Can tombi \
                 follow the `#:schema` line of recipes/quickstart.toml, and what the schema says?"
            ));
        }
    }
    let status = lint(&tombi).arg("recipes").status().map_err(|e| cannot_run(&tombi, &e))?;
    if status.success() {
        return Ok(());
    }
    Err("an editor would mark the places above.\n  Mend the recipe, or its `#:schema` line; if the schema is \
         behind the code, `cargo xtask gen` writes it anew."
        .to_owned())
}

/// Copies of a recipe with one mistake each, and a word of what must be said about it.
fn planted(text: &str) -> [(String, &'static str); 4] {
    let in_front = |line: &str| text.replacen('\n', &format!("\n{line}\n"), 1);
    let tracker = |lines: &str| format!("{text}\n[[trackers]]\n{lines}\n");
    [
        (in_front("no_such_section = 1"), "no_such_section"),
        (in_front("extends = 1"), "Array"),
        (tracker("kind = \"no_such_kind\""), "no_such_kind"),
        (tracker("kind = \"jsonl\"\nno_such_option = 1"), "no_such_option"),
    ]
}

fn lint(tombi: &Path) -> Command {
    let mut command = Command::new(tombi);
    command.args(["lint", "--offline", "--error-on-warnings"]).current_dir(repository_root());
    command
}

/// What is said of `text` if it stood in the file `name`; empty if nothing is wrong with it.
fn lint_as(tombi: &Path, name: &Path, text: &str) -> Result<String> {
    let failed = |e| cannot_run(tombi, &e);
    let mut child = lint(tombi)
        .args(["--quiet", "-", "--stdin-filename"])
        .arg(name)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    child.stdin.take().expect("was piped").write_all(text.as_bytes()).map_err(failed)?;
    let output = child.wait_with_output().map_err(failed)?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok(if output.status.success() { String::new() } else { said })
}

fn cannot_run(tombi: &Path, error: &std::io::Error) -> String {
    format!("cannot run {}: {error}.\n  Remove its folder to have it fetched anew.", tombi.display())
}
