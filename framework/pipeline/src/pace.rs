//! How fast a stage goes, and how long it still takes.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::memory::Memory;
use crate::watch::Progress;

/// No rate is told of a shorter time: it would be noise.
const LEAST: Duration = Duration::from_millis(500);

/// Memory is asked for no more often: a step may take less than asking.
const MEMORY_EVERY: Duration = Duration::from_secs(1);

/// A stage that has begun, as people and programs are told of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UnderWay {
    /// The stage, as the screen names it.
    pub stage: String,
    /// Units done.
    pub done: u64,
    /// Units in all; none while the stage has not said.
    pub total: u64,
    /// What a unit is.
    pub unit: String,
    /// Loss of the latest step, where the stage trains.
    pub loss: Option<f64>,
    /// Share of what was made that was dropped, where there are filters.
    pub dropped: Option<f64>,
    /// Tokens a second, where the stage counts tokens.
    pub tokens_per_sec: Option<f64>,
    /// Model FLOPs as a share of what the device reaches at best, where that is known.
    pub mfu: Option<f64>,
    /// Seconds that the stage still takes at this pace.
    pub secs_left: Option<f64>,
    /// Memory of the process.
    pub memory: Option<Memory>,
}

impl UnderWay {
    /// A stage that has said nothing yet.
    pub(crate) fn begun(stage: &str) -> Self {
        Self {
            stage: stage.to_owned(),
            done: 0,
            total: 0,
            unit: String::new(),
            loss: None,
            dropped: None,
            tokens_per_sec: None,
            mfu: None,
            secs_left: None,
            memory: None,
        }
    }
}

/// Watches one stage. Rates count from its first report, so that a resumed stage is not credited with earlier work.
#[derive(Debug, Clone, Default)]
pub struct Pace {
    first: Option<(Instant, Mark)>,
    memory: Option<(Instant, Memory)>,
}

/// Where a stage stood at some moment.
#[derive(Debug, Clone, Copy)]
struct Mark {
    done: u64,
    tokens: u64,
    flops: f64,
}

impl Pace {
    /// A stage that moved on just now.
    pub fn read(&mut self, progress: &Progress<'_>) -> UnderWay {
        let now = Instant::now();
        if self.memory.is_none_or(|(then, _)| now.duration_since(then) >= MEMORY_EVERY) {
            self.memory = Memory::now().map(|memory| (now, memory));
        }
        UnderWay { memory: self.memory.map(|(_, memory)| memory), ..self.at(now, progress) }
    }

    fn at(&mut self, now: Instant, progress: &Progress<'_>) -> UnderWay {
        let mark = Mark { done: progress.done, tokens: progress.tokens, flops: progress.flops };
        let (since, first) = *self.first.get_or_insert((now, mark));
        let took = now.duration_since(since);
        let secs = took.as_secs_f64();
        let rate = |now: f64, then: f64| (took >= LEAST && now > then).then(|| (now - then) / secs);
        let per_sec = |now: u64, then: u64| rate(now as f64, then as f64);
        let flops_per_sec = rate(mark.flops, first.flops);
        let left = progress.total.saturating_sub(mark.done) as f64;
        UnderWay {
            done: mark.done,
            total: progress.total,
            unit: progress.unit.to_owned(),
            loss: progress.loss,
            dropped: progress.dropped,
            tokens_per_sec: per_sec(mark.tokens, first.tokens),
            mfu: progress.peak_flops.and_then(|peak| Some(flops_per_sec? / peak)),
            secs_left: per_sec(mark.done, first.done).map(|pace| left / pace),
            ..UnderWay::begun(progress.stage)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_count_from_the_first_report() {
        let progress = |done: u64| Progress {
            tokens: done * 1000,
            flops: (done * 1_000_000) as f64,
            peak_flops: Some(1e8),
            loss: Some(2.0),
            ..Progress::of("train", done, 100, "steps")
        };
        let start = Instant::now();
        let mut pace = Pace::default();
        // Resumed at step 40.
        let first = pace.at(start, &progress(40));
        assert_eq!((first.tokens_per_sec, first.secs_left), (None, None));
        assert_eq!(pace.at(start + Duration::from_millis(100), &progress(41)).tokens_per_sec, None);
        let later = pace.at(start + Duration::from_secs(2), &progress(60));
        assert_eq!(later.tokens_per_sec, Some(10_000.0));
        assert_eq!(later.mfu, Some(0.1));
        assert_eq!(later.secs_left, Some(4.0));
        assert_eq!((later.done, later.total, later.loss), (60, 100, Some(2.0)));
    }

    #[test]
    fn a_stage_that_does_not_move_has_no_end_in_sight() {
        let progress = Progress::of("embed", 5, 3, "documents");
        let start = Instant::now();
        let mut pace = Pace::default();
        pace.at(start, &progress);
        let later = pace.at(start + Duration::from_secs(60), &progress);
        assert_eq!((later.secs_left, later.mfu), (None, None));
    }
}
