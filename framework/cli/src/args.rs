//! What can be typed.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use sbp_pipeline::Devices;
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
    /// Show what a recipe would do: arms, budgets, sources, what every stage takes. Runs nothing.
    #[command(
        after_help = "Examples:\n  sbp plan recipes/quickstart.toml\n  sbp plan recipes/quickstart.toml --origins\n  sbp plan recipes/quickstart.toml --lock\n  sbp plan recipes/paper/200b-3b.toml --mfu 0.5"
    )]
    Plan(PlanArgs),
    /// Make the report of finished runs anew from their results alone: tables, and a page with figures.
    #[command(
        after_help = "Examples:\n  sbp report .sbp/runs/quickstart/8f85d0ab\n  sbp report results.json --format tex --out paper/tables\n  sbp report --paper .sbp/runs/small/8f85d0ab .sbp/runs/large/1d495762"
    )]
    Report(ReportArgs),
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
    /// Score any model in a Hugging Face folder on tasks and texts, as lm-evaluation-harness lays results out.
    #[command(
        after_help = "Examples:\n  sbp eval --checkpoint .sbp/runs/quickstart/1de5811b/arms/sbp/seed-1/hf --tasks arc_easy,sciq --data eval\n  sbp eval --checkpoint Qwen3-0.6B-Base --tasks sbp-paper --data eval --perplexity owt2=owt2.jsonl.zst --device cuda --precision bf16 --output results/qwen3"
    )]
    Eval(EvalArgs),
    /// Compare finished runs with the first: options that differ, compute, paired differences of scores.
    #[command(
        after_help = "Examples:\n  sbp compare .sbp/runs/quickstart/1de5811b .sbp/runs/quickstart/7b1c09aa\n  sbp compare old/report/results.json new/report/results.json --json"
    )]
    Compare(CompareArgs),
    /// Print the JSON Schema of recipes.
    #[command(after_help = "Examples:\n  sbp schema\n  sbp schema > recipe.schema.json")]
    Schema,
    /// Say what was found of libtorch, CUDA and the machine, and what to mend.
    #[command(after_help = "Examples:\n  sbp doctor\n  sbp doctor --json")]
    Doctor(DoctorArgs),
    /// Write a folder with a recipe that runs as it is.
    #[command(after_help = "Examples:\n  sbp init\n  sbp init studies/mine --template jsonl")]
    Init(InitArgs),
    /// Say what a run is doing, or how it ended; from any shell.
    #[command(after_help = "Examples:\n  sbp status --watch\n  sbp status quickstart/1de5811b --json")]
    Status(StatusArgs),
    /// List the runs of this project, or remove one.
    #[command(after_help = "Examples:\n  sbp runs ls\n  sbp runs rm quickstart/1de5811b")]
    Runs(RunsArgs),
    /// Say of each stage of a recipe, or of a run, whether it is reused or made, and why. Runs nothing.
    #[command(
        after_help = "Examples:\n  sbp explain recipes/quickstart.toml --set training.peak_lr=5e-3\n  sbp explain quickstart/1de5811b train"
    )]
    Explain(ExplainArgs),
    /// Copy a trained model out of a run, as a Hugging Face folder with a model card.
    #[command(
        after_help = "Examples:\n  sbp export quickstart --arm sbp --to models/sbp\n  sbp export quickstart/1de5811b --synthesizer --seed 2 --to models/synthesizer"
    )]
    Export(ExportArgs),
    /// Say what the store holds that no run refers to, and free it with --yes.
    #[command(after_help = "Examples:\n  sbp gc\n  sbp gc --older-than 30d --yes")]
    Gc(GcArgs),
    /// Print the completions of a shell.
    #[command(
        after_help = "Examples:\n  sbp completions bash > ~/.local/share/bash-completion/completions/sbp\n  sbp completions zsh > ~/.zfunc/_sbp"
    )]
    Completions(CompletionsArgs),
    /// Write manual pages, one a verb.
    #[command(
        hide = true,
        after_help = "Examples:\n  sbp man --out ~/.local/share/man/man1\n  sbp man --out target/man"
    )]
    Man(ManArgs),
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
    /// Stop after so long, such as 90min or 2h, at the next safe point; the same command goes on (exit code 75).
    #[arg(long, value_name = "TIME")]
    pub(crate) stop_after: Option<humantime::Duration>,
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
    /// Share of an H100's peak that its hours are reckoned with, 0.4 unless given; hours of small studies are shown only when
    /// it is.
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub(crate) mfu: Option<f64>,
    /// Also tell time and memory on so many devices, such as `64xH100`.
    #[arg(long, value_name = "DEVICES")]
    pub(crate) devices: Option<Devices>,
    /// GB/s that each of the devices sends while gradients are summed: 50 is a network card of 400 Gb/s for each.
    #[arg(long, value_name = "GB/S", default_value_t = 50.0, requires = "devices", value_parser = above_zero)]
    pub(crate) bandwidth: f64,
}

