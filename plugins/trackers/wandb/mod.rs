//! Weights & Biases, by the files that its own program writes offline and uploads.
//!
//! No service is asked and no key is read: each run of W&B is a folder on this disk first ([`run`]), in wandb's own format
//! ([`log`], [`records`]). Uploading is the work of wandb's own program, afterwards or beside the study ([`sync`]).

mod earlier;
mod lineage;
mod log;
mod records;
mod run;
mod sync;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use sbp_plugin::input::not_local;
use sbp_plugin::prelude::*;
use sbp_plugin::slots::tracker::{ArtifactCard, MetricPoint, RunCard, Tracker};
use serde_json::Value;

use lineage::{Lineage, Recorder, Role};
use records::Item;
use run::{Identity, Run};
use sync::Sync;

/// Records runs of Weights & Biases: one for each arm and seed, for each base model and each tuning, and one for the report.
///
/// Every run is first written to this disk as wandb's own offline mode writes it, and is whole there whatever the network
/// does. A recipe is a group. The config is the resolved recipe, the axis of all metrics is `tokens`. The run of the report has
/// the results, the comparisons and the samples as tables, and the recipe and the report as files. Runs name the
/// artifacts that they were made from and the models that they made, by fingerprint, without uploading them. A study that goes on
/// goes on in the same runs and logs no point twice. docs/tracking.md says how to upload.
///
/// Cost: one write of about 1 KB a step, and 1 KB of disk; with `mode = "online"` one process of wandb's at a time beside the
/// study, more while uploads lag behind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WandbConfig {
    /// Whether and when runs are uploaded.
    pub mode: Mode,
    /// Name of the project.
    #[schemars(length(min = 1, max = 128))]
    pub project: String,
    /// The user or team that the project belongs to; by default that of the key which uploads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entity: Option<String>,
    /// Where offline runs are written; by default `wandb` in the run's folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<RecipePath>,
    /// Name of the group; by default the name of the recipe.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Tags of every run.
    pub tags: Vec<String>,
    /// What uploads a run while it is written: a program and its arguments, to which the run's folder is added. It gets
    /// the key from its environment or its own login; `sbp` does not read it.
    pub sync_command: Vec<String>,
}

/// Whether and when runs are uploaded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// By hand, with `wandb sync`.
    #[default]
    Offline,
    /// While they are written, by `sync_command`.
    Online,
    /// Never: nothing is recorded.
    Disabled,
}

impl Default for WandbConfig {
    fn default() -> Self {
        Self {
            mode: Mode::default(),
            project: "sbp".to_owned(),
            entity: None,
            folder: None,
            group: None,
            tags: Vec::new(),
            sync_command: ["wandb", "beta", "sync", "--live"].map(str::to_owned).to_vec(),
        }
    }
}

impl Plugin<slots::Tracker> for WandbConfig {
    const KIND: &'static str = "wandb";
    fn example() -> Self {
        Self::default()
    }
    fn check(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        if self.project.contains(['/', '\\', '#', '?', '%', ':']) {
            problems.push(("project", "W&B allows none of / \\ # ? % : in the name of a project".to_owned()));
        }
        if self.tags.iter().any(|tag| tag.is_empty() || tag.chars().count() > 64) {
            problems.push(("tags", "W&B allows tags of 1 to 64 characters".to_owned()));
        }
        if let Some(problem) = self.folder.as_ref().and_then(|folder| not_local(folder.as_ref())) {
            problems.push(("folder", problem));
        }
        if self.mode == Mode::Online && self.sync_command.is_empty() {
            problems.push(("sync_command", "mode = \"online\" needs a program that uploads".to_owned()));
        }
        problems
    }
    fn build(&self, _: &BuildContext) -> Result<Box<dyn Tracker>> {
        Ok(Box::new(WandbTracker::new(self.clone(), super::now)))
    }
}
register!(slots::Tracker => WandbConfig);

/// The run of W&B that has the report.
const REPORT: &str = "report";

/// How long uploads are waited for when the study is done, and when it stops: it may be gone on with at once, and W&B is to
/// have what came before.
const AT_THE_END: Duration = Duration::from_secs(60);
const WHEN_STOPPED: Duration = Duration::from_secs(10);

