//! `sbp plan`: what a recipe would do, before anything is spent.

use sbp_pipeline::estimate_supply;
use sbp_recipe::Plan;

use crate::args::PlanArgs;
use crate::exit::{Done, Failure};
use crate::say::say;

/// Prints the plan; runs nothing.
pub(crate) fn run(args: &PlanArgs) -> Result<Done, Failure> {
    let loaded = sbp_recipe::load(&args.recipe.recipe, &args.recipe.overrides())?;
    if args.origins {
        for (name, value, origin) in loaded.origins() {
            say(format_args!("{name} = {value}   # {origin}"));
        }
        return Ok(Done::Fully);
    }
    let plan = Plan::new(loaded);
    let mut supply = estimate_supply(&plan)?;
    supply.synthetic = plan.synthetic_wanted(&supply).map_err(|error| Failure::Other(error.to_string()))?;
    let model = &plan.recipe.model;
    let vocab_size = plan.recipe.tokenizer.vocab_size;
    let mean_context = (supply.pretrain as f64 / plan.recipe.splits.pretrain_documents as f64 / 2.0)
        .min(model.context_length as f64 / 2.0);
    let flops_per_token = model.train_flops_per_token(vocab_size, mean_context);
    let arms = plan.arms(&supply, 0, flops_per_token).map_err(|error| Failure::Other(error.to_string()))?;
    if args.recipe.json {
        say(format_args!(
            "{}",
            serde_json::json!({"plan": plan.id, "recipe": plan.recipe, "estimated_supply": supply, "arms": arms})
        ));
        return Ok(Done::Fully);
    }
    say(plan.tree(&arms, &supply, "~").trim_end());
    let tokens: u64 = arms.iter().map(|arm| arm.budget.tokens).sum();
    say(format_args!(
        "model           {:.2}M parameters, {:.3e} FLOPs a training token; all arms ~{:.2e} FLOPs a seed",
        model.num_parameters(vocab_size) as f64 / 1e6,
        flops_per_token,
        flops_per_token * tokens as f64,
    ));
    say(format_args!(
        "token counts with ~ are estimates from the first documents; a run replaces them by exact ones"
    ));
    Ok(Done::Fully)
}
