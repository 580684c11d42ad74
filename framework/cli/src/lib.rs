//! The command line: parse, dispatch, print errors, choose the exit code.
//!
//! A program with plugins of its own links them and libtorch, and calls [`main`]. A program that is to start at once
//! leaves libtorch to another one and calls [`front`].

mod args;
mod commands;
mod exit;
mod handover;
mod here;
mod locked;
mod say;
mod screen;
mod stop;
mod summary;
mod threads;
mod words;

use std::process::ExitCode;

use clap::Parser as _;
use sbp_plugin::engine::Engine;

use crate::args::{Args, Verb};
use crate::exit::{Done, Failure};

/// Runs the command line of this process with the tensor library that is linked in.
pub fn main(engine: &dyn Engine) -> ExitCode {
    exit::code(dispatch(|| Ok(engine)))
}

/// Runs the command line of this process without a tensor library: verbs that need one turn the process into the
/// program called `engine` in the same folder, which calls [`main`].
pub fn front(engine: &str) -> ExitCode {
    exit::code(dispatch(|| Err(handover::to_sibling(engine))))
}

fn dispatch<'a>(engine: impl FnOnce() -> Result<&'a dyn Engine, Failure>) -> Result<Done, Failure> {
    match Args::parse().verb {
        Verb::Run(args) => commands::run::run(&args, engine()?),
        Verb::Pairs(args) => commands::pairs::run(&args, engine()?),
        Verb::Corpus(args) => commands::corpus::run(&args),
        Verb::Plan(args) => commands::plan::run(&args),
        Verb::Report(args) => commands::report::run(&args),
        Verb::Validate(args) => commands::validate::run(&args),
        Verb::Plugins(args) => commands::plugins::run(&args),
        Verb::Eval(args) => commands::eval::run(&args, engine),
        Verb::Compare(args) => commands::compare::run(&args),
        Verb::Schema => commands::schema::run(),
        Verb::Doctor(args) => commands::doctor::run(&args, engine()?),
        Verb::Init(args) => commands::init::run(&args),
        Verb::Status(args) => commands::status::run(&args),
        Verb::Runs(args) => commands::runs::run(&args),
        Verb::Explain(args) => commands::explain::run(&args),
        Verb::Export(args) => commands::export::run(&args),
        Verb::Gc(args) => commands::gc::run(&args),
        Verb::Completions(args) => commands::completions::run(&args),
        Verb::Man(args) => commands::man::run(&args),
    }
}
