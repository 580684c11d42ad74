//! What can be typed.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use sbp_recipe::Overrides;

/// Studies of synthetic bootstrapped pretraining, from a recipe to a table.
#[derive(Debug, Parser)]
#[command(name = "sbp", version, max_term_width = 100)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Run a recipe to its table; goes on where an earlier run stopped.
    #[command(
        after_help = "Examples:\n  sbp run recipes/quickstart.toml\n  sbp run recipes/desk/arxiv.toml --set corpus.path=abstracts.jsonl.zst --set 'recipe.seeds=[1, 2, 3]'"
    )]
    Run(RunArgs),
    /// Find a recipe's pairs of related documents, and show some; trains nothing but what the embedder needs.
    #[command(
        after_help = "Examples:\n  sbp pairs recipes/quickstart.toml\n  sbp pairs recipes/desk/arxiv.toml --set corpus.path=abstracts.jsonl.zst --set 'retriever={kind=\"random\"}' --show 5"
    )]
    Pairs(PairsArgs),
    /// Show what is in a recipe's corpus, in numbers or to read. Makes nothing.
    #[command(
        after_help = "Examples:\n  sbp corpus stats recipes/quickstart.toml\n  sbp corpus sample recipes/quickstart.toml -n 3 --seed 7"
    )]
    Corpus(CorpusArgs),
    /// Show what a recipe would do: arms, budgets, sources. Runs nothing.
    #[command(
        after_help = "Examples:\n  sbp plan recipes/quickstart.toml\n  sbp plan recipes/quickstart.toml --origins\n  sbp plan recipes/quickstart.toml --lock"
    )]
    Plan(PlanArgs),
    /// Check a recipe and report every problem at once.
    #[command(
        after_help = "Examples:\n  sbp validate recipes/quickstart.toml\n  sbp validate recipes/quickstart.toml --json"
    )]
    Validate(RecipeArgs),
    /// List the plugins a recipe can choose, show one, or begin one of your own.
    #[command(
        after_help = "Examples:\n  sbp plugins ls\n  sbp plugins show exact\n  sbp plugins new retriever my_neighbors"
    )]
    Plugins(PluginsArgs),
    /// Print the JSON Schema of recipes.
    #[command(after_help = "Examples:\n  sbp schema\n  sbp schema > recipe.schema.json")]
    Schema,
    /// Say what was found of libtorch, CUDA and the machine, and what to mend.
    #[command(after_help = "Examples:\n  sbp doctor\n  sbp doctor --json")]
    Doctor(DoctorArgs),
}

/// A recipe and what is laid over it.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct RecipeArgs {
    /// The recipe, a TOML file.
    pub(crate) recipe: PathBuf,
    /// Switch on a profile of the recipe; may be given several times.
    #[arg(long = "profile", value_name = "NAME")]
    pub(crate) profiles: Vec<String>,
    /// Set one option, `a.b=value` with a TOML value; may be given several times.
    #[arg(long = "set", value_name = "A.B=VALUE")]
    pub(crate) sets: Vec<String>,
    /// Print one JSON object instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

impl RecipeArgs {
    pub(crate) fn overrides(&self) -> Overrides {
        Overrides { profiles: self.profiles.clone(), sets: self.sets.clone() }
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) recipe: RecipeArgs,
    /// Where to run: cpu, cuda, cuda:N or auto; overrides execution.device.
    #[arg(long)]
    pub(crate) device: Option<String>,
    /// Refuse to run if anything changed since `sbp plan --lock`.
    #[arg(long)]
    pub(crate) locked: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct PairsArgs {
    #[command(flatten)]
    pub(crate) recipe: RecipeArgs,
    /// Where to run: cpu, cuda, cuda:N or auto; overrides execution.device.
    #[arg(long)]
    pub(crate) device: Option<String>,
    /// How many pairs to show.
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(crate) show: usize,
}

#[derive(Debug, clap::Args)]
pub(crate) struct CorpusArgs {
    #[command(subcommand)]
    pub(crate) verb: CorpusVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CorpusVerb {
    /// Count documents, bytes, lengths, duplicates, bad records, sources and what the splits come to.
    #[command(
        after_help = "Examples:\n  sbp corpus stats recipes/quickstart.toml\n  sbp corpus stats recipes/desk/arxiv.toml --set 'corpus.path=[\"abstracts.jsonl.zst\", \"more/*.jsonl\"]' --json"
    )]
    Stats(StatsArgs),
    /// Show some documents, drawn at random; the same seed draws the same.
    #[command(
        after_help = "Examples:\n  sbp corpus sample recipes/quickstart.toml -n 3\n  sbp corpus sample recipes/desk/arxiv.toml --set corpus.path=abstracts.jsonl.zst --seed 7"
    )]
    Sample(SampleArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct StatsArgs {
    #[command(flatten)]
    pub(crate) recipe: RecipeArgs,
    /// Look at the first N documents only; every beginning of a corpus is a fair sample of it.
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    pub(crate) limit: usize,
}

#[derive(Debug, clap::Args)]
pub(crate) struct SampleArgs {
    #[command(flatten)]
    pub(crate) recipe: RecipeArgs,
    /// How many documents to show.
    #[arg(short = 'n', long = "documents", value_name = "N", default_value_t = 5)]
    pub(crate) num_documents: usize,
    /// Another seed draws others.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
}

#[derive(Debug, clap::Args)]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    pub(crate) recipe: RecipeArgs,
    /// Show every value and where it came from.
    #[arg(long)]
    pub(crate) origins: bool,
    /// Write what the recipe means, inputs included, to a lock file beside it.
    #[arg(long, conflicts_with_all = ["origins", "locked"])]
    pub(crate) lock: bool,
    /// Refuse if anything changed since `--lock`.
    #[arg(long)]
    pub(crate) locked: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct PluginsArgs {
    #[command(subcommand)]
    pub(crate) verb: PluginsVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PluginsVerb {
    /// List plugins by slot.
    Ls {
        /// Only this slot.
        slot: Option<String>,
        /// Print a JSON list instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Show a plugin's options, defaults, cost and example.
    Show {
        /// The plugin's kind, or `slot/kind` where several slots have one of that kind.
        kind: String,
        /// Print a JSON list instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Write a crate with a plugin of your own: a working example to change, with its test and a recipe.
    #[command(
        after_help = "Examples:\n  sbp plugins new retriever my_neighbors\n  sbp plugins new arm half_oracle --into ~/studies"
    )]
    New(NewArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct NewArgs {
    /// The slot it is for, see `sbp plugins ls`.
    pub(crate) slot: String,
    /// Its name, in snake case: the kind in recipes, and the crate's name.
    pub(crate) name: String,
    /// The folder that the crate's own folder is written into.
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    pub(crate) into: PathBuf,
    /// The checkout of sbp to build with; by default the one that this program was built from.
    #[arg(long, value_name = "PATH")]
    pub(crate) sbp: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct DoctorArgs {
    /// Print one JSON object instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}
