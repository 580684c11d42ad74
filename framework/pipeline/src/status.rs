//! What a run is doing, for whoever asks from outside: `status.json` in its folder.
//!
//! Written at the boundaries of stages and about once a second inside them. It holds wall-clock facts, and nothing that
//! decides about results reads it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sbp_recipe::Plan;
use serde::{Deserialize, Serialize};

use crate::memory::Memory;
use crate::pace::{Pace, UnderWay};
use crate::process::Process;
use crate::run_folder::RunFolder;
use crate::watch::{Progress, Reporter};
use crate::{Error, Result, files};

/// Time between two writings inside a stage.
const EVERY: Duration = Duration::from_secs(1);

/// How a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Its process works on it.
    Running,
    /// It came to its table.
    Finished,
    /// It was asked to stop; the same command goes on.
    Stopped,
    /// It failed, and said why.
    Failed,
    /// Its process is gone without a word: killed, or the machine went down. The same command goes on.
    Dead,
    /// It runs, or ran, on another machine, which cannot be asked from here.
    Elsewhere,
    /// Its folder does not say.
    Unknown,
}

impl State {
    /// The word that people and programs read.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
            Self::Dead => "dead",
            Self::Elsewhere => "elsewhere",
            Self::Unknown => "unknown",
        }
    }

    /// Whether a process may be at work on it.
    pub fn may_be_live(self) -> bool {
        matches!(self, Self::Running | Self::Elsewhere)
    }
}

/// A stage that is done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DoneStage {
    /// The stage, as the screen names it.
    pub stage: String,
    /// Seconds that it took, those of earlier attempts left out.
    pub secs: f64,
    /// Whether nothing had to be made.
    pub reused: bool,
}

/// What a run is doing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The recipe's name.
    pub recipe: String,
    /// Identity of the plan.
    pub plan: String,
    /// The arms in table order.
    pub arms: Vec<String>,
    /// The seeds.
    pub seeds: Vec<u64>,
    /// How it stands.
    pub state: State,
    /// Why it failed, or where it stopped.
    pub message: Option<String>,
    /// Who does it.
    pub process: Process,
    /// When it began, in seconds since 1970.
    pub began: u64,
    /// When this was written, in seconds since 1970.
    pub updated: u64,
    /// The stage that has begun.
    pub under_way: Option<UnderWay>,
    /// The stages that are done, in order.
    pub stages: Vec<DoneStage>,
    /// The most memory that the process took, in bytes.
    pub peak_memory_bytes: Option<u64>,
}

impl Status {
    /// What a run says of itself; a run whose process is gone is [dead](State::Dead). None where it says nothing.
    pub fn read(run: &RunFolder) -> Option<Self> {
        let mut status: Self = files::read_json(&path(run)).ok()?;
        if status.state == State::Running {
            status.state = match status.process.is_alive() {
                Some(true) => State::Running,
                Some(false) => State::Dead,
                None => State::Elsewhere,
            };
        }
        Some(status)
    }

    /// How long it has taken so far, or took.
    pub fn elapsed(&self) -> Duration {
        let until = if self.state == State::Running { now() } else { self.updated };
        Duration::from_secs(until.saturating_sub(self.began))
    }

    /// How long ago it was heard of.
    pub fn age(&self) -> Duration {
        Duration::from_secs(now().saturating_sub(self.updated))
    }
}

fn path(run: &RunFolder) -> PathBuf {
    run.path.join("status.json")
}

/// Seconds since 1970.
#[expect(
    clippy::disallowed_methods,
    reason = "when a run began is for people; results and fingerprints leave it out"
)]
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Does a run's work while its folder says how far it has come.
pub(crate) fn recorded<T>(
    plan: &Plan,
    run: &RunFolder,
    screen: &mut dyn Reporter,
    work: impl FnOnce(&mut dyn Reporter) -> Result<T>,
) -> Result<T> {
    let mut recorder = Recorder::begin(plan, run, screen);
    let outcome = work(&mut recorder);
    recorder.end(outcome.as_ref().err());
    outcome
}

