//! The manifest of a run: the circumstances under which its numbers came about.

use std::path::Path;
use std::process::Command;

use sbp_plugin::ports::RuntimeFacts;
use sbp_recipe::Plan;
use serde::Serialize;

/// Versions, device, threads, seeds, source state.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Manifest {
    sbp_version: &'static str,
    plan: String,
    seeds: Vec<u64>,
    runtime: RuntimeFacts,
    platform: String,
    /// Version of the formula that FLOPs are counted by.
    flops_convention: u32,
    /// Commit of the folder the recipe lies in, with `-dirty` when files differ from it.
    #[serde(skip_serializing_if = "Option::is_none")]
    git: Option<String>,
}

impl Manifest {
    pub(crate) fn of(plan: &Plan, runtime: RuntimeFacts, recipe_folder: &Path) -> Self {
        Self {
            sbp_version: env!("CARGO_PKG_VERSION"),
            plan: plan.id.to_string(),
            seeds: plan.recipe.recipe.seeds.clone(),
            runtime,
            flops_convention: sbp_core::FLOPS_CONVENTION,
            platform: format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
            git: git_state(recipe_folder),
        }
    }
}

fn git_state(folder: &Path) -> Option<String> {
    let output = Command::new("git")
        .args(["describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"])
        .current_dir(folder)
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
