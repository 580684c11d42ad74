//! How idle threads wait: briefly, then asleep.
//!
//! libtorch's operations are split among threads by libgomp, whose threads spin while they wait for each other. On
//! a machine that does anything else besides, the one waited for is not running, and training becomes many times
//! slower (docs/LOG.md). libgomp reads its settings when it is loaded, before `main`, so they must be there when the
//! program that is linked to it starts. A user's own settings are left alone.

use std::process::Command;

/// Spins before a waiting thread goes to sleep.
const SPINS: &str = "1000";
/// Settings by which a user, or whoever started this program, decides this.
const SETTINGS: [&str; 2] = ["GOMP_SPINCOUNT", "OMP_WAIT_POLICY"];

/// Can this program's threads wait as they should?
pub(crate) fn are_set() -> bool {
    // Other systems bring other thread pools.
    cfg!(not(target_os = "linux")) || SETTINGS.iter().any(|name| std::env::var_os(name).is_some())
}

/// Makes the threads of a program that is about to start wait as they should.
pub(crate) fn set(program: &mut Command) {
    if !are_set() {
        program.env(SETTINGS[0], SPINS);
    }
}
