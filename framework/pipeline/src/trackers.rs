//! The trackers of a run. One that fails is kept: what it did not record waits and is offered again, and what is lost in
//! the end is said.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};

use sbp_core::Fingerprint;
use sbp_plugin::registry::BuildContext;
use sbp_plugin::slots::tracker::{ArtifactCard, MetricPoint, RunCard, Tracker};
use sbp_recipe::Plan;
use serde_json::Value;

use crate::run_folder::RunFolder;
use crate::store::Artifact;
use crate::watch::Reporter;

/// What may wait for one tracker. Some 200 bytes each; a tracker that is behind by more is not coming back soon.
const MAX_WAITING: usize = 10_000;

/// All trackers of a run.
pub(crate) struct Trackers {
    run: Run,
    tracked: Vec<Tracked>,
    /// Artifacts that this run has come by, by fingerprint.
    artifacts: BTreeMap<String, Fingerprint>,
}

/// What a [`RunCard`] says.
struct Run {
    recipe: String,
    plan: Fingerprint,
    folder: PathBuf,
    resolved: Value,
}

impl Run {
    fn card(&self) -> RunCard<'_> {
        RunCard {
            recipe: &self.recipe,
            id: self.plan.short(),
            plan: &self.plan,
            folder: &self.folder,
            resolved: &self.resolved,
        }
    }
}

impl Trackers {
    /// Those that the recipe asks for.
    pub(crate) fn of(plan: &Plan, home: &Path, reporter: &mut dyn Reporter) -> Self {
        let mut tracked = Vec::new();
        for selected in &plan.recipe.trackers {
            match selected.build(&BuildContext::default()) {
                Ok(tracker) => tracked.push(Tracked::new(selected.kind(), tracker)),
                Err(error) => reporter.warn(&format!("{error}; the run goes on without it")),
            }
        }
        let run = Run {
            recipe: plan.recipe.recipe.name.clone(),
            plan: plan.id.clone(),
            folder: RunFolder::of(home, plan).path,
            resolved: serde_json::to_value(&plan.recipe).unwrap_or_default(),
        };
        Self { run, tracked, artifacts: BTreeMap::new() }
    }

    /// Tells those of the run that do not know of it yet: at its beginning all, later those that could not start.
    pub(crate) fn start(&mut self) {
        for tracked in &mut self.tracked {
            tracked.start(&self.run.card());
        }
    }

    pub(crate) fn metrics(&mut self, point: &MetricPoint<'_>) {
        for tracked in &mut self.tracked {
            if !tracked.has_caught_up() || !tracked.attempt(AGAIN, |tracker| tracker.metrics(point)) {
                tracked.keep(Happening::Point(Point::of(point)));
            }
        }
    }

    pub(crate) fn artifact(&mut self, stage: &str, job: &str, artifact: &Artifact, inputs: &Value) {
        let mut made_from = BTreeSet::new();
        mentioned(inputs, &self.artifacts, &mut made_from);
        let card = ArtifactCard {
            stage: stage.to_owned(),
            job: job.to_owned(),
            fingerprint: artifact.fingerprint.clone(),
            inputs: made_from.into_iter().collect(),
        };
        self.artifacts.insert(card.fingerprint.to_string(), card.fingerprint.clone());
        for tracked in &mut self.tracked {
            if !tracked.has_caught_up() || !tracked.attempt(AGAIN, |tracker| tracker.artifact(&card)) {
                tracked.keep(Happening::Artifact(card.clone()));
            }
        }
    }

    pub(crate) fn finish(&mut self, results: &Value) {
        for tracked in &mut self.tracked {
            tracked.has_caught_up();
            if tracked.started {
                tracked.attempt("its report is not recorded", |tracker| tracker.finished(results));
            }
        }
    }

    /// Offers what waits for the last time; what is refused again is lost, and that is said.
    pub(crate) fn end(&mut self) {
        self.tracked.iter_mut().for_each(Tracked::end);
    }

    /// What is to be told since this was last asked.
    pub(crate) fn messages(&mut self) -> Vec<String> {
        self.tracked.iter_mut().flat_map(|tracked| tracked.messages.drain(..)).collect()
    }
}

/// Known fingerprints in the inputs of a stage.
fn mentioned(inputs: &Value, known: &BTreeMap<String, Fingerprint>, found: &mut BTreeSet<Fingerprint>) {
    match inputs {
        Value::String(text) => found.extend(known.get(text).cloned()),
        Value::Array(values) => values.iter().for_each(|value| mentioned(value, known, found)),
        Value::Object(fields) => fields.values().for_each(|value| mentioned(value, known, found)),
        _ => (),
    }
}

