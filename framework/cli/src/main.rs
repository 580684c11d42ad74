//! The `sbp` program: the command line with the plugins of this repository.

// Without this line the linker leaves the plugins out and every slot is empty.
use sbp_plugins as _;

fn main() -> std::process::ExitCode {
    sbp_cli::main()
}
