//! Those who watch a run: the screen, the event log, the trackers. None of them can fail it.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use sbp_plugin::ports::{TrainObserver, TrainPoint};
use sbp_plugin::slots::tracker::MetricPoint;
use serde_json::{Value, json};

use crate::store::{Artifact, Origin};
use crate::trackers::Trackers;

/// The screen, as the pipeline sees it.
pub trait Reporter {
    /// A text of several lines to be shown as it is: the plan, the table.
    fn show(&mut self, text: &str);
    /// A stage begins.
    fn stage_started(&mut self, stage: &str);
    /// Something inside the stage moved on.
    fn progress(&mut self, progress: &Progress<'_>);
    /// A stage is done; `reused` when nothing had to be made.
    fn stage_finished(&mut self, stage: &str, reused: bool);
    /// Something unusual that does not end the run.
    fn warn(&mut self, message: &str);
    /// Whether the user asked to stop.
    fn stop_requested(&self) -> bool;
}

/// A screen that nobody looks at. It is asked by this whether to stop.
pub struct Quiet<S>(pub S);

impl<S: Fn() -> bool> Reporter for Quiet<S> {
    fn show(&mut self, _: &str) {}
    fn stage_started(&mut self, _: &str) {}
    fn progress(&mut self, _: &Progress<'_>) {}
    fn stage_finished(&mut self, _: &str, _: bool) {}
    fn warn(&mut self, _: &str) {}
    fn stop_requested(&self) -> bool {
        self.0()
    }
}

/// How far a stage has come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress<'a> {
    /// The stage, as the screen names it.
    pub stage: &'a str,
    /// Units done and in all.
    pub done: u64,
    /// Units in all.
    pub total: u64,
    /// What a unit is: `steps`, `documents`, `tokens`.
    pub unit: &'a str,
    /// Tokens and FLOPs so far, where the stage trains or generates.
    pub tokens: u64,
    /// FLOPs so far.
    pub flops: f64,
    /// FLOP/s that the device reaches at best, where that is known.
    pub peak_flops: Option<f64>,
    /// Loss of the latest step, where there is one.
    pub loss: Option<f64>,
    /// Share of what was made that was dropped, where there are filters.
    pub dropped: Option<f64>,
}

impl<'a> Progress<'a> {
    /// Of a stage of which nothing is known but how many units are done, and of how many.
    pub(crate) fn of(stage: &'a str, done: u64, total: u64, unit: &'a str) -> Self {
        Self { stage, done, total, unit, tokens: 0, flops: 0.0, peak_flops: None, loss: None, dropped: None }
    }
}

/// Everyone who watches, behind one door.
pub(crate) struct Watch<'a> {
    pub(crate) reporter: &'a mut dyn Reporter,
    trackers: Option<&'a mut Trackers>,
    events: Option<File>,
}

impl<'a> Watch<'a> {
    pub(crate) fn new(reporter: &'a mut dyn Reporter, trackers: &'a mut Trackers, events: &Path) -> Self {
        let events = OpenOptions::new().create(true).append(true).open(events).ok();
        let mut watch = Self { reporter, trackers: Some(trackers), events };
        watch.track(Trackers::start);
        watch
    }

    /// Nobody but a reporter watches.
    pub(crate) fn by(reporter: &'a mut dyn Reporter) -> Self {
        Self { reporter, trackers: None, events: None }
    }

    /// Has the trackers do something, and passes on what they have to say.
    fn track(&mut self, what: impl FnOnce(&mut Trackers)) {
        let Some(trackers) = &mut self.trackers else { return };
        what(trackers);
        for message in trackers.messages() {
            self.warn(&message);
        }
    }

    pub(crate) fn event(&mut self, event: &Value) {
        if let Some(file) = &mut self.events
            && writeln!(file, "{event}").is_err()
        {
            self.reporter.warn("events.jsonl cannot be written; the run goes on without it");
            self.events = None;
        }
    }

    /// Something unusual that does not end the run: on the screen and in the event log.
    pub(crate) fn warn(&mut self, message: &str) {
        self.event(&json!({"event": "warning", "message": message}));
        self.reporter.warn(message);
    }

    pub(crate) fn started(&mut self, stage: &str) {
        self.event(&json!({"event": "stage_started", "stage": stage}));
        self.reporter.stage_started(stage);
        self.track(Trackers::start);
    }

    pub(crate) fn finished(&mut self, stage: &str, origin: Origin) {
        let reused = origin != Origin::Made;
        let mut event = json!({"event": "stage_finished", "stage": stage, "reused": reused});
        if origin == Origin::Fetched {
            event["fetched"] = json!(true);
        }
        self.event(&event);
        self.reporter.stage_finished(stage, reused);
    }

    pub(crate) fn metrics(&mut self, point: &MetricPoint<'_>) {
        self.track(|trackers| trackers.metrics(point));
    }

