//! One W&B run, written as wandb writes it offline: a folder for each time that it was begun or gone on with.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use prost::Message as _;
use sbp_plugin::{Error, Result};
use serde_json::Value;
use time::OffsetDateTime;

use super::earlier::Earlier;
use super::log::LogWriter;
use super::records::{
    Artifact, Exit, File, FileKind, Files, Header, History, Item, Items, Kind, Metric, MetricOptions, Record,
    Run as RunRecord, Step, Timestamp, Version,
};
use super::table::TableFile;

/// The axis of every metric.
const AXIS: &str = "tokens";

/// What identifies a W&B run and is shown of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Identity {
    pub(super) id: String,
    pub(super) entity: String,
    pub(super) project: String,
    pub(super) group: String,
    pub(super) job_type: String,
    pub(super) name: String,
    pub(super) notes: String,
    pub(super) tags: Vec<String>,
    pub(super) config: Vec<Item>,
}

/// A W&B run. Nothing is on disk of it before there is something new to record.
pub(super) struct Run {
    /// Where offline runs lie.
    folder: PathBuf,
    identity: Identity,
    earlier: Earlier,
    part: Option<Part>,
    /// Folder of the offline run that was begun last.
    latest: Option<PathBuf>,
}

/// The offline run that is being written.
struct Part {
    folder: PathBuf,
    log: LogWriter<fs::File>,
    num_records: i64,
    begun: Duration,
    /// Metrics that have their axis.
    defined: Vec<String>,
}

impl Run {
    pub(super) fn of(folder: &Path, identity: Identity) -> Self {
        let earlier = Earlier::read(folder, &identity.id);
        Self { folder: folder.to_owned(), identity, earlier, part: None, latest: None }
    }

    /// Whether it came to its end before this study was gone on with.
    pub(super) fn is_done(&self) -> bool {
        self.part.is_none() && self.earlier.exit_code == Some(0)
    }

    /// Whether something was recorded and more may follow.
    pub(super) fn is_open(&self) -> bool {
        self.part.is_some()
    }

    /// The folder of this session, if anything was recorded in it.
    pub(super) fn latest(&self) -> Option<&Path> {
        self.latest.as_deref()
    }

    /// Logs values at one point of a training, but for those that were logged before.
    pub(super) fn log(
        &mut self,
        now: Duration,
        step: u64,
        tokens: u64,
        values: &[(&str, f64)],
    ) -> Result<()> {
        let new = self.earlier.logged.new_among(values, step);
        if new.is_empty() {
            return Ok(());
        }
        let mut items = vec![Item::value(AXIS, &tokens.into()), Item::value("step", &step.into())];
        items.extend(new.iter().map(|&(name, value)| Item::number(name, value)));
        let mut names = vec![AXIS];
        names.extend(new.iter().map(|&(name, _)| name));
        self.row(now, &names, items)?;
        for (name, _) in new {
            self.earlier.logged.note(name, step);
        }
        Ok(())
    }

    /// Logs tables, each as a file with a value that points to it.
    pub(super) fn tables(&mut self, now: Duration, tables: &[(&str, TableFile)]) -> Result<()> {
        let part = self.begun(now)?.folder.clone();
        let mut files = Vec::new();
        let mut items = Vec::new();
        for (name, table) in tables {
            write(&part.join("files").join(&table.path), &table.content)?;
            files.push(File { path: table.path.clone(), kind: FileKind::Media.into() });
            items.push(Item::value(name, &table.value));
        }
        if items.is_empty() {
            return Ok(());
        }
        self.put(now, vec![Kind::Files(Files { files })])?;
        self.row(now, &[], items)
    }

    /// Adds figures to the summary.
    pub(super) fn summary(&mut self, now: Duration, figures: &[(String, Value)]) -> Result<()> {
        let update = figures.iter().map(|(name, value)| Item::value(name, value)).collect();
        self.put(now, vec![Kind::Summary(Items { update })])
    }

    /// Copies files to the run, each by the name it gets there. Those that are not there are passed over.
    pub(super) fn files(&mut self, now: Duration, files: &[(&str, PathBuf)]) -> Result<()> {
        let part = self.begun(now)?.folder.clone();
        let mut copied = Vec::new();
        for (name, from) in files {
            if let Ok(content) = fs::read(from) {
                write(&part.join("files").join(name), &content)?;
                copied.push(File { path: (*name).to_owned(), kind: FileKind::Other.into() });
            }
        }
        self.put(now, vec![Kind::Files(Files { files: copied })])
    }

