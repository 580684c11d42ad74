//! What is wrong with a recipe that a schema cannot say: values that do not fit each other.

use sbp_core::Duration;
use sbp_plugin::catch_panic;
use sbp_plugin::input::not_local;
use sbp_plugin::registry::BuildContext;

use crate::check::at_value;
use crate::code::Code;
use crate::diagnostic::Problem;
use crate::load::Layers;
use crate::source::{dotted, escape};
use crate::{ComparisonSection, InitFrom, Recipe, SynthesizerSection};

/// Every such problem.
pub(crate) fn meaning(recipe: &Recipe, layers: &Layers) -> Vec<Problem> {
    let mut found = Findings { layers, problems: Vec::new() };
    names(recipe, &mut found);
    splits(recipe, &mut found);
    model(recipe, &mut found);
    arms(recipe, &mut found);
    budgets(recipe, &mut found);
    if let Some(section) = &recipe.synthesizer {
        room(recipe, section, &mut found);
        tuning(section, &mut found);
    }
    metrics(recipe, &mut found);
    for (pointer, choice) in recipe.choices() {
        for (option, message) in choice.check() {
            let help = format!("see `sbp plugins show {}` for what each option means", choice.kind());
            found.add(&format!("{pointer}/{option}"), Code::PluginOption, message, &help);
        }
    }
    found.problems
}

fn tuning(section: &SynthesizerSection, found: &mut Findings<'_>) {
    let names = section.init.checkpoint.is_some();
    if let Some(problem) = section.init.checkpoint.as_ref().and_then(|path| not_local(path.as_ref())) {
        found.add(
            "/synthesizer/init/checkpoint",
            Code::PluginOption,
            problem,
            "weights are mapped into memory from where they lie",
        );
    }
    if names != (section.init.from == InitFrom::Checkpoint) {
        let message = match names {
            true => "weights do not come from a checkpoint, so that there is no use for one",
            false => "weights come from a checkpoint, but none is named",
        };
        found.add(
            if names { "/synthesizer/init/checkpoint" } else { "/synthesizer/init/from" },
            Code::InitCheckpoint,
            message.to_owned(),
            "write `init = { from = \"checkpoint\", checkpoint = \"FOLDER\" }`, or leave both out",
        );
    }
    if section.tuning.cross_documents {
        found.add(
            "/synthesizer/tuning/cross_documents",
            Code::CrossingPairs,
            "pairs are tuned on one by one".to_owned(),
            "remove it, or set it in `[training]`, which is about documents",
        );
    }
}

/// Problems, each at the place of the option it is about.
struct Findings<'a> {
    layers: &'a Layers,
    problems: Vec<Problem>,
}

impl Findings<'_> {
    fn add(&mut self, pointer: &str, code: Code, message: String, help: &str) {
        let problem = Problem::new(code, format!("`{}`: {message}", dotted(pointer)));
        self.problems.push(at_value(self.layers, problem, pointer).help(help));
    }
}

fn names(recipe: &Recipe, found: &mut Findings<'_>) {
    for name in recipe.arms.keys().filter(|name| !is_file_name(name)) {
        found.add(
            &format!("/arms/{}", escape(name)),
            Code::ArmName,
            "an arm's name becomes a folder".to_owned(),
            "use letters, digits, `-` and `_`",
        );
    }
    for (name, _) in recipe.execution.keep_checkpoints.named.iter().filter(|(name, _)| !is_file_name(name)) {
        found.add(
            &format!("/execution/keep_checkpoints/named/{}", escape(name)),
            Code::CheckpointName,
            "a checkpoint's name becomes a folder".to_owned(),
            "use letters, digits, `-` and `_`",
        );
    }
    let mut seeds = recipe.recipe.seeds.clone();
    seeds.sort_unstable();
    seeds.dedup();
    if seeds.len() != recipe.recipe.seeds.len() {
        found.add(
            "/recipe/seeds",
            Code::RepeatedSeed,
            "a seed is listed twice".to_owned(),
            "list each seed once",
        );
    }
}

fn is_file_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

fn splits(recipe: &Recipe, found: &mut Findings<'_>) {
    let pretrain = recipe.splits.pretrain_documents;
    if let Some(pool) = recipe.splits.oracle_documents.filter(|pool| *pool < pretrain) {
        found.add(
            "/splits/oracle_documents",
            Code::PoolTooSmall,
            format!("a pool of {pool} documents cannot begin with the {pretrain} of D_pretrain"),
            "raise it, or leave it out for splits.oracle_factor",
        );
    }
}

fn model(recipe: &Recipe, found: &mut Findings<'_>) {
    if let Err(error) = recipe.model.check() {
        let pointer = format!("/model/{}", error.field);
        found.add(&pointer, Code::ModelShape, error.message, "choose sizes that fit together");
    }
}

