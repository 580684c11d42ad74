//! A run that several processes make together: the leader decides, makes what one alone can make, and speaks to people;
//! the others hear what it decides and take their share of what can be shared.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sbp_plugin::team::{Broken, Pieces, Team};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::watch::{Progress, Reporter};
use crate::{Error, Result, files};

/// How long a file may take to be seen by another machine.
const SEEN_WITHIN: Duration = Duration::from_secs(30);

/// Who makes a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    /// The leader; the others wait for what it makes.
    Leader,
    /// All, each a share.
    All,
}

/// What the leader decides about a stage.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Verdict {
    /// It is to be made in this folder.
    Make(PathBuf),
    /// It is at hand.
    Done,
    /// The run stops.
    Stopped,
    /// The leader failed.
    Failed(String),
}

/// Tells the others a decision of the leader, or hears it.
pub(crate) fn hear<T: Serialize + DeserializeOwned>(team: &dyn Team, said: Option<&T>) -> Result<T> {
    let said = said.map(serde_json::to_vec).transpose().map_err(unreadable)?;
    serde_json::from_slice(&team.hear(said).map_err(broken)?).map_err(unreadable)
}

/// What the leader makes of something, on every process.
pub(crate) fn led<T: Serialize + DeserializeOwned>(
    team: &dyn Team,
    decide: impl FnOnce() -> Result<T>,
) -> Result<T> {
    if team.is_alone() {
        return decide();
    }
    if !team.is_leader() {
        let said: std::result::Result<T, String> = hear(team, None)?;
        return said.map_err(|reason| Error::Refused(format!("rank 0 failed: {reason}")));
    }
    let decided = decide();
    let said = decided.as_ref().map_err(ToString::to_string);
    team.hear(Some(serde_json::to_vec(&said).map_err(unreadable)?)).map_err(broken)?;
    decided
}

/// Ends work that all did: fails where a process failed, stops where one stopped.
pub(crate) fn concluded(team: &dyn Team, stage: &str, outcome: Result<()>) -> Result<()> {
    if team.is_alone() {
        return outcome;
    }
    let is_stopped = match outcome {
        Ok(()) => false,
        Err(Error::Stopped { .. }) => true,
        Err(error) => {
            // Others may be in the middle of a step, where they do not listen for anything but this.
            team.fail(&error.to_string());
            return Err(error);
        }
    };
    let all = team.collect(vec![u8::from(is_stopped)]).map_err(broken)?;
    match all.iter().any(|said| said == &[1]) {
        true => Err(Error::Stopped { stage: stage.to_owned() }),
        false => Ok(()),
    }
}

/// Does work that is shared out piece by piece: each process the next that nobody has, until all are done or one is asked to
/// stop. However it ends, it ends for all at the same place; what `work` holds is let go of before.
pub(crate) fn each_piece(
    team: &dyn Team,
    stage: &str,
    num_pieces: usize,
    mut work: impl FnMut(usize) -> Result<()>,
) -> Result<()> {
    let pieces = Pieces::new(team, num_pieces);
    let mut all = || {
        while let Some(piece) = pieces.take().map_err(broken)? {
            work(piece)?;
        }
        Ok(())
    };
    let outcome = all();
    drop(work);
    concluded(team, stage, outcome)
}

/// Makes sure that all processes work in the same folder.
pub(crate) fn same_folder(team: &dyn Team, home: &Path) -> Result<()> {
    if team.is_alone() {
        return Ok(());
    }
    let name = led(team, || {
        files::create_folder(home)?;
        let name = format!(".team-{}", std::process::id());
        files::write_whole(&home.join(&name), b"")?;
        Ok(name)
    })?;
    let (sign, began) = (home.join(name), Instant::now());
    while !sign.exists() && began.elapsed() < SEEN_WITHIN {
        std::thread::sleep(Duration::from_millis(100));
    }
    let all = team.collect(vec![u8::from(sign.exists())]).map_err(broken)?;
    if team.is_leader() {
        let _ = std::fs::remove_file(&sign);
    }
    match all.iter().position(|said| said == &[0]) {
        None => Ok(()),
        Some(rank) => Err(Error::Refused(format!(
            "rank {rank} does not see what rank 0 writes to {}: let SBP_HOME name one folder that the machines share",
            home.display()
        ))),
    }
}

/// An error of a team as the run's.
pub(crate) fn broken(error: sbp_plugin::Error) -> Error {
    match error.downcast::<Broken>() {
        Ok(broken) => Error::Team(*broken),
        Err(other) => Error::Refused(other.to_string()),
    }
}

fn unreadable(error: serde_json::Error) -> Error {
    Error::Refused(format!(
        "what the processes tell each other cannot be read ({error}): do all run the same version?"
    ))
}

/// Stops when any process is asked to.
pub(crate) struct Together<'a> {
    pub(crate) reporter: &'a mut dyn Reporter,
    pub(crate) team: &'a dyn Team,
}

impl Reporter for Together<'_> {
    fn show(&mut self, text: &str) {
        self.reporter.show(text);
    }

    fn stage_started(&mut self, stage: &str) {
        self.reporter.stage_started(stage);
    }

    fn progress(&mut self, progress: &Progress<'_>) {
        self.reporter.progress(progress);
    }

    fn stage_finished(&mut self, stage: &str, reused: bool) {
        self.reporter.stage_finished(stage, reused);
    }

    fn warn(&mut self, message: &str) {
        self.reporter.warn(message);
    }

    fn stop_requested(&self) -> bool {
        let own = self.reporter.stop_requested();
        if own {
            self.team.ask_to_stop();
        }
        own || self.team.is_asked_to_stop()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, Ordering};

    use sbp_testkit::ThreadTeam;

    use super::*;

    #[test]
    fn every_piece_is_done_once_and_all_know_when() {
        let done = Mutex::new(Vec::new());
        ThreadTeam::run(3, |team| {
            let work = |piece| {
                done.lock().unwrap().push(piece);
                Ok(())
            };
            each_piece(team.as_ref(), "embed", 20, work).unwrap();
            assert_eq!(done.lock().unwrap().len(), 20);
        });
        let mut done = done.into_inner().unwrap();
        done.sort_unstable();
        assert_eq!(done, (0..20).collect::<Vec<_>>());
    }

    #[test]
    fn where_one_stops_between_pieces_all_stop_and_still_understand_each_other() {
        let has_stopped = AtomicBool::new(false);
        let heard = ThreadTeam::run(2, |team| {
            let team = team.as_ref();
            // Nothing is left for the leader to do after the other stopped, and it does not hear of it.
            let work = |_| {
                if team.is_leader() {
                    while !has_stopped.load(Ordering::Relaxed) {
                        std::thread::yield_now();
                    }
                    return Ok(());
                }
                has_stopped.store(true, Ordering::Relaxed);
                Err(Error::Stopped { stage: "embed".to_owned() })
            };
            let outcome = each_piece(team, "embed", 2, work);
            assert!(matches!(outcome, Err(Error::Stopped { .. })), "{outcome:?}");
            let said = team.is_leader().then_some(Verdict::Stopped);
            hear(team, said.as_ref()).map(|verdict| matches!(verdict, Verdict::Stopped)).unwrap()
        });
        assert_eq!(heard, [true, true]);
    }
}
