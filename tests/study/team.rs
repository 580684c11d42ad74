//! One run by several processes: started as launchers start them, they make what one process makes.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{answer, comparable_results, sbp, sbp_run, smoke};

/// The same bits whatever the number of processes; checkpoints often enough for a kill.
const SAME_BITS: [&str; 8] = [
    "--set",
    "synthesizer.sampling.batch_size=8",
    "--set",
    "training.gradient_parts=4",
    "--set",
    "synthesizer.tuning.gradient_parts=4",
    "--set",
    "execution.checkpoint_every_secs=0.02",
];

/// A port that nobody listens on.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

/// The processes of a run, by rank.
struct Processes(Vec<Child>);

impl Processes {
    fn start(size: usize, home: &Path, extra: &[&str]) -> Self {
        Self::start_each(size, || sbp_run(&smoke(), home, extra))
    }

    fn start_each(size: usize, command: impl Fn() -> Command) -> Self {
        let port = free_port().to_string();
        let start = |rank: usize| {
            let mut command = command();
            command
                .env("RANK", rank.to_string())
                .env("WORLD_SIZE", size.to_string())
                .env("LOCAL_RANK", rank.to_string())
                .env("MASTER_ADDR", "127.0.0.1")
                .env("MASTER_PORT", &port)
                .env("SBP_TEAM_TIMEOUT", "10")
                .env("SBP_START_TIMEOUT", "60");
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts")
        };
        Self((0..size).map(start).collect())
    }

