//! What the trackers `wandb` and `tensorboard` write, read and uploaded by the programs that it is for.
//!
//! `SBP_PEER_PYTHON` names a Python with the packages `wandb` (0.31.0 was compared with) and `tensorboard` (2.21.0).

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use sbp_core::Fingerprint;
use sbp_plugin::registry::BuildContext;
use sbp_plugin::slots::tracker::{ArtifactCard, MetricPoint, RunCard, Tracker};
use sbp_plugin::{Selected, slots};
use serde_json::{Value, json};

/// Steps of an arm, and how many of them come before the interruption and again after it.
const STEPS: u64 = 40;
const STOPPED: u64 = 20;
const CHECKPOINT: u64 = 10;

/// A Python that can import what is compared with; none, and a line that says so, where there is no such.
#[expect(clippy::print_stderr, reason = "a test that looks at nothing says so")]
fn python() -> Option<PathBuf> {
    let python = std::env::var_os("SBP_PEER_PYTHON").map(PathBuf::from);
    let has_them = |python: &PathBuf| {
        // An older wandb knows no runs that say themselves that they resume.
        let asks = "import tensorboard; from wandb.proto.wandb_internal_pb2 import RunRecord; RunRecord(resume=True)";
        let answer = Command::new(python).args(["-c", asks]).output();
        answer.is_ok_and(|output| output.status.success())
    };
    let python = python.filter(has_them);
    if python.is_none() {
        eprintln!(
            "skipped: SBP_PEER_PYTHON names no Python with the packages wandb (0.31 or later) and tensorboard"
        );
    }
    python
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("outside/trackers").join(name)
}

fn tracker(options: &Value) -> Box<dyn Tracker> {
    let selected: Selected<slots::Tracker> = serde_json::from_value(options.clone()).expect("valid options");
    selected.build(&BuildContext::default()).expect("it is built")
}

fn loss(step: u64) -> f64 {
    4.0 / (step as f64).sqrt()
}

fn artifact(stage: &str, job: &str, inputs: &[&ArtifactCard]) -> ArtifactCard {
    ArtifactCard {
        stage: stage.to_owned(),
        job: job.to_owned(),
        fingerprint: Fingerprint::of_bytes(job.as_bytes()),
        inputs: inputs.iter().map(|card| card.fingerprint.clone()).collect(),
    }
}

/// A study of one arm, in two sessions: the first is stopped in the midst of its training.
fn study(options: &Value, folder: &Path) {
    // Longer than a block of the log.
    let resolved = json!({
        "recipe": {"name": "a study", "description": "does it work?"},
        "arms": {"sbp": {"kind": "sbp"}},
        "padding": "x".repeat(70_000),
    });
    let plan = Fingerprint::of_value(&resolved);
    let card = RunCard { recipe: "a study", id: plan.short(), plan: &plan, folder, resolved: &resolved };
    let corpus = artifact("corpus", "corpus", &[]);
    let base = artifact("base", "base seed 1", &[&corpus]);
    let model = artifact("train", "train sbp seed 1", &[&corpus, &base]);
    for (session, steps) in [1..=STOPPED, CHECKPOINT + 1..=STEPS].into_iter().enumerate() {
        let mut tracker = tracker(options);
        tracker.started(&card).expect("started");
        tracker.artifact(&corpus).expect("recorded");
        if session == 0 {
            (1..=5).for_each(|step| log(tracker.as_mut(), "base", "", step, &[("train/loss", loss(step))]));
        }
        tracker.artifact(&base).expect("recorded");
        for step in steps {
            let values = [("train/loss", loss(step)), ("train/grad_norm", f64::NAN)];
            log(tracker.as_mut(), "train", "sbp", step, &values);
        }
        if session == 1 {
            tracker.artifact(&model).expect("recorded");
            log(tracker.as_mut(), "evaluate", "sbp", STEPS, &[("val/heldout/bpb", 1.25)]);
            std::fs::create_dir_all(folder.join("report")).expect("a folder");
            std::fs::write(folder.join("report/table.md"), "| arm | bpb |").expect("written");
            tracker.finished(&results()).expect("finished");
        }
        assert_eq!(tracker.warnings(), [""; 0]);
    }
}

fn log(tracker: &mut dyn Tracker, stage: &str, arm: &str, step: u64, values: &[(&str, f64)]) {
    let point = MetricPoint { stage, arm, seed: 1, round: None, step, tokens: step * 512, values };
    tracker.metrics(&point).expect("logged");
}