    pub(super) fn artifacts(&mut self, now: Duration, artifacts: Vec<Artifact>) -> Result<()> {
        self.put(now, artifacts.into_iter().map(Kind::Artifact).collect())
    }

    /// Ends the run, 0 when it is whole. Nothing happens where nothing was recorded.
    pub(super) fn end(&mut self, now: Duration, exit_code: i32) -> Result<()> {
        if let Some(part) = &self.part {
            let runtime = self.runtime(part, now);
            self.put(now, vec![Kind::Exit(Exit { exit_code, runtime: runtime as i32 })])?;
            self.part = None;
            self.earlier.runtime = runtime;
            self.earlier.exit_code = Some(exit_code);
        }
        Ok(())
    }

    /// A row of the history, and the same values as the latest in the summary.
    fn row(&mut self, now: Duration, metrics: &[&str], mut items: Vec<Item>) -> Result<()> {
        let num = self.earlier.num_rows;
        let part = self.begun(now)?;
        let new: Vec<&str> =
            metrics.iter().copied().filter(|metric| !part.defined.iter().any(|it| it == metric)).collect();
        part.defined.extend(new.iter().map(|metric| (*metric).to_owned()));
        let mut kinds: Vec<Kind> = new.into_iter().map(define).collect();
        let runtime = self.part.as_ref().map_or(0.0, |part| self.runtime(part, now));
        items.push(Item::value("_step", &num.into()));
        items.push(Item::number("_timestamp", now.as_secs_f64()));
        items.push(Item::number("_runtime", runtime));
        kinds.push(Kind::Summary(Items { update: items.clone() }));
        kinds.push(Kind::History(History { item: items, step: Some(Step { num }) }));
        self.put(now, kinds)?;
        self.earlier.num_rows += 1;
        Ok(())
    }

    /// Seconds that the run has taken, those of earlier offline runs included.
    fn runtime(&self, part: &Part, now: Duration) -> f64 {
        self.earlier.runtime + now.saturating_sub(part.begun).as_secs_f64()
    }

    fn put(&mut self, now: Duration, kinds: Vec<Kind>) -> Result<()> {
        self.begun(now)?.put(kinds)
    }

    /// The offline run, begun if need be.
    fn begun(&mut self, now: Duration) -> Result<&mut Part> {
        if self.part.is_none() {
            let part = Part::begin(&self.folder, &self.identity, &self.earlier, now)?;
            self.latest = Some(part.folder.clone());
            self.earlier.num_parts += 1;
            self.earlier.begun = part.begun.as_secs() as i64;
            self.part = Some(part);
        }
        Ok(self.part.as_mut().expect("it was begun just now"))
    }
}

impl Part {
    fn begin(folder: &Path, identity: &Identity, earlier: &Earlier, now: Duration) -> Result<Self> {
        // Offline runs of one run are uploaded in the order in which they began.
        let begun = now.max(Duration::from_secs(earlier.begun as u64 + 1));
        let folder = folder.join(format!("offline-run-{}-{}", stamp(begun), identity.id));
        let explain = |error: io::Error| -> Error {
            format!("cannot write {}: {error}; make room there, or choose another `folder`", folder.display())
                .into()
        };
        // Made here or not at all: what another process writes is left alone.
        fs::create_dir_all(folder.parent().unwrap_or(Path::new("."))).map_err(explain)?;
        fs::create_dir(&folder).map_err(explain)?;
        let begin = || -> Result<Self> {
            fs::create_dir(folder.join("files")).map_err(explain)?;
            let file =
                fs::File::create(folder.join(format!("run-{}.wandb", identity.id))).map_err(explain)?;
            let log = LogWriter::begin(file).map_err(explain)?;
            let mut part = Self { folder: folder.clone(), log, num_records: 0, begun, defined: Vec::new() };
            part.put(vec![
                Kind::Header(Header { version: Some(Version { producer: "sbp".to_owned() }) }),
                Kind::Run(RunRecord {
                    run_id: identity.id.clone(),
                    entity: identity.entity.clone(),
                    project: identity.project.clone(),
                    config: Some(Items { update: identity.config.clone() }),
                    run_group: identity.group.clone(),
                    job_type: identity.job_type.clone(),
                    display_name: identity.name.clone(),
                    notes: identity.notes.clone(),
                    tags: identity.tags.clone(),
                    starting_step: earlier.num_rows,
                    start_time: Some(Timestamp {
                        seconds: begun.as_secs() as i64,
                        nanos: begun.subsec_nanos() as i32,
                    }),
                    resumed: earlier.num_parts > 0,
                    runtime: earlier.runtime as i32,
                    resume: earlier.num_parts > 0,
                }),
            ])?;
            Ok(part)
        };
        // Half of a beginning is no run that tools could read.
        begin().inspect_err(|_| drop(fs::remove_dir_all(&folder)))
    }

