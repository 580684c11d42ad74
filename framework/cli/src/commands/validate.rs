//! `sbp validate`: every problem of a recipe at once; touches neither data nor libtorch.

use crate::args::RecipeArgs;
use crate::exit::{Done, Failure};
use crate::say::say;

/// Checks the recipe.
pub(crate) fn run(args: &RecipeArgs) -> Result<Done, Failure> {
    let loaded = sbp_recipe::load_points(&args.recipe, &args.overrides());
    if args.json {
        let problems: Vec<_> = loaded
            .as_ref()
            .err()
            .map(|errors| errors.problems.iter().map(|problem| problem.to_json()).collect())
            .unwrap_or_default();
        say(format_args!("{}", serde_json::json!({"valid": loaded.is_ok(), "problems": problems})));
    }
    let points = loaded?.len();
    if !args.json {
        let what = if points == 1 { "recipe".to_owned() } else { format!("sweep of {points} points") };
        say(format_args!("{} is a valid {what}", args.recipe.display()));
    }
    Ok(Done::Fully)
}
