//! Slots, plugins, and the registry that a recipe selects from.
//!
//! A plugin is a config struct: its fields are the recipe's options, its doc comments the reference page, its
//! JSON Schema the check, and `build` makes the object that works. [`register!`](crate::register) beside it is
//! all it takes to be known. A crate of plugins must be named (`use its_crate as _;`) by the program that wants
//! them, or the linker leaves them out.

use std::fmt;
use std::path::{Path, PathBuf};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::guarded::{Guarded, Name};
use crate::{Result, schema};

/// A place in the method where a plugin stands.
pub trait Slot: Sized + fmt::Debug + 'static {
    /// The slot's name in messages and reference pages, singular snake case.
    const NAME: &'static str;
    /// What the slot is for, one sentence.
    const SUMMARY: &'static str;
    /// The trait object that plugins of this slot build.
    type Object: ?Sized;
    /// Every linked entry, in no particular order; use [`entries`].
    fn linked() -> Vec<&'static Entry<Self>>;
    /// A guarded plugin as a plugin.
    fn guard(object: Guarded<Self::Object>) -> Box<Self::Object>;
}

/// What a plugin may know when it is built.
#[derive(Debug, Clone, Copy, Default)]
pub struct BuildContext {
    /// The study's root seed for the seed being run.
    pub seed: u64,
}

/// One implementation of a slot, written as the config that selects it.
pub trait Plugin<S: Slot>:
    Serialize + DeserializeOwned + JsonSchema + Clone + fmt::Debug + Send + Sync + 'static
{
    /// The name in recipes: `kind = "..."`. The only place it is written.
    const KIND: &'static str;
    /// Raised whenever the same options give another result; part of every fingerprint.
    const VERSION: u32 = 1;
    /// A config that validates and runs, for the reference page and the contract tests.
    fn example() -> Self;
    /// What is wrong with these options beyond what the schema can say: `(field, message)`.
    fn check(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }
    /// Makes the working object.
    ///
    /// # Errors
    /// When an outside resource that the options name is not usable; the message says which and what to do.
    fn build(&self, context: &BuildContext) -> Result<Box<S::Object>>;
}

/// A registered plugin, erased: what the registry holds.
pub struct Entry<S: Slot> {
    /// Name in recipes.
    pub kind: &'static str,
    /// Version of its results.
    pub version: u32,
    /// Schema of its options, without `kind`.
    pub schema: fn(&mut SchemaGenerator) -> Schema,
    /// Its example options, without `kind`.
    pub example: fn() -> Value,
    decode: fn(Value) -> Decoded<S>,
}

type Decoded<S> = std::result::Result<Box<dyn ErasedPlugin<S>>, serde_json::Error>;

impl<S: Slot> Entry<S> {
    /// The entry of config type `C`.
    pub const fn of<C: Plugin<S>>() -> Self {
        Self {
            kind: C::KIND,
            version: C::VERSION,
            schema: |generator| C::json_schema(generator),
            example: || serde_json::to_value(C::example()).expect("plugin options have a JSON form"),
            decode: |value| Ok(Box::new(serde_json::from_value::<C>(value)?)),
        }
    }
}

/// Every plugin of a slot that is linked into this program, by kind.
pub fn entries<S: Slot>() -> Vec<&'static Entry<S>> {
    let mut entries = S::linked();
    entries.sort_by_key(|entry| entry.kind);
    entries
}

/// Makes a config known as a plugin of a slot: `register!(slots::Retriever => ExactConfig);`
#[macro_export]
macro_rules! register {
    ($slot:ty => $config:ty) => {
        $crate::inventory::submit! { $crate::Entry::<$slot>::of::<$config>() }
    };
}

/// A plugin that the program was built without, so that whoever asks for it is told how to get it.
pub struct Absent {
    /// Name of its slot.
    pub slot: &'static str,
    /// Its kind.
    pub kind: &'static str,
    /// What builds it in.
    pub how: &'static str,
}
inventory::collect!(Absent);

/// The plugins that the program was built without.
pub fn absent() -> impl Iterator<Item = &'static Absent> {
    inventory::iter::<Absent>.into_iter()
}

trait ErasedPlugin<S: Slot>: fmt::Debug + Send + Sync {
    fn options(&self) -> Value;
    fn check(&self) -> Vec<(&'static str, String)>;
    fn build(&self, context: &BuildContext) -> Result<Box<S::Object>>;
    fn fields_outside_identity(&self) -> Vec<String>;
    fn clone_box(&self) -> Box<dyn ErasedPlugin<S>>;
}

impl<S: Slot, C: Plugin<S>> ErasedPlugin<S> for C {
    fn options(&self) -> Value {
        serde_json::to_value(self).expect("plugin options have a JSON form")
    }
    fn check(&self) -> Vec<(&'static str, String)> {
        Plugin::check(self)
    }
    fn build(&self, context: &BuildContext) -> Result<Box<S::Object>> {
        Plugin::build(self, context)
    }
    fn fields_outside_identity(&self) -> Vec<String> {
        let schema = schemars::schema_for!(C).to_value();
        schema::fields_outside_identity(&schema)
    }
    fn clone_box(&self) -> Box<dyn ErasedPlugin<S>> {
        Box::new(self.clone())
    }
}

/// A recipe's choice for a slot: a kind and its options.
pub struct Selected<S: Slot> {
    kind: &'static str,
    version: u32,
    plugin: Box<dyn ErasedPlugin<S>>,
}

/// A [`Selected`] plugin of whatever slot.
pub trait Choice {
    /// Name of the slot.
    fn slot(&self) -> &'static str;
    /// The kind that was chosen.
    fn kind(&self) -> &'static str;
    /// Version of its results.
    fn version(&self) -> u32;
    /// Problems in the options that only the plugin can see: `(field, message)`.
    fn check(&self) -> Vec<(&'static str, String)>;
}

impl<S: Slot> Choice for Selected<S> {
    fn slot(&self) -> &'static str {
        S::NAME
    }
    fn kind(&self) -> &'static str {
        self.kind
    }
    fn version(&self) -> u32 {
        self.version
    }
    fn check(&self) -> Vec<(&'static str, String)> {
        Self::check(self)
    }
}

