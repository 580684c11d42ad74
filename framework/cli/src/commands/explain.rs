//! `sbp explain`: why a stage is reused or made.

use std::fmt::Write as _;

use sbp_pipeline::explain::{Explained, Explanation, Fate, explain, explain_run};
use sbp_pipeline::home_of;
use sbp_recipe::{Overrides, Plan};
use serde_json::json;

use crate::args::ExplainArgs;
use crate::commands::run::home_from_env;
use crate::exit::{Done, Failure};
use crate::here;
use crate::say::say;

/// Explains a recipe, or every point of its sweep, or a run.
pub(crate) fn run(args: &ExplainArgs) -> Result<Done, Failure> {
    let is_recipe = args.what.is_file() || args.what.extension().is_some_and(|it| it == "toml");
    let explained = if is_recipe { recipe(args)? } else { vec![one_run(args)?] };
    if args.json {
        let answers = explained.into_iter().map(|(name, of)| {
            let stages: Vec<Explained> = of.stages.into_iter().filter(|it| is_meant(args, it)).collect();
            json!({"of": name, "stages": stages, "is_complete": of.is_complete})
        });
        say(serde_json::Value::from_iter(answers));
    } else {
        for (name, of) in &explained {
            if explained.len() > 1 {
                say(format_args!("{name}:"));
            }
            say(text(args, of).trim_end());
        }
    }
    Ok(Done::Fully)
}

fn recipe(args: &ExplainArgs) -> Result<Vec<(String, Explanation)>, Failure> {
    let overrides = Overrides { profiles: args.profiles.clone(), sets: args.sets.clone() };
    let home = home_of(&args.what, home_from_env());
    let points = sbp_recipe::load_points(&args.what, &overrides)?;
    let plans = points.into_iter().map(Plan::new);
    let explained = plans.map(|plan| {
        let name = match plan.is_point() {
            true => plan.point.to_string(),
            false => plan.recipe.recipe.name.clone(),
        };
        Ok((name, explain(&plan, &home)?))
    });
    explained.collect()
}

fn one_run(args: &ExplainArgs) -> Result<(String, Explanation), Failure> {
    if !args.sets.is_empty() || !args.profiles.is_empty() {
        let what = args.what.display();
        return Err(Failure::Other(format!("{what} is no recipe file, so that nothing can be set in it")));
    }
    let named = args.what.to_str().ok_or_else(|| Failure::Other("a run's name is UTF-8".to_owned()))?;
    let run = here::run(Some(named))?;
    Ok((run.name(), explain_run(&run)?))
}

/// Whether the stage is among those asked for.
fn is_meant(args: &ExplainArgs, explained: &Explained) -> bool {
    args.stage.as_ref().is_none_or(|stage| explained.stage.starts_with(stage.as_str()))
}

fn text(args: &ExplainArgs, of: &Explanation) -> String {
    let mut text = String::new();
    let meant: Vec<&Explained> = of.stages.iter().filter(|it| is_meant(args, it)).collect();
    for Explained { stage, fingerprint, fate, nearest } in &meant {
        let short = fingerprint.get(..8).unwrap_or(fingerprint);
        let fate = match fate {
            Fate::Reused => "reused",
            Fate::Made => "was made",
            Fate::ToMake => "to be made",
        };
        let _ = writeln!(text, "  {stage:<28} {fate:<10}  {short}");
        let Some(nearest) = nearest else { continue };
        let like = nearest.fingerprint.get(..8).unwrap_or(&nearest.fingerprint);
        let _ = writeln!(text, "      beside {like}, the most alike that is stored:");
        for difference in &nearest.differences {
            let _ = writeln!(text, "        {difference}");
        }
    }
    if meant.is_empty() {
        let known: Vec<&str> = of.stages.iter().map(|it| it.stage.as_str()).collect();
        let _ = writeln!(text, "  no stage so called is known yet; known are: {}", known.join(", "));
    }
    if let (false, Some(last)) = (of.is_complete, of.stages.last()) {
        let _ =
            writeln!(text, "  not made yet: what comes after \"{}\", on whose result it depends", last.stage);
    }
    text
}

#[cfg(test)]
mod tests {
    use sbp_pipeline::explain::Nearest;

    use super::*;

    #[test]
    fn differences_stand_under_their_stage() {
        let stage = |stage: &str, fate, nearest| Explained {
            stage: stage.to_owned(),
            fingerprint: "a".repeat(32),
            fate,
            nearest,
        };
        let nearest = Nearest {
            fingerprint: "b".repeat(32),
            differences: vec!["training.peak_lr: 0.004 stored, 0.005 now".to_owned()],
        };
        let of = Explanation {
            stages: vec![
                stage("corpus", Fate::Reused, None),
                stage("base seed 1", Fate::ToMake, Some(nearest)),
            ],
            is_complete: false,
        };
        let mut args = ExplainArgs {
            what: "recipe.toml".into(),
            stage: None,
            profiles: Vec::new(),
            sets: Vec::new(),
            json: false,
        };
        assert_eq!(
            text(&args, &of),
            "  corpus                       reused      aaaaaaaa\n  \
             base seed 1                  to be made  aaaaaaaa\n      \
             beside bbbbbbbb, the most alike that is stored:\n        \
             training.peak_lr: 0.004 stored, 0.005 now\n  \
             not made yet: what comes after \"base seed 1\", on whose result it depends\n"
        );
        args.stage = Some("train".to_owned());
        assert!(text(&args, &of).contains("known are: corpus, base seed 1"));
    }
}
