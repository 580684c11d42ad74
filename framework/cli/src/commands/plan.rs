//! `sbp plan`: what a recipe would do, before anything is spent.

use sbp_pipeline::{Detectable, OnDevices, Presumed, Preview, on_devices, preview};
use sbp_recipe::{Loaded, Plan};

use super::{devices, price};
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
        let on_devices = args.devices.as_ref().map(|devices| {
            let mfu = args.mfu.unwrap_or(price::MFU);
            on_devices(plan, &preview, devices, Presumed { mfu, bytes_per_sec: 1e9 * args.bandwidth })
        });
        if args.recipe.json {
            let mut answer = answer(point, plan, &preview, args.mfu);
            if let Some(on_devices) = on_devices {
                answer["on_devices"] = serde_json::json!(on_devices);
            }
            answers.push(answer);
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
        text(point, plan, &preview, args.mfu, on_devices.as_ref());
    }
    let lock = if args.lock { Some(locked::write(&args.recipe.recipe, &plans)?) } else { None };
    if args.recipe.json {
        let answer = match answers.as_mut_slice() {
            [one] if !plans[0].is_point() => one.take(),
            all => serde_json::json!({"points": all}),
        };
        say(answer);
    } else {
        say("counts with ~ and what stages take are estimates; a run replaces them by exact ones");
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

fn text(point: &Loaded, plan: &Plan, preview: &Preview, mfu: Option<f64>, on_devices: Option<&OnDevices>) {
    say(plan.tree(&preview.arms, &preview.supply, "~").trim_end());
    say(format_args!(
        "model           {:.2}M parameters, {:.3e} FLOPs a training token",
        plan.recipe.model.num_parameters(preview.vocab_size) as f64 / 1e6,
        preview.flops_per_token,
    ));
    let sizes = match &preview.declared {
        Some(why) => format!("declared by splits.expected, not counted: {why}"),
        None => "by the first documents of the corpus".to_owned(),
    };
    say(format_args!("sizes           {sizes}"));
    for line in detectable(&preview.detectable) {
        say(line);
    }
    say(format_args!("\n{}", price::text(&preview.price, mfu)));
    if let Some(on_devices) = on_devices {
        say(format_args!("\n{}", devices::text(on_devices)));
    }
    for warning in warnings(point, preview) {
        say(format_args!("{:?}", miette::Report::new(warning)));
    }
}

/// What the tasks could tell, a line for each accuracy below one that says what its numbers mean.
fn detectable(metrics: &[Detectable]) -> Vec<String> {
    let Some(first) = metrics.first() else { return Vec::new() };
    let shares: Vec<String> =
        first.effects.iter().map(|effect| format!("{:.0}%", 100.0 * effect.disagreement)).collect();
    let mut lines = vec![format!(
        "detectable      differences in accuracy found with 80% power (two-sided 5%, one seed) if arms differ on {} of items",
        shares.join(" or ")
    )];
    let width = metrics.iter().map(|one| one.metric.chars().count()).max().unwrap_or_default();
    for one in metrics {
        let effects: Vec<String> = one
            .effects
            .iter()
            .map(|effect| match effect.difference {
                Some(difference) => format!("{:.2}%", 100.0 * difference),
                None => "none".to_owned(),
            })
            .collect();
        lines.push(format!(
            "                {:<width$}  {:>6} items: {}",
            one.metric,
            one.num_items,
            effects.join(" or ")
        ));
    }
    lines
}

fn warnings(point: &Loaded, preview: &Preview) -> Vec<sbp_recipe::Problem> {
    let concerns = preview.concerns.iter();
    concerns
        .map(|concern| point.warning(&concern.pointer, concern.code, &concern.message).help(concern.help))
        .collect()
}

fn answer(point: &Loaded, plan: &Plan, preview: &Preview, mfu: Option<f64>) -> serde_json::Value {
    let warnings: Vec<_> = warnings(point, preview).iter().map(|warning| warning.to_json()).collect();
    serde_json::json!({
        "plan": plan.id,
        "point": plan.point,
        "recipe": plan.recipe,
        "estimated_supply": preview.supply,
        "declared": preview.declared,
        "arms": preview.arms,
        "detectable": preview.detectable,
        "price": price::answer(&preview.price, mfu),
        "warnings": warnings,
    })
}

#[cfg(test)]
mod tests {
    use sbp_pipeline::Effect;

    use super::*;

    #[test]
    fn what_tasks_could_tell_is_a_line_each() {
        let effect = |disagreement, difference| Effect { disagreement, difference };
        let one = |metric: &str, num_items, effects: [Option<f64>; 2]| Detectable {
            metric: metric.to_owned(),
            num_items,
            effects: vec![effect(0.1, effects[0]), effect(0.3, effects[1])],
        };
        let lines = detectable(&[
            one("eval/hellaswag/acc_norm", 10_042, [Some(0.008_837), Some(0.015_306)]),
            one("eval/few/acc", 20, [None, Some(0.290_8)]),
        ]);
        assert_eq!(
            lines,
            [
                "detectable      differences in accuracy found with 80% power (two-sided 5%, one seed) if arms differ on 10% or 30% of items",
                "                eval/hellaswag/acc_norm   10042 items: 0.88% or 1.53%",
                "                eval/few/acc                 20 items: none or 29.08%",
            ]
        );
        assert!(detectable(&[]).is_empty());
    }
}
