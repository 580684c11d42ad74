//! Layers of a recipe, merged: built-in defaults < `extends` files in order < the recipe < profiles < `--set`.
//!
//! figment merges; it knows which layer a value came from, but not where in it. The places are kept beside it, by
//! JSON pointer, so that every message can point at the very characters.

use std::path::{Path, PathBuf};

use figment::value::{Dict, Map as FigmentMap};
use figment::{Figment, Metadata, Profile, Provider};
use serde_json::{Map, Value};

use crate::Recipe;
use crate::check;
use crate::diagnostic::{Problem, RecipeErrors};
use crate::schema;
use crate::source::{Place, Source, dotted, escape};
use crate::sweep::{self, Point};

/// What the command line adds to a recipe.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// Profiles to switch on, in order.
    pub profiles: Vec<String>,
    /// `a.b=value` assignments, values in TOML.
    pub sets: Vec<String>,
}

/// A recipe that loaded and checked, with the origin of each value.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The typed recipe, every default explicit.
    pub recipe: Recipe,
    /// Where in the recipe's sweep this is: axis and value. Empty for a recipe without one.
    pub point: Point,
    layers: Layers,
}

impl Loaded {
    /// Every value and where it came from: `(dotted name, value, origin)`, defaults included.
    pub fn origins(&self) -> Vec<(String, String, String)> {
        let resolved = serde_json::to_value(&self.recipe).unwrap_or_default();
        let mut rows = Vec::new();
        leaves(&resolved, String::new(), &mut |pointer, value| {
            let origin = self.layers.origin(pointer).unwrap_or_else(|| "default".to_owned());
            rows.push((dotted(pointer), value.to_string(), origin));
        });
        rows
    }

    /// A warning at the place of an option, for what only a look at the data can tell.
    pub fn warning(&self, pointer: &str, code: &'static str, message: &str) -> Problem {
        let problem = Problem::new(code, format!("`{}`: {message}", dotted(pointer))).warning();
        check::at_value(&self.layers, problem, pointer)
    }

    /// The text of the recipe file as written.
    pub fn written(&self) -> &str {
        &self.layers.recipe_text
    }
}

/// Loads and checks a recipe file.
///
/// # Errors
/// Every problem found: in the text, in the layers, against the schema, and in meaning. Also when the recipe is a
/// sweep of several points; those are for [`load_points`].
pub fn load(path: &Path, overrides: &Overrides) -> Result<Loaded, RecipeErrors> {
    let mut points = load_points(path, overrides)?;
    if points.len() == 1 {
        return Ok(points.remove(0));
    }
    let message = format!("the recipe is a sweep of {} points, where one recipe is asked for", points.len());
    let problem = Problem::new("sbp::sweep::several_points", message)
        .help("leave out [sweep], or load each point of it");
    Err(RecipeErrors { name: name_of(path), problems: vec![problem] })
}

/// Loads and checks a recipe file, and each point of its sweep if it is one.
///
/// # Errors
/// Every problem found, as [`load`], in any point; a problem of several points is reported once.
pub fn load_points(path: &Path, overrides: &Overrides) -> Result<Vec<Loaded>, RecipeErrors> {
    let fail = |problems| RecipeErrors { name: name_of(path), problems };
    let layers = Layers::read(path, overrides).map_err(|problem| fail(vec![problem]))?;
    let mut points = Vec::new();
    let mut problems: Vec<Problem> = Vec::new();
    for (point, layers) in sweep::points(layers).map_err(fail)? {
        match check::check(&layers) {
            Ok(recipe) => points.push(Loaded { recipe, point, layers }),
            Err(found) => {
                let known: Vec<_> = problems.iter().map(Problem::to_json).collect();
                problems.extend(found.into_iter().filter(|problem| !known.contains(&problem.to_json())));
            }
        }
    }
    if problems.is_empty() { Ok(points) } else { Err(fail(check::in_order(problems))) }
}

fn name_of(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}

/// All layers, low to high, and their merged value.
#[derive(Debug, Clone)]
pub(crate) struct Layers {
    sources: Vec<Source>,
    recipe_text: String,
    pub(crate) merged: Value,
}

impl Layers {
    fn read(path: &Path, overrides: &Overrides) -> Result<Self, Problem> {
        let mut sources = Vec::new();
        read_file(path, None, &mut Vec::new(), &mut sources)?;
        let recipe_text = sources.last().map(|source| source.text.clone()).unwrap_or_default();
        for profile in &overrides.profiles {
            push_profile(profile, &mut sources)?;
        }
        for set in &overrides.sets {
            sources.push(read_set(set)?);
        }
        for source in &mut sources {
            source.values.remove("extends");
            source.values.remove("profiles");
        }
        Self::merge(sources, recipe_text)
    }

