//! How many threads are worth having.

use std::collections::BTreeSet;
use std::fs;
use std::thread::available_parallelism;

/// Physical cores, but no more than this process may use.
///
/// Two threads of one core share its arithmetic units, and products gain nothing from the second.
pub(super) fn usable() -> usize {
    let allowed = allowed();
    physical().map_or(allowed, |it| it.min(allowed))
}

/// Logical processors that the process may use, by affinity and by quota.
pub(super) fn allowed() -> usize {
    available_parallelism().map_or(1, usize::from)
}

/// Physical cores of the machine, where the system tells.
pub(super) fn physical() -> Option<usize> {
    let processors = fs::read_dir("/sys/devices/system/cpu").ok()?.flatten();
    let siblings =
        processors.filter_map(|it| fs::read_to_string(it.path().join("topology/core_cpus_list")).ok());
    let cores: BTreeSet<String> = siblings.collect();
    (!cores.is_empty()).then_some(cores.len())
}

#[cfg(test)]
mod tests {
    #[test]
    fn there_is_at_least_one() {
        assert!(super::usable() >= 1 && super::usable() <= super::allowed());
    }
}
