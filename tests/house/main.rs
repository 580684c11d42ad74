//! What holds the house to its plan: structure, generated files, recipes, diagnostics.

use sbp_plugins as _;

mod architecture;
mod book;
mod diagnostics;
mod generated;
mod plugins;
mod pricing;
mod properties;
mod recipes;
mod schema;

/// The repository's root.
fn root() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
