//! Which process does a run, and whether it still does.

use serde::{Deserialize, Serialize};

/// A process, told from a later one with the same number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// Name of the machine it runs on.
    pub host: String,
    /// When it started, in the system's own count; none where the system does not tell.
    pub started: Option<u64>,
}

impl Process {
    /// This one.
    pub(crate) fn this() -> Self {
        let pid = std::process::id();
        Self { pid, host: host(), started: started(pid) }
    }

    /// Whether it is there; none if it is on another machine, which cannot be asked.
    pub fn is_alive(&self) -> Option<bool> {
        if self.host != host() {
            return None;
        }
        Some(match self.started {
            Some(_) => started(self.pid) == self.started,
            None => answers(self.pid),
        })
    }
}

fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Ticks from the start of the system to that of a process, on Linux. None for a process that has ended and is not yet
/// buried.
fn started(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in brackets and may hold anything; the state is the first word after it, the start the twentieth.
    let mut words = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = words.next()?;
    let is_there = !matches!(state, "Z" | "X");
    words.nth(18)?.parse().ok().filter(|_| is_there)
}

/// Whether there is a process of this number, whoever it belongs to.
fn answers(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    pid.is_some_and(|pid| rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_alive_and_one_that_ended_is_not() {
        let this = Process::this();
        assert_eq!(this.is_alive(), Some(true));
        assert_eq!(Process { host: "elsewhere.invalid".to_owned(), ..this.clone() }.is_alive(), None);

        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let process = Process { pid: child.id(), started: started(child.id()), ..this.clone() };
        assert_eq!(process.is_alive(), Some(true));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(process.is_alive(), Some(false));
        assert!(!answers(process.pid));
        // Another process that was given the number of ours.
        if let Some(started) = this.started {
            assert_eq!(Process { started: Some(started + 1), ..this }.is_alive(), Some(false));
        }
    }
}