fn arms(recipe: &Recipe, found: &mut Findings<'_>) {
    for (role, name) in [("baseline", &recipe.comparison.baseline), ("oracle", &recipe.comparison.oracle)] {
        // A study without an oracle is a study; one that names an absent arm is a mistake.
        let is_default = *name == ComparisonSection::default().oracle;
        if !recipe.arms.contains_key(name) && (role == "baseline" || !is_default) {
            found.add(
                &format!("/comparison/{role}"),
                Code::UnknownArm,
                format!("no arm is called \"{name}\""),
                &format!("the arms are {}", recipe.arms.keys().cloned().collect::<Vec<_>>().join(", ")),
            );
        }
    }
    let Err(missing) = recipe.synthesis() else { return };
    for name in recipe.arms.keys() {
        let what = match (share_of_synthetic(recipe, name) > 0.0, needs_pairs(recipe, name)) {
            (true, _) => "trains on synthetic documents",
            (false, true) => "trains on pairs",
            (false, false) => continue,
        };
        found.add(
            &format!("/arms/{}", escape(name)),
            Code::NeedsSynthesizer,
            format!("it {what}, but the recipe has no [{}]", missing.join("], [")),
            "add what is missing, or leave out the arm",
        );
    }
}

/// Whether an arm reads related documents in one context.
fn needs_pairs(recipe: &Recipe, arm: &str) -> bool {
    let arm = recipe.arms[arm].build(&BuildContext::default());
    arm.and_then(|arm| catch_panic(|| arm.needs_pairs())).unwrap_or(false)
}

/// Synthetic tokens that an arm asks for, as a share of its budget.
fn share_of_synthetic(recipe: &Recipe, arm: &str) -> f64 {
    /// Large enough that rounding to whole tokens does not show.
    const BUDGET: u64 = 1 << 40;
    let wanted = recipe.arms[arm]
        .build(&BuildContext::default())
        .and_then(|arm| catch_panic(|| arm.synthetic_tokens(BUDGET)));
    // What fails here fails again, with more to say, in the stage that needs it.
    wanted.map_or(0.0, |tokens| tokens as f64 / BUDGET as f64)
}

fn budgets(recipe: &Recipe, found: &mut Findings<'_>) {
    let tuning =
        recipe.synthesizer.as_ref().map(|section| (&section.duration, section.tuning.tokens_per_step));
    for (pointer, duration, tokens_per_step) in [
        ("/budget/duration", Some(recipe.budget.duration), recipe.training.tokens_per_step),
        ("/base/duration", Some(recipe.base.duration), recipe.training.tokens_per_step),
        (
            "/synthesizer/duration",
            tuning.map(|(duration, _)| *duration),
            tuning.map_or(1, |(_, per_step)| per_step),
        ),
    ] {
        if let Some(Duration::Tokens(tokens)) = duration
            && tokens < tokens_per_step
        {
            found.add(
                pointer,
                Code::LessThanAStep,
                format!("{tokens} tokens are less than one step of {tokens_per_step}"),
                "give it more tokens, or lower tokens_per_step",
            );
        }
    }
    let (Ok(synthesis), Some(budget)) = (recipe.synthesis(), known_tokens(recipe)) else { return };
    let Some(longest) = longest_completion(synthesis.synthesizer) else { return };
    let draws = u64::from(synthesis.synthesizer.max_draws_per_seed);
    let most = recipe.splits.pretrain_documents as u64 * draws * longest as u64;
    for name in recipe.arms.keys() {
        let wanted = (share_of_synthetic(recipe, name) * budget as f64) as u64;
        if wanted > most {
            found.add(
                &format!("/arms/{}", escape(name)),
                Code::BudgetNotMet,
                format!(
                    "it asks for {wanted} synthetic tokens; {} documents with {draws} draws of up to {longest} tokens give {most} at most",
                    recipe.splits.pretrain_documents
                ),
                "raise synthesizer.max_draws_per_seed, or lower the arm's synthetic share or budget.duration",
            );
        }
    }
}

fn longest_completion(section: &SynthesizerSection) -> Option<usize> {
    let sampling = section.sampling.build(&BuildContext::default()).ok()?;
    catch_panic(|| sampling.max_new_tokens()).ok()
}

/// The budget in tokens, where the recipe alone tells it.
fn known_tokens(recipe: &Recipe) -> Option<u64> {
    match recipe.budget.duration {
        Duration::Tokens(tokens) => Some(tokens),
        Duration::Steps(steps) => steps.checked_mul(recipe.training.tokens_per_step),
        Duration::Passes(_) => None,
    }
}

fn room(recipe: &Recipe, section: &SynthesizerSection, found: &mut Findings<'_>) {
    let (Some(longest), context) = (longest_completion(section), recipe.model.context_length) else { return };
    if longest + 2 >= context {
        found.add(
            "/synthesizer/sampling/max_new_tokens",
            Code::NoRoomForSeed,
            format!(
                "completions of up to {longest} tokens leave no room for a seed document in a context of {context}"
            ),
            "lower it or raise model.context_length",
        );
    }
}

fn metrics(recipe: &Recipe, found: &mut Findings<'_>) {
    let computed: Vec<String> = recipe
        .evaluators
        .iter()
        .filter_map(|evaluator| evaluator.build(&BuildContext::default()).ok())
        .filter_map(|evaluator| catch_panic(|| evaluator.metrics()).ok())
        .flatten()
        .collect();
    for (index, metric) in recipe.comparison.metrics.iter().enumerate() {
        if !computed.contains(metric) {
            found.add(
                &format!("/comparison/metrics/{index}"),
                Code::UnknownMetric,
                format!("no evaluator of the recipe computes \"{metric}\""),
                &format!("the metrics are {}", computed.join(", ")),
            );
        }
    }
}
