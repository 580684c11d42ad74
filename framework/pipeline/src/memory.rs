//! How much memory this process takes.

use serde::{Deserialize, Serialize};

/// Memory of a process that is in RAM, in bytes; memory of a GPU is not part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Now.
    pub bytes: u64,
    /// At most so far.
    pub peak_bytes: u64,
}

impl Memory {
    /// Of this process; none where the system does not tell.
    pub fn now() -> Option<Self> {
        Self::parse(&std::fs::read_to_string("/proc/self/status").ok()?)
    }

    /// Reads what Linux says of a process.
    fn parse(status: &str) -> Option<Self> {
        let kib = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
        };
        Some(Self { bytes: kib("VmRSS:")? << 10, peak_bytes: kib("VmHWM:")? << 10 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linux_is_understood() {
        let status = "Name:\tsbp\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\nThreads:\t4\n";
        assert_eq!(Memory::parse(status), Some(Memory { bytes: 1 << 20, peak_bytes: 2 << 20 }));
        assert_eq!(Memory::parse("Name:\tsbp\n"), None);
        if cfg!(target_os = "linux") {
            let memory = Memory::now().expect("Linux tells");
            assert!(0 < memory.bytes && memory.bytes <= memory.peak_bytes);
        }
    }
}
