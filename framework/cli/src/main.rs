//! The `sbp` program: the command line with the plugins of this repository. Without libtorch it starts at once; what
//! needs libtorch it leaves to `sbp-engine`.

// Without this line the linker leaves the plugins out and every slot is empty.
use sbp_plugins as _;

fn main() -> std::process::ExitCode {
    sbp_cli::front("sbp-engine")
}
