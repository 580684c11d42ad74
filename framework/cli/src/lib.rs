//! The command line: parse, dispatch, print errors, choose the exit code.
//!
//! A program with plugins of its own links them and calls [`main`].

mod args;
mod commands;
mod exit;
mod say;
mod screen;
mod stop;
mod threads;

use std::process::ExitCode;

use clap::Parser as _;

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let args = args::Args::parse();
    let outcome = match args.verb {
        args::Verb::Run(args) => commands::run::run(&args),
        args::Verb::Plan(args) => commands::plan::run(&args),
        args::Verb::Validate(args) => commands::validate::run(&args),
        args::Verb::Plugins(args) => commands::plugins::run(&args),
        args::Verb::Schema => commands::schema::run(),
        args::Verb::Doctor(args) => commands::doctor::run(&args),
    };
    exit::code(outcome)
}