fn results() -> Value {
    json!({
        "arms": {"sbp": {"metrics": {"val/heldout/bpb": {"mean": 1.25, "stderr": 0.1, "n": 1}}}},
        "comparisons": [],
        "samples": [{"seed": "a text", "synthetic": "another"}],
        "compute_match": {"matched": true},
    })
}

/// Runs a program to its end; what it printed.
fn output(command: &mut Command) -> String {
    let output = command.output().expect("it starts");
    let (said, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}\n{said}\n{told}");
    said.into_owned()
}

#[test]
fn wandb_and_tensorboard_read_every_point() {
    let Some(python) = python() else { return };
    let home = tempfile::tempdir().expect("a folder");
    study(&json!({"kind": "wandb", "tags": ["a tag"]}), home.path());
    study(&json!({"kind": "tensorboard"}), home.path());
    let mut read = Command::new(python);
    read.arg(script("read.py")).arg(home.path().join("wandb")).arg(home.path().join("tensorboard"));
    let found: Value = serde_json::from_str(&output(&mut read)).expect("JSON");

    // Offline runs by the name of their run, in the order in which they began.
    let mut runs: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for run in found["wandb"].as_array().expect("a list") {
        runs.entry(run["display_name"].as_str().expect("a name")).or_default().push(run);
    }
    assert_eq!(runs.keys().collect::<Vec<_>>(), [&"base seed 1", &"report", &"train sbp seed 1"]);
    let arm = &runs["train sbp seed 1"];
    assert_eq!(arm.len(), 2);
    assert_eq!(arm[0]["run_id"], arm[1]["run_id"]);
    assert_eq!([&arm[0]["resumed"], &arm[1]["resumed"], &arm[1]["resume"]], [false, true, true]);
    assert_eq!([&arm[0]["exit_code"], &arm[1]["exit_code"]], [1, 0]);
    assert_eq!(arm[0]["config"]["recipe"]["description"], "does it work?");
    assert_eq!(arm[0]["config"]["arm"], "sbp");
    assert_eq!(arm[0]["axes"], json!({"tokens": "", "train/loss": "tokens", "train/grad_norm": "tokens"}));
    let rows: Vec<&Value> = arm.iter().flat_map(|run| run["rows"].as_array().expect("rows")).collect();
    assert_eq!(rows.len() as u64, STEPS + 1);
    for (at, row) in rows.iter().take(STEPS as usize).enumerate() {
        let step = at as u64 + 1;
        assert_eq!(
            (&row["_step"], &row["step"], &row["tokens"]),
            (&json!(at), &json!(step), &json!(step * 512))
        );
        assert_eq!((&row["train/loss"], &row["train/grad_norm"]), (&json!(loss(step)), &json!("nan")));
    }
    assert_eq!(arm[1]["summary"]["val/heldout/bpb"], 1.25);
    let used = |job: &str, used: bool| {
        json!([format!("a-study-{}", job.replace(' ', "-")), Fingerprint::of_bytes(job.as_bytes()), used])
    };
    let mut artifacts = arm[1]["artifacts"].as_array().expect("a list").clone();
    artifacts.sort_by_key(Value::to_string);
    assert_eq!(artifacts, [used("base seed 1", true), used("corpus", true), used("train sbp seed 1", false)]);

    let report = runs["report"][0];
    assert_eq!(report["summary"]["sbp/val/heldout/bpb"], 1.25);
    assert_eq!(report["rows"][0]["results"]["_type"], "table-file");
    assert_eq!(report["rows"][0]["samples"]["nrows"], 1);
    assert!(report["files"].as_array().expect("a list").contains(&json!("report/table.md")));

    let scalars = &found["tensorboard"]["sbp/seed-1"]["scalars"];
    let losses: Vec<Value> =
        (1..=STEPS).map(|step| json!([step * 512, f64::from(loss(step) as f32)])).collect();
    assert_eq!(scalars["train/loss"], json!(losses));
    assert_eq!(scalars["val/heldout/bpb"], json!([[STEPS * 512, 1.25]]));
    assert_eq!(
        found["tensorboard"]["stages/base/seed-1"]["scalars"]["train/loss"].as_array().map(Vec::len),
        Some(5)
    );
    assert_eq!(found["tensorboard"]["."]["texts"]["results"], "| arm | bpb |");
}

/// A stand-in for W&B's server.
struct Server {
    process: Child,
    said: BufReader<std::process::ChildStdout>,
    url: String,
}

impl Server {
    fn start(python: &Path) -> Self {
        let mut command = Command::new(python);
        command.arg(script("server.py")).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().expect("it starts");
        let mut said = BufReader::new(process.stdout.take().expect("it is piped"));
        let mut url = String::new();
        said.read_line(&mut url).expect("it says its address");
        Self { process, said, url: url.trim().to_owned() }
    }