    /// An artifact of a stage is at hand, made by a job from `inputs`.
    pub(crate) fn artifact(&mut self, stage: &str, job: &str, artifact: &Artifact, inputs: &Value) {
        self.track(|trackers| trackers.artifact(stage, job, artifact, inputs));
    }

    pub(crate) fn report(&mut self, results: &Value) {
        self.track(|trackers| trackers.finish(results));
    }
}

/// Watches one training job: screen, trackers, and `metrics.jsonl` in the job's own folder.
pub(crate) struct TrainWatch<'w, 'a> {
    pub(crate) watch: &'w mut Watch<'a>,
    pub(crate) stage: &'w str,
    pub(crate) kind: &'w str,
    pub(crate) arm: &'w str,
    pub(crate) seed: u64,
    pub(crate) round: Option<u32>,
    pub(crate) log: MetricLog,
    pub(crate) meter: Meter,
    /// The step after which the job is to pause.
    pub(crate) pause_after: Option<u64>,
    /// Steps done.
    pub(crate) at: u64,
}

/// Measures speed between one step and the next.
pub(crate) struct Meter {
    peak_flops: Option<f64>,
    last: Option<(Instant, u64, f64)>,
}

impl Meter {
    pub(crate) fn new(peak_flops: Option<f64>) -> Self {
        Self { peak_flops, last: None }
    }

    /// Tokens per second since the last step, and model FLOPs as a share of what the device could do.
    fn measure(&mut self, point: &TrainPoint) -> Vec<(&'static str, f64)> {
        let now = Instant::now();
        let Some((then, tokens, flops)) = self.last.replace((now, point.tokens, point.flops)) else {
            return Vec::new();
        };
        let secs = now.duration_since(then).as_secs_f64();
        let mut values = vec![("throughput/tokens_per_sec", (point.tokens - tokens) as f64 / secs)];
        if let Some(peak) = self.peak_flops {
            values.push(("throughput/mfu", (point.flops - flops) / secs / peak));
        }
        values
    }
}

impl TrainObserver for TrainWatch<'_, '_> {
    fn resumed(&mut self, step: u64) {
        self.at = step;
        self.log.forget_after(step);
        self.watch.event(&json!({"event": "resumed", "stage": self.stage, "step": step}));
    }

    fn step(&mut self, point: &TrainPoint) {
        self.at = point.step;
        let values = [
            ("train/loss", point.loss),
            ("train/lr", point.lr),
            ("train/grad_norm", point.grad_norm),
            ("compute/model_flops", point.flops),
        ];
        let metrics = MetricPoint {
            stage: self.kind,
            arm: self.arm,
            seed: self.seed,
            round: self.round,
            step: point.step,
            tokens: point.tokens,
            values: &values,
        };
        self.log.append(&metrics);
        // Speed is for those who watch: the log of a job is the same whenever it is trained.
        let all = [&values, self.meter.measure(point).as_slice()].concat();
        self.watch.metrics(&MetricPoint { values: &all, ..metrics });
        self.watch.reporter.progress(&Progress {
            tokens: point.tokens,
            flops: point.flops,
            peak_flops: self.meter.peak_flops,
            loss: Some(point.loss),
            ..Progress::of(self.stage, point.step, point.num_steps, "steps")
        });
    }

    fn stop_requested(&self) -> bool {
        self.pause_after.is_some_and(|step| self.at >= step) || self.watch.reporter.stop_requested()
    }
}

/// The metrics of a training job, one line a step, the same for a straight run and a resumed one.
pub(crate) struct MetricLog {
    path: Option<PathBuf>,
    file: Option<File>,
}

impl MetricLog {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path: Some(path), file: None }
    }

    /// For a process whose leader writes it.
    pub(crate) fn none() -> Self {
        Self { path: None, file: None }
    }

    /// Drops lines of steps after `step`: the job is about to do them again.
    fn forget_after(&mut self, step: u64) {
        let Some(path) = &self.path else { return };
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let kept: String = text
            .lines()
            .filter(|line| {
                let value: Option<Value> = serde_json::from_str(line).ok();
                value.and_then(|value| value["step"].as_u64()).is_some_and(|at| at <= step)
            })
            .map(|line| format!("{line}\n"))
            .collect();
        self.file = None;
        let _ = std::fs::write(path, kept);
    }

    fn append(&mut self, point: &MetricPoint<'_>) {
        let Some(path) = &self.path else { return };
        if self.file.is_none() {
            // A job that begins at step 1 begins its log, whatever an earlier attempt left.
            let fresh = point.step == 1;
            let mut options = OpenOptions::new();
            self.file = options.create(true).write(true).append(!fresh).truncate(fresh).open(path).ok();
        }
        if let (Some(file), Ok(line)) = (&mut self.file, serde_json::to_string(point)) {
            let _ = writeln!(file, "{line}");
        }
    }
}
