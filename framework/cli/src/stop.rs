//! When to stop: the first Ctrl-C or SIGTERM, or the end of the time given, asks the run to stop at a safe point. A signal
//! after a first signal ends it at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::screen::people;

/// Set when the user or the system asked to stop, or the time is over.
#[derive(Debug, Clone)]
pub(crate) struct StopFlag {
    signalled: Arc<AtomicBool>,
    limit: Option<Limit>,
}

/// A time after which to stop.
#[derive(Debug, Clone, Copy)]
struct Limit {
    from: Instant,
    after: Duration,
}

impl StopFlag {
    /// Listens from now on.
    pub(crate) fn listen() -> std::io::Result<Self> {
        let signalled = Arc::new(AtomicBool::new(false));
        for (signal, code) in [(signal_hook::consts::SIGINT, 130), (signal_hook::consts::SIGTERM, 143)] {
            // In this order: a signal that finds the flag set ends the process, the first one sets it.
            signal_hook::flag::register_conditional_shutdown(signal, code, Arc::clone(&signalled))?;
            signal_hook::flag::register(signal, Arc::clone(&signalled))?;
        }
        Ok(Self { signalled, limit: None })
    }

    /// Stops by itself when this much time has passed from now.
    pub(crate) fn set_after(&mut self, after: Duration) {
        self.limit = Some(Limit { from: Instant::now(), after });
    }

    /// Never set: a signal ends the process, as it does where nobody listens.
    pub(crate) fn never() -> Self {
        Self { signalled: Arc::default(), limit: None }
    }

    pub(crate) fn is_set(&self) -> bool {
        self.signalled.load(Ordering::Relaxed) || self.limit.is_some_and(|limit| limit.is_over())
    }

    /// Why it is set, if it is.
    pub(crate) fn why(&self) -> Option<String> {
        if self.signalled.load(Ordering::Relaxed) {
            return Some("asked to; once more to stop at once".to_owned());
        }
        let over = self.limit.filter(|limit| limit.is_over())?;
        Some(format!("{} are over", people(over.after)))
    }
}

impl Limit {
    fn is_over(&self) -> bool {
        self.from.elapsed() >= self.after
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_the_time_stops_as_a_signal_does() {
        let mut flag = StopFlag { signalled: Arc::default(), limit: None };
        assert!(!flag.is_set() && flag.why().is_none());
        flag.set_after(Duration::from_secs(3_600));
        assert!(!flag.is_set());
        flag.set_after(Duration::ZERO);
        assert_eq!((flag.is_set(), flag.why().as_deref()), (true, Some("0.0 s are over")));
        flag.signalled.store(true, Ordering::Relaxed);
        assert!(flag.why().is_some_and(|why| why.contains("once more")));
    }
}
