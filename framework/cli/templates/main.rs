//! `sbp` with one plugin more.

// Each of these links a crate of plugins; without it the linker leaves them out.
use sbp_plugins as _;

use the_kind as _;

fn main() -> std::process::ExitCode {
    sbp_cli::main(&sbp_runtime::Torch)
}
