//! Reading one layer: a file with what it extends, a profile, a `--set`.

use std::io::ErrorKind;
use std::ops::Range;
use std::path::{Component, Path, PathBuf};

use serde_json::Value;

use crate::code::Code;
use crate::diagnostic::Problem;
use crate::source::{Source, dotted, escape};
use crate::suggest::{listed, nearest};

/// Reads a file and, before it, what it extends. `asked_by` is the file that extends it, with the place in its list.
/// A layer's name is the path as people would write it from the current folder.
pub(crate) fn read_file(
    path: &Path,
    asked_by: Option<(&Source, usize)>,
    open: &mut Vec<(PathBuf, String)>,
    sources: &mut Vec<Source>,
    problems: &mut Vec<Problem>,
) {
    let name = shown(path);
    let point = |problem: Problem| match asked_by {
        Some((source, index)) => {
            let place = source.places.get(&format!("/extends/{index}"));
            problem.at(source, place.and_then(|place| place.value.clone()))
        }
        None => problem,
    };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let canonical = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    if let Some(first) = open.iter().position(|(ancestor, _)| *ancestor == canonical) {
        let through: Vec<&str> =
            open[first..].iter().map(|(_, name)| name.as_str()).chain([&*name]).collect();
        let message = format!("a recipe extends itself: {}", through.join(" -> "));
        problems.push(point(Problem::new(Code::ExtendsCycle, message)).help("take one out of the circle"));
        return;
    }
    // Were it laid down again, it would undo what has been laid over it.
    if sources.iter().any(|source| source.file.as_ref() == Some(&name)) {
        return;
    }
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) => {
            let why = match error.kind() {
                _ if path.is_dir() => "it is a folder".to_owned(),
                ErrorKind::NotFound => "there is no such file".to_owned(),
                _ => error.to_string(),
            };
            let problem = Problem::new(Code::Unreadable, format!("cannot read {name}: {why}"));
            problems.push(point(problem).help(other_recipes(path, &name)));
            return;
        }
    };
    let unparsed = |text: &str| {
        // Editors on Windows put a byte-order mark first; it is no part of the text.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text).to_owned();
        Source::unparsed(name.clone(), Some(name.clone()), text, folder.to_owned())
    };
    let source = match std::str::from_utf8(&bytes) {
        Ok(text) => {
            let (source, wrong) = unparsed(text).parse();
            problems.extend(wrong);
            source
        }
        Err(error) => {
            let source = unparsed(&String::from_utf8_lossy(&bytes));
            let start = error.valid_up_to();
            let span = start..start + char::REPLACEMENT_CHARACTER.len_utf8();
            problems.push(
                Problem::new(Code::NotUtf8, format!("{name} is not UTF-8 text"))
                    .at(&source, Some(span))
                    .label("not a character of UTF-8")
                    .help("save the file as UTF-8"),
            );
            return;
        }
    };
    problems.extend(wrong_profiles(&source));
    open.push((canonical, name));
    match extends_of(&source) {
        Ok(parents) => {
            for (index, parent) in parents.iter().enumerate() {
                read_file(&folder.join(parent), Some((&source, index)), open, sources, problems);
            }
        }
        Err(problem) => problems.push(problem),
    }
    open.pop();
    sources.push(source);
}

/// A path without the `folder/..` that come of going from file to file.
fn shown(path: &Path) -> String {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match (part, clean.components().next_back()) {
            (Component::ParentDir, Some(Component::Normal(_))) => drop(clean.pop()),
            (Component::CurDir, _) => {}
            _ => clean.push(part),
        }
    }
    // Past a link to a folder, `..` leads elsewhere.
    let same = |a: &Path, b: &Path| a.canonicalize().ok() == b.canonicalize().ok();
    if same(&clean, path) { clean.display().to_string() } else { path.display().to_string() }
}

/// Which recipe may have been meant by a path that is none.
fn other_recipes(path: &Path, name: &str) -> String {
    let folder = if path.is_dir() { Some(path) } else { path.parent() };
    let folder = folder.filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut recipes: Vec<String> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.path().is_file())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|file| file.ends_with(".toml"))
        .collect();
    recipes.sort();
    let recipes = recipes.iter().map(String::as_str);
    if path.is_dir() {
        return format!("name a recipe, such as those in there: {}", listed(recipes));
    }
    let wanted = path.file_name().unwrap_or_default().to_string_lossy();
    match nearest(&wanted, recipes) {
        Some(near) => format!("did you mean {}?", Path::new(name).with_file_name(near).display()),
        None => "check the path; a recipe is a TOML file, as those in recipes/".to_owned(),
    }
}

