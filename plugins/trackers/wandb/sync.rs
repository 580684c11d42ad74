//! Uploads beside the run: wandb's own program, one process for each offline run, watched and never needed.
//!
//! Each reads its run as it is written and ends by itself when the run does, so none is ever stopped from here.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// What a process says goes into this file of its run's folder.
const SAID: &str = "sync.log";

pub(super) struct Sync {
    /// Program and arguments; the folder of the run is one more.
    command: Vec<String>,
    running: Vec<(PathBuf, Child)>,
    warnings: Vec<String>,
    /// Whether the program could not be started, which is told once.
    is_absent: bool,
}

impl Sync {
    pub(super) fn new(command: Vec<String>) -> Self {
        Self { command, running: Vec::new(), warnings: Vec::new(), is_absent: false }
    }

    /// Uploads a run from now on.
    pub(super) fn follow(&mut self, folder: &Path) {
        match self.start(folder) {
            Ok(child) => self.running.push((folder.to_owned(), child)),
            Err(_) if self.is_absent => (),
            Err(error) => {
                self.is_absent = true;
                self.warnings.push(format!(
                    "cannot start `{}`: {error}; nothing is lost, the runs are whole on this disk: install wandb and {}",
                    self.command.join(" "),
                    by_hand(folder)
                ));
            }
        }
    }

    fn start(&self, folder: &Path) -> io::Result<Child> {
        let (program, arguments) =
            self.command.split_first().ok_or_else(|| io::Error::other("no program is named"))?;
        let said = File::create(folder.join(SAID))?;
        let mut command = Command::new(program);
        command.args(arguments).arg(folder);
        // A run that goes on has been there before: what is uploaded is added to it.
        command.env("WANDB_RESUME", "allow");
        // Else its own logs lie wherever the study was started from.
        command.env("WANDB_DIR", folder);
        command.stdin(Stdio::null()).stdout(said.try_clone()?).stderr(said);
        // Ctrl-C is for the study, which ends its runs in order; the upload then ends by itself.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        command.spawn()
    }

    /// Sees who has ended, and how.
    pub(super) fn look(&mut self) {
        let warnings = &mut self.warnings;
        self.running.retain_mut(|(folder, child)| match child.try_wait() {
            Ok(None) => true,
            Ok(Some(status)) if status.success() => false,
            Ok(Some(status)) => {
                warnings.push(failed(folder, status));
                false
            }
            Err(error) => {
                warnings.push(format!("cannot watch an upload: {error}; {}", by_hand(folder)));
                false
            }
        });
    }

    /// Waits for those that still upload, and leaves alone those that take longer.
    pub(super) fn wait(&mut self, patience: Duration) {
        let begun = Instant::now();
        self.look();
        while !self.running.is_empty() && begun.elapsed() < patience {
            sleep(Duration::from_millis(50));
            self.look();
        }
        for (folder, child) in self.running.drain(..) {
            self.warnings.push(format!(
                "process {} still uploads {} and goes on by itself; should it not come to an end, {}",
                child.id(),
                folder.display(),
                by_hand(&folder)
            ));
        }
    }

    pub(super) fn warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }
}

fn failed(folder: &Path, status: ExitStatus) -> String {
    let said = folder.join(SAID);
    let text = std::fs::read_to_string(&said).unwrap_or_default();
    let last = text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
    format!(
        "an upload to Weights & Biases ended with {status}: {} ({}); nothing is lost, the run is whole on this disk: {}",
        last.trim(),
        said.display(),
        by_hand(folder)
    )
}

/// What uploads a folder of runs later.
fn by_hand(run: &Path) -> String {
    let folder = run.parent().unwrap_or(run);
    format!("run `WANDB_RESUME=allow wandb sync {}/offline-run-*`", folder.display())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn sync(command: &[&str]) -> Sync {
        Sync::new(command.iter().map(|&word| word.to_owned()).collect())
    }

    #[test]
    fn an_upload_is_given_the_folder_and_leave_to_resume() {
        let folder = tempfile::tempdir().unwrap();
        let mut sync = sync(&["sh", "-c", "echo $WANDB_RESUME $0"]);
        sync.follow(folder.path());
        sync.wait(Duration::from_secs(60));
        assert_eq!(sync.warnings(), [""; 0]);
        let said = std::fs::read_to_string(folder.path().join(SAID)).unwrap();
        assert_eq!(said, format!("allow {}\n", folder.path().display()));
    }

    #[test]
    fn what_fails_is_told_with_what_to_run_by_hand() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("offline-run-1");
        std::fs::create_dir(&run).unwrap();
        let mut failing = sync(&["sh", "-c", "echo no API key; exit 3"]);
        failing.follow(&run);
        failing.wait(Duration::from_secs(60));
        let [warning] = &failing.warnings()[..] else { panic!("not one warning") };
        assert!(warning.contains("exit status: 3: no API key"), "{warning}");
        let by_hand = format!("WANDB_RESUME=allow wandb sync {}/offline-run-*`", folder.path().display());
        assert!(warning.ends_with(&by_hand), "{warning}");

        let mut absent = sync(&["no-such-program-as-this"]);
        absent.follow(&run);
        absent.follow(&run);
        absent.wait(Duration::from_secs(60));
        let [warning] = &absent.warnings()[..] else { panic!("not one warning") };
        assert!(warning.starts_with("cannot start `no-such-program-as-this`"), "{warning}");
    }
}
