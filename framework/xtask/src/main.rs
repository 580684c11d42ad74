//! The workshop: `cargo xtask VERB` and `cargo sbp ARGS`.
//!
//! It fetches libtorch, builds, tests and regenerates, by calling cargo. It depends on nothing of the
//! workspace, least of all on tch, so that it compiles in seconds on a machine that has no libtorch yet.
#![expect(clippy::print_stderr, reason = "it speaks to whoever typed the command")]

mod bench;
mod cargo;
mod editor;
mod setup;

use std::process::ExitCode;

/// Errors are sentences for the terminal: the cause, then what to do about it.
pub(crate) type Result<T> = std::result::Result<T, String>;

const HELP: &str = "\
usage: cargo xtask VERB

  setup          make libtorch ready and point .libtorch at it (all other verbs do this first)
  sbp ARGS...    build the program in release mode and run it; `cargo sbp ARGS...` is short for this
  test [ARGS...] formatting, lints, every test, the recipes as editors see them; ARGS go to
                 `cargo test --workspace`
  gen [--check]  write the generated files (schemas, reference pages, docs/example-report.html), or only compare them
  parity         the tests beside PyTorch, transformers, wandb and others, which are fetched at first use
  bench train    our trainer beside PyTorch's on the same job: speed and memory (`bench train --help`)
  bench pairs    embedding, search and near-duplicates beside faiss and others (`bench pairs --help`)
  bench generate our decoding beside that of transformers: speed and memory (`bench generate --help`)
  bench eval     our scoring beside lm-evaluation-harness: answers and speed (`bench eval --help`)
  bench scale    one training by one process and by several (`bench scale --help`)
  help           this text

SBP_FEATURES=hnsw before `cargo sbp` builds the retriever `hnsw` in, a C++ library that takes minutes.

Which libtorch: $LIBTORCH if set; else what .libtorch already points at; else the torch of the python3 on
PATH, if it is the wanted version; else one out of the wheel, kept once per user in $SBP_CACHE, by default
$XDG_CACHE_HOME/sbp or ~/.cache/sbp. Remove .libtorch to have the choice made anew.

examples:
  cargo sbp run recipes/quickstart.toml
  cargo xtask test -- --nocapture";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&args) {
        Ok(code) => code,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(args: &[String]) -> Result<ExitCode> {
    let (verb, rest) = match args.split_first() {
        Some((verb, rest)) => (verb.as_str(), rest),
        None => ("help", args),
    };
    match (verb, rest) {
        ("help" | "--help" | "-h", _) => {
            eprintln!("{HELP}");
            Ok(ExitCode::SUCCESS)
        }
        ("setup", []) => {
            let libtorch = setup::run()?;
            eprintln!("set-up: libtorch {} in {}", setup::VERSION, libtorch.display());
            Ok(ExitCode::SUCCESS)
        }
        ("sbp", _) => {
            setup::run()?;
            cargo::build_and_become_sbp(rest)
        }
        ("test", _) => {
            setup::run()?;
            cargo::test(rest)
        }
        ("gen", []) => {
            setup::run()?;
            cargo::generate(cargo::Generate::Write)
        }
        ("gen", [flag]) if flag == "--check" => {
            setup::run()?;
            cargo::generate(cargo::Generate::Check)
        }
        ("parity", args) => {
            setup::run()?;
            cargo::parity(
                &setup::peers(&["numpy", "transformers", "wandb", "tensorboard", "moto", "boto3"])?,
                args,
            )
        }
        ("bench", [name, rest @ ..]) if name == "train" => {
            setup::run()?;
            bench::train(rest)
        }
        ("bench", [name, rest @ ..]) if name == "pairs" => {
            setup::run()?;
            bench::pairs(rest)
        }
        ("bench", [name, rest @ ..]) if name == "generate" => {
            setup::run()?;
            bench::generate(rest)
        }
        ("bench", [name, rest @ ..]) if name == "eval" => {
            setup::run()?;
            bench::eval(rest)
        }
        ("bench", [name, rest @ ..]) if name == "scale" => {
            setup::run()?;
            bench::scale(rest)
        }
        ("setup" | "gen", _) => Err(format!("`{verb}` does not know `{}`\n\n{HELP}", rest.join(" "))),
        _ => Err(format!("no verb `{verb}`\n\n{HELP}")),
    }
}