fn extends_of(source: &Source) -> Result<Vec<String>, Problem> {
    let value = source.values.get("extends");
    let list = match value {
        None => return Ok(Vec::new()),
        Some(Value::Array(items)) => items.iter().map(|item| item.as_str().map(str::to_owned)).collect(),
        Some(_) => None,
    };
    list.ok_or_else(|| {
        let file = value.and_then(Value::as_str).unwrap_or("parent.toml");
        Problem::new(Code::WrongType, "`extends` must be a list of file names")
            .at(source, source.places.get("/extends").and_then(|place| place.value.clone()))
            .label("expected a list")
            .help(format!("write extends = [\"{file}\"]"))
    })
}

/// Profiles that are not tables.
fn wrong_profiles(source: &Source) -> Vec<Problem> {
    let profiles = source.values.get("profiles");
    let mut wrong: Vec<String> = Vec::new();
    match profiles {
        None => {}
        Some(Value::Object(profiles)) => {
            let others = profiles.iter().filter(|(_, values)| !values.is_object());
            wrong.extend(others.map(|(name, _)| format!("/profiles/{}", escape(name))));
        }
        Some(_) => wrong.push("/profiles".to_owned()),
    }
    let problem = |pointer: String| {
        Problem::new(Code::WrongType, format!("`{}` must be a table", dotted(&pointer)))
            .at(source, source.places.get(&pointer).and_then(|place| place.value.clone()))
            .label("expected a table")
            .help("a profile is a table of values to lay over the recipe, such as [profiles.gpu.execution]")
    };
    wrong.into_iter().map(problem).collect()
}

pub(crate) fn push_profile(profile: &str, sources: &mut Vec<Source>) -> Result<(), Problem> {
    let prefix = format!("/profiles/{}/", escape(profile));
    let mut found = Vec::new();
    let mut known = Vec::new();
    for source in sources.iter() {
        let Some(profiles) = source.values.get("profiles").and_then(Value::as_object) else { continue };
        known.extend(profiles.keys().map(String::as_str));
        let Some(values) = profiles.get(profile).and_then(Value::as_object) else { continue };
        let places = source
            .places
            .iter()
            .filter_map(|(pointer, place)| {
                Some((format!("/{}", pointer.strip_prefix(&prefix)?), place.clone()))
            })
            .collect();
        let name = format!("profile \"{profile}\" of {}", source.name);
        let source = Source { name, values: values.clone(), places, ..source.clone() };
        not_in_a_layer(&source, Code::UnknownField, "a profile")?;
        found.push(source);
    }
    if found.is_empty() {
        known.sort_unstable();
        known.dedup();
        let help = match nearest(profile, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?\nprofiles: {}", listed(known)),
            None if known.is_empty() => {
                "a profile is a table such as [profiles.gpu] in the recipe or in what it extends; there are none"
                    .to_owned()
            }
            None => format!("profiles: {}", listed(known)),
        };
        let place =
            Source::unparsed(format!("--profile {profile}"), None, profile.to_owned(), PathBuf::from("."));
        return Err(Problem::new(Code::UnknownProfile, format!("the recipe has no profile \"{profile}\""))
            .at(&place, Some(0..profile.len()))
            .label("not known")
            .help(help));
    }
    sources.extend(found);
    Ok(())
}

/// `extends` and `profiles` make layers, so they mean nothing inside of one.
fn not_in_a_layer(source: &Source, code: Code, layer: &str) -> Result<(), Problem> {
    let Some(key) = ["extends", "profiles"].into_iter().find(|key| source.values.contains_key(*key)) else {
        return Ok(());
    };
    let place = source.places.get(&format!("/{key}"));
    Err(Problem::new(code, format!("{layer} cannot give `{key}`"))
        .at(source, place.and_then(|place| place.key.clone()))
        .help(format!("write `{key}` at the top of a recipe file")))
}

