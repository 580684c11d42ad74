//! What is wrong with a recipe that a schema cannot say: values that do not fit each other.

use sbp_plugin::catch_panic;
use sbp_plugin::registry::BuildContext;

use crate::check::at_value;
use crate::diagnostic::Problem;
use crate::load::Layers;
use crate::source::{dotted, escape};
use crate::{ComparisonSection, Recipe};

/// Every such problem.
pub(crate) fn meaning(recipe: &Recipe, layers: &Layers) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut report = |pointer: &str, code, message: String, help: &str| {
        let problem =
            at_value(layers, Problem::new(code, format!("`{}`: {message}", dotted(pointer))), pointer);
        problems.push(problem.help(help.to_owned()));
    };
    if let Err(error) = recipe.model.check() {
        let pointer = format!("/model/{}", error.field);
        report(&pointer, "sbp::plan::model_shape", error.message, "choose sizes that fit together");
    }
    for (role, name) in [("baseline", &recipe.comparison.baseline), ("oracle", &recipe.comparison.oracle)] {
        // A study without an oracle is a study; one that names an absent arm is a mistake.
        let is_default = *name == ComparisonSection::default().oracle;
        if !recipe.arms.contains_key(name) && (role == "baseline" || !is_default) {
            report(
                &format!("/comparison/{role}"),
                "sbp::plan::unknown_arm",
                format!("no arm is called \"{name}\""),
                &format!("the arms are {}", recipe.arms.keys().cloned().collect::<Vec<_>>().join(", ")),
            );
        }
    }
    for (name, _) in recipe.arms.iter().filter(|(name, _)| !is_file_name(name)) {
        report(
            &format!("/arms/{}", escape(name)),
            "sbp::plan::arm_name",
            "an arm's name becomes a folder".to_owned(),
            "use letters, digits, `-` and `_`",
        );
    }
    // What fails here fails again, with more to say, in the stage that samples.
    let sampling = recipe.synthesizer.sampling.build(&BuildContext::default());
    if let Ok(longest) = sampling.and_then(|sampling| catch_panic(|| sampling.max_new_tokens())) {
        let context = recipe.model.context_length;
        if longest + 2 >= context {
            report(
                "/synthesizer/sampling/max_new_tokens",
                "sbp::plan::no_room_for_seed",
                format!(
                    "completions of up to {longest} tokens leave no room for a seed document in a context of {context}"
                ),
                "lower it or raise model.context_length",
            );
        }
    }
    let mut seeds = recipe.recipe.seeds.clone();
    seeds.sort_unstable();
    seeds.dedup();
    if seeds.len() != recipe.recipe.seeds.len() {
        report(
            "/recipe/seeds",
            "sbp::plan::repeated_seed",
            "a seed is listed twice".to_owned(),
            "list each seed once",
        );
    }
    for (pointer, message) in plugin_problems(recipe) {
        report(&pointer, "sbp::plan::option", message, "see `sbp plugins show` for what each option means");
    }
    problems
}

fn is_file_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

/// What the plugins themselves say of their options: `(pointer, message)`.
fn plugin_problems(recipe: &Recipe) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut add = |at: &str, problems: Vec<(&'static str, String)>| {
        found.extend(problems.into_iter().map(|(field, message)| (format!("{at}/{field}"), message)));
    };
    add("/corpus", recipe.corpus.check());
    add("/embedder", recipe.embedder.check());
    add("/retriever", recipe.retriever.check());
    add("/mixer", recipe.mixer.check());
    add("/synthesizer/objective", recipe.synthesizer.objective.check());
    add("/synthesizer/sampling", recipe.synthesizer.sampling.check());
    add("/synthesizer/tuning/schedule", recipe.synthesizer.tuning.schedule.check());
    add("/training/schedule", recipe.training.schedule.check());
    for (index, filter) in recipe.pairs.filters.iter().enumerate() {
        add(&format!("/pairs/filters/{index}"), filter.check());
    }
    for (index, filter) in recipe.synthesizer.filters.iter().enumerate() {
        add(&format!("/synthesizer/filters/{index}"), filter.check());
    }
    for (name, arm) in &recipe.arms {
        add(&format!("/arms/{}", escape(name)), arm.check());
    }
    for (index, evaluator) in recipe.evaluators.iter().enumerate() {
        add(&format!("/evaluators/{index}"), evaluator.check());
    }
    for (index, tracker) in recipe.trackers.iter().enumerate() {
        add(&format!("/trackers/{index}"), tracker.check());
    }
    found
}
