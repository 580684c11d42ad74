//! `sbp plugins new`: a crate with a plugin that works, to be changed into another.
//!
//! The templates are real files in `templates/`. In them `the_kind`, `the-kind` and `TheKind` stand for the name.

use std::fs;
use std::path::{Path, PathBuf};

use sbp_recipe::suggest;

use crate::args::NewArgs;
use crate::say::say;

/// A slot's template.
struct Template {
    slot: &'static str,
    plugin: &'static str,
    /// How a recipe chooses the plugin.
    choice: &'static str,
}

/// A template and what chooses it in a recipe.
macro_rules! template {
    ($slot:literal, $choice:literal) => {
        Template {
            slot: $slot,
            plugin: include_str!(concat!("../../../templates/slots/", $slot, ".rs")),
            choice: $choice,
        }
    };
}

/// One a slot, in the order of the method.
const TEMPLATES: [Template; 14] = [
    template!(
        "corpus",
        "[corpus]\nkind = \"the_kind\"\n\n[tokenizer]\nvocab_size = 400\n\n[[evaluators]]\nkind = \"bits_per_byte\"\n"
    ),
    template!("embedder", "[embedder]\nkind = \"the_kind\"\n\n[pairs]\nfilters = []\n"),
    template!("retriever", "[retriever]\nkind = \"the_kind\"\n"),
    template!("pair_filter", "[pairs]\nfilters = [{ kind = \"the_kind\" }]\n"),
    template!("objective", "[synthesizer.objective]\nkind = \"the_kind\"\n"),
    template!("synthesizer", "[synthesizer.sampling]\nkind = \"the_kind\"\n"),
    template!("document_filter", "[synthesizer]\nfilters = [{ kind = \"the_kind\" }]\n"),
    template!("judge", "[quality.judge]\nkind = \"the_kind\"\n"),
    template!("mixer", "[mixer]\nkind = \"the_kind\"\n"),
    template!("arm", "[arms]\nthe_kind = { kind = \"the_kind\" }\n"),
    template!("optimizer", "[training.optimizer]\nkind = \"the_kind\"\n"),
    template!("schedule", "[training.schedule]\nkind = \"the_kind\"\n"),
    template!(
        "evaluator",
        "[[evaluators]]\nkind = \"bits_per_byte\"\n\n[[evaluators]]\nkind = \"the_kind\"\n"
    ),
    template!("tracker", "[[trackers]]\nkind = \"jsonl\"\n\n[[trackers]]\nkind = \"the_kind\"\n"),
];

/// What is the same for every slot: where it goes and what it says.
const SHARED: [(&str, &str); 6] = [
    (".cargo/config.toml", include_str!("../../../templates/config.toml")),
    (".gitignore", include_str!("../../../templates/gitignore")),
    ("Cargo.toml", include_str!("../../../templates/Cargo.toml.in")),
    ("README.md", include_str!("../../../templates/README.md")),
    ("build.rs", include_str!("../../../templates/build.rs")),
    ("src/main.rs", include_str!("../../../templates/main.rs")),
];

/// Where the sources of this program lay when it was built.
const BUILT_FROM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// Words that Rust or this crate's own dependencies have taken.
const TAKEN: [&str; 20] = [
    "abstract",
    "arm",
    "box",
    "const",
    "core",
    "crate",
    "default",
    "dyn",
    "enum",
    "extern",
    "final",
    "impl",
    "match",
    "mod",
    "move",
    "schemars",
    "serde",
    "serde_json",
    "std",
    "test",
];

