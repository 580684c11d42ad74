//! `sbp export`: a trained model as a folder of its own.

use std::path::absolute;

use sbp_pipeline::export::{Model, export};
use serde_json::json;

use crate::args::ExportArgs;
use crate::exit::{Done, Failure};
use crate::here;
use crate::say::say;

/// Copies the model.
pub(crate) fn run(args: &ExportArgs) -> Result<Done, Failure> {
    let run = here::run(Some(&args.run))?;
    // The command line asks for one of the two.
    let model = args.arm.as_deref().map_or(Model::Synthesizer, Model::Arm);
    let to = absolute(&args.to).unwrap_or_else(|_| args.to.clone());
    let exported = export(&run, model, args.seed, &to)?;
    if args.json {
        say(json!(exported));
    } else {
        say(format_args!(
            "{}  {} files of {} seed {}, each checked\nits README.md says where it is from; the licence is yours to choose",
            exported.path.display(),
            exported.files.len(),
            run.name(),
            exported.seed
        ));
    }
    Ok(Done::Fully)
}