/// What becomes of what a tracker refuses.
const AGAIN: &str = "what it did not record is kept and offered again";

/// One tracker, and what it is behind with.
struct Tracked {
    kind: &'static str,
    tracker: Box<dyn Tracker>,
    started: bool,
    /// Oldest first.
    waiting: VecDeque<Happening>,
    /// How many were given up because too many waited.
    num_lost: usize,
    /// Kinds of failures that were told: their messages without figures.
    told: BTreeSet<String>,
    messages: Vec<String>,
}

impl Tracked {
    fn new(kind: &'static str, tracker: Box<dyn Tracker>) -> Self {
        Self {
            kind,
            tracker,
            started: false,
            waiting: VecDeque::new(),
            num_lost: 0,
            told: BTreeSet::new(),
            messages: Vec::new(),
        }
    }

    fn start(&mut self, run: &RunCard<'_>) {
        if !self.started {
            self.started = self.attempt("it is tried again with every stage", |tracker| tracker.started(run));
        }
    }

    /// Has the tracker do something. Of failures of one kind the first is told, with what becomes of it.
    fn attempt(&mut self, then: &str, call: impl FnOnce(&mut dyn Tracker) -> sbp_plugin::Result<()>) -> bool {
        let outcome = call(self.tracker.as_mut());
        self.messages.extend(self.tracker.warnings());
        let Err(error) = outcome else { return true };
        let message = error.to_string();
        if self.told.insert(message.replace(|letter: char| letter.is_ascii_digit(), "")) {
            self.messages.push(format!("{message}; {then}"));
        }
        false
    }

    /// Whether nothing waits any more, after what waits was offered again.
    fn has_caught_up(&mut self) -> bool {
        while self.started
            && let Some(first) = self.waiting.pop_front()
        {
            if !self.attempt(AGAIN, |tracker| first.offer(tracker)) {
                self.waiting.push_front(first);
                return false;
            }
        }
        self.started
    }

    fn keep(&mut self, happening: Happening) {
        if self.waiting.len() == MAX_WAITING {
            self.waiting.pop_front();
            self.num_lost += 1;
        }
        self.waiting.push_back(happening);
    }

    fn end(&mut self) {
        self.has_caught_up();
        let num_lost = self.num_lost + self.waiting.len();
        if num_lost > 0 {
            self.waiting.clear();
            self.num_lost = 0;
            self.messages.push(format!(
                "tracker \"{}\" did not record {num_lost} points or artifacts; every training has its points in \
                 metrics.jsonl of its own folder, below stages/ of the run's folder",
                self.kind
            ));
        }
    }
}

/// What waits.
enum Happening {
    Point(Point),
    Artifact(ArtifactCard),
}

impl Happening {
    fn offer(&self, tracker: &mut dyn Tracker) -> sbp_plugin::Result<()> {
        match self {
            Self::Artifact(card) => tracker.artifact(card),
            Self::Point(point) => {
                let values: Vec<(&str, f64)> =
                    point.values.iter().map(|(name, value)| (name.as_str(), *value)).collect();
                tracker.metrics(&MetricPoint {
                    stage: &point.stage,
                    arm: &point.arm,
                    seed: point.seed,
                    round: point.round,
                    step: point.step,
                    tokens: point.tokens,
                    values: &values,
                })
            }
        }
    }
}

/// A [`MetricPoint`] to keep.
struct Point {
    stage: String,
    arm: String,
    seed: u64,
    round: Option<u32>,
    step: u64,
    tokens: u64,
    values: Vec<(String, f64)>,
}