    /// The environment of wandb's program: this server, and a key of the right length.
    fn environment(&self, home: &Path) -> Vec<(&'static str, String)> {
        vec![
            ("WANDB_BASE_URL", self.url.clone()),
            ("WANDB_API_KEY", "0123456789".repeat(4)),
            ("WANDB_ERROR_REPORTING", "false".to_owned()),
            ("WANDB_CONFIG_DIR", home.join("config").display().to_string()),
            ("WANDB_CACHE_DIR", home.join("cache").display().to_string()),
        ]
    }

    /// What it was told.
    fn end(mut self) -> Value {
        drop(self.process.stdin.take());
        let mut said = String::new();
        self.said.read_to_string(&mut said).expect("it says what it was told");
        self.process.wait().expect("it ends");
        serde_json::from_str(&said).expect("JSON")
    }
}

/// Checks that the server has the whole study, each point once.
fn has_all(told: &Value) {
    let runs = told["runs"].as_object().expect("runs");
    let named = |name: &str| {
        runs.iter()
            .find(|(_, run)| run["displayName"] == name)
            .unwrap_or_else(|| panic!("no {name}: {told:#}"))
    };
    let (id, arm) = named("train sbp seed 1");
    assert_eq!(
        (&arm["groupName"], &arm["complete"], &arm["exitcode"]),
        (&json!("a study"), &json!(true), &json!(0))
    );
    let rows = arm["rows"].as_object().expect("rows");
    let mut steps: Vec<u64> = rows.values().map(|row| row["_step"].as_u64().expect("a step")).collect();
    steps.sort_unstable();
    assert_eq!(steps, (0..=STEPS).collect::<Vec<_>>());
    assert_eq!(arm["summary"]["val/heldout/bpb"], 1.25);
    assert_eq!(arm["config"]["arm"]["value"], "sbp");
    assert_eq!(told["artifacts"].as_object().map(|all| all.len()), Some(3));
    // wandb makes a digest of its own from the fingerprint.
    let artifact = |job: &str| {
        let name = format!("a-study-{}", job.replace(' ', "-"));
        let mut all = told["artifacts"].as_object().expect("artifacts").iter();
        all.find(|(_, artifact)| artifact["name"] == name).unwrap_or_else(|| panic!("no {name}: {told:#}"))
    };
    let (model, made) = artifact("train sbp seed 1");
    assert_eq!(made["made_by"], json!(id));
    assert_eq!((&made["state"], &made["type"]), (&json!("COMMITTED"), &json!("model")));
    let uses = told["uses"].as_array().expect("uses");
    let (corpus, _) = artifact("corpus");
    assert!(uses.contains(&json!([id, corpus])) && uses.contains(&json!([named("report").0, model])));
    let (_, report) = named("report");
    assert_eq!(report["files"]["report/table.md"], "| arm | bpb |");
    assert_eq!(report["summary"]["results"]["_type"], "table-file");
    let table = report["summary"]["results"]["path"].as_str().expect("a path");
    assert!(report["files"][table].as_str().expect("uploaded").contains("val/heldout/bpb"));
}

#[test]
fn wandb_uploads_offline_runs_afterwards() {
    let Some(python) = python() else { return };
    let home = tempfile::tempdir().expect("a folder");
    study(&json!({"kind": "wandb"}), home.path());
    let server = Server::start(&python);
    let mut sync = Command::new(&python);
    // Its own logs lie where it is started from.
    sync.args(["-m", "wandb", "sync", "--yes"])
        .envs(server.environment(home.path()))
        .current_dir(home.path());
    let entries = std::fs::read_dir(home.path().join("wandb")).expect("offline runs");
    sync.args(entries.map(|entry| entry.expect("an entry").path()));
    output(&mut sync);
    has_all(&server.end());
}

#[test]
fn wandb_uploads_runs_while_they_are_written() {
    let Some(python) = python() else { return };
    let home = tempfile::tempdir().expect("a folder");
    let server = Server::start(&python);
    let mut command = vec!["env".to_owned()];
    command.extend(server.environment(home.path()).iter().map(|(name, value)| format!("{name}={value}")));
    command.push(python.display().to_string());
    command.extend(["-m", "wandb", "beta", "sync", "--live", "--yes"].map(str::to_owned));
    study(&json!({"kind": "wandb", "mode": "online", "sync_command": command}), home.path());
    has_all(&server.end());
    assert!(!Path::new("wandb").exists(), "an upload left its logs where the study was started from");
}
