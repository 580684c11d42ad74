//! `sbp run`: from a recipe to its table.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sbp_pipeline::report::Format;
use sbp_pipeline::{Options, Quiet, Reporter, RunFolder, home_of};
use sbp_plugin::engine::Engine;
use sbp_plugin::ports::Runtime;
use sbp_plugin::team::Team;
use sbp_recipe::Plan;

use crate::args::{RecipeArgs, RunArgs};
use crate::exit::{self, Done, Failure};
use crate::handover;
use crate::locked;
use crate::say::say;
use crate::screen::{Screen, people};
use crate::stop::StopFlag;

/// Runs the recipe and prints its table.
pub(crate) fn run(args: &RunArgs, engine: &dyn Engine) -> Result<Done, Failure> {
    handover::for_threads();
    let home = home_of(&args.recipe.recipe, home_from_env());
    let (folder, outcome) = match plans(args) {
        Ok(plans) => {
            let folder = folder_of(&home, &plans);
            let outcome = match joined(engine, &folder) {
                Err(failure) => Err(failure),
                Ok(team) if team.is_leader() => {
                    told(&*team, run_to_table(args, &plans, &home, engine, Arc::clone(&team)))
                }
                Ok(team) => return told(&*team, follow(args, &plans, &home, engine, Arc::clone(&team))),
            };
            (Some(folder), outcome)
        }
        Err(failure) => (None, Err(failure)),
    };
    if args.recipe.json {
        print_json(folder.as_ref(), &outcome);
    }
    outcome
}

/// The processes that do this work together.
pub(crate) fn joined(engine: &dyn Engine, folder: &RunFolder) -> Result<Arc<dyn Team>, Failure> {
    let work = folder.path.file_name().unwrap_or_default().to_string_lossy();
    engine.join(&work).map_err(|error| Failure::Other(error.to_string()))
}

/// Tells the other processes what failed beside the run itself, which they cannot know.
pub(crate) fn told(team: &dyn Team, outcome: Result<Done, Failure>) -> Result<Done, Failure> {
    if let Err(Failure::Other(reason)) = &outcome {
        team.fail(reason);
    }
    outcome
}

/// The plan of the recipe, or those of its sweep's points.
fn plans(args: &RunArgs) -> Result<Vec<Plan>, Failure> {
    let mut overrides = args.recipe.overrides();
    overrides.sets.extend(args.device.iter().map(|device| format!("execution.device=\"{device}\"")));
    let points = sbp_recipe::load_points(&args.recipe.recipe, &overrides)?;
    let plans: Vec<Plan> = points.into_iter().map(Plan::new).collect();
    if args.locked {
        locked::check(&args.recipe.recipe, &plans)?;
    }
    Ok(plans)
}

fn folder_of(home: &Path, plans: &[Plan]) -> RunFolder {
    match plans {
        [plan] if !plan.is_point() => RunFolder::of(home, plan),
        plans => RunFolder::of_sweep(home, plans),
    }
}

fn run_to_table(
    args: &RunArgs,
    plans: &[Plan],
    home: &Path,
    engine: &dyn Engine,
    team: Arc<dyn Team>,
) -> Result<Done, Failure> {
    let started = Instant::now();
    let (mut runtime, mut screen) = ready(&plans[0], engine, args.recipe.json, team)?;
    if let Some(limit) = args.stop_after {
        screen.stop_after(limit.into());
    }
    let elapsed = || started.elapsed();
    let options = Options { home, recipe_folder: folder_of_recipe(&args.recipe), elapsed: &elapsed };
    let (table, done, folder, page) = match plans {
        [plan] if !plan.is_point() => {
            let finished = sbp_pipeline::run(plan, &mut *runtime, &mut screen, &options)?;
            let page = finished.folder.path.join("report").join(Format::Html.file_name());
            let page = format!("report   {}\n", page.display());
            (finished.table, Done::of(finished.results.compute_match.matched), finished.folder, page)
        }
        plans => {
            let finished = sbp_pipeline::run_sweep(plans, &mut *runtime, &mut screen, &options)?;
            let results = &finished.results;
            let done = if results.is_complete() { Done::of(results.is_matched()) } else { Done::Partly };
            (finished.table, done, finished.folder, String::new())
        }
    };
    screen.show(&format!("\n{table}"));
    screen.show(&format!("{}\n", screen.summary()));
    screen.show(&format!(
        "{} in all\n{page}table    {}\nresults  {}\nagain    the same command reuses every stage",
        people(started.elapsed()),
        folder.path.join("report/table.md").display(),
        folder.results().display(),
    ));
    Ok(done)
}

