//! The processes of a run over libtorch's c10d: a store over TCP to tell things through, and Gloo for numbers.
//!
//! Whatever may take long is told through the store, where waiting looks again and again and hears at once when another
//! process is gone. A thread gives and looks for signs of life ([`life`]).

mod launch;
mod life;

use std::fmt;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sbp_plugin::team::{Broken, Queue, Solo, Team};

use self::launch::Launch;
use self::life::Life;
use crate::error::{Error, Result};
use crate::native::c10d::{Group, Listens, Store};

/// Longest time between two looks at the store while something is waited for.
const LONGEST_NAP: Duration = Duration::from_millis(50);

/// A step may take as long as it takes; who is gone is noticed otherwise.
const LOCKSTEP_TIMEOUT: Duration = Duration::from_secs(24 * 3600);

/// The team that the environment speaks of, or a process by itself. `name` tells this work from other work at the same
/// store.
///
/// # Errors
/// When the environment makes no sense, or not all processes come.
pub(crate) fn join(name: &str) -> Result<Arc<dyn Team>> {
    match Launch::from(&|variable| std::env::var(variable).ok())? {
        None => Ok(Arc::new(Solo::default())),
        Some(launch) => Ok(Arc::new(C10d::join(&launch, name)?)),
    }
}

/// [`Team`] over c10d.
struct C10d {
    rank: usize,
    size: usize,
    local_rank: usize,
    local_size: usize,
    group: Group,
    life: Life,
    /// How often something was told patiently, and how many queues there are: the same numbers on every process.
    told: AtomicU64,
    queues: AtomicU64,
}

impl fmt::Debug for C10d {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "rank {} of {}", self.rank, self.size)
    }
}

impl C10d {
    fn join(launch: &Launch, name: &str) -> Result<Self> {
        let Launch { rank, size, local_rank, .. } = *launch;
        let place = format!("{}:{}", launch.host, launch.port);
        let serves = rank == 0 && !launch.is_served;
        let store =
            Store::open(&launch.host, launch.port, serves, launch.start_timeout).map_err(|error| {
                Error::Invalid(match serves {
                    true => format!(
                        "rank 0 cannot serve the store at {place} (MASTER_ADDR, MASTER_PORT): {error}. Another job may use \
                     the port: choose another"
                    ),
                    false => format!(
                        "rank {rank} cannot reach the store at {place} (MASTER_ADDR, MASTER_PORT): {error}. Is process 0 \
                     there, and does it start at the same time?"
                    ),
                })
            })?;
        let prefix = format!("sbp/{name}/{}/", launch.attempt);
        let store = Arc::new(Shared { store, prefix });
        let local_size = present(&store, launch, &place)?;
        let listens = match &launch.interface {
            Some(interface) => Listens::Interface(interface.clone()),
            None => Listens::Address(own_address(&launch.host, launch.port)),
        };
        let prefix = store.key("gloo");
        let group = Group::open(&store.store, &prefix, (rank, size), LOCKSTEP_TIMEOUT, &listens);
        let group = group.map_err(|error| {
            Error::Invalid(format!(
                "rank {rank} cannot connect to the others from {listens:?}: {error}. GLOO_SOCKET_IFNAME names the \
                 network interface to use"
            ))
        })?;
        let life = Life::begin(store, rank, size, launch.timeout)?;
        Ok(Self {
            rank,
            size,
            local_rank,
            local_size,
            group,
            life,
            told: AtomicU64::new(0),
            queues: AtomicU64::new(0),
        })
    }

    fn store(&self) -> &Shared {
        self.life.store()
    }

    /// What is told next.
    fn next_told(&self) -> String {
        format!("told/{}", self.told.fetch_add(1, Ordering::Relaxed))
    }

    /// What is under a key, once it is.
    fn wait_for(&self, key: &str) -> sbp_plugin::Result<Vec<u8>> {
        let mut nap = Duration::from_millis(1);
        loop {
            self.life.check()?;
            if let Some(found) = self.store().get(key).map_err(|error| self.broken(&error))? {
                return Ok(found);
            }
            std::thread::sleep(nap);
            nap = (2 * nap).min(LONGEST_NAP);
        }
    }

    /// Why an operation failed: who is gone, where that can be told.
    fn broken(&self, error: &Error) -> Broken {
        self.life.why(&error.to_string())
    }
}

impl Team for C10d {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn local_rank(&self) -> usize {
        self.local_rank
    }

    fn local_size(&self) -> usize {
        self.local_size
    }