    /// These layers with others on top.
    pub(crate) fn with(&self, above: impl IntoIterator<Item = Source>) -> Result<Self, Problem> {
        let sources = self.sources.iter().cloned().chain(above).collect();
        Self::merge(sources, self.recipe_text.clone())
    }

    /// These layers without one of their sections.
    pub(crate) fn without(mut self, section: &str) -> Self {
        for source in &mut self.sources {
            source.values.remove(section);
        }
        if let Value::Object(merged) = &mut self.merged {
            merged.remove(section);
        }
        self
    }

    fn merge(mut sources: Vec<Source>, recipe_text: String) -> Result<Self, Problem> {
        drop_replaced_kinds(&mut sources);
        let mut figment = Figment::new();
        for source in &sources {
            figment = figment.merge(Layer(source));
        }
        let mut merged: Value = figment.extract().map_err(|error| {
            Problem::new("sbp::recipe::merge", format!("the layers do not merge: {error}"))
        })?;
        let mut layers = Self { sources, recipe_text, merged: Value::Null };
        layers.anchor_paths(&mut merged);
        layers.merged = merged;
        Ok(layers)
    }

    /// The highest layer that sets `pointer`, and the place there.
    pub(crate) fn find(&self, pointer: &str) -> Option<(&Source, &Place)> {
        self.sources.iter().rev().find_map(|source| source.places.get(pointer).map(|place| (source, place)))
    }

    /// As [`Self::find`], for `pointer` or the nearest enclosing table that a layer writes.
    pub(crate) fn find_nearest(&self, pointer: &str) -> Option<(&Source, &Place)> {
        let mut pointer = pointer;
        loop {
            if let Some(found) = self.find(pointer) {
                return Some(found);
            }
            pointer = &pointer[..pointer.rfind('/')?];
        }
    }

    /// The `--set` that says something about `pointer` or about what is in it.
    pub(crate) fn find_set(&self, pointer: &str) -> Option<(&Source, &Place)> {
        let sets = self.sources.iter().rev().filter(|source| source.is_set());
        sets.filter_map(|source| source.places.get(pointer).map(|place| (source, place))).next()
    }

    /// The layer of highest rank that is a file.
    pub(crate) fn last_file(&self) -> Option<&Source> {
        self.sources.iter().rev().find(|source| !source.is_set())
    }

    fn origin(&self, pointer: &str) -> Option<String> {
        let (source, place) = self.find(pointer)?;
        let start = place.key.clone().or_else(|| place.value.clone())?.start;
        let line = source.text.get(..start)?.matches('\n').count() + 1;
        Some(if source.is_set() { source.name.clone() } else { format!("{}:{line}", source.name) })
    }

    /// Makes relative paths absolute, each from the folder of the layer that wrote it.
    fn anchor_paths(&self, merged: &mut Value) {
        for pointer in schema::path_pointers(merged) {
            let Some((source, _)) = self.find_nearest(&pointer) else { continue };
            if let Some(Value::String(path)) = merged.pointer_mut(&pointer) {
                let anchored = source.folder.join(&*path);
                *path = std::path::absolute(&anchored).unwrap_or(anchored).to_string_lossy().into_owned();
            }
        }
    }
}

fn read_file(
    path: &Path,
    asked_by: Option<&Source>,
    open: &mut Vec<PathBuf>,
    sources: &mut Vec<Source>,
) -> Result<(), Problem> {
    let point = |problem: Problem| match asked_by {
        Some(source) => {
            let span = source.places.get("/extends").and_then(|place| place.value.clone());
            problem.at(&source.name, &source.text, span)
        }
        None => problem,
    };
    let text = std::fs::read_to_string(path).map_err(|error| {
        point(
            Problem::new("sbp::recipe::unreadable", format!("cannot read {}: {error}", path.display()))
                .help("check the path; a recipe is a TOML file, as those in recipes/"),
        )
    })?;
    let canonical = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    if open.contains(&canonical) {
        return Err(point(Problem::new(
            "sbp::recipe::extends_cycle",
            format!("{} extends itself through its own `extends`", path.display()),
        )));
    }
    let folder =
        path.parent().map(|folder| if folder.as_os_str().is_empty() { Path::new(".") } else { folder });
    let folder = folder.unwrap_or(Path::new(".")).to_owned();
    let source = Source::parse(path.display().to_string(), text, folder.clone())?;
    open.push(canonical);
    for parent in extends_of(&source)? {
        read_file(&folder.join(parent), Some(&source), open, sources)?;
    }
    open.pop();
    sources.push(source);
    Ok(())
}