/// Takes part in what another process leads.
fn follow(
    args: &RunArgs,
    plans: &[Plan],
    home: &Path,
    engine: &dyn Engine,
    team: Arc<dyn Team>,
) -> Result<Done, Failure> {
    let mut stop = listen()?;
    if let Some(limit) = args.stop_after {
        stop.set_after(limit.into());
    }
    let options =
        Options { home, recipe_folder: folder_of_recipe(&args.recipe), elapsed: &|| Duration::ZERO };
    quietly(&plans[0], engine, team, &stop, |runtime, reporter| {
        plans.iter().try_for_each(|plan| sbp_pipeline::follow(plan, runtime, reporter, &options))
    })
}

/// Does what another process leads, with the runtime that a plan asks for, and shows nothing.
pub(crate) fn quietly(
    plan: &Plan,
    engine: &dyn Engine,
    team: Arc<dyn Team>,
    stop: &StopFlag,
    work: impl FnOnce(&mut dyn Runtime, &mut dyn Reporter) -> Result<(), sbp_pipeline::Error>,
) -> Result<Done, Failure> {
    let execution = &plan.recipe.execution;
    let num_threads = execution.num_threads.and_then(NonZeroUsize::new);
    let rank = team.rank();
    let opened = engine.runtime(&execution.device, num_threads, team);
    let mut runtime = opened.map_err(|error| Failure::Other(error.to_string()))?.runtime;
    work(&mut *runtime, &mut Quiet(|| stop.is_set())).map_err(|error| Failure::Follower { rank, error })?;
    Ok(Done::Fully)
}

pub(crate) fn listen() -> Result<StopFlag, Failure> {
    StopFlag::listen().map_err(|error| Failure::Other(format!("cannot listen for signals: {error}")))
}

/// The runtime that a plan asks for, and the screen that shows its progress and hears of signals.
pub(crate) fn ready(
    plan: &Plan,
    engine: &dyn Engine,
    stdout_is_taken: bool,
    team: Arc<dyn Team>,
) -> Result<(Box<dyn Runtime>, Screen), Failure> {
    let execution = &plan.recipe.execution;
    let num_threads = execution.num_threads.and_then(NonZeroUsize::new);
    open(engine, &execution.device, num_threads, team, Screen::new(listen()?, stdout_is_taken))
}

/// A runtime on a device; the screen is told what is unusual about it.
pub(crate) fn open(
    engine: &dyn Engine,
    device: &str,
    num_threads: Option<NonZeroUsize>,
    team: Arc<dyn Team>,
    mut screen: Screen,
) -> Result<(Box<dyn Runtime>, Screen), Failure> {
    let opened =
        engine.runtime(device, num_threads, team).map_err(|error| Failure::Other(error.to_string()))?;
    if let Some(note) = opened.note {
        screen.warn(&note);
    }
    Ok((opened.runtime, screen))
}

/// The folder that a recipe lies in.
pub(crate) fn folder_of_recipe(args: &RecipeArgs) -> &Path {
    let parent = args.recipe.parent().filter(|folder| !folder.as_os_str().is_empty());
    parent.unwrap_or(Path::new("."))
}

/// The one object that scripts read from standard output; the folder is known when the recipe is valid.
fn print_json(folder: Option<&RunFolder>, outcome: &Result<Done, Failure>) {
    let done = outcome.as_ref().ok();
    say(format_args!(
        "{}",
        serde_json::json!({
            "run_dir": folder.map(|folder| &folder.path),
            "results": done.and(folder).map(RunFolder::results),
            "compute_matched": done.filter(|done| **done != Done::Partly).map(|done| *done == Done::Fully),
            "exit": exit::number(outcome),
        })
    ));
}

/// `$SBP_HOME`: a place, not science.
pub(crate) fn home_from_env() -> Option<std::path::PathBuf> {
    std::env::var_os("SBP_HOME").filter(|home| !home.is_empty()).map(Into::into)
}
