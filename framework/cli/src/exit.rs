//! Exit codes, all in one place.

use std::process::ExitCode;

use sbp_plugin::team::Broken;
use sbp_recipe::RecipeErrors;

/// How a command ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Done {
    /// As asked.
    Fully,
    /// To the end, but the arms are not comparable.
    Unmatched,
    /// To the end, but points of the sweep failed.
    Partly,
}

impl Done {
    /// By whether the arms spent the same.
    pub(crate) fn of(matched: bool) -> Self {
        if matched { Self::Fully } else { Self::Unmatched }
    }
}

/// How a command failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The recipe is invalid.
    Recipe(Box<RecipeErrors>),
    /// The run failed, or stopped and can be resumed.
    Run(sbp_pipeline::Error),
    /// The run that another process leads failed, or stopped and can be resumed.
    Follower {
        /// Which process says so.
        rank: usize,
        /// What it knows of it.
        error: sbp_pipeline::Error,
    },
    /// The recipe is not the one that was locked; what differs.
    Locked(String),
    /// Anything else, in words for people.
    Other(String),
}

impl From<RecipeErrors> for Failure {
    fn from(errors: RecipeErrors) -> Self {
        Self::Recipe(Box::new(errors))
    }
}

impl From<sbp_pipeline::Error> for Failure {
    fn from(error: sbp_pipeline::Error) -> Self {
        Self::Run(error)
    }
}

/// 0 done; 1 failed; 2 usage (by clap); 3 not compute-matched; 75 stopped and resumable; 78 the recipe is invalid, or
/// not the one that was locked.
pub(crate) fn number(outcome: &Result<Done, Failure>) -> u8 {
    match outcome {
        Ok(Done::Fully) => 0,
        Ok(Done::Unmatched) => 3,
        Err(Failure::Run(error) | Failure::Follower { error, .. }) if can_go_on(error) => 75,
        Ok(Done::Partly) | Err(Failure::Run(_) | Failure::Follower { .. } | Failure::Other(_)) => 1,
        Err(Failure::Recipe(_) | Failure::Locked(_)) => 78,
    }
}

/// Whether the same command goes on where a run ended.
fn can_go_on(error: &sbp_pipeline::Error) -> bool {
    matches!(error, sbp_pipeline::Error::Stopped { .. } | sbp_pipeline::Error::Team(Broken::Gone { .. }))
}

/// Prints what went wrong and gives the exit code.
#[expect(clippy::print_stderr, reason = "the command line speaks to the screen")]
pub(crate) fn code(outcome: Result<Done, Failure>) -> ExitCode {
    let number = number(&outcome);
    match outcome {
        // The leader says it.
        Ok(_) | Err(Failure::Follower { error: sbp_pipeline::Error::Stopped { .. }, .. }) => {}
        Err(Failure::Follower { rank, error }) => eprintln!("rank {rank}: {error}"),
        Err(Failure::Recipe(errors)) => eprintln!("{:?}", miette::Report::new(*errors)),
        Err(Failure::Run(error @ sbp_pipeline::Error::Stopped { .. })) => eprintln!("{error}"),
        Err(Failure::Run(error)) => eprintln!("error: {error}"),
        Err(Failure::Locked(message) | Failure::Other(message)) => eprintln!("error: {message}"),
    }
    ExitCode::from(number)
}