    fn hear(&self, said: Option<Vec<u8>>) -> sbp_plugin::Result<Vec<u8>> {
        let key = self.next_told();
        match said {
            Some(said) if self.is_leader() => {
                self.store().set(&key, &said).map_err(|error| self.broken(&error))?;
                Ok(said)
            }
            _ => self.wait_for(&key),
        }
    }

    fn collect(&self, said: Vec<u8>) -> sbp_plugin::Result<Vec<Vec<u8>>> {
        let key = self.next_told();
        let of = |rank: usize| format!("{key}/{rank}");
        self.store().set(&of(self.rank), &said).map_err(|error| self.broken(&error))?;
        (0..self.size).map(|rank| self.wait_for(&of(rank))).collect()
    }

    fn queue(&self) -> Queue {
        Queue(self.queues.fetch_add(1, Ordering::Relaxed))
    }

    fn next(&self, queue: Queue) -> sbp_plugin::Result<u64> {
        self.life.check()?;
        let next = self.store().add(&format!("queue/{}", queue.0), 1);
        Ok(next.map_err(|error| self.broken(&error))? as u64 - 1)
    }

    fn exchange(&self, bytes: &[u8]) -> sbp_plugin::Result<Vec<Vec<u8>>> {
        if bytes.is_empty() {
            return Ok(vec![Vec::new(); self.size]);
        }
        let all = self.group.exchange(bytes).map_err(|error| self.broken(&error))?;
        Ok(all.chunks(bytes.len()).map(<[u8]>::to_vec).collect())
    }

    fn swap(&self, numbers: &[f32], to: &[usize], from: &[usize]) -> sbp_plugin::Result<Vec<f32>> {
        Ok(self.group.swap(numbers, to, from).map_err(|error| self.broken(&error))?)
    }

    fn ask_to_stop(&self) {
        self.life.ask_to_stop();
    }

    fn is_asked_to_stop(&self) -> bool {
        self.life.is_asked_to_stop()
    }

    fn fail(&self, reason: &str) {
        self.life.fail(reason);
    }

    fn leave(&self) {
        self.life.leave();
    }
}

/// The store, under the names of this work.
#[derive(Debug)]
struct Shared {
    store: Store,
    prefix: String,
}

impl Shared {
    fn key(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    fn set(&self, key: &str, bytes: &[u8]) -> Result<()> {
        self.store.set(&self.key(key), bytes)
    }

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        self.store.get(&self.key(key))
    }

    fn get_text(&self, key: &str) -> Result<Option<String>> {
        Ok(self.get(key)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    fn add(&self, key: &str, by: i64) -> Result<i64> {
        self.store.add(&self.key(key), by)
    }
}

/// Where a process is, for people.
fn member(rank: usize) -> String {
    format!("member/{rank}")
}

/// Says that this process is here, and waits until all are. Gives how many are on this machine.
fn present(store: &Shared, launch: &Launch, place: &str) -> Result<usize> {
    let Launch { rank, size, .. } = *launch;
    if store.add(&format!("joined/{rank}"), 1)? > 1 {
        return Err(Error::Invalid(format!(
            "another process is rank {rank} at the store at {place} already: another job uses it, or a launcher started this \
             one twice. Let MASTER_PORT be another port for each job"
        )));
    }
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    store.set(&member(rank), format!("{host}, process {}", std::process::id()).as_bytes())?;
    let began = Instant::now();
    loop {
        let (mut missing, mut num_here) = (Vec::new(), 0);
        for other in 0..size {
            match store.get_text(&member(other))? {
                None => missing.push(other.to_string()),
                Some(place) => num_here += usize::from(place.split(',').next() == Some(&host)),
            }
        }
        if missing.is_empty() {
            return Ok(num_here);
        }
        if began.elapsed() > launch.start_timeout {
            return Err(Error::Invalid(format!(
                "of {size} processes, rank {} did not come to the store at {place} within {} s. Do all run the same recipe, \
                 with the same MASTER_ADDR and MASTER_PORT? SBP_START_TIMEOUT gives them more seconds",
                missing.join(", "),
                launch.start_timeout.as_secs()
            )));
        }
        std::thread::sleep(LONGEST_NAP);
    }
}

/// The address of this machine that the store is reached from: the others reach it there too.
fn own_address(host: &str, port: u16) -> String {
    let local = || {
        let socket = UdpSocket::bind(if host.contains(':') { "[::]:0" } else { "0.0.0.0:0" })?;
        // Sends nothing; only the route is looked up.
        socket.connect((host, port))?;
        socket.local_addr()
    };
    local().map_or_else(|_| host.to_owned(), |address| address.ip().to_string())
}