pub(super) fn run(args: &NewArgs) -> Result<(), String> {
    let Some(template) = TEMPLATES.iter().find(|template| template.slot == args.slot) else {
        let slots: Vec<String> = TEMPLATES.iter().map(|template| template.slot.to_owned()).collect();
        let help = suggest(&args.slot, &slots, "the slots are");
        return Err(format!("no slot is called \"{}\"; {help}", args.slot));
    };
    check_name(&args.name)?;
    let sbp = checkout(args.sbp.as_deref())?;
    let folder = args.into.join(&args.name);
    if folder.exists() {
        return Err(format!(
            "{} is there already; choose another name or another folder with --into",
            folder.display()
        ));
    }
    let recipe = format!(
        "# The smoke study of sbp with this plugin: seconds on a CPU.\n\nextends = [\"SBP_FOLDER/recipes/tiny/smoke.toml\"]\n\n[recipe]\nname = \"the-kind\"\n\n{}",
        template.choice
    );
    let own = [("src/lib.rs", template.plugin), ("recipe.toml", recipe.as_str())];
    for (name, text) in SHARED.into_iter().chain(own) {
        write(&folder.join(name), &fill_in(text, template.slot, &args.name, &sbp))?;
    }
    // The versions of dependencies that sbp is tested with.
    if let Ok(lock) = fs::read_to_string(Path::new(&sbp).join("Cargo.lock")) {
        write(&folder.join("Cargo.lock"), &lock)?;
    }
    say(format_args!(
        "{folder} holds a plugin that works, for the slot {slot}; src/lib.rs is where it is\n\n  cd {folder}\n  cargo test --lib\n  cargo run -- plugins show {slot}/{name}\n  cargo run -- run recipe.toml",
        folder = folder.display(),
        slot = template.slot,
        name = args.name,
    ));
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    let folder = path.parent().map_or(Ok(()), fs::create_dir_all);
    folder
        .and_then(|()| fs::write(path, text))
        .map_err(|error| format!("cannot write {}: {error}", path.display()))
}

fn fill_in(text: &str, slot: &str, name: &str, sbp: &str) -> String {
    text.replace("TheKind", &camel_case(name))
        .replace("the_kind", name)
        .replace("the-kind", &name.replace('_', "-"))
        .replace("THE_SLOT", slot)
        .replace("SBP_FOLDER", sbp)
}

fn camel_case(name: &str) -> String {
    let capital = |word: &str| word[..1].to_uppercase() + &word[1..];
    name.split('_').map(capital).collect()
}

/// A name is a crate's name, a type's name and a kind at once.
fn check_name(name: &str) -> Result<(), String> {
    let sound = |word: &str| {
        !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    if !name.split('_').all(sound) || !name.starts_with(|first: char| first.is_ascii_lowercase()) {
        return Err(format!(
            "\"{name}\" cannot name a plugin; write lower-case words of letters and digits joined by `_`, such as `my_neighbors`"
        ));
    }
    if TAKEN.contains(&name) || name.starts_with("sbp_") {
        return Err(format!(
            "the name \"{name}\" is taken by Rust or by sbp; choose another, such as `my_{name}`"
        ));
    }
    Ok(())
}

/// The folder of sbp's sources, as text for TOML files.
fn checkout(given: Option<&Path>) -> Result<String, String> {
    let folder = given.map_or_else(|| PathBuf::from(BUILT_FROM), Path::to_owned);
    let found =
        folder.canonicalize().ok().filter(|found| found.join("framework/plugin/Cargo.toml").is_file());
    let Some(found) = found else {
        return Err(match given {
            Some(given) => format!("{} is no checkout of sbp: it has no framework/plugin", given.display()),
            None => "the sources that this program was built from are gone; name a checkout of sbp with --sbp PATH"
                .to_owned(),
        });
    };
    match found.to_str() {
        Some(text) if !text.contains(['"', '\\']) => Ok(text.to_owned()),
        _ => Err(format!(
            "the path {} cannot be written into a TOML file as it is; move the checkout of sbp",
            found.display()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_and_made_into_types() {
        assert_eq!(camel_case("near2_duplicate"), "Near2Duplicate");
        for good in ["a", "near_duplicate", "top5"] {
            check_name(good).unwrap();
        }
        for bad in ["", "A", "a-b", "a__b", "a_", "_a", "5a", "../x", "ä", "serde", "sbp_plugin"] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