/// Hands everything on to the screen, and writes down what a run is doing.
struct Recorder<'a> {
    screen: &'a mut dyn Reporter,
    path: PathBuf,
    status: Status,
    stage_began: Instant,
    pace: Pace,
    written: Instant,
    /// Whether it could be written so far; it is told once that it cannot.
    is_writable: bool,
}

impl<'a> Recorder<'a> {
    fn begin(plan: &Plan, run: &RunFolder, screen: &'a mut dyn Reporter) -> Self {
        let (instant, began) = (Instant::now(), now());
        let status = Status {
            recipe: plan.recipe.recipe.name.clone(),
            plan: plan.id.to_string(),
            arms: plan.arm_names(),
            seeds: plan.recipe.recipe.seeds.clone(),
            state: State::Running,
            message: None,
            process: Process::this(),
            began,
            updated: began,
            under_way: None,
            stages: Vec::new(),
            peak_memory_bytes: None,
        };
        let mut recorder = Self {
            screen,
            path: path(run),
            status,
            stage_began: instant,
            pace: Pace::default(),
            written: instant,
            is_writable: true,
        };
        recorder.write();
        recorder
    }

    fn end(&mut self, error: Option<&Error>) {
        self.status.state = match error {
            None => State::Finished,
            Some(Error::Stopped { .. }) => State::Stopped,
            Some(_) => State::Failed,
        };
        self.status.message = error.map(ToString::to_string);
        self.status.under_way = None;
        self.write();
    }

    /// Watching must not fail a run, nor slow it down: nobody waits for the disk.
    fn write(&mut self) {
        self.written = Instant::now();
        self.status.updated = now();
        self.status.peak_memory_bytes = Memory::now().map(|memory| memory.peak_bytes);
        if let (true, Err(error)) = (self.is_writable, replace(&self.path, &self.status)) {
            self.is_writable = false;
            self.screen
                .warn(&format!("{}: {error}; `sbp status` cannot tell of this run", self.path.display()));
        }
    }
}

/// Writes a file that is whole whenever it is read. One that is lost with the machine is no loss.
fn replace(path: &Path, status: &Status) -> std::io::Result<()> {
    let temporary = path.with_extension(format!("{}.tmp", status.process.pid));
    std::fs::write(&temporary, serde_json::to_vec_pretty(status)?)?;
    std::fs::rename(&temporary, path)
}

