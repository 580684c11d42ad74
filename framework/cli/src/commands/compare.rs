//! `sbp compare`: finished runs beside each other.

use serde_json::json;

use crate::args::CompareArgs;
use crate::exit::{Done, Failure};
use crate::say::say;

/// Prints how each run differs from the first; makes nothing.
pub(crate) fn run(args: &CompareArgs) -> Result<Done, Failure> {
    let compared = sbp_pipeline::compare_runs(&args.runs)?;
    if args.json {
        say(json!(compared));
    } else {
        say(compared.markdown().trim_end());
    }
    Ok(Done::Fully)
}
