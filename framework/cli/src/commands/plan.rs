//! `sbp plan`: what a recipe would do, before anything is spent.

use sbp_pipeline::{Preview, preview};
use sbp_recipe::{Loaded, Plan};

use crate::args::PlanArgs;
use crate::exit::{Done, Failure};
use crate::locked;
use crate::say::say;

/// Prints the plan, or that of every point of a sweep; runs nothing.
pub(crate) fn run(args: &PlanArgs) -> Result<Done, Failure> {
    let points = sbp_recipe::load_points(&args.recipe.recipe, &args.recipe.overrides())?;
    if args.origins {
        points.iter().for_each(origins);
        return Ok(Done::Fully);
    }
    let plans: Vec<Plan> = points.iter().cloned().map(Plan::new).collect();
    if args.locked {
        locked::check(&args.recipe.recipe, &plans)?;
    }
    let mut answers = Vec::new();
    for (index, (point, plan)) in points.iter().zip(&plans).enumerate() {
        let preview = preview(plan)?;
        if args.recipe.json {
            answers.push(answer(point, plan, &preview));
            continue;
        }
        if plan.is_point() {
            say(format_args!(
                "{}point {} of {}: {}",
                if index == 0 { "" } else { "\n" },
                index + 1,
                plans.len(),
                plan.point
            ));
        }
        text(point, plan, &preview);
    }
    let lock = if args.lock { Some(locked::write(&args.recipe.recipe, &plans)?) } else { None };
    if args.recipe.json {
        let answer = match answers.as_mut_slice() {
            [one] if !plans[0].is_point() => one.take(),
            all => serde_json::json!({"points": all}),
        };
        say(answer);
    } else {
        say("token counts with ~ are estimates from the first documents; a run replaces them by exact ones");
        if let Some(path) = lock {
            say(format_args!("locked in {}; `--locked` refuses a recipe that differs", path.display()));
        }
    }
    Ok(Done::Fully)
}

fn origins(point: &Loaded) {
    if !point.point.0.is_empty() {
        say(format_args!("# {}", point.point));
    }
    for (name, value, origin) in point.origins() {
        say(format_args!("{name} = {value}   # {origin}"));
    }
}

fn text(point: &Loaded, plan: &Plan, preview: &Preview) {
    say(plan.tree(&preview.arms, &preview.supply, "~").trim_end());
    let model = &plan.recipe.model;
    let tokens: u64 = preview.arms.iter().map(|arm| arm.budget.tokens).sum();
    let overhead = if preview.overhead_flops > 0.0 {
        format!(", synthetic documents ~{:.2e}", preview.overhead_flops)
    } else {
        String::new()
    };
    say(format_args!(
        "model           {:.2}M parameters, {:.3e} FLOPs a training token; all arms ~{:.2e} FLOPs a seed{overhead}",
        model.num_parameters(plan.recipe.tokenizer.vocab_size) as f64 / 1e6,
        preview.flops_per_token,
        preview.flops_per_token * tokens as f64,
    ));
    for warning in warnings(point, preview) {
        say(format_args!("{:?}", miette::Report::new(warning)));
    }
}

fn warnings(point: &Loaded, preview: &Preview) -> Vec<sbp_recipe::Problem> {
    let concerns = preview.concerns.iter();
    concerns
        .map(|concern| point.warning(&concern.pointer, concern.code, &concern.message).help(concern.help))
        .collect()
}

fn answer(point: &Loaded, plan: &Plan, preview: &Preview) -> serde_json::Value {
    let warnings: Vec<_> = warnings(point, preview).iter().map(|warning| warning.to_json()).collect();
    serde_json::json!({
        "plan": plan.id,
        "point": plan.point,
        "recipe": plan.recipe,
        "estimated_supply": preview.supply,
        "arms": preview.arms,
        "warnings": warnings,
    })
}
