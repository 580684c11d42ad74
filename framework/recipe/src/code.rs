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
    /// A checkpoint's name cannot be a folder's name.
    CheckpointName = "sbp::plan::checkpoint_name",
        "Use letters, digits, `-` and `_`.";
    /// Tuning cannot cross from one pair into the next.
    CrossingPairs = "sbp::plan::crossing_pairs",
        "Remove the option: every pair is a sequence of its own.";
    /// A synthesizer starts from a checkpoint that is not named, or names one that it does not start from.
    InitCheckpoint = "sbp::plan::init_checkpoint",
        "Give `from = \"checkpoint\"` and `checkpoint` together, or neither.";
    /// Completions may be so long that no seed document fits before them.
    NoRoomForSeed = "sbp::plan::no_room_for_seed",
        "Lower `max_new_tokens` or raise `model.context_length`.";
    /// A seed is listed twice.
    RepeatedSeed = "sbp::plan::repeated_seed",
        "List each seed once.";
    /// The oracle's pool is smaller than D_pretrain, which is its beginning.
    PoolTooSmall = "sbp::plan::pool_too_small",
        "Raise `splits.oracle_documents`, or leave it out for `splits.oracle_factor`.";
    /// An arm trains on synthetic documents that nothing in the recipe makes.
    NeedsSynthesizer = "sbp::plan::needs_synthesizer",
        "Add the sections named, or leave out the arm.";
    /// A length of training is less than one step.
    LessThanAStep = "sbp::plan::less_than_a_step",
        "Give it more tokens, or lower `tokens_per_step`.";
    /// An arm asks for more synthetic tokens than there can be, or its budget does not pay for making them.
    BudgetNotMet = "sbp::plan::budget_not_met",
        "Raise the draws or the budget, or lower the arm's share.";
    /// `comparison` names a metric that no evaluator of the recipe computes.
    UnknownMetric = "sbp::plan::unknown_metric",
        "Name one of the metrics listed, or add the evaluator.";
    /// Options of a plugin do not fit each other.
    PluginOption = "sbp::plan::option",
        "`sbp plugins show` says what each option means.";
    /// The recipe is a sweep where a single recipe is asked for.
    SeveralPoints = "sbp::sweep::several_points",
        "Leave out `[sweep]`, or load each of its points.";
    /// A value of an axis is listed twice.
    RepeatedValue = "sbp::sweep::repeated_value",
        "List each value once.";
    /// An axis does not name an option that can be varied.
    BadOption = "sbp::sweep::bad_option",
        "Write it as for `--set`; to vary something inside a list, vary the whole list.";
    /// Two axes vary the same option.
    SameOption = "sbp::sweep::same_option",
        "Give each option one axis.";
    /// `--set` sets an option that the sweep varies.
    AlsoSet = "sbp::sweep::also_set",
        "Leave that out, or set the values of the axis.";
    /// Axes that go together are not equally long.
    UnequalAxes = "sbp::sweep::unequal_axes",
        "Give each axis as many values, or combine them as a grid.";
    /// The sweep has more points than one sweep may have.
    TooManyPoints = "sbp::sweep::too_many_points",
        "Vary fewer options, or give them fewer values.";
    /// The corpus keeps fewer documents for evaluation than are asked for.
    HeldoutTooSmall = "sbp::data::heldout_too_small",
        "Lower `splits.heldout_documents`, or let the corpus set more aside.";
    /// The corpus has fewer documents than D_pretrain needs.
    PretrainTooSmall = "sbp::data::pretrain_too_small",
        "Lower `splits.pretrain_documents`, or add documents.";
    /// The corpus has too few documents for the oracle's pool, which the oracle would read more than once.
    OracleTooSmall = "sbp::data::oracle_too_small",
        "Lower `splits.oracle_factor` or `splits.pretrain_documents`, or add documents.";
    /// The corpus is not of the size that `splits.expected` says.
    NotAsExpected = "sbp::data::not_as_expected",
        "Write what was counted, or name the corpus that is meant.";
    /// Many pairs are longer than the context, and would be left out of tuning.
    PairsTooLong = "sbp::data::pairs_too_long",
        "Raise `model.context_length`, or choose shorter documents.";
    /// The documents at hand do not pay for what the budget asks.
    BudgetNotReached = "sbp::data::budget_not_reached",
        "Raise the budget or the draws, or lower the arms' synthetic share.";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