impl Reporter for Recorder<'_> {
    fn show(&mut self, text: &str) {
        self.screen.show(text);
    }

    fn stage_started(&mut self, stage: &str) {
        self.stage_began = Instant::now();
        self.pace = Pace::default();
        self.status.under_way = Some(UnderWay::begun(stage));
        self.write();
        self.screen.stage_started(stage);
    }

    fn progress(&mut self, progress: &Progress<'_>) {
        self.status.under_way = Some(self.pace.read(progress));
        if self.written.elapsed() >= EVERY {
            self.write();
        }
        self.screen.progress(progress);
    }

    fn stage_finished(&mut self, stage: &str, reused: bool) {
        let secs = self.stage_began.elapsed().as_secs_f64();
        self.status.under_way = None;
        self.status.stages.push(DoneStage { stage: stage.to_owned(), secs, reused });
        self.write();
        self.screen.stage_finished(stage, reused);
    }

    fn warn(&mut self, message: &str) {
        self.screen.warn(message);
    }

    fn stop_requested(&self) -> bool {
        self.screen.stop_requested()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A status as a run of this process would leave it.
    pub(crate) fn example(state: State) -> Status {
        Status {
            recipe: "demo".to_owned(),
            plan: "0".repeat(32),
            arms: vec!["repetition".to_owned(), "sbp".to_owned()],
            seeds: vec![1],
            state,
            message: None,
            process: Process::this(),
            began: 1_000,
            updated: 1_010,
            under_way: None,
            stages: Vec::new(),
            peak_memory_bytes: None,
        }
    }

    fn recorder<'a>(run: &RunFolder, screen: &'a mut Counting) -> Recorder<'a> {
        Recorder {
            screen,
            path: path(run),
            status: example(State::Running),
            stage_began: Instant::now(),
            pace: Pace::default(),
            written: Instant::now(),
            is_writable: true,
        }
    }

    #[derive(Default)]
    struct Counting {
        started: usize,
        progressed: usize,
        finished: usize,
        warnings: Vec<String>,
    }

    impl Reporter for Counting {
        fn show(&mut self, _: &str) {}
        fn stage_started(&mut self, _: &str) {
            self.started += 1;
        }
        fn progress(&mut self, _: &Progress<'_>) {
            self.progressed += 1;
        }
        fn stage_finished(&mut self, _: &str, _: bool) {
            self.finished += 1;
        }
        fn warn(&mut self, message: &str) {
            self.warnings.push(message.to_owned());
        }
        fn stop_requested(&self) -> bool {
            true
        }
    }

    fn progress(done: u64) -> Progress<'static> {
        Progress {
            tokens: done,
            flops: done as f64,
            loss: Some(1.5),
            ..Progress::of("train", done, 9, "steps")
        }
    }

    #[test]
    fn what_a_run_does_can_be_read_from_outside_and_reaches_the_screen() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunFolder { path: folder.path().to_owned() };
        let mut screen = Counting::default();
        let mut recorder = recorder(&run, &mut screen);
        recorder.stage_started("train");
        let begun = Status::read(&run).unwrap();
        assert_eq!((begun.state, begun.under_way.unwrap().stage.as_str()), (State::Running, "train"));

        // Within the same second nothing is written.
        recorder.written = Instant::now() + Duration::from_secs(3600);
        recorder.progress(&progress(1));
        assert_eq!(Status::read(&run).unwrap().under_way.unwrap().done, 0);
        if let Some(earlier) = Instant::now().checked_sub(EVERY) {
            recorder.written = earlier;
            recorder.progress(&progress(2));
            let under_way = Status::read(&run).unwrap().under_way.unwrap();
            assert_eq!((under_way.done, under_way.total, under_way.loss), (2, 9, Some(1.5)));
        }

        recorder.stage_finished("train", false);
        assert!(recorder.stop_requested());
        recorder.end(Some(&Error::Stopped { stage: "evaluate".to_owned() }));
        let status = Status::read(&run).unwrap();
        assert_eq!((status.state, status.stages.len()), (State::Stopped, 1));
        assert!(status.message.unwrap().contains("evaluate"));
        assert_eq!((screen.started, screen.finished, screen.warnings.len()), (1, 1, 0));
        assert!(screen.progressed > 0);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "temporary files are left");
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_told_of_once() {
        let run = RunFolder { path: PathBuf::from("/there/is/no/such/folder") };
        let mut screen = Counting::default();
        let mut recorder = recorder(&run, &mut screen);
        recorder.stage_started("train");
        recorder.stage_finished("train", false);
        assert_eq!(screen.warnings.len(), 1);
    }

    #[test]
    fn a_run_whose_process_is_gone_is_dead() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunFolder { path: folder.path().to_owned() };
        let state = |process: Process, state: State| {
            let status = Status { process, ..example(state) };
            files::write_json(&path(&run), &status).unwrap();
            Status::read(&run).unwrap().state
        };
        let this = Process::this();
        assert_eq!(state(this.clone(), State::Running), State::Running);
        // Numbers of processes are smaller on every system.
        let gone = Process { pid: i32::MAX as u32, started: Some(1), ..this.clone() };
        assert_eq!(state(gone.clone(), State::Running), State::Dead);
        assert_eq!(state(gone, State::Finished), State::Finished);
        let elsewhere = Process { host: "elsewhere.invalid".to_owned(), ..this };
        assert_eq!(state(elsewhere, State::Running), State::Elsewhere);
    }
}