    /// Appends records in one write.
    fn put(&mut self, kinds: Vec<Kind>) -> Result<()> {
        let mut records = Vec::with_capacity(kinds.len());
        for kind in kinds {
            self.num_records += 1;
            records.push(Record { num: self.num_records, kind: Some(kind) }.encode_to_vec());
        }
        self.log.append(&records).map_err(|error| {
            format!("cannot write to {}: {error}; make room there", self.folder.display()).into()
        })
    }
}

/// Gives a metric its axis; the axis itself has none.
fn define(metric: &str) -> Kind {
    let step_metric = if metric == AXIS { "" } else { AXIS };
    Kind::Metric(Metric {
        name: metric.to_owned(),
        step_metric: step_metric.to_owned(),
        options: Some(MetricOptions { step_sync: metric != AXIS, defined: true }),
    })
}

/// `20240131_235959`, in UTC.
fn stamp(time: Duration) -> String {
    let time = OffsetDateTime::UNIX_EPOCH + time;
    format!(
        "{:04}{:02}{:02}_{:02}{:02}{:02}",
        time.year(),
        u8::from(time.month()),
        time.day(),
        time.hour(),
        time.minute(),
        time.second()
    )
}

fn write(path: &Path, content: &[u8]) -> Result<()> {
    let write = || -> io::Result<()> {
        fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
        fs::write(path, content)
    };
    write().map_err(|error| format!("cannot write {}: {error}; make room there", path.display()).into())
}

#[cfg(test)]
mod tests {
    use sha2::{Digest as _, Sha256};

    use super::super::log::Records;
    use super::*;

    const NOW: Duration = Duration::from_millis(1_700_000_000_500);

    fn run(folder: &Path) -> Run {
        let config = vec![Item::config("seed", &1.into())];
        let identity = Identity {
            id: "abcdefgh".to_owned(),
            project: "p".to_owned(),
            name: "sbp seed 1".to_owned(),
            config,
            ..Identity::default()
        };
        Run::of(folder, identity)
    }

    fn records(part: &str, folder: &Path) -> Vec<Kind> {
        let bytes = fs::read(folder.join(part).join("run-abcdefgh.wandb")).unwrap();
        Records::of(&bytes).map(|record| Record::decode(&record[..]).unwrap().kind.unwrap()).collect()
    }

    /// Step and first value of every row.
    fn rows(part: &str, folder: &Path) -> Vec<(i64, String)> {
        let rows = records(part, folder).into_iter().filter_map(|kind| match kind {
            Kind::History(row) => Some((row.step.unwrap().num, row.item[2].value_json.clone())),
            _ => None,
        });
        rows.collect()
    }

