//! The screen: one line a stage, with progress inside it. A moving line on a terminal, plain lines elsewhere. Colours are left
//! out where there is no terminal, and where `NO_COLOR` is set.

use std::time::{Duration, Instant};

use console::style;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use sbp_pipeline::{Pace, Progress, Reporter};

use crate::say::say;
use crate::stop::StopFlag;
use crate::summary::{self, Ended};
use crate::words;

/// Time between two plain lines of one stage.
const PLAIN_INTERVAL: Duration = Duration::from_secs(10);

/// Reports to standard error; what is to be kept (plan, table) goes to standard output unless that is taken.
pub(crate) struct Screen {
    stop: StopFlag,
    stdout_is_taken: bool,
    bar: Option<ProgressBar>,
    started: Instant,
    pace: Pace,
    last_line: Instant,
    told_stop: bool,
    stages: Vec<Ended>,
}

impl Screen {
    pub(crate) fn new(stop: StopFlag, stdout_is_taken: bool) -> Self {
        let now = Instant::now();
        Self {
            stop,
            stdout_is_taken,
            bar: None,
            started: now,
            pace: Pace::default(),
            last_line: now,
            told_stop: false,
            stages: Vec::new(),
        }
    }

    #[expect(clippy::print_stderr, reason = "this is the screen")]
    fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) if !bar.is_hidden() => bar.println(text),
            _ => eprintln!("{text}"),
        }
    }

    /// From now on it also asks to stop once this much time has passed.
    pub(crate) fn stop_after(&mut self, limit: Duration) {
        self.stop.set_after(limit);
    }

    /// What the stages took and which were reused, a line for each kind.
    pub(crate) fn summary(&self) -> String {
        summary::table(&self.stages)
    }

    /// Says once that the run is about to stop, and why.
    fn tell_of_stop(&mut self) {
        if self.told_stop {
            return;
        }
        if let Some(why) = self.stop.why() {
            self.told_stop = true;
            self.line(&format!("stopping at the next safe point: {why}"));
        }
    }
}

impl Reporter for Screen {
    #[expect(clippy::print_stderr, reason = "this is the screen")]
    fn show(&mut self, text: &str) {
        if self.stdout_is_taken { eprintln!("{text}") } else { say(text) }
    }

    fn stage_started(&mut self, stage: &str) {
        self.started = Instant::now();
        self.last_line = self.started;
        self.pace = Pace::default();
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix}  {wide_msg}") {
            bar.set_style(style);
        }
        bar.set_prefix(stage.to_owned());
        self.bar = Some(bar);
    }

    fn progress(&mut self, progress: &Progress<'_>) {
        self.tell_of_stop();
        let text = words::under_way(&self.pace.read(progress));
        let Some(bar) = &self.bar else { return };
        if bar.is_hidden() {
            if self.last_line.elapsed() >= PLAIN_INTERVAL {
                self.last_line = Instant::now();
                self.line(&format!("  {}  {text}", progress.stage));
            }
        } else {
            bar.set_message(text);
            bar.tick();
        }
    }

    fn stage_finished(&mut self, stage: &str, reused: bool) {
        let took = self.started.elapsed();
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        let how = match reused {
            true => style("reused".to_owned()).for_stderr().dim(),
            false => style(format!("done in {}", people(took))).for_stderr().green(),
        };
        self.line(&format!("  {stage:<28} {how}"));
        self.stages.push(Ended { stage: stage.to_owned(), took, reused });
    }

    fn warn(&mut self, message: &str) {
        self.line(&format!("  {} {message}", style("warning:").for_stderr().yellow()));
    }

    fn stop_requested(&self) -> bool {
        self.stop.is_set()
    }
}

/// A duration as people say it.
pub(crate) fn people(duration: Duration) -> String {
    let secs = duration.as_secs_f64();
    match secs {
        _ if secs < 10.0 => format!("{secs:.1} s"),
        _ if secs < 60.0 => format!("{secs:.0} s"),
        _ if secs < 3600.0 => format!("{} min {:02} s", secs as u64 / 60, secs as u64 % 60),
        _ if secs < 48.0 * 3600.0 => format!("{} h {:02} min", secs as u64 / 3600, secs as u64 % 3600 / 60),
        _ => format!("{} days {} h", secs as u64 / 86_400, secs as u64 % 86_400 / 3600),
    }
}