impl Point {
    fn of(point: &MetricPoint<'_>) -> Self {
        Self {
            stage: point.stage.to_owned(),
            arm: point.arm.to_owned(),
            seed: point.seed,
            round: point.round,
            step: point.step,
            tokens: point.tokens,
            values: point.values.iter().map(|&(name, value)| (name.to_owned(), value)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use serde_json::json;

    use super::*;

    /// Records steps while it is well.
    #[derive(Clone, Default)]
    struct Sometimes(Arc<Mutex<Health>>);

    #[derive(Default)]
    struct Health {
        starts: bool,
        records: bool,
        finished: bool,
        steps: Vec<u64>,
        artifacts: Vec<ArtifactCard>,
    }

    impl Tracker for Sometimes {
        fn started(&mut self, _: &RunCard<'_>) -> sbp_plugin::Result<()> {
            if self.0.lock().unwrap().starts { Ok(()) } else { Err("the disk is away".into()) }
        }
        fn metrics(&mut self, point: &MetricPoint<'_>) -> sbp_plugin::Result<()> {
            let mut health = self.0.lock().unwrap();
            if !health.records {
                return Err(format!("no room for step {}", point.step).into());
            }
            health.steps.push(point.step);
            Ok(())
        }
        fn artifact(&mut self, artifact: &ArtifactCard) -> sbp_plugin::Result<()> {
            self.0.lock().unwrap().artifacts.push(artifact.clone());
            Ok(())
        }
        fn finished(&mut self, _: &Value) -> sbp_plugin::Result<()> {
            self.0.lock().unwrap().finished = true;
            Ok(())
        }
        fn warnings(&mut self) -> Vec<String> {
            Vec::new()
        }
    }

    fn trackers(health: Health) -> (Trackers, Sometimes) {
        let sometimes = Sometimes(Arc::new(Mutex::new(health)));
        let run = Run {
            recipe: "r".into(),
            plan: Fingerprint::of_bytes(b"plan"),
            folder: PathBuf::new(),
            resolved: Value::Null,
        };
        let tracked = vec![Tracked::new("sometimes", Box::new(sometimes.clone()))];
        (Trackers { run, tracked, artifacts: BTreeMap::new() }, sometimes)
    }

    fn step(trackers: &mut Trackers, step: u64) -> Vec<String> {
        trackers.metrics(&MetricPoint {
            stage: "train",
            arm: "sbp",
            seed: 1,
            round: None,
            step,
            tokens: step,
            values: &[("train/loss", 1.0)],
        });
        trackers.messages()
    }

    #[test]
    fn what_was_refused_is_offered_again_in_order_and_one_kind_of_failure_is_told_once() {
        let (mut trackers, sometimes) = trackers(Health { starts: true, ..Health::default() });
        trackers.start();
        assert_eq!(step(&mut trackers, 1), [format!("no room for step 1; {AGAIN}")]);
        assert_eq!(step(&mut trackers, 2), [""; 0]);
        sometimes.0.lock().unwrap().records = true;
        step(&mut trackers, 3);
        trackers.finish(&Value::Null);
        trackers.end();
        assert_eq!(trackers.messages(), [""; 0]);
        let health = sometimes.0.lock().unwrap();
        assert_eq!((health.steps.as_slice(), health.finished), ([1, 2, 3].as_slice(), true));
    }

    #[test]
    fn what_could_not_start_starts_later_and_misses_nothing() {
        let (mut trackers, sometimes) = trackers(Health { records: true, ..Health::default() });
        trackers.start();
        assert_eq!(trackers.messages(), ["the disk is away; it is tried again with every stage"]);
        step(&mut trackers, 1);
        sometimes.0.lock().unwrap().starts = true;
        trackers.start();
        step(&mut trackers, 2);
        assert_eq!(sometimes.0.lock().unwrap().steps, [1, 2]);
    }

    #[test]
    fn what_is_lost_is_counted_and_said() {
        let (mut trackers, sometimes) = trackers(Health { starts: true, ..Health::default() });
        trackers.start();
        for at in 0..MAX_WAITING as u64 + 5 {
            step(&mut trackers, at);
        }
        assert_eq!(trackers.tracked[0].waiting.len(), MAX_WAITING);
        trackers.end();
        let messages = trackers.messages();
        assert!(messages[0].contains("did not record 10005 points or artifacts"), "{messages:?}");
        trackers.end();
        assert_eq!((trackers.messages(), sometimes.0.lock().unwrap().steps.len()), (Vec::new(), 0));
    }

    #[test]
    fn an_artifact_names_those_it_was_made_from() {
        let (mut trackers, sometimes) = trackers(Health { starts: true, records: true, ..Health::default() });
        trackers.start();
        let artifact =
            |name: &[u8]| Artifact { path: PathBuf::new(), fingerprint: Fingerprint::of_bytes(name) };
        let (corpus, tokens) = (artifact(b"corpus"), artifact(b"tokens"));
        trackers.artifact("corpus", "corpus", &corpus, &json!({"path": "x"}));
        let inputs = json!({"corpus": corpus.fingerprint, "other": [Fingerprint::of_bytes(b"unknown")]});
        trackers.artifact("tokens", "tokens", &tokens, &inputs);
        let health = sometimes.0.lock().unwrap();
        assert_eq!(health.artifacts[0].inputs, []);
        assert_eq!(health.artifacts[1].inputs, [corpus.fingerprint]);
    }
}
