//! How idle threads wait: briefly, then asleep.
//!
//! libtorch's operations are split among threads by libgomp, whose threads spin while they wait for each other. On
//! a machine that does anything else besides, the one waited for is not running, and training becomes many times
//! slower (docs/LOG.md). libgomp reads its settings when it is loaded, before `main`, so the program starts itself
//! once more with them in place. A user's own settings are left alone.

/// Spins before a waiting thread goes to sleep.
const SPINS: &str = "1000";
/// Settings by which a user decides this.
const USER_SETTINGS: [&str; 2] = ["GOMP_SPINCOUNT", "OMP_WAIT_POLICY"];

/// Replaces this process by itself with the setting in place, once; goes on without where that is not possible.
#[cfg(target_os = "linux")]
pub(crate) fn wait_asleep() {
    use std::os::unix::process::CommandExt as _;

    if USER_SETTINGS.iter().any(|name| std::env::var_os(name).is_some()) {
        return;
    }
    let Ok(program) = std::env::current_exe() else { return };
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_default();
    // Comes back only when it fails, and then nothing is lost but speed.
    let _ =
        std::process::Command::new(program).arg0(name).args(arguments).env(USER_SETTINGS[0], SPINS).exec();
}

/// Other systems bring other thread pools.
#[cfg(not(target_os = "linux"))]
pub(crate) fn wait_asleep() {}
