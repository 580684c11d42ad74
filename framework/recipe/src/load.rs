//! Layers of a recipe, merged: built-in defaults < `extends` files in order < the recipe < profiles < `--set`.
//!
//! The layers are one list, low to high, and each is laid over what those below it came to. So it does not matter
//! how files are grouped by `extends`, only their order: c that extends b that extends a is c that extends [a, b]. A
//! file that is reached twice counts where it was first reached.
//!
//! Tables are laid over each other; all else replaces, lists too. Two tables replace as well, so that nothing of the
//! old one leaks into the new: a plugin's, where a layer names another `kind`, and one that takes a single entry,
//! such as a duration. To merge b and c by hand into one file and lay that over a is therefore the same as a, b, c,
//! but for a plugin's table: if c names another kind than a, what b says of it is dropped, which a merged file
//! cannot show; and if b names another kind and c the first again, a's options are gone.
//!
//! figment merges; it knows which layer a value came from, but not where in it. The places are kept beside it, by
//! JSON pointer, so that every message can point at the very characters.

use std::path::Path;

use figment::value::{Dict, Map as FigmentMap};
use figment::{Figment, Metadata, Profile, Provider};
use sbp_plugin::input::is_url;
use serde_json::{Map, Value};

use crate::Recipe;
use crate::check;
use crate::code::Code;
use crate::diagnostic::{Problem, RecipeErrors};
use crate::read::{push_profile, read_file, read_set};
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
    pub fn warning(&self, pointer: &str, code: Code, message: &str) -> Problem {
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
    let problem =
        Problem::new(Code::SeveralPoints, message).help("leave out [sweep], or load each point of it");
    Err(RecipeErrors { name: name_of(path), problems: vec![problem] })
}

/// Loads and checks a recipe file, and each point of its sweep if it is one.
///
/// # Errors
/// Every problem found, as [`load`], in any point; a problem of several points is reported once.
pub fn load_points(path: &Path, overrides: &Overrides) -> Result<Vec<Loaded>, RecipeErrors> {
    let fail = |problems| RecipeErrors { name: name_of(path), problems };
    let layers = Layers::read(path, overrides).map_err(fail)?;
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
    /// What was wrong while reading, but leaves the rest to be checked.
    pub(crate) problems: Vec<Problem>,
    pub(crate) merged: Value,
}

impl Layers {
    pub(crate) fn read(path: &Path, overrides: &Overrides) -> Result<Self, Vec<Problem>> {
        let (mut sources, mut problems) = (Vec::new(), Vec::new());
        read_file(path, None, &mut Vec::new(), &mut sources, &mut problems);
        if problems.iter().any(|problem| problem.stable_code() != Code::DuplicateKey) {
            return Err(problems);
        }
        let recipe_text = sources.last().map(|source| source.text.clone()).unwrap_or_default();
        for profile in &overrides.profiles {
            push_profile(profile, &mut sources).unwrap_or_else(|problem| problems.push(problem));
        }
        for source in &mut sources {
            source.values.remove("extends");
            source.values.remove("profiles");
        }
        for set in &overrides.sets {
            read_set(set).map_or_else(|problem| problems.push(problem), |source| sources.push(source));
        }
        Ok(Self::merge(sources, recipe_text, problems))
    }

    /// These layers with others on top.
    pub(crate) fn with(&self, above: impl IntoIterator<Item = Source>) -> Self {
        let sources = self.sources.iter().cloned().chain(above).collect();
        Self::merge(sources, self.recipe_text.clone(), self.problems.clone())
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

    fn merge(mut sources: Vec<Source>, recipe_text: String, problems: Vec<Problem>) -> Self {
        drop_replaced_kinds(&mut sources);
        drop_replaced_wholes(&mut sources);
        let mut figment = Figment::new();
        for source in &sources {
            figment = figment.merge(Layer(source));
        }
        let mut merged: Value = figment.extract().expect("tables merge");
        let mut layers = Self { sources, recipe_text, problems, merged: Value::Null };
        layers.anchor_paths(&mut merged);
        layers.merged = merged;
        layers
    }

    /// The `--set` that sets `pointer`.
    pub(crate) fn find_set(&self, pointer: &str) -> Option<&Source> {
        let sets = self.sources.iter().rev().filter(|source| source.file.is_none());
        sets.into_iter().find(|source| source.places.contains_key(pointer))
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

    /// The layer of highest rank that is a file.
    pub(crate) fn last_file(&self) -> Option<&Source> {
        self.sources.iter().rev().find(|source| source.file.as_ref() == Some(&source.name))
    }

    /// Where the value at `pointer` was written: layer and line.
    pub(crate) fn origin(&self, pointer: &str) -> Option<String> {
        let (source, place) = self.find(pointer)?;
        let start = place.key.clone().or_else(|| place.value.clone())?.start;
        let line = source.text.get(..start)?.matches('\n').count() + 1;
        Some(if source.file.is_none() { source.name.clone() } else { format!("{}:{line}", source.name) })
    }

    /// Makes relative paths absolute, each from the folder of the layer that wrote it. URLs are whole already.
    fn anchor_paths(&self, merged: &mut Value) {
        for pointer in schema::path_pointers(merged) {
            let Some((source, _)) = self.find_nearest(&pointer) else { continue };
            if let Some(Value::String(path)) = merged.pointer_mut(&pointer)
                && !is_url(&*path)
            {
                let anchored = source.folder.join(&*path);
                *path = std::path::absolute(&anchored).unwrap_or(anchored).to_string_lossy().into_owned();
            }
        }
    }
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

/// A list, a value and a table that takes one option of several (the unit of a duration) are replaced as a whole.
fn drop_replaced_wholes(sources: &mut [Source]) {
    for high in 1..sources.len() {
        let (lower, higher) = sources.split_at_mut(high);
        for pointer in schema::replaced_as_a_whole(&Value::Object(higher[0].values.clone())) {
            for low in &mut *lower {
                remove(&mut low.values, &pointer);
                low.places.retain(|place, _| !place.starts_with(&format!("{pointer}/")));
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
