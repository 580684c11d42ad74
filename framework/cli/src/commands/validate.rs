//! `sbp validate`: every problem of a recipe at once; touches neither data nor libtorch.

use crate::args::RecipeArgs;
use crate::exit::{Done, Failure};
use crate::say::say;

/// Checks the recipe.
pub(crate) fn run(args: &RecipeArgs) -> Result<Done, Failure> {
    let loaded = sbp_recipe::load(&args.recipe, &args.overrides());
    if args.json {
        let problems: Vec<_> = loaded
            .as_ref()
            .err()
            .map(|errors| errors.problems.iter().map(|problem| problem.to_json()).collect())
            .unwrap_or_default();
        say(format_args!("{}", serde_json::json!({"valid": loaded.is_ok(), "problems": problems})));
    }
    loaded?;
    if !args.json {
        say(format_args!("{} is a valid recipe", args.recipe.display()));
    }
    Ok(Done::Fully)
}