struct WandbTracker {
    config: WandbConfig,
    clock: fn() -> Duration,
    study: Option<Study>,
    /// Runs of this session, by name.
    runs: BTreeMap<String, Run>,
    /// Names of the runs whose model is in the store.
    whole: BTreeSet<String>,
    lineage: Lineage,
    sync: Option<Sync>,
}

/// What all runs of a study have in common.
struct Study {
    recipe: String,
    plan: Fingerprint,
    /// Where offline runs are written.
    folder: PathBuf,
    /// The run folder, with recipe and report.
    run_folder: PathBuf,
    group: String,
    notes: String,
    config: Vec<Item>,
}

/// A job as a run of W&B: training and scores of an arm are one run.
struct Job<'a> {
    name: String,
    job_type: &'a str,
    config: Vec<Item>,
}

impl<'a> Job<'a> {
    fn of(point: &MetricPoint<'a>) -> Self {
        let stage = if point.arm.is_empty() { point.stage } else { "train" };
        let mut config = vec![Item::config("seed", &point.seed.into())];
        if !point.arm.is_empty() {
            config.push(Item::config("arm", &point.arm.into()));
        }
        if let Some(round) = point.round {
            config.push(Item::config("round", &round.into()));
        }
        Self { name: MetricPoint { stage, ..point.clone() }.job(), job_type: stage, config }
    }

    fn report() -> Self {
        Self { name: REPORT.to_owned(), job_type: REPORT, config: Vec::new() }
    }
}

impl WandbTracker {
    fn new(config: WandbConfig, clock: fn() -> Duration) -> Self {
        let sync = (config.mode == Mode::Online).then(|| Sync::new(config.sync_command.clone()));
        let (runs, whole, lineage) = (BTreeMap::new(), BTreeSet::new(), Lineage::default());
        Self { config, clock, study: None, runs, whole, lineage, sync }
    }

    /// Does something with a run. Where that fails the run is let go of: what it got on disk is read again next time.
    fn with(&mut self, job: Job<'_>, work: impl FnOnce(&mut Run, Duration) -> Result<()>) -> Result<()> {
        let Some(study) = &self.study else { return Ok(()) };
        let mut run = match self.runs.remove(&job.name) {
            Some(run) => run,
            None => Run::of(&study.folder, study.identity(&self.config, &job)),
        };
        let before = run.latest().map(PathBuf::from);
        work(&mut run, (self.clock)())?;
        if let Some(sync) = &mut self.sync {
            sync.look();
            if let Some(folder) = run.latest().filter(|folder| Some(*folder) != before.as_deref()) {
                sync.follow(folder);
            }
        }
        self.runs.insert(job.name, run);
        Ok(())
    }

    /// Ends the runs that are written, but for one: a study does one job after another.
    fn end_all_but(&mut self, name: &str) -> Result<()> {
        let now = (self.clock)();
        for (other, run) in self.runs.iter_mut().filter(|(other, _)| *other != name) {
            run.end(now, i32::from(!self.whole.contains(other)))?;
        }
        Ok(())
    }

    fn recorder<'a>(&'a self, study: &'a Study, run_id: &'a str) -> Recorder<'a> {
        Recorder {
            recipe: &study.recipe,
            run_id,
            project: &self.config.project,
            entity: self.config.entity.as_deref().unwrap_or_default(),
        }
    }
}

impl Study {
    fn of(config: &WandbConfig, run: &RunCard<'_>) -> Self {
        let folder = config.folder.as_ref().map_or_else(|| run.folder.join("wandb"), |path| path.0.clone());
        let sections = run.resolved.as_object().into_iter().flatten();
        let mut resolved: Vec<Item> = sections.map(|(name, value)| Item::config(name, value)).collect();
        resolved.push(Item::config("plan", &run.plan.as_str().into()));
        Self {
            recipe: run.recipe.to_owned(),
            plan: run.plan.clone(),
            folder,
            run_folder: run.folder.to_owned(),
            group: config.group.clone().unwrap_or_else(|| run.recipe.to_owned()),
            notes: run.resolved["recipe"]["description"].as_str().unwrap_or_default().to_owned(),
            config: resolved,
        }
    }

