//! The `sbp-engine` program: the command line with the plugins of this repository and libtorch.

// Without this line the linker leaves the plugins out and every slot is empty.
use sbp_plugins as _;

fn main() -> std::process::ExitCode {
    sbp_cli::main(&sbp_runtime::Torch)
}
