//! The processes that make a run together: who they are, and how they tell each other things.
//!
//! There are two ways to tell. What is told *patiently* may take as long as the others live: a stage that one process
//! makes alone is waited for so. What is told *in lockstep* is for numbers of a training step, and every process must be
//! at the same place of the same step. Either fails, with the name of who is missing, when a process is gone.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use crate::Result;

/// The processes of a run, as one of them sees them.
///
/// All methods but [`next`](Team::next), [`fail`](Team::fail) and those about stopping are called by every process in the
/// same order.
pub trait Team: Send + Sync + fmt::Debug {
    /// Which of the processes this is, from 0. Process 0 leads: it writes, and speaks to people.
    fn rank(&self) -> usize;
    /// How many there are.
    fn size(&self) -> usize;
    /// Which of those on the same machine this is, from 0.
    fn local_rank(&self) -> usize;
    /// How many there are on the same machine.
    fn local_size(&self) -> usize;

    /// What the leader has to say, on every process; the others give `None`. Patient.
    ///
    /// # Errors
    /// When a process is gone.
    fn hear(&self, said: Option<Vec<u8>>) -> Result<Vec<u8>>;
    /// What every process has to say, by rank, on every process. Patient.
    ///
    /// # Errors
    /// When a process is gone.
    fn collect(&self, said: Vec<u8>) -> Result<Vec<Vec<u8>>>;
    /// A new queue of numbers, the same for every process.
    fn queue(&self) -> Queue;
    /// The next number of a queue, from 0; each is given to one process only.
    ///
    /// # Errors
    /// When it cannot be asked for.
    fn next(&self, queue: Queue) -> Result<u64>;

    /// Bytes of every process, by rank, as many of each. In lockstep.
    ///
    /// # Errors
    /// When a process is gone.
    fn exchange(&self, bytes: &[u8]) -> Result<Vec<Vec<u8>>>;
    /// Gives every process numbers of its own, and takes those that every process has for this one, one after the other by
    /// rank. `to` and `from` say how many they are, by rank. In lockstep.
    ///
    /// # Errors
    /// When a process is gone.
    fn swap(&self, numbers: &[f32], to: &[usize], from: &[usize]) -> Result<Vec<f32>>;

    /// Asks every process to stop at a safe point.
    fn ask_to_stop(&self);
    /// Whether a process asked for that.
    fn is_asked_to_stop(&self) -> bool;
    /// Tells the others that this process failed and will be gone.
    fn fail(&self, reason: &str);
    /// Parts from the others, who need not wait for this process any more. The leader waits for all.
    fn leave(&self);

    /// Whether this process leads.
    fn is_leader(&self) -> bool {
        self.rank() == 0
    }
    /// Whether there is nobody else.
    fn is_alone(&self) -> bool {
        self.size() == 1
    }
    /// Waits until every process is here. Patient.
    ///
    /// # Errors
    /// When a process is gone.
    fn meet(&self) -> Result<()> {
        self.collect(Vec::new()).map(|_| ())
    }
}

/// Numbers that are handed out one by one, see [`Team::next`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Queue(pub u64);

/// The work of a stage that is shared out piece by piece: whoever is free takes the next.
#[derive(Debug)]
pub struct Pieces<'a> {
    team: &'a dyn Team,
    queue: Queue,
    num_pieces: usize,
}

impl<'a> Pieces<'a> {
    /// So many pieces, from 0. To be made by every process.
    pub fn new(team: &'a dyn Team, num_pieces: usize) -> Self {
        Self { team, queue: team.queue(), num_pieces }
    }

    /// The next piece that this process is to do; none when all are taken.
    ///
    /// # Errors
    /// When a process is gone.
    pub fn take(&self) -> Result<Option<usize>> {
        let piece = self.team.next(self.queue)? as usize;
        Ok((piece < self.num_pieces).then_some(piece))
    }
}

/// A process is gone, or cannot be reached.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// It gives no sign of life, or its connection closed.
    #[error(
        "rank {rank} ({place}) is gone: {reason}. Nothing that was stored is lost; the same command, with as many \
         processes or another number, goes on from there"
    )]
    Gone {
        /// Its rank.
        rank: usize,
        /// Host and process, as far as they are known.
        place: String,
        /// How it was noticed.
        reason: String,
    },
    /// It said that it failed.
    #[error("rank {rank} ({place}) failed: {reason}")]
    Failed {
        /// Its rank.
        rank: usize,
        /// Host and process.
        place: String,
        /// What it said.
        reason: String,
    },
}

/// A process by itself.
#[derive(Debug, Default)]
pub struct Solo {
    queues: Mutex<BTreeMap<Queue, u64>>,
}

impl Solo {
    fn queues(&self) -> std::sync::MutexGuard<'_, BTreeMap<Queue, u64>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Team for Solo {
    fn rank(&self) -> usize {
        0
    }

    fn size(&self) -> usize {
        1
    }

    fn local_rank(&self) -> usize {
        0
    }

    fn local_size(&self) -> usize {
        1
    }

    fn hear(&self, said: Option<Vec<u8>>) -> Result<Vec<u8>> {
        Ok(said.unwrap_or_default())
    }

    fn collect(&self, said: Vec<u8>) -> Result<Vec<Vec<u8>>> {
        Ok(vec![said])
    }

    fn queue(&self) -> Queue {
        let mut queues = self.queues();
        let queue = Queue(queues.len() as u64);
        queues.insert(queue, 0);
        queue
    }

    fn next(&self, queue: Queue) -> Result<u64> {
        let mut queues = self.queues();
        let next = queues.entry(queue).or_default();
        *next += 1;
        Ok(*next - 1)
    }

    fn exchange(&self, bytes: &[u8]) -> Result<Vec<Vec<u8>>> {
        Ok(vec![bytes.to_vec()])
    }

    fn swap(&self, numbers: &[f32], _to: &[usize], _from: &[usize]) -> Result<Vec<f32>> {
        Ok(numbers.to_vec())
    }

    fn ask_to_stop(&self) {}

    fn is_asked_to_stop(&self) -> bool {
        false
    }

    fn fail(&self, _reason: &str) {}

    fn leave(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alone_a_process_does_every_piece_once() {
        let solo = Solo::default();
        for num_pieces in [3, 0, 2] {
            let pieces = Pieces::new(&solo, num_pieces);
            let mut taken = Vec::new();
            while let Some(piece) = pieces.take().unwrap() {
                taken.push(piece);
            }
            assert_eq!(taken, (0..num_pieces).collect::<Vec<_>>());
        }
    }
}