fn extends_of(source: &Source) -> Result<Vec<String>, Problem> {
    let list = match source.values.get("extends") {
        None => return Ok(Vec::new()),
        Some(Value::Array(items)) => items.iter().map(|item| item.as_str().map(str::to_owned)).collect(),
        Some(_) => None,
    };
    list.ok_or_else(|| {
        let span = source.places.get("/extends").and_then(|place| place.value.clone());
        Problem::new("sbp::recipe::wrong_type", "extends: expected a list of file names")
            .at(&source.name, &source.text, span)
            .help("write extends = [\"parent.toml\"]")
    })
}

fn push_profile(profile: &str, sources: &mut Vec<Source>) -> Result<(), Problem> {
    let prefix = format!("/profiles/{}", escape(profile));
    let mut found = Vec::new();
    let mut known = Vec::new();
    for source in sources.iter() {
        let Some(profiles) = source.values.get("profiles").and_then(Value::as_object) else { continue };
        known.extend(profiles.keys().cloned());
        let Some(values) = profiles.get(profile).and_then(Value::as_object) else { continue };
        let places = source
            .places
            .iter()
            .filter_map(|(pointer, place)| Some((pointer.strip_prefix(&prefix)?.to_owned(), place.clone())))
            .collect();
        found.push(Source { values: values.clone(), places, ..source.clone() });
    }
    if found.is_empty() {
        known.sort();
        known.dedup();
        let known =
            if known.is_empty() { "it has none".to_owned() } else { format!("it has {}", known.join(", ")) };
        return Err(Problem::new(
            "sbp::recipe::unknown_profile",
            format!("the recipe has no profile \"{profile}\"; {known}"),
        )
        .help("profiles are tables such as [profiles.gpu] in the recipe or in a file it extends"));
    }
    sources.extend(found);
    Ok(())
}

fn read_set(set: &str) -> Result<Source, Problem> {
    let bad = |message: String| {
        Problem::new("sbp::recipe::bad_set", message)
            .help("write --set a.b=value with a TOML value; quote text inside: --set 'recipe.name=\"x\"'")
    };
    let Some((key, value)) = set.split_once('=') else {
        return Err(bad(format!("--set {set}: there is no `=`")));
    };
    let folder = PathBuf::from(".");
    let parse = |text: String| Source::parse(format!("--set {set}"), text, folder.clone());
    // A bare word is text: --set corpus.path=data.jsonl needs no second pair of quotes.
    parse(format!("{} = {}", key.trim(), value.trim()))
        .or_else(|_| parse(format!("{} = {}", key.trim(), Value::String(value.trim().to_owned()))))
        .map_err(|_| bad(format!("--set {set}: this is not an assignment")))
}

/// Where a higher layer changes a `kind`, the options of the old kind must not leak into the new one.
fn drop_replaced_kinds(sources: &mut [Source]) {
    for high in 1..sources.len() {
        let mut kinds = Vec::new();
        leaves(&Value::Object(sources[high].values.clone()), String::new(), &mut |pointer, value| {
            if let (Some(table), Value::String(kind)) = (pointer.strip_suffix("/kind"), value) {
                kinds.push((table.to_owned(), kind.clone()));
            }
        });
        for (table, kind) in kinds {
            let replaced = sources[..high].iter().rev().find_map(|low| {
                let low = Value::Object(low.values.clone());
                low.pointer(&format!("{table}/kind")).and_then(Value::as_str).map(|old| old != kind)
            });
            if replaced == Some(true) {
                for low in &mut sources[..high] {
                    remove(&mut low.values, &table);
                    low.places.retain(|pointer, _| !pointer.starts_with(&format!("{table}/")));
                }
            }
        }
    }
}

fn remove(values: &mut Map<String, Value>, pointer: &str) {
    let Some((parent, name)) = pointer.rsplit_once('/') else { return };
    if parent.is_empty() {
        values.remove(name);
        return;
    }
    let mut root = Value::Object(std::mem::take(values));
    if let Some(Value::Object(parent)) = root.pointer_mut(parent) {
        parent.remove(name);
    }
    if let Value::Object(root) = root {
        *values = root;
    }
}

/// Calls `visit` for every value that is not an object, in order of pointers; lists of tables are entered.
fn leaves(value: &Value, pointer: String, visit: &mut dyn FnMut(&str, &Value)) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                leaves(value, format!("{pointer}/{}", escape(key)), visit);
            }
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            for (index, value) in items.iter().enumerate() {
                leaves(value, format!("{pointer}/{index}"), visit);
            }
        }
        leaf => visit(&pointer, leaf),
    }
}

struct Layer<'a>(&'a Source);

impl Provider for Layer<'_> {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.0.name.clone())
    }
    fn data(&self) -> Result<FigmentMap<Profile, Dict>, figment::Error> {
        let value = figment::value::Value::serialize(&self.0.values)?;
        Ok(FigmentMap::from([(Profile::Default, value.into_dict().unwrap_or_default())]))
    }
}
