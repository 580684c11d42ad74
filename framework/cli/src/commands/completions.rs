//! `sbp completions`: what a shell needs to complete the verbs and options.

use clap::CommandFactory as _;

use crate::args::{Args, CompletionsArgs};
use crate::exit::{Done, Failure};
use crate::say::say;

/// Prints the completions.
pub(crate) fn run(args: &CompletionsArgs) -> Result<Done, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Args::command(), "sbp", &mut text);
    say(String::from_utf8_lossy(&text).trim_end());
    Ok(Done::Fully)
}