/// `a.b=value`: the value as in TOML, or a bare word, which is text.
pub(crate) fn read_set(set: &str) -> Result<Source, Problem> {
    let help = "write --set a.b=value, the value as in TOML; a bare word is text: --set recipe.name=study";
    let unparsed = |text: String| Source::unparsed(format!("--set {set}"), None, text, PathBuf::from("."));
    let bad = |message: &str, at: Range<usize>| {
        Problem::new(Code::BadSet, message).at(&unparsed(set.to_owned()), Some(at))
    };
    let Some((key, value)) = set.split_once('=') else {
        return Err(bad("--set needs an assignment, and there is no `=`", 0..set.len()).help(help));
    };
    let (key, value) = (key.trim(), value.trim());
    if value.is_empty() {
        return Err(bad("--set gives no value after `=`", 0..set.len())
            .help(format!("write '{key}=\"\"' if empty text is meant")));
    }
    let (mut source, mut problems) = unparsed(set.to_owned()).parse();
    if !problems.is_empty() && key.contains('[') {
        return Err(bad("--set cannot reach into a list", 0..key.len())
            .help("give the whole list, such as --set 'recipe.seeds=[1, 2]'"));
    }
    let is_word = !value.starts_with(['[', '{', '"', '\'']);
    if !problems.is_empty() && is_word {
        let quoted = format!("{key}={}", Value::String(value.to_owned()));
        (source, problems) = unparsed(quoted).parse();
    }
    match problems.into_iter().next() {
        Some(problem) => Err(problem.recoded(Code::BadSet).help(help)),
        None => not_in_a_layer(&source, Code::BadSet, "--set").map(|()| source),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Overrides;
    use crate::load::Layers;

    fn set(text: &str) -> Value {
        Value::Object(read_set(text).unwrap().values)
    }

    #[test]
    fn a_set_is_toml_or_a_bare_word() {
        assert_eq!(set("a.b=1"), json!({"a": {"b": 1}}));
        assert_eq!(set(" a . b = 1e6 "), json!({"a": {"b": 1_000_000}}));
        assert_eq!(set("a=[1, 2]"), json!({"a": [1, 2]}));
        assert_eq!(set("a={ kind = \"x\", n = 1 }"), json!({"a": {"kind": "x", "n": 1}}));
        assert_eq!(set("a.\"b=c.d\".e='x'"), json!({"a": {"b=c.d": {"e": "x"}}}));
        assert_eq!(set("a=cuda:1"), json!({"a": "cuda:1"}));
        assert_eq!(set("a=../some where/x=y.jsonl"), json!({"a": "../some where/x=y.jsonl"}));
        assert_eq!(set("a=\"\""), json!({"a": ""}));
        for wrong in
            ["a", "a=", "=1", "a[0]=1", "a={ b = 1", "a=\"b", "a b=1", "extends=[]", "profiles.x.a=1"]
        {
            assert_eq!(read_set(wrong).unwrap_err().stable_code(), Code::BadSet, "{wrong}");
        }
    }

    #[test]
    fn a_higher_layer_replaces_lists_and_units_and_lays_tables_over() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write(
            "low.toml",
            "recipe = { name = \"low\", seeds = [1, 2, 3] }\nbudget.duration = { passes = 4 }\nbase.duration.steps = 3",
        );
        write(
            "high.toml",
            "extends = [\"low.toml\"]\nrecipe.seeds = [4]\nbudget.duration.steps = 9\n[profiles.p.base.duration]\ntokens = 7",
        );
        let overrides = Overrides { profiles: vec!["p".into()], sets: vec!["recipe.name=set".into()] };
        let layers = Layers::read(&folder.path().join("high.toml"), &overrides).unwrap();
        assert_eq!(
            layers.merged,
            json!({
                "recipe": {"name": "set", "seeds": [4]},
                "budget": {"duration": {"steps": 9}},
                "base": {"duration": {"tokens": 7}},
            })
        );
        assert_eq!(layers.origin("/recipe/name").unwrap(), "--set recipe.name=set");
        assert!(layers.origin("/base/duration/tokens").unwrap().starts_with("profile \"p\" of "));
        assert_eq!(layers.origin("/budget/duration/passes"), None);
        assert_eq!(layers.origin("/recipe/seeds/1"), None);
    }
}
