//! A team of threads: what processes do over a network, in one process and at once.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use sbp_plugin::Result;
use sbp_plugin::team::{Queue, Team};

/// What was said in a round, by rank.
type Round = BTreeMap<usize, Vec<u8>>;

/// What the threads share.
#[derive(Debug, Default)]
struct Shared {
    rounds: Mutex<BTreeMap<u64, Round>>,
    is_said: Condvar,
    queues: Mutex<BTreeMap<Queue, u64>>,
    stop: AtomicBool,
}

/// [`Team`] of threads.
#[derive(Debug)]
pub struct ThreadTeam {
    rank: usize,
    size: usize,
    shared: Arc<Shared>,
    round: AtomicU64,
    num_queues: AtomicU64,
}

impl ThreadTeam {
    /// Does the same as every member of a team of this size, each in a thread; what they made of it, by rank.
    ///
    /// # Panics
    /// When one of them does. The others then wait for it no longer than the test runs.
    pub fn run<T: Send>(size: usize, work: impl Fn(Arc<Self>) -> T + Sync) -> Vec<T> {
        let shared = Arc::new(Shared::default());
        std::thread::scope(|scope| {
            let members: Vec<_> = (0..size)
                .map(|rank| {
                    let member = Arc::new(Self {
                        rank,
                        size,
                        shared: Arc::clone(&shared),
                        round: AtomicU64::new(0),
                        num_queues: AtomicU64::new(0),
                    });
                    let work = &work;
                    scope.spawn(move || work(member))
                })
                .collect();
            members.into_iter().map(|member| member.join().expect("a member panicked")).collect()
        })
    }

    fn say(&self, said: Vec<u8>) -> Vec<Vec<u8>> {
        let number = self.round.fetch_add(1, Ordering::Relaxed);
        let mut rounds = self.shared.rounds.lock().expect("no panic");
        rounds.entry(number).or_default().insert(self.rank, said);
        self.shared.is_said.notify_all();
        let is_missing =
            |rounds: &mut BTreeMap<u64, Round>| rounds.get(&number).is_none_or(|it| it.len() < self.size);
        let rounds = self.shared.is_said.wait_while(rounds, is_missing).expect("no panic");
        rounds[&number].values().cloned().collect()
    }
}

impl Team for ThreadTeam {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn local_rank(&self) -> usize {
        self.rank
    }

    fn local_size(&self) -> usize {
        self.size
    }

    fn hear(&self, said: Option<Vec<u8>>) -> Result<Vec<u8>> {
        assert_eq!(said.is_some(), self.is_leader(), "the leader speaks, and nobody else");
        Ok(self.say(said.unwrap_or_default()).swap_remove(0))
    }

    fn collect(&self, said: Vec<u8>) -> Result<Vec<Vec<u8>>> {
        Ok(self.say(said))
    }

    fn queue(&self) -> Queue {
        Queue(self.num_queues.fetch_add(1, Ordering::Relaxed))
    }

    fn next(&self, queue: Queue) -> Result<u64> {
        let mut queues = self.shared.queues.lock().expect("no panic");
        let next = queues.entry(queue).or_default();
        *next += 1;
        Ok(*next - 1)
    }

    fn exchange(&self, bytes: &[u8]) -> Result<Vec<Vec<u8>>> {
        let all = self.say(bytes.to_vec());
        assert!(all.iter().all(|said| said.len() == bytes.len()), "as many bytes of each");
        Ok(all)
    }

    fn swap(&self, numbers: &[f32], to: &[usize], from: &[usize]) -> Result<Vec<f32>> {
        assert_eq!((to.len(), from.len()), (self.size, self.size), "a number of numbers for each");
        assert_eq!(to.iter().sum::<usize>(), numbers.len(), "all numbers are for somebody");
        let counts = to.iter().flat_map(|&count| (count as u64).to_le_bytes());
        let all = self.say(counts.chain(numbers.iter().flat_map(|it| it.to_le_bytes())).collect());
        let mut taken = Vec::new();
        for (said, &expected) in all.iter().zip(from) {
            let (counts, numbers) = said.split_at(8 * self.size);
            let counts: Vec<usize> =
                counts.as_chunks::<8>().0.iter().map(|it| u64::from_le_bytes(*it) as usize).collect();
            assert_eq!(counts[self.rank], expected, "both know how many");
            let first: usize = counts[..self.rank].iter().sum();
            let own = &numbers.as_chunks::<4>().0[first..first + expected];
            taken.extend(own.iter().map(|number| f32::from_le_bytes(*number)));
        }
        Ok(taken)
    }

    fn ask_to_stop(&self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }

    fn is_asked_to_stop(&self) -> bool {
        self.shared.stop.load(Ordering::Relaxed)
    }

    fn fail(&self, reason: &str) {
        panic!("rank {} failed: {reason}", self.rank);
    }

    fn leave(&self) {}
}
