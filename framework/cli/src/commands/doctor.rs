//! `sbp doctor`: what was found, what was wanted, and the line that mends the difference.

use std::path::Path;

use sbp_plugin::engine::Engine;

use crate::args::DoctorArgs;
use crate::commands::run::home_from_env;
use crate::exit::{Done, Failure};
use crate::say::say;

/// Prints the findings; fails when something is wrong that a run would stumble over.
pub(crate) fn run(args: &DoctorArgs, engine: &dyn Engine) -> Result<Done, Failure> {
    let facts = engine.facts();
    let home = sbp_pipeline::home_of(Path::new("recipe.toml"), home_from_env());
    let free = free_bytes(&home);
    let torch_fits = facts.torch_found == facts.torch_wanted;
    if args.json {
        say(format_args!(
            "{}",
            serde_json::json!({
                "sbp": env!("CARGO_PKG_VERSION"),
                "libtorch": {"found": facts.torch_found, "wanted": facts.torch_wanted, "folder": facts.library_folder},
                "cuda": {
                    "library": facts.cuda_library, "present": facts.cuda_library_present,
                    "driver": facts.driver_visible, "gpus": facts.gpus, "problem": facts.cuda_error,
                },
                "threads": facts.threads,
                "physical_cores": facts.physical_cores,
                "logical_processors": facts.logical_processors,
                "flush_denormal": facts.flush_denormal,
                "home": home,
                "free_bytes": free,
            })
        ));
    } else {
        let folder = facts.library_folder.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
        say(format_args!("sbp          {}", env!("CARGO_PKG_VERSION")));
        say(format_args!("libtorch     {} in {folder} (wanted {})", facts.torch_found, facts.torch_wanted));
        match &facts.cuda_error {
            None => say(format_args!("cuda         usable: {}", facts.gpus.join(", "))),
            Some(problem) => say(format_args!("cuda         not usable: {problem}")),
        }
        let cores = facts.physical_cores.map_or_else(|| "unknown".to_owned(), |cores| cores.to_string());
        say(format_args!(
            "processor    {} threads by default; {} logical processors, {cores} physical cores",
            facts.threads, facts.logical_processors
        ));
        say(format_args!(
            "denormals    {}",
            if facts.flush_denormal { "flushed to zero" } else { "kept: slower on bad scales" }
        ));
        let free = free.map_or_else(
            || "unknown".to_owned(),
            |free| format!("{:.1} GiB free", free as f64 / (1u64 << 30) as f64),
        );
        say(format_args!("store        {} ({free})", home.display()));
    }
    if torch_fits {
        Ok(Done::Fully)
    } else {
        Err(Failure::Other(format!(
            "libtorch {} is linked, {} is wanted; unset LIBTORCH and run `cargo xtask setup`, then build again",
            facts.torch_found, facts.torch_wanted
        )))
    }
}

/// Bytes free to this user where `path`, or the nearest folder above it that exists, lies.
fn free_bytes(path: &Path) -> Option<u64> {
    let present = path.ancestors().find(|above| above.exists())?;
    let stat = rustix::fs::statvfs(present).ok()?;
    Some(stat.f_bavail * stat.f_frsize)
}
