//! A `libtorch.so` with nothing in it but its needs.
//!
//! Programs link to the name; the wheel's own file would drag the CUDA library in.

use crate::Result;
use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

/// The C++ compiler, which tch needs as well; better found missing before the download than after.
pub(super) fn compiler() -> Result<OsString> {
    let compiler = std::env::var_os("CXX").unwrap_or_else(|| "c++".into());
    let answer = Command::new(&compiler).arg("--version").output();
    if answer.is_ok_and(|it| it.status.success()) {
        return Ok(compiler);
    }
    Err(format!(
        "no C++ compiler: `{}` does not run.\n  Install one (on Debian and Ubuntu: apt-get install g++), or set CXX.",
        compiler.display()
    ))
}

/// Links `lib/libtorch.so` against its neighbours.
pub(super) fn build(compiler: &OsString, lib: &Path) -> Result<()> {
    let output = Command::new(compiler)
        .current_dir(lib)
        .args(["-shared", "-o", "libtorch.so", "-Wl,-soname,libtorch.so", "-Wl,--no-as-needed"])
        // The CUDA runtime libraries lie beside it, but the linker need not go looking for them.
        .args(["-L.", "-ltorch_cpu", "-lc10", "-Wl,-rpath,$ORIGIN", "-Wl,--allow-shlib-undefined"])
        .output()
        .map_err(|e| format!("cannot run {}: {e}", compiler.display()))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!(
        "{} cannot link libtorch.so:\n{}",
        compiler.display(),
        String::from_utf8_lossy(&output.stderr)
    ))
}