    /// The id of a run of W&B: the same whenever the same plan does the same job.
    fn id(&self, name: &str) -> String {
        Fingerprint::of_value(&(&self.plan, name)).as_str()[..16].to_owned()
    }

    fn identity(&self, config: &WandbConfig, job: &Job<'_>) -> Identity {
        Identity {
            id: self.id(&job.name),
            entity: config.entity.clone().unwrap_or_default(),
            project: config.project.clone(),
            group: self.group.clone(),
            job_type: job.job_type.to_owned(),
            name: job.name.clone(),
            notes: self.notes.clone(),
            tags: config.tags.clone(),
            config: self.config.iter().chain(&job.config).cloned().collect(),
        }
    }
}

impl Tracker for WandbTracker {
    fn started(&mut self, run: &RunCard<'_>) -> Result<()> {
        if self.config.mode != Mode::Disabled {
            self.study = Some(Study::of(&self.config, run));
        }
        Ok(())
    }

    fn metrics(&mut self, point: &MetricPoint<'_>) -> Result<()> {
        let job = Job::of(point);
        self.end_all_but(&job.name)?;
        self.with(job, |run, now| run.log(now, point.step, point.tokens, point.values))
    }

    fn artifact(&mut self, artifact: &ArtifactCard) -> Result<()> {
        self.lineage.add(artifact);
        self.whole.insert(artifact.job.clone());
        let (Some(study), Some(run)) = (&self.study, self.runs.get(&artifact.job)) else { return Ok(()) };
        if !run.is_open() {
            return Ok(());
        }
        // The model of a job that is being written: what it was made from, and itself.
        let run_id = study.id(&artifact.job);
        let recorder = self.recorder(study, &run_id);
        let mut records: Vec<_> =
            self.lineage.behind(artifact).into_iter().map(|card| recorder.record(card, Role::Used)).collect();
        records.push(recorder.record(artifact, Role::Made));
        let job = Job { name: artifact.job.clone(), job_type: "", config: Vec::new() };
        self.with(job, |run, now| run.artifacts(now, records))
    }

    fn finished(&mut self, results: &Value) -> Result<()> {
        let Some(study) = &self.study else { return Ok(()) };
        let run_id = study.id(REPORT);
        let recorder = self.recorder(study, &run_id);
        let models: Vec<_> =
            self.lineage.models().into_iter().map(|card| recorder.record(card, Role::Used)).collect();
        let in_folder = |path: &str| study.run_folder.join(path);
        let files = [
            "recipe.toml",
            "recipe.resolved.toml",
            "report/results.json",
            "report/table.md",
            "report/report.html",
        ]
        .map(|path| (path, in_folder(path)));
        self.end_all_but(REPORT)?;
        self.with(Job::report(), |run, now| {
            if run.is_done() {
                return Ok(());
            }
            let rows = |name: &str| results[name].as_array().cloned().unwrap_or_default();
            let tables = [
                ("results", table::metric_rows(results)),
                ("comparisons", rows("comparisons")),
                ("samples", rows("samples")),
            ];
            let tables: Vec<_> = tables
                .into_iter()
                .filter_map(|(name, rows)| Some((name, table::of_objects(name, &rows)?)))
                .collect();
            run.artifacts(now, models)?;
            run.tables(now, &tables)?;
            run.summary(now, &table::summary(results))?;
            run.files(now, &files)?;
            run.end(now, 0)
        })?;
        if let Some(sync) = &mut self.sync {
            sync.wait(AT_THE_END);
        }
        Ok(())
    }

    fn warnings(&mut self) -> Vec<String> {
        self.sync.as_mut().map(Sync::warnings).unwrap_or_default()
    }
}

/// A study that stops ends its runs as failed; they go on when it does.
impl Drop for WandbTracker {
    fn drop(&mut self) {
        // Nobody is left to be told of an error, and a run without an end is read as one that failed.
        let _ = self.end_all_but("");
        if let Some(sync) = &mut self.sync {
            sync.wait(WHEN_STOPPED);
        }
    }
}
