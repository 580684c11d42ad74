//! `sbp man`: manual pages, from the same text as `--help`.

use clap::CommandFactory as _;

use crate::args::{Args, ManArgs};
use crate::exit::{Done, Failure};
use crate::say::say;

/// Writes one page for `sbp` and one for each verb.
pub(crate) fn run(args: &ManArgs) -> Result<Done, Failure> {
    let written = std::fs::create_dir_all(&args.out)
        .and_then(|()| clap_mangen::generate_to(Args::command(), &args.out));
    written.map_err(|error| Failure::Other(format!("cannot write to {}: {error}", args.out.display())))?;
    say(format_args!("{}", args.out.join("sbp.1").display()));
    Ok(Done::Fully)
}
