//! What a benchmark says of its memory.

use sbp_plugin::Result;

/// Most memory that this process held at once, in MiB, as Linux counts it.
///
/// # Errors
/// Where there is no `/proc`.
pub fn peak_mib() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib / 1024.0)
}