/// A number above zero.
fn above_zero(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite() && *number > 0.0);
    number.ok_or_else(|| "a number above 0".to_owned())
}

/// A share of something: more than nothing, at most all.
fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| *share > 0.0 && *share <= 1.0);
    share.ok_or_else(|| "a number above 0, 1 at most".to_owned())
}

#[derive(Debug, clap::Args)]
pub(crate) struct ReportArgs {
    /// Folder of a run, folder of its report, or a `results.json`; several have a report each.
    #[arg(value_name = "RUN", required = true)]
    pub(crate) runs: Vec<PathBuf>,
    /// What to write.
    #[arg(long, value_enum, default_value_t = FormatChoice::All)]
    pub(crate) format: FormatChoice,
    /// Write into this folder, not beside the results.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Set the figures of the published study beside those of the runs, in `paper.md` and on the page.
    #[arg(long)]
    pub(crate) paper: bool,
    /// Print one JSON object instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

/// A format, or all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum FormatChoice {
    /// Tables in Markdown: table.md.
    Md,
    /// Scores for spreadsheets and data frames: table.csv.
    Csv,
    /// Scores for a paper, in LaTeX: table.tex.
    Tex,
    /// One page with everything, figures included: report.html.
    Html,
    /// All four.
    All,
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
#[command(group = clap::ArgGroup::new("questions").required(true).multiple(true).args(["tasks", "perplexity"]))]
pub(crate) struct EvalArgs {
    /// The model: a Hugging Face folder with its tokenizer, such as arms/<arm>/seed-<seed>/hf of a run.
    #[arg(long, value_name = "DIR")]
    pub(crate) checkpoint: PathBuf,
    /// What to ask: names of tasks and suites, and task files of your own that end in .toml.
    #[arg(long, value_name = "NAME", value_delimiter = ',', requires = "data")]
    pub(crate) tasks: Vec<String>,
    /// Where the files of the tasks lie.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Solved examples before each item; by default as many as the task says.
    #[arg(long, value_name = "N", requires = "tasks")]
    pub(crate) num_fewshot: Option<usize>,
    /// Ask the first N items of each task only.
    #[arg(long, value_name = "N", requires = "tasks", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) limit: Option<u64>,
    /// Measure the perplexity of texts, under a name; may be given several times.
    #[arg(long, value_name = "NAME=PATH", value_parser = named_path)]
    pub(crate) perplexity: Vec<(String, PathBuf)>,
    /// Tokens by which the window moves on over a text that is longer than the context.
    #[arg(long, value_name = "N", requires = "perplexity", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) stride: Option<u64>,
    /// Where to run: cpu, cuda, cuda:N or auto.
    #[arg(long, default_value = "auto")]
    pub(crate) device: String,
    /// What the model computes in; probabilities are fp32 in either case.
    #[arg(long, default_value = "fp32", value_parser = ["fp32", "bf16"])]
    pub(crate) precision: String,
    /// Write results.json, and samples_<task>.jsonl for every task, into this folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,
    /// Print the results as one JSON object instead of the table.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `NAME=PATH` as two.
fn named_path(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((name, path)) if !name.is_empty() && !path.is_empty() => Ok((name.to_owned(), path.into())),
        _ => Err("write a name and a path, such as owt2=owt2.jsonl.zst".to_owned()),
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct CompareArgs {
    /// Two runs or more: their folders, or their results.json. Each is compared with the first.
    #[arg(value_name = "RUN", num_args = 2.., required = true)]
    pub(crate) runs: Vec<PathBuf>,
    /// Print one JSON object instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct DoctorArgs {
    /// Print one JSON object instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct InitArgs {
    /// The folder to write into; made if it is not there.
    #[arg(value_name = "DIR", default_value = ".")]
    pub(crate) folder: PathBuf,
    /// What to begin with.
    #[arg(long, value_name = "NAME", value_enum, default_value_t = TemplateName::Quickstart)]
    pub(crate) template: TemplateName,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum TemplateName {
    /// A made-up world whose truth is known: minutes on a laptop.
    Quickstart,
    /// Documents of your own, one JSON object a line.
    Jsonl,
}

#[derive(Debug, clap::Args)]
pub(crate) struct StatusArgs {
    /// The run: its folder, `recipe/id`, the beginning of its id, or a recipe's name; by default the latest.
    pub(crate) run: Option<String>,
    /// Keep looking until the run ends.
    #[arg(long)]
    pub(crate) watch: bool,
    /// Print one JSON object instead of text; one a line with --watch.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RunsArgs {
    #[command(subcommand)]
    pub(crate) verb: RunsVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RunsVerb {
    /// List the runs, the latest first.
    #[command(after_help = "Examples:\n  sbp runs ls\n  sbp runs ls --json")]
    Ls {
        /// Print a JSON list instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Remove a run's folder: its report and its links. `sbp gc` then finds the artifacts that nobody else refers to.
    #[command(
        after_help = "Examples:\n  sbp runs rm quickstart/1de5811b\n  sbp runs rm .sbp/runs/quickstart/1de5811b"
    )]
    Rm {
        /// The run: its folder, `recipe/id`, or the beginning of its id.
        run: String,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct ExplainArgs {
    /// The recipe, a TOML file; or a run, as `sbp status` takes it.
    #[arg(value_name = "RECIPE|RUN")]
    pub(crate) what: PathBuf,
    /// Only stages whose name begins so, such as `train` or `train sbp`.
    pub(crate) stage: Option<String>,
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

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("model").required(true))]
pub(crate) struct ExportArgs {
    /// The run: its folder, `recipe/id`, the beginning of its id, or a recipe's name, of which the latest is taken.
    pub(crate) run: String,
    /// The model of this arm.
    #[arg(long, value_name = "NAME", group = "model")]
    pub(crate) arm: Option<String>,
    /// The tuned synthesizer.
    #[arg(long, group = "model")]
    pub(crate) synthesizer: bool,
    /// The seed, where the run has several.
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// The folder to make. It must not be there.
    #[arg(long, value_name = "DIR")]
    pub(crate) to: PathBuf,
    /// Print one JSON object instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct GcArgs {
    /// Free it; without this, nothing is changed.
    #[arg(long)]
    pub(crate) yes: bool,
    /// Change nothing, which is the default.
    #[arg(long, conflicts_with = "yes")]
    pub(crate) dry_run: bool,
    /// Only what was last written to longer ago than this, such as 12h or 30d.
    #[arg(long, value_name = "TIME")]
    pub(crate) older_than: Option<humantime::Duration>,
    /// Also what stopped or killed runs would go on from.
    #[arg(long)]
    pub(crate) half_made: bool,
    /// Print one JSON object instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct CompletionsArgs {
    /// The shell.
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ManArgs {
    /// The folder to write them into; made if it is not there.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_help_of_every_verb_ends_with_examples() {
        let command = Args::command();
        command.clone().debug_assert();
        for verb in command.get_subcommands() {
            let help = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
            let examples = help.lines().filter(|line| line.starts_with("  sbp ")).count();
            assert!(help.starts_with("Examples:\n") && examples >= 2, "{}: {help:?}", verb.get_name());
        }
    }
}
