//! The codes of problems: one list that the messages, the reference page and the tests share.

use std::fmt;

macro_rules! codes {
    ($($(#[doc = $meaning:literal])+ $name:ident = $code:literal, $remedy:literal;)*) => {
        /// What kind of problem it is; stable, for tools to act on.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $($(#[doc = $meaning])+ $name,)*
        }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// As it is printed: `sbp::recipe::unknown_field`.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// What it means, in a sentence.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($meaning),+).trim_ascii(),)* }
            }

            /// What to do about it.
            pub fn remedy(self) -> &'static str {
                match self { $(Self::$name => $remedy,)* }
            }
        }
    };
}

codes! {
    /// The file cannot be read.
    Unreadable = "sbp::recipe::unreadable",
        "Check the path, and that it names a recipe and not a folder.";
    /// The file is not UTF-8 text.
    NotUtf8 = "sbp::recipe::not_utf8",
        "Save it as UTF-8.";
    /// The text is not TOML.
    Syntax = "sbp::recipe::syntax",
        "Mend the notation at the place shown; <https://toml.io> describes it on a page.";
    /// A name is given twice in one table.
    DuplicateKey = "sbp::recipe::duplicate_key",
        "Keep one of the two.";
    /// A recipe extends itself, directly or through others.
    ExtendsCycle = "sbp::recipe::extends_cycle",
        "Take one of the files out of the circle.";
    /// `--profile` names a profile that neither the recipe nor what it extends has.
    UnknownProfile = "sbp::recipe::unknown_profile",
        "Name one that exists, or add a table `[profiles.NAME]`.";
    /// `--set` is not an assignment that can be laid over a recipe.
    BadSet = "sbp::recipe::bad_set",
        "Write `--set a.b=value`, the value as in TOML; a bare word is text.";
    /// There is no such option or section here.
    UnknownField = "sbp::recipe::unknown_field",
        "Take the name that the message suggests, or one of those it lists.";
    /// A required option or section is missing.
    MissingField = "sbp::recipe::missing_field",
        "Add it; the message says what it is for.";
    /// No plugin of this slot has that `kind`.
    UnknownKind = "sbp::recipe::unknown_kind",
        "Take one of the plugins listed; `sbp plugins` says what each does.";
    /// The value has the wrong type, such as text for a number.
    WrongType = "sbp::recipe::wrong_type",
        "Write the type of value that the message asks for.";
    /// The number, or the length of the list, is outside what is allowed.
    OutOfRange = "sbp::recipe::out_of_range",
        "Choose one within the range that the message gives.";
    /// The value has the right type, but is none of those allowed.
    WrongValue = "sbp::recipe::wrong_value",
        "Choose one that the message lists or describes.";
    /// The schema lets the recipe through and its types do not hold it: a mistake in a plugin's schema.
    Undecodable = "sbp::recipe::undecodable",
        "Change the option named, and report the plugin.";
    /// Sizes of the model do not fit each other.
    ModelShape = "sbp::plan::model_shape",
        "Choose sizes that divide as the message says.";
    /// `comparison` names an arm that the recipe does not have.
    UnknownArm = "sbp::plan::unknown_arm",
        "Name one of the arms, or add it.";
    /// An arm's name cannot be a folder's name.
    ArmName = "sbp::plan::arm_name",
        "Use letters, digits, `-` and `_`.";
    /// Completions may be so long that no seed document fits before them.
    NoRoomForSeed = "sbp::plan::no_room_for_seed",
        "Lower `max_new_tokens` or raise `model.context_length`.";
    /// A seed is listed twice.
    RepeatedSeed = "sbp::plan::repeated_seed",
        "List each seed once.";
    /// Options of a plugin do not fit each other.
    PluginOption = "sbp::plan::option",
        "`sbp plugins show` says what each option means.";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
