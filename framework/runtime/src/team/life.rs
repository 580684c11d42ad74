//! Signs of life: a thread counts up a number in the store each second, and looks whether others do.
//!
//! The leader looks at everybody, and everybody at the leader, who passes on what it saw; so the store is asked a number of
//! times that grows with the number of processes and not with its square.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use sbp_plugin::team::Broken;

use super::{Shared, member};
use crate::error::{Error, Result};

/// Time between two signs.
const EVERY: Duration = Duration::from_secs(1);

/// Exit code of a run that can be gone on with (`EX_TEMPFAIL`).
const TRY_AGAIN: i32 = 75;

/// How long a process that knows that another is gone may take to end by itself.
const GRACE: Duration = Duration::from_secs(20);

/// The signs of this process, and what it knows of the others.
#[derive(Debug)]
pub(super) struct Life {
    known: Arc<Known>,
    ended: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread and the rest of the process share.
#[derive(Debug)]
struct Known {
    store: Arc<Shared>,
    rank: usize,
    size: usize,
    timeout: Duration,
    broken: Mutex<Option<Broken>>,
    is_asked_to_stop: AtomicBool,
    has_asked_to_stop: AtomicBool,
    has_left: AtomicBool,
}

impl Life {
    /// Begins to give signs, and to look for those of others.
    pub(super) fn begin(store: Arc<Shared>, rank: usize, size: usize, timeout: Duration) -> Result<Self> {
        let known = Arc::new(Known {
            store,
            rank,
            size,
            timeout,
            broken: Mutex::new(None),
            is_asked_to_stop: AtomicBool::new(false),
            has_asked_to_stop: AtomicBool::new(false),
            has_left: AtomicBool::new(false),
        });
        let (ended, is_ended) = channel();
        let thread = std::thread::Builder::new().name("signs of life".to_owned()).spawn({
            let known = Arc::clone(&known);
            move || known.watch(&is_ended)
        });
        let thread = thread.map_err(|error| Error::Invalid(format!("cannot start a thread: {error}")))?;
        Ok(Self { known, ended: Some(ended), thread: Some(thread) })
    }

    pub(super) fn store(&self) -> &Shared {
        &self.known.store
    }

    /// Fails if another process is gone.
    pub(super) fn check(&self) -> std::result::Result<(), Broken> {
        match self.known.broken() {
            Some(broken) => Err(broken),
            None => Ok(()),
        }
    }

    /// Why something that needs the others failed. Waits until that is known, no longer than signs of life are waited for.
    pub(super) fn why(&self, error: &str) -> Broken {
        let began = Instant::now();
        while began.elapsed() < self.known.timeout + 2 * EVERY {
            if let Some(broken) = self.known.broken() {
                return broken;
            }
            std::thread::sleep(EVERY / 20);
        }
        Broken::Gone {
            rank: 0,
            place: "or another; all give signs of life".to_owned(),
            reason: error.to_owned(),
        }
    }

    pub(super) fn ask_to_stop(&self) {
        if !self.known.has_asked_to_stop.swap(true, Ordering::Relaxed) {
            self.known.is_asked_to_stop.store(true, Ordering::Relaxed);
            // Where it cannot be told, everything else fails too.
            let _ = self.known.store.set("stop", b"");
        }
    }

    pub(super) fn is_asked_to_stop(&self) -> bool {
        self.known.is_asked_to_stop.load(Ordering::Relaxed)
    }

    pub(super) fn fail(&self, reason: &str) {
        // The others have one thing to say: what came first.
        if self.known.broken().is_none() {
            let _ = self.known.store.set(&failure(self.known.rank), reason.as_bytes());
            let _ = self.known.store.set("failure", self.known.rank.to_string().as_bytes());
        }
    }

