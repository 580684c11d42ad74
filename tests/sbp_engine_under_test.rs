//! `sbp-engine` as these tests start it; also the shortest program with plugins and libtorch linked in.

use sbp_plugins as _;

fn main() -> std::process::ExitCode {
    sbp_cli::main(&sbp_runtime::Torch)
}