    #[test]
    fn a_run_is_one_folder_that_wandb_reads() {
        let folder = tempfile::tempdir().unwrap();
        let mut run = run(folder.path());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing to record is nothing on disk");
        run.log(NOW, 1, 512, &[("train/loss", 4.5)]).unwrap();
        run.end(NOW + Duration::from_secs(2), 0).unwrap();
        let part = "offline-run-20231114_221320-abcdefgh";
        let kinds = records(part, folder.path());
        let [Kind::Header(_), Kind::Run(begun), Kind::Metric(axis), Kind::Metric(loss), rest @ ..] =
            &kinds[..]
        else {
            panic!("{kinds:?}")
        };
        assert_eq!((begun.run_id.as_str(), begun.resumed), ("abcdefgh", false));
        assert_eq!((axis.name.as_str(), axis.step_metric.as_str()), ("tokens", ""));
        assert_eq!((loss.name.as_str(), loss.step_metric.as_str()), ("train/loss", "tokens"));
        let [Kind::Summary(summary), Kind::History(row), Kind::Exit(exit)] = rest else { panic!("{rest:?}") };
        assert_eq!(summary.update, row.item);
        let values: Vec<(&str, &str)> =
            row.item.iter().map(|item| (item.nested_key[0].as_str(), item.value_json.as_str())).collect();
        assert_eq!(
            values,
            [
                ("tokens", "512"),
                ("step", "1"),
                ("train/loss", "4.5"),
                ("_step", "0"),
                ("_timestamp", "1700000000.5"),
                ("_runtime", "0.0"),
            ]
        );
        assert_eq!((exit.exit_code, exit.runtime), (0, 2));

        // The same records by the messages of wandb 0.31.0 and the checksum of Python's zlib.
        let bytes = fs::read(folder.path().join(part).join("run-abcdefgh.wandb")).unwrap();
        let hash: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            (bytes.len(), hash.as_str()),
            (406, "d2cb7ec8d53abbd4c1c2ade7e19453212804a6f637ca4626cfb647d592e956fe")
        );
    }

    #[test]
    fn a_run_that_goes_on_is_another_folder_of_the_same_id_without_what_was_logged() {
        let folder = tempfile::tempdir().unwrap();
        let mut first = run(folder.path());
        for step in 1..=3 {
            first.log(NOW, step, step * 10, &[("train/loss", step as f64)]).unwrap();
        }
        // Killed: there is no end. The new one begins within the same second.
        drop(first);
        let mut second = run(folder.path());
        for step in 2..=5 {
            second.log(NOW, step, step * 10, &[("train/loss", step as f64)]).unwrap();
        }
        second.log(NOW, 5, 50, &[("val/heldout/bpb", 2.0)]).unwrap();
        second.end(NOW, 0).unwrap();
        let row = |num, value: &str| (num, value.to_owned());
        let (one, two) = ("offline-run-20231114_221320-abcdefgh", "offline-run-20231114_221321-abcdefgh");
        assert_eq!(rows(one, folder.path()), [row(0, "1.0"), row(1, "2.0"), row(2, "3.0")]);
        assert_eq!(rows(two, folder.path()), [row(3, "4.0"), row(4, "5.0"), row(5, "2.0")]);
        let Kind::Run(begun) = &records(two, folder.path())[1] else { panic!("no run") };
        assert!(begun.resumed && begun.starting_step == 3);

        // All of it again, as when a study is run that is done.
        let mut third = run(folder.path());
        assert!(third.is_done());
        third.log(NOW, 5, 50, &[("train/loss", 5.0), ("val/heldout/bpb", 2.0)]).unwrap();
        third.end(NOW, 0).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn what_was_cut_off_is_logged_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut first = run(folder.path());
        for step in 1..=3 {
            first.log(NOW, step, step, &[("train/loss", step as f64)]).unwrap();
        }
        drop(first);
        let path = folder.path().join("offline-run-20231114_221320-abcdefgh/run-abcdefgh.wandb");
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 3]).unwrap();
        let mut second = run(folder.path());
        second.log(NOW, 3, 3, &[("train/loss", 3.0)]).unwrap();
        assert_eq!(rows("offline-run-20231114_221321-abcdefgh", folder.path()), [(2, "3.0".to_owned())]);
    }

    #[test]
    fn where_nothing_can_be_written_nothing_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let error = run(&file).log(NOW, 1, 1, &[("train/loss", 1.0)]).unwrap_err().to_string();
        assert!(error.contains("cannot write") && error.contains("`folder`"), "{error}");
    }

    #[test]
    fn tables_and_files_lie_below_the_run() {
        let folder = tempfile::tempdir().unwrap();
        let recipe = folder.path().join("recipe.toml");
        fs::write(&recipe, "x = 1").unwrap();
        let runs = folder.path().join("wandb");
        let mut run = run(&runs);
        let table = super::super::table::of_objects("results", &[serde_json::json!({"arm": "sbp"})]).unwrap();
        let path = table.path.clone();
        run.tables(NOW, &[("results", table)]).unwrap();
        run.files(NOW, &[("recipe.toml", recipe), ("absent", folder.path().join("absent"))]).unwrap();
        let part = run.latest().unwrap();
        assert!(part.join("files").join(path).exists() && part.join("files/recipe.toml").exists());
        let files: Vec<File> = records("offline-run-20231114_221320-abcdefgh", &runs)
            .into_iter()
            .filter_map(|kind| if let Kind::Files(files) = kind { Some(files.files) } else { None })
            .flatten()
            .collect();
        assert_eq!(files.iter().map(|file| file.kind).collect::<Vec<_>>(), [2, 0]);
    }
}
