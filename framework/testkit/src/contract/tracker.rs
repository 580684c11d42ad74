use sbp_core::Fingerprint;
use sbp_plugin::slots::tracker::{ArtifactCard, MetricPoint, RunCard};
use sbp_plugin::{Selected, slots};
use serde_json::json;

use super::build;

/// Checks that a run can be tracked to its end, and that points before its beginning do no harm.
///
/// # Panics
/// When the contract is broken.
pub fn tracker(selected: &Selected<slots::Tracker>) {
    let kind = selected.kind();
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let mut tracker = build(selected);
    let values = [("train/loss", 1.5), ("train/lr", 0.0), ("train/grad_norm", f64::NAN)];
    let mut point = MetricPoint {
        stage: "train",
        arm: "sbp",
        seed: 1,
        round: None,
        step: 1,
        tokens: 512,
        values: &values,
    };
    // Before a run begins a point may be refused, but must not panic.
    let _ = tracker.metrics(&point);
    let resolved = json!({"name": "contract"});
    let plan = Fingerprint::of_value(&resolved);
    let run = RunCard {
        recipe: "contract",
        id: plan.short(),
        plan: &plan,
        folder: folder.path(),
        resolved: &resolved,
    };
    assert!(tracker.started(&run).is_ok(), "{kind}: cannot start in an empty folder");
    for step in 1..4 {
        point.step = step;
        assert!(tracker.metrics(&point).is_ok(), "{kind}: cannot take a point");
    }
    let model = ArtifactCard {
        stage: "train".to_owned(),
        job: point.job(),
        fingerprint: Fingerprint::of_bytes(b"model"),
        inputs: vec![Fingerprint::of_bytes(b"corpus")],
    };
    assert!(tracker.artifact(&model).is_ok(), "{kind}: cannot take an artifact");
    let evaluated = MetricPoint { stage: "evaluate", arm: "", values: &[], ..point };
    assert!(tracker.metrics(&evaluated).is_ok(), "{kind}: cannot take a point without arm and values");
    assert!(tracker.finished(&json!({"arms": {}})).is_ok(), "{kind}: cannot finish");
}
