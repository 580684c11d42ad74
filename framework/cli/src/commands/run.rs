//! `sbp run`: from a recipe to its table.

use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Instant;

use sbp_pipeline::{Options, Reporter as _, home_of};
use sbp_recipe::Plan;
use sbp_runtime::{TorchRuntime, device};

use crate::args::RunArgs;
use crate::exit::{self, Done, Failure};
use crate::say::say;
use crate::screen::{Screen, people};
use crate::stop::StopFlag;
use crate::threads;

/// Runs the recipe and prints its table.
pub(crate) fn run(args: &RunArgs) -> Result<Done, Failure> {
    threads::wait_asleep();
    let outcome = run_to_table(args);
    if args.recipe.json {
        print_json(&outcome);
    }
    outcome.map(|(done, _)| done)
}

fn run_to_table(args: &RunArgs) -> Result<(Done, sbp_pipeline::Finished), Failure> {
    let started = Instant::now();
    let mut overrides = args.recipe.overrides();
    overrides.sets.extend(args.device.iter().map(|device| format!("execution.device=\"{device}\"")));
    let plan = Plan::new(sbp_recipe::load(&args.recipe.recipe, &overrides)?);
    let execution = &plan.recipe.execution;
    let device = execution
        .device
        .parse()
        .and_then(|choice| device::init(choice, execution.num_threads.and_then(NonZeroUsize::new)))
        .map_err(|error| Failure::Other(error.to_string()))?;
    let note = device.note.clone();
    let mut runtime = TorchRuntime::new(device);
    let stop =
        StopFlag::listen().map_err(|error| Failure::Other(format!("cannot listen for signals: {error}")))?;
    let mut screen = Screen::new(stop, args.recipe.json);
    if let Some(note) = note {
        screen.warn(&note);
    }
    let home = home_of(&args.recipe.recipe, home_from_env());
    let options = Options {
        home: &home,
        recipe_folder: args
            .recipe
            .recipe
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
            .unwrap_or(Path::new(".")),
        elapsed: &|| started.elapsed(),
    };
    let finished = sbp_pipeline::run(&plan, &mut runtime, &mut screen, &options)?;
    screen.show(&format!("\n{}", finished.table));
    screen.show(&format!(
        "{} in all ({})\ntable    {}\nresults  {}\nagain    the same command reuses every stage",
        people(started.elapsed()),
        screen.summary(),
        finished.folder.path.join("report/table.md").display(),
        finished.folder.results().display(),
    ));
    let done = if finished.results.compute_match.matched { Done::Fully } else { Done::Unmatched };
    Ok((done, finished))
}

/// The one object that scripts read from standard output.
fn print_json(outcome: &Result<(Done, sbp_pipeline::Finished), Failure>) {
    let finished = outcome.as_ref().ok().map(|(_, finished)| finished);
    let number = match outcome {
        Ok((done, _)) => exit::number(&Ok(*done)),
        Err(Failure::Recipe(_)) => 78,
        Err(Failure::Run(sbp_pipeline::Error::Stopped { .. })) => 75,
        Err(_) => 1,
    };
    say(format_args!(
        "{}",
        serde_json::json!({
            "run_dir": finished.map(|finished| &finished.folder.path),
            "results": finished.map(|finished| finished.folder.results()),
            "compute_matched": finished.map(|finished| finished.results.compute_match.matched),
            "exit": number,
        })
    ));
}

/// `$SBP_HOME`: a place, not science.
pub(crate) fn home_from_env() -> Option<std::path::PathBuf> {
    std::env::var_os("SBP_HOME").filter(|home| !home.is_empty()).map(Into::into)
}
