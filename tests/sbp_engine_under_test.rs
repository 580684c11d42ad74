//! `sbp-engine` as these tests start it.

use sbp_plugins as _;

fn main() -> std::process::ExitCode {
    sbp_cli::main(&sbp_runtime::Torch)
}
