//! TensorBoard, by the event files that it reads.

mod events;

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sbp_plugin::input::not_local;
use sbp_plugin::prelude::*;
use sbp_plugin::slots::tracker::{MetricPoint, RunCard, Tracker};
use serde_json::Value;

use super::logged::Logged;
use events::{Content, Event, Summary, What};

/// Writes event files for TensorBoard: a folder for each arm and seed, and for each base model and tuning.
///
/// `tensorboard --logdir FOLDER` shows them, while the study runs and after it. Every metric is a scalar (TensorBoard has 32-bit
/// numbers only); the recipe and the table of results are texts. A study that goes on writes new files into the same folders and
/// no point twice.
///
/// Cost: one write of about 40 bytes a metric and step.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TensorboardConfig {
    /// What TensorBoard calls the step, its only axis.
    pub axis: Axis,
    /// Where event files are written, below it `<recipe>-<id>/` for each study; by default `tensorboard` in the run's
    /// folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<RecipePath>,
}

/// What TensorBoard calls the step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Axis {
    /// Training tokens seen, on which arms with other batches can be compared.
    #[default]
    Tokens,
    /// Optimizer steps.
    Step,
}

impl Plugin<slots::Tracker> for TensorboardConfig {
    const KIND: &'static str = "tensorboard";
    fn example() -> Self {
        Self::default()
    }
    fn check(&self) -> Vec<(&'static str, String)> {
        let problem = self.folder.as_ref().and_then(|folder| not_local(folder.as_ref()));
        problem.map(|problem| ("folder", problem)).into_iter().collect()
    }
    fn build(&self, _: &BuildContext) -> Result<Box<dyn Tracker>> {
        Ok(Box::new(TensorboardTracker::new(self.clone(), super::now)))
    }
}
register!(slots::Tracker => TensorboardConfig);

struct TensorboardTracker {
    config: TensorboardConfig,
    clock: fn() -> Duration,
    /// Where this study's event files lie, from its beginning on.
    folder: Option<PathBuf>,
    run_folder: PathBuf,
    /// Open folders, by their place below `folder`.
    open: BTreeMap<PathBuf, Writer>,
}

impl TensorboardTracker {
    fn new(config: TensorboardConfig, clock: fn() -> Duration) -> Self {
        Self { config, clock, folder: None, run_folder: PathBuf::new(), open: BTreeMap::new() }
    }

    /// Does something with a folder. Where that fails it is let go of: what got into its files is read again next time.
    fn with(&mut self, place: PathBuf, work: impl FnOnce(&mut Writer, Duration) -> Result<()>) -> Result<()> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let mut writer = match self.open.remove(&place) {
            Some(writer) => writer,
            None => Writer::of(&folder.join(&place)),
        };
        work(&mut writer, (self.clock)())?;
        self.open.insert(place, writer);
        Ok(())
    }
}

impl Tracker for TensorboardTracker {
    fn started(&mut self, run: &RunCard<'_>) -> Result<()> {
        self.folder = Some(match &self.config.folder {
            Some(folder) => folder.0.join(format!("{}-{}", run.recipe, run.id)),
            None => run.folder.join("tensorboard"),
        });
        run.folder.clone_into(&mut self.run_folder);
        // Four spaces make a line of Markdown a line of code.
        let recipe = format!("{:#}", run.resolved).replace('\n', "\n    ");
        self.with(PathBuf::new(), |writer, now| writer.text(now, "recipe", &format!("    {recipe}")))
    }

    fn metrics(&mut self, point: &MetricPoint<'_>) -> Result<()> {
        let at = match self.config.axis {
            Axis::Tokens => point.tokens,
            Axis::Step => point.step,
        };
        self.with(place(point), |writer, now| writer.scalars(now, at, point.values))
    }

    fn finished(&mut self, _: &Value) -> Result<()> {
        let table = fs::read_to_string(self.run_folder.join("report/table.md")).unwrap_or_default();
        if !table.is_empty() {
            self.with(PathBuf::new(), |writer, now| writer.text(now, "results", &table))?;
        }
        self.open.clear();
        Ok(())
    }
}

/// The folder of a job: `<arm>/seed-<seed>`, or `stages/<stage>/seed-<seed>` outside arms.
fn place(point: &MetricPoint<'_>) -> PathBuf {
    let job = match point.arm {
        "" => Path::new("stages").join(point.stage),
        arm => PathBuf::from(arm),
    };
    let round = point.round.map(|round| format!("-round-{round}")).unwrap_or_default();
    job.join(format!("seed-{}{round}", point.seed))
}

/// One folder of event files, which TensorBoard reads as one run.
struct Writer {
    folder: PathBuf,
    logged: Logged,
    /// Tags of texts that are there.
    texts: Vec<String>,
    /// The file of this session, made when there is something to write.
    file: Option<File>,
}

impl Writer {
    fn of(folder: &Path) -> Self {
        let mut writer =
            Self { folder: folder.to_owned(), logged: Logged::default(), texts: Vec::new(), file: None };
        let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
        for path in entries.filter(|path| path.is_file()) {
            // One that cannot be read counts as empty: what it held may be written again.
            for event in events::read(&fs::read(path).unwrap_or_default()) {
                writer.note(&event);
            }
        }
        writer
    }

    fn note(&mut self, event: &Event) {
        let Some(What::Summary(summary)) = &event.what else { return };
        for value in &summary.value {
            match value.content {
                Some(Content::Scalar(_)) => self.logged.note(&value.tag, event.step as u64),
                _ => self.texts.push(value.tag.clone()),
            }
        }
    }

