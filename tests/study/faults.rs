//! What happens to disks and files: nothing that was published is lost, and nothing that is wrong is reused.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use super::{answer, comparable_results, sbp_run, smoke};

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The largest file of a kind in a stage's artifacts.
fn largest(home: &Path, stage: &str, name: &str) -> PathBuf {
    let pattern = format!("{}/store/{stage}/*/**/{name}", home.display());
    let found = glob::glob(&pattern).expect("a pattern").filter_map(Result::ok);
    let size = |path: &PathBuf| path.metadata().map_or(0, |it| it.len());
    found.max_by_key(size).unwrap_or_else(|| panic!("no {pattern}"))
}

/// Every published artifact, with when its seal was written.
fn published(home: &Path) -> Vec<(PathBuf, std::time::SystemTime)> {
    let pattern = format!("{}/store/*/*/DONE", home.display());
    let seals = glob::glob(&pattern).expect("a pattern").filter_map(Result::ok);
    seals
        .filter(|seal| !seal.to_string_lossy().contains(".damaged-"))
        .map(|seal| (seal.clone(), seal.metadata().and_then(|it| it.modified()).expect("a time")))
        .collect()
}

#[test]
fn damage_is_found_by_its_hash_named_and_made_anew() {
    let home = tempfile::tempdir().expect("a folder");
    let run = || sbp_run(&smoke(), home.path(), &[]).output().expect("it starts");
    let expected = comparable_results(&run());

    // A flipped byte in a checkpoint and in the tokens, and a model that ends in the middle.
    let checkpoint = largest(home.path(), "tune", "model.safetensors");
    let tokens = largest(home.path(), "tokens", "*.tokens");
    let model = largest(home.path(), "train", "model.safetensors");
    for path in [&checkpoint, &tokens] {
        let mut bytes = fs::read(path).expect("read");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(path, bytes).expect("written");
    }
    let length = model.metadata().expect("it is there").len();
    fs::OpenOptions::new().write(true).open(&model).expect("opened").set_len(length / 2).expect("cut");

    let again = run();
    let said = said(&again);
    for (stage, what) in
        [("tune", "has other content"), ("tokens", "has other content"), ("train", "bytes instead of")]
    {
        let told = said
            .lines()
            .any(|line| line.contains(stage) && line.contains("is damaged") && line.contains(what));
        assert!(told, "{stage} is not named:\n{said}");
    }
    assert_eq!(comparable_results(&again), expected);
    // Kept for whoever wants to know, and never read again.
    let aside = format!("{}/store/train/*.damaged-1", home.path().display());
    assert_eq!(glob::glob(&aside).expect("a pattern").count(), 1);
    assert!(!String::from_utf8_lossy(&run().stderr).contains("is damaged"));
}

#[test]
fn two_runs_of_one_recipe_share_a_store_and_make_each_stage_once() {
    let home = tempfile::tempdir().expect("a folder");
    let start = || {
        let mut run = sbp_run(&smoke(), home.path(), &[]);
        run.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts")
    };
    let both = [start(), start()].map(|run| run.wait_with_output().expect("it ends"));
    let [one, two] = both.each_ref().map(comparable_results);
    assert_eq!(one, two);
    let made = |output: &Output| {
        let lines = said(output).lines().filter(|line| line.contains("done in")).count();
        (lines > 0).then_some(lines)
    };
    // One made everything, the other waited for it.
    assert_eq!(both.iter().filter_map(made).count(), 1, "{}\n{}", said(&both[0]), said(&both[1]));
    assert!(both.iter().any(|output| said(output).contains("another process is at this very run")));
}

#[test]
fn two_studies_in_one_store_make_what_they_share_once() {
    let home = tempfile::tempdir().expect("a folder");
    let start = |name: &str| {
        let mut run = sbp_run(&smoke(), home.path(), &["--set", &format!("recipe.name={name}")]);
        run.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts")
    };
    let both = [start("one"), start("two")].map(|run| run.wait_with_output().expect("it ends"));
    let [one, two] = both.each_ref().map(comparable_results);
    assert_eq!(one["arms"], two["arms"]);
    let made = |output: &Output| -> Vec<String> {
        let lines = said(output);
        let made = lines.lines().filter_map(|line| Some(line.split_once("done in")?.0.trim().to_owned()));
        made.collect()
    };
    let (first, second) = (made(&both[0]), made(&both[1]));
    let twice: Vec<_> = first.iter().filter(|stage| second.contains(stage)).collect();
    assert!(twice.is_empty() && !first.is_empty(), "made twice: {twice:?}");
}

/// A small disk of its own, where the system lets us have one.
#[cfg(target_os = "linux")]
struct Disk(tempfile::TempDir);

#[cfg(target_os = "linux")]
impl Disk {
    #[expect(clippy::print_stderr, reason = "a test that is skipped says why")]
    fn new(options: &str) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let disk = Self(folder);
        if !disk.mount(options) {
            eprintln!("no file system can be mounted here, so that a full disk is not tested");
            return None;
        }
        Some(disk)
    }

    fn mount(&self, options: &str) -> bool {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(self.0.path()).stderr(Stdio::null());
        mount.status().is_ok_and(|status| status.success())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

#[cfg(target_os = "linux")]
impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_and_one_that_cannot_be_written_end_a_run_that_goes_on_later() {
    let Some(disk) = Disk::new("size=900k") else { return };
    let elsewhere = tempfile::tempdir().expect("a folder");
    let expected = comparable_results(&sbp_run(&smoke(), elsewhere.path(), &[]).output().expect("it starts"));

    let run = || sbp_run(&smoke(), disk.path(), &[]).output().expect("it starts");
    let full = run();
    assert_eq!(answer(&full)["exit"], 1, "{}", said(&full));
    let message = said(&full);
    assert!(message.contains("free some space") && message.contains("goes on"), "{message}");
    let kept = published(disk.path());
    assert!(!kept.is_empty(), "nothing was published before the disk was full");

    assert!(disk.mount("remount,size=64m,ro"));
    let read_only = run();
    assert_eq!(answer(&read_only)["exit"], 1, "{}", said(&read_only));
    let message = said(&read_only);
    assert!(message.contains("SBP_HOME"), "{message}");

    assert!(disk.mount("remount,size=64m,rw"));
    let resumed = run();
    assert_eq!(answer(&resumed)["exit"], Value::from(0), "{}", said(&resumed));
    assert_eq!(comparable_results(&resumed), expected);
    let now = published(disk.path());
    assert!(kept.iter().all(|seal| now.contains(seal)), "something that was published was made again");
}