    fn end(self) -> Vec<Output> {
        // All at once, so that none waits for its pipe to be read.
        let ends = self
            .0
            .into_iter()
            .map(|child| std::thread::spawn(move || child.wait_with_output().expect("it ends")));
        ends.collect::<Vec<_>>().into_iter().map(|end| end.join().expect("no panic")).collect()
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Every file of every artifact with its hash.
fn artifacts(home: &Path) -> Vec<(String, Value)> {
    let pattern = format!("{}/store/*/*/DONE", home.display());
    let mut all: Vec<(String, Value)> = glob::glob(&pattern)
        .expect("a pattern")
        .map(|seal| {
            let seal = seal.expect("read");
            let name = seal.strip_prefix(home).expect("inside").display().to_string();
            let text = std::fs::read_to_string(&seal).expect("read");
            (name, serde_json::from_str(&text).expect("JSON"))
        })
        .collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

#[test]
fn two_and_four_processes_make_what_one_makes_byte_by_byte() {
    let alone = tempfile::tempdir().expect("a folder");
    let expected =
        comparable_results(&sbp_run(&smoke(), alone.path(), &SAME_BITS).output().expect("it starts"));
    let stored = artifacts(alone.path());
    for size in [2, 4] {
        let home = tempfile::tempdir().expect("a folder");
        let outputs = Processes::start(size, home.path(), &SAME_BITS).end();
        for (rank, output) in outputs.iter().enumerate() {
            assert_eq!(output.status.code(), outputs[0].status.code(), "rank {rank}: {}", said(output));
        }
        assert_eq!(comparable_results(&outputs[0]), expected);
        assert_eq!(artifacts(home.path()), stored);
        // One process speaks.
        for output in &outputs[1..] {
            assert_eq!((said(output).as_str(), output.stdout.len()), ("", 0));
        }
    }
}

#[test]
fn processes_that_hold_a_share_of_the_rows_find_the_pairs_that_one_finds() {
    // Three blocks of rows, the last not full.
    let many = ["corpus.concepts=4000", "splits.pretrain_documents=9000", "splits.oracle_factor=1"];
    let [alone, shared] = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    let pairs = |home: &Path| {
        let mut command = sbp(home, &["pairs"]);
        command.arg(smoke()).args(many.iter().flat_map(|set| ["--set", set]));
        command.args(["--set", "execution.num_threads=1"]);
        command
    };
    let output = pairs(alone.path()).output().expect("it starts");
    assert!(output.status.success(), "{}", said(&output));
    let outputs = Processes::start_each(3, || pairs(shared.path())).end();
    for (rank, output) in outputs.iter().enumerate() {
        assert!(output.status.success(), "{}", said(output));
        // One process speaks.
        assert_eq!(output.stdout.is_empty(), rank > 0, "rank {rank}: {}", said(output));
    }
    let found = artifacts(shared.path());
    assert!(found.iter().any(|(name, _)| name.starts_with("store/pair/")), "{found:?}");
    assert_eq!(found, artifacts(alone.path()));
}

#[test]
fn a_killed_process_is_named_and_other_numbers_of_processes_go_on() {
    let (straight, home) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let expected =
        comparable_results(&sbp_run(&smoke(), straight.path(), &SAME_BITS).output().expect("it starts"));
    let mut killed = 0;
    for (size, victim) in [(4, 2), (2, 1), (2, 0)] {
        let mut processes = Processes::start(size, home.path(), &SAME_BITS);
        let trained = has_stepped_since(home.path(), &mut processes);
        if trained {
            processes.0[victim].kill().expect("it can be killed");
            killed += 1;
        }
        let outputs = processes.end();
        for (rank, output) in outputs.iter().enumerate().filter(|(rank, _)| trained && *rank != victim) {
            assert_eq!(output.status.code(), Some(75), "rank {rank}: {}", said(output));
            assert!(said(output).contains(&format!("rank {victim}")), "rank {rank}: {}", said(output));
        }
    }
    assert!(killed > 1, "the run ended before it could be killed");
    let resumed = Processes::start(2, home.path(), &SAME_BITS).end();
    assert_eq!(comparable_results(&resumed[0]), expected);
}

/// Waits until a job has a checkpoint that is newer than this call; false if the run ended before.
fn has_stepped_since(home: &Path, processes: &mut Processes) -> bool {
    let pattern = format!("{}/store/*/*.partial/progress/step-*/state.json", home.display());
    let steps = || -> Vec<_> { glob::glob(&pattern).expect("a pattern").filter_map(Result::ok).collect() };
    let (before, began) = (steps(), Instant::now());
    while began.elapsed() < Duration::from_secs(120) {
        if steps().iter().any(|step| !before.contains(step)) {
            return true;
        }
        if processes.0[0].try_wait().expect("it can be waited for").is_some() {
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    panic!("no step was made");
}

#[test]
fn a_signal_to_one_process_stops_all_and_the_same_command_goes_on() {
    let long = ["--set", "budget.duration={ passes = 400 }"];
    let home = tempfile::tempdir().expect("a folder");
    let mut processes = Processes::start(2, home.path(), &long);
    assert!(has_stepped_since_any(home.path(), &mut processes));
    let told = Command::new("kill").arg("-TERM").arg(processes.0[1].id().to_string()).status();
    assert!(told.expect("kill runs").success());
    let outputs = processes.end();
    for (rank, output) in outputs.iter().enumerate() {
        assert_eq!(output.status.code(), Some(75), "rank {rank}: {}", said(output));
    }
    assert_eq!(answer(&outputs[0])["exit"], 75);
}

/// Waits until some job is at work.
fn has_stepped_since_any(home: &Path, processes: &mut Processes) -> bool {
    let pattern = format!("{}/store/*/*.partial/metrics.jsonl", home.display());
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(120) {
        if glob::glob(&pattern).expect("a pattern").next().is_some() {
            return true;
        }
        if processes.0[0].try_wait().expect("it can be waited for").is_some() {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    false
}

#[test]
fn who_does_not_come_is_named() {
    let home = tempfile::tempdir().expect("a folder");
    let alone = |rank: &str, port: u16| {
        let mut command = sbp_run(&smoke(), home.path(), &[]);
        command.env("RANK", rank).env("WORLD_SIZE", "3").env("MASTER_ADDR", "127.0.0.1");
        command.env("MASTER_PORT", port.to_string()).env("SBP_START_TIMEOUT", "2");
        let output = command.output().expect("it starts");
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        said(&output)
    };
    let leader = alone("0", free_port());
    assert!(leader.contains("rank 1, 2 did not come"), "{leader}");
    let port = free_port();
    let follower = alone("1", port);
    assert!(follower.contains(&format!("cannot reach the store at 127.0.0.1:{port}")), "{follower}");
}

/// Two hosts of our own making: network namespaces with a cable between them.
#[cfg(target_os = "linux")]
struct Hosts([String; 2]);

#[cfg(target_os = "linux")]
impl Hosts {
    #[expect(clippy::print_stderr, reason = "a test that is skipped says why")]
    fn new() -> Option<Self> {
        let name = |end: &str| format!("sbp{}{end}", std::process::id() % 100_000);
        let hosts = Self([name("a"), name("b")]);
        let [a, b] = &hosts.0;
        let ip = |arguments: &str| {
            let output = Command::new("ip").args(arguments.split(' ')).output();
            output.is_ok_and(|output| output.status.success())
        };
        let made = ip(&format!("netns add {a}"))
            && ip(&format!("netns add {b}"))
            && ip(&format!("link add {a} netns {a} type veth peer name {b} netns {b}"))
            && [(a, "10.77.0.1/24"), (b, "10.77.0.2/24")].iter().all(|(host, address)| {
                ip(&format!("-n {host} addr add {address} dev {host}"))
                    && ip(&format!("-n {host} link set {host} up"))
                    && ip(&format!("-n {host} link set lo up"))
            });
        if !made {
            eprintln!("skipped: no network namespaces can be made here");
            return None;
        }
        Some(hosts)
    }
}

#[cfg(target_os = "linux")]
impl Drop for Hosts {
    fn drop(&mut self) {
        for host in &self.0 {
            let _removed = Command::new("ip").args(["netns", "del", host]).output();
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn two_hosts_make_what_one_process_makes() {
    let Some(hosts) = Hosts::new() else { return };
    let [alone, home] = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    let expected =
        comparable_results(&sbp_run(&smoke(), alone.path(), &SAME_BITS).output().expect("it starts"));
    let start = |(rank, host): (usize, &String)| {
        let run = sbp_run(&smoke(), home.path(), &SAME_BITS);
        let mut command = Command::new("ip");
        command.args(["netns", "exec", host]).arg(run.get_program()).args(run.get_args());
        for (variable, value) in run.get_envs() {
            command.env(variable, value.expect("is set"));
        }
        command.env("RANK", rank.to_string()).env("WORLD_SIZE", "2");
        command.env("MASTER_ADDR", "10.77.0.1").env("MASTER_PORT", "29500").env("SBP_START_TIMEOUT", "60");
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts")
    };
    let outputs = Processes(hosts.0.iter().enumerate().map(start).collect()).end();
    assert_eq!(comparable_results(&outputs[0]), expected);
}