impl<S: Slot> Selected<S> {
    /// Selects a config directly, as a recipe that spells it out would.
    pub fn new<C: Plugin<S>>(config: C) -> Self {
        Self { kind: C::KIND, version: C::VERSION, plugin: Box::new(config) }
    }

    /// The kind that was chosen.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// Problems in the options that only the plugin can see: `(field, message)`.
    pub fn check(&self) -> Vec<(&'static str, String)> {
        // The field at fault is not known, so a panic is held against the choice itself.
        let checked = self.name().attempt(|| Ok(self.plugin.check()));
        checked.unwrap_or_else(|panic| vec![("kind", panic.to_string())])
    }

    /// Makes the working object, guarded: its errors and panics name slot and kind, see
    /// [`catch_panic`](crate::catch_panic).
    ///
    /// # Errors
    /// As the plugin says, or when it panics.
    pub fn build(&self, context: &BuildContext) -> Result<Box<S::Object>> {
        let object = self.name().attempt(|| self.plugin.build(context))?;
        Ok(S::guard(Guarded::new(self.name(), object)))
    }

    /// Makes the working object as it is, for tests that look for panics.
    ///
    /// # Errors
    /// As the plugin says.
    pub fn build_unguarded(&self, context: &BuildContext) -> Result<Box<S::Object>> {
        self.plugin.build(context)
    }

    fn name(&self) -> Name {
        Name { slot: S::NAME, kind: self.kind }
    }

    /// What this choice means for a result: kind, version and options, without the paths that merely say
    /// where content lies (content is fingerprinted itself) and options that cannot change a result.
    pub fn identity(&self) -> Value {
        let mut options = self.plugin.options();
        if let Some(object) = options.as_object_mut() {
            for field in self.plugin.fields_outside_identity() {
                object.remove(&field);
            }
        }
        serde_json::json!({"kind": self.kind, "version": self.version, "options": options})
    }
}

impl<S: Slot> Clone for Selected<S> {
    fn clone(&self) -> Self {
        Self { kind: self.kind, version: self.version, plugin: self.plugin.clone_box() }
    }
}

impl<S: Slot> fmt::Debug for Selected<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.plugin.fmt(f)
    }
}

impl<S: Slot> PartialEq for Selected<S> {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind && self.plugin.options() == other.plugin.options()
    }
}

impl<S: Slot> Serialize for Selected<S> {
    fn serialize<Z: serde::Serializer>(&self, serializer: Z) -> std::result::Result<Z::Ok, Z::Error> {
        let mut object = serde_json::Map::new();
        object.insert("kind".to_owned(), self.kind.into());
        if let Value::Object(options) = self.plugin.options() {
            object.extend(options);
        }
        object.serialize(serializer)
    }
}

impl<'de, S: Slot> Deserialize<'de> for Selected<S> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        use serde::de::Error;
        // `kind` is taken out before the options are decoded, so that their `deny_unknown_fields` holds.
        let mut options = serde_json::Map::<String, Value>::deserialize(deserializer)?;
        let kind = match options.remove("kind") {
            Some(Value::String(kind)) => kind,
            Some(_) => return Err(D::Error::custom(format!("{}: `kind` must be a string", S::NAME))),
            None => return Err(D::Error::missing_field("kind")),
        };
        let Some(entry) = entries::<S>().into_iter().find(|entry| entry.kind == kind) else {
            let known: Vec<_> = entries::<S>().iter().map(|entry| entry.kind).collect();
            return Err(D::Error::custom(format!(
                "no {} is called \"{kind}\"; known are {}",
                S::NAME,
                known.join(", ")
            )));
        };
        let plugin = (entry.decode)(Value::Object(options)).map_err(D::Error::custom)?;
        Ok(Self { kind: entry.kind, version: entry.version, plugin })
    }
}

impl<S: Slot> JsonSchema for Selected<S> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        S::NAME.into()
    }
    fn schema_id() -> std::borrow::Cow<'static, str> {
        format!("sbp_plugin::Selected<{}>", S::NAME).into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        schema::slot_schema::<S>(generator)
    }
}

/// A path in a recipe. Relative paths are taken from the folder of the file that writes them (from the current
/// folder for `--set`); the loader makes them absolute, and leaves URLs as they are. Paths stay out of fingerprints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RecipePath(pub PathBuf);

impl AsRef<Path> for RecipePath {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl JsonSchema for RecipePath {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "RecipePath".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({"type": "string", "format": "path"})
    }
}
