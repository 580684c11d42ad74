//! `sbp init`: a folder with a recipe that runs as it is.
//!
//! The recipes are the shipped ones, so that they cannot go stale.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use crate::args::{InitArgs, TemplateName};
use crate::exit::{Done, Failure};
use crate::say::say;

const QUICKSTART: &str = include_str!("../../../../recipes/quickstart.toml");
const ARXIV: &str = include_str!("../../../../recipes/desk/arxiv.toml");
const README: &str = include_str!("../../templates/init/README.md");

/// Writes the folder. Nothing that is there is touched.
pub(crate) fn run(args: &InitArgs) -> Result<Done, Failure> {
    let folder = args.folder.as_path();
    let files = files(args.template);
    let present: Vec<&str> =
        files.iter().map(|(name, _)| *name).filter(|name| folder.join(name).exists()).collect();
    if !present.is_empty() {
        return Err(Failure::Other(format!(
            "{} already has {}; name another folder",
            folder.display(),
            present.join(", ")
        )));
    }
    for (name, text) in &files {
        let path = folder.join(name);
        write(&path, text)
            .map_err(|error| Failure::Other(format!("cannot write {}: {error}", path.display())))?;
    }
    let enter = if folder == Path::new(".") { String::new() } else { format!("cd {}\n", folder.display()) };
    let first = match args.template {
        TemplateName::Quickstart => "",
        TemplateName::Jsonl => {
            "# lay your documents beside it as documents.jsonl, {\"text\": \"…\"} a line\n"
        }
    };
    say(format_args!("{enter}{first}sbp plan recipe.toml\nsbp run recipe.toml"));
    Ok(Done::Fully)
}

/// A file that is new: one that came in between is not overwritten.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::File::create_new(path)?.write_all(text.as_bytes())
}

fn files(template: TemplateName) -> [(&'static str, String); 3] {
    let (recipe, about) = match template {
        TemplateName::Quickstart => {
            (quickstart(), "Its corpus is a made-up world; it takes minutes on a laptop.")
        }
        TemplateName::Jsonl => (
            jsonl(),
            "Its corpus is `documents.jsonl`, which you lay beside it: a document a line, `{\"text\": \"…\"}`.",
        ),
    };
    [
        ("recipe.toml", recipe),
        ("README.md", README.replace("THE_RECIPE", about)),
        (".gitignore", ".sbp/\n".to_owned()),
    ]
}

/// The shipped recipe, without the place of its schema, which is another here.
fn quickstart() -> String {
    without_schema(QUICKSTART).to_owned()
}

/// The shipped recipe for real text, with a corpus of one's own.
fn jsonl() -> String {
    let sections = ARXIV.find("[recipe]").map_or(ARXIV, |start| &ARXIV[start..]);
    let own = sections
        .replace("name = \"arxiv\"", "name = \"study\"")
        .replace(
            "Does synthetic bootstrapping help on abstracts, at twenty passes over a few hundred of them?",
            "Does synthetic bootstrapping help on these documents, at twenty passes over a few hundred of them?",
        )
        .replace("abstracts.train.jsonl.zst", "documents.jsonl");
    format!(
        "# A study on documents of your own: JSONL, also .gz or .zst, a document a line with its text under \"text\"\n\
         # (`sbp plugins show corpus/jsonl` has the options). `path` is a file, a folder, a pattern or a list of these.\n\
         #\n\
         # `splits` says how many documents are trained on and held out; the oracle reads more of them.\n\
         # A document and its related one should fit into model.context_length together.\n\n{own}"
    )
}

fn without_schema(recipe: &str) -> &str {
    match recipe.split_once('\n') {
        Some((first, rest)) if first.starts_with("#:schema") => rest,
        _ => recipe,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_are_the_shipped_recipes_with_their_own_places() {
        assert!(QUICKSTART.ends_with(&quickstart()));
        assert!(!quickstart().contains("#:schema"));
        let own = jsonl();
        for part in ["name = \"study\"", "path = \"documents.jsonl\"", "on these documents"] {
            assert!(own.contains(part), "{part} is not in\n{own}");
        }
        assert!(!own.contains("abstracts") && !own.contains("#:schema"), "{own}");
    }
}