    pub(super) fn leave(&self) {
        let known = &self.known;
        if known.has_left.swap(true, Ordering::Relaxed) {
            return;
        }
        let _ = known.store.set(&left(known.rank), b"");
        let Ok(mut num_left) = known.store.add("left", 1) else { return };
        // The store may go with the leader, so it goes last; but not if somebody hangs.
        let began = Instant::now();
        while known.rank == 0 && num_left < known.size as i64 && began.elapsed() < known.timeout.min(GRACE) {
            std::thread::sleep(EVERY / 20);
            match known.store.add("left", 0) {
                Ok(now) => num_left = now,
                Err(_) => return,
            }
        }
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        // A process that panics does not part from the others: they wait for what it was to do.
        if !std::thread::panicking() {
            self.leave();
        }
        drop(self.ended.take());
        let _ended = self.thread.take().map(JoinHandle::join);
    }
}

fn failure(rank: usize) -> String {
    format!("failure/{rank}")
}

fn left(rank: usize) -> String {
    format!("left/{rank}")
}

fn beat(rank: usize) -> String {
    format!("beat/{rank}")
}

/// When another process was last heard of.
struct Heard {
    rank: usize,
    beats: Option<Vec<u8>>,
    at: Instant,
}

impl Known {
    fn broken(&self) -> Option<Broken> {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn watch(&self, is_ended: &Receiver<()>) {
        let watched = if self.rank == 0 { 1..self.size } else { 0..1 };
        let mut heard: Vec<Heard> =
            watched.map(|rank| Heard { rank, beats: None, at: Instant::now() }).collect();
        let mut reached = Instant::now();
        let mut broken_at = None;
        while is_ended.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
            if self.has_left.load(Ordering::Relaxed) {
                continue;
            }
            let found = match self.look(&mut heard) {
                Ok(found) => {
                    reached = Instant::now();
                    found
                }
                // The store is with the leader or its launcher: without it there is no run.
                Err(error) if reached.elapsed() > self.timeout.min(3 * EVERY) => Some(Broken::Gone {
                    rank: 0,
                    place: "which leads, or its launcher".to_owned(),
                    reason: format!("its store cannot be reached ({error})"),
                }),
                Err(_) => None,
            };
            let mut broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
            if let (None, Some(found)) = (broken.as_ref(), found) {
                *broken = Some(found);
                broken_at = Some(Instant::now());
            }
            let message = broken.as_ref().map(ToString::to_string);
            drop(broken);
            if let (Some(message), Some(at)) = (message, broken_at)
                && at.elapsed() > GRACE
            {
                end(self.rank, &message);
            }
        }
    }

    /// Gives a sign, and looks for those of others. Gives who is gone.
    fn look(&self, heard: &mut [Heard]) -> Result<Option<Broken>> {
        self.store.add(&beat(self.rank), 1)?;
        if self.store.get("stop")?.is_some() {
            self.is_asked_to_stop.store(true, Ordering::Relaxed);
        }
        if let Some(rank) = self.store.get_text("failure")?.and_then(|rank| rank.parse().ok())
            && rank != self.rank
        {
            let reason = self.store.get_text(&failure(rank))?.unwrap_or_default();
            return Ok(Some(Broken::Failed { rank, place: self.place(rank), reason }));
        }
        if let Some(rank) = self.store.get_text("gone")?.and_then(|rank| rank.parse().ok()) {
            return Ok(Some(self.gone(rank)));
        }
        for other in heard {
            let beats = self.store.get(&beat(other.rank))?;
            if beats != other.beats || self.store.get(&left(other.rank))?.is_some() {
                (other.beats, other.at) = (beats, Instant::now());
            } else if other.at.elapsed() > self.timeout {
                self.store.set("gone", other.rank.to_string().as_bytes())?;
                return Ok(Some(self.gone(other.rank)));
            }
        }
        Ok(None)
    }

    fn place(&self, rank: usize) -> String {
        self.store.get_text(&member(rank)).ok().flatten().unwrap_or_default()
    }

    fn gone(&self, rank: usize) -> Broken {
        let secs = self.timeout.as_secs();
        let reason = format!("no sign of life for {secs} s (SBP_TEAM_TIMEOUT sets how long is waited)");
        Broken::Gone { rank, place: self.place(rank), reason }
    }
}

/// Ends a process that waits for one that is gone.
#[expect(clippy::print_stderr, reason = "nobody else is left to speak")]
fn end(rank: usize, message: &str) {
    eprintln!("error: rank {rank} ends: {message}");
    signal_hook::low_level::exit(TRY_AGAIN);
}