    /// Writes the scalars of one point, but for those that are there.
    fn scalars(&mut self, now: Duration, at: u64, values: &[(&str, f64)]) -> Result<()> {
        let new = self.logged.new_among(values, at);
        if new.is_empty() {
            return Ok(());
        }
        let value = new.iter().map(|&(tag, number)| events::Value::scalar(tag, number)).collect();
        self.append(now, at, Summary { value })
    }

    /// Writes a text, unless it is there.
    fn text(&mut self, now: Duration, tag: &str, text: &str) -> Result<()> {
        if self.texts.iter().any(|there| there == tag) {
            return Ok(());
        }
        self.append(now, 0, Summary { value: vec![events::Value::text(tag, text)] })
    }

    fn append(&mut self, now: Duration, at: u64, summary: Summary) -> Result<()> {
        let explain = |error: std::io::Error, folder: &Path| -> Error {
            format!(
                "cannot write to {}: {error}; make room there, or choose another `folder`",
                folder.display()
            )
            .into()
        };
        let wall_time = now.as_secs_f64();
        if self.file.is_none() {
            let mut file = create(&self.folder, now).map_err(|error| explain(error, &self.folder))?;
            let version = What::FileVersion("brain.Event:2".to_owned());
            let first = Event { wall_time, step: 0, what: Some(version) };
            events::append(&mut file, &first).map_err(|error| explain(error, &self.folder))?;
            self.file = Some(file);
        }
        let event = Event { wall_time, step: at as i64, what: Some(What::Summary(summary)) };
        let file = self.file.as_mut().expect("it was created just now");
        events::append(file, &event).map_err(|error| explain(error, &self.folder))?;
        self.note(&event);
        Ok(())
    }
}

/// A new event file that sorts after those that are there: TensorBoard reads them in the order of their names.
fn create(folder: &Path, now: Duration) -> std::io::Result<File> {
    fs::create_dir_all(folder)?;
    let mut secs = now.as_secs();
    loop {
        let path = folder.join(format!("events.out.tfevents.{secs:010}.sbp"));
        match OpenOptions::new().write(true).create_new(true).open(path) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => secs += 1,
            outcome => return outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Duration {
        Duration::from_secs(1_700_000_000)
    }

    /// A session of a study: these points of an arm, and perhaps its end.
    fn session(folder: &Path, axis: Axis, steps: std::ops::RangeInclusive<u64>, ends: bool) {
        let resolved = serde_json::json!({"recipe": {"name": "r"}});
        let plan = Fingerprint::of_bytes(b"plan");
        let card = RunCard { recipe: "r", id: plan.short(), plan: &plan, folder, resolved: &resolved };
        let config = TensorboardConfig { axis, ..TensorboardConfig::default() };
        let mut tracker = TensorboardTracker::new(config, now);
        tracker.started(&card).unwrap();
        for step in steps {
            let values = [("train/loss", 1.0 / step as f64), ("train/lr", 0.25)];
            let point = MetricPoint {
                stage: "train",
                arm: "sbp",
                seed: 1,
                round: None,
                step,
                tokens: step * 100,
                values: &values,
            };
            tracker.metrics(&point).unwrap();
            if ends {
                let scores = MetricPoint { stage: "evaluate", values: &[("val/heldout/bpb", 2.0)], ..point };
                tracker.metrics(&scores).unwrap();
            }
        }
        tracker.finished(&Value::Null).unwrap();
    }

    /// Tag and place of every scalar and text below a folder, file after file.
    fn read(folder: &Path) -> Vec<(String, i64)> {
        let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        let mut found = Vec::new();
        for path in files.iter().filter(|path| path.is_file()) {
            let events = events::read(&fs::read(path).unwrap());
            assert_eq!(events[0].what, Some(What::FileVersion("brain.Event:2".to_owned())));
            for event in &events[1..] {
                let Some(What::Summary(summary)) = &event.what else { panic!("{event:?}") };
                found.extend(summary.value.iter().map(|value| (value.tag.clone(), event.step)));
            }
        }
        found
    }

    #[test]
    fn a_study_that_goes_on_writes_new_files_and_no_point_twice() {
        let folder = tempfile::tempdir().unwrap();
        session(folder.path(), Axis::Tokens, 1..=3, false);
        session(folder.path(), Axis::Tokens, 2..=4, false);
        session(folder.path(), Axis::Tokens, 4..=4, true);
        session(folder.path(), Axis::Tokens, 4..=4, true);
        let arm = folder.path().join("tensorboard/sbp/seed-1");
        assert_eq!(fs::read_dir(&arm).unwrap().count(), 3);
        let losses: Vec<i64> =
            read(&arm).into_iter().filter(|(tag, _)| tag == "train/loss").map(|(_, at)| at).collect();
        assert_eq!(losses, [100, 200, 300, 400]);
        assert_eq!(read(&arm).last(), Some(&("val/heldout/bpb".to_owned(), 400)));
        assert_eq!(read(&folder.path().join("tensorboard")), [("recipe".to_owned(), 0)]);
    }

    #[test]
    fn the_axis_may_be_the_steps() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("report")).unwrap();
        fs::write(folder.path().join("report/table.md"), "| arm |").unwrap();
        session(folder.path(), Axis::Step, 1..=1, false);
        let arm = folder.path().join("tensorboard/sbp/seed-1");
        assert_eq!(read(&arm), [("train/loss".to_owned(), 1), ("train/lr".to_owned(), 1)]);
        let texts = read(&folder.path().join("tensorboard"));
        assert_eq!(texts, [("recipe".to_owned(), 0), ("results".to_owned(), 0)]);
    }

    #[test]
    fn what_is_no_arm_has_its_stage_for_a_name() {
        let point =
            MetricPoint { stage: "tune", arm: "", seed: 2, round: Some(3), step: 1, tokens: 1, values: &[] };
        assert_eq!(place(&point), Path::new("stages/tune/seed-2-round-3"));
    }
}
