//! The screen: one line a stage, with progress inside it. A moving line on a terminal, plain lines elsewhere.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use sbp_pipeline::{Progress, Reporter};

use crate::say::say;
use crate::stop::StopFlag;

/// Time between two plain lines of one stage.
const PLAIN_INTERVAL: Duration = Duration::from_secs(10);

/// Reports to standard error; what is to be kept (plan, table) goes to standard output unless that is taken.
pub(crate) struct Screen {
    stop: StopFlag,
    stdout_is_taken: bool,
    bar: Option<ProgressBar>,
    started: Instant,
    first: Option<(Instant, Mark)>,
    last_line: Instant,
    told_stop: bool,
    stages: Vec<(String, Duration, bool)>,
}

/// Where a stage stood at some moment.
#[derive(Debug, Clone, Copy)]
struct Mark {
    done: u64,
    tokens: u64,
    flops: u64,
}

impl Screen {
    pub(crate) fn new(stop: StopFlag, stdout_is_taken: bool) -> Self {
        let now = Instant::now();
        Self {
            stop,
            stdout_is_taken,
            bar: None,
            started: now,
            first: None,
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

    /// What was reused and how long the rest took, one line.
    pub(crate) fn summary(&self) -> String {
        let reused = self.stages.iter().filter(|(_, _, reused)| *reused).count();
        let made: Duration = self.stages.iter().map(|(_, took, _)| *took).sum();
        format!("{} stages, {reused} reused, {}", self.stages.len(), people(made))
    }

    fn describe(&mut self, progress: &Progress<'_>) -> String {
        let now = Instant::now();
        let mark = Mark { done: progress.done, tokens: progress.tokens, flops: progress.flops };
        // Rates count from the first report, so that a resumed stage is not credited with earlier work.
        let (since, first) = *self.first.get_or_insert((now, mark));
        let secs = now.duration_since(since).as_secs_f64();
        let mut text = format!("{}/{} {}", progress.done, progress.total, progress.unit);
        if let Some(loss) = progress.loss {
            text.push_str(&format!("  loss {loss:.3}"));
        }
        if let Some(dropped) = progress.dropped {
            text.push_str(&format!("  {:.0}% dropped", 100.0 * dropped));
        }
        if secs > 0.5 {
            if mark.tokens > first.tokens {
                text.push_str(&format!("  {:.0} tokens/s", (mark.tokens - first.tokens) as f64 / secs));
            }
            if let Some(peak) = progress.peak_flops {
                let share = (mark.flops - first.flops) as f64 / secs / peak;
                text.push_str(&format!("  MFU {:.0}%", 100.0 * share));
            }
            if mark.done > first.done {
                let left = (progress.total - progress.done) as f64 * secs / (mark.done - first.done) as f64;
                text.push_str(&format!("  {} left", people(Duration::from_secs_f64(left))));
            }
        }
        text
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
        self.first = None;
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix}  {wide_msg}") {
            bar.set_style(style);
        }
        bar.set_prefix(stage.to_owned());
        self.bar = Some(bar);
    }

    fn progress(&mut self, progress: &Progress<'_>) {
        if self.stop.is_set() && !self.told_stop {
            self.told_stop = true;
            self.line("stopping at the next safe point; once more to stop at once");
        }
        let text = self.describe(progress);
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
        let how = if reused { "reused".to_owned() } else { format!("done in {}", people(took)) };
        self.line(&format!("  {stage:<28} {how}"));
        self.stages.push((stage.to_owned(), took, reused));
    }

    fn warn(&mut self, message: &str) {
        self.line(&format!("  warning: {message}"));
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
        _ => format!("{} h {:02} min", secs as u64 / 3600, secs as u64 % 3600 / 60),
    }
}
