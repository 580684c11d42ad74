//! The stored artifact that is most alike, and in what it differs.

use std::collections::BTreeSet;
use std::time::SystemTime;

use sbp_recipe::dotted;
use serde::Serialize;
use serde_json::Value;

use crate::differences::{Difference, differences, said};
use crate::store::{Manifest, Store};
use crate::{Result, files};

/// The artifact of the same kind whose inputs are most alike.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Nearest {
    /// Its identity.
    pub fingerprint: String,
    /// In what it differs, a line each: `training.peak_lr: 0.004 stored, 0.005 now`.
    pub differences: Vec<String>,
}

/// The artifact with fewest differing inputs, of several the newest; `before` leaves out what was made later.
pub(super) fn nearest(
    store: &Store,
    to: &Manifest,
    fingerprint: &str,
    before: Option<SystemTime>,
) -> Result<Option<Nearest>> {
    let mut best: Option<(usize, SystemTime, String, Manifest)> = None;
    for path in files::folders_in(&store.root().join(&to.stage))? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let made = files::weigh(&path.join("DONE"))?.newest;
        let is_artifact = !name.contains('.') && name != fingerprint;
        if !is_artifact || before.is_some_and(|before| made >= before) {
            continue;
        }
        let Ok(manifest) = Manifest::read(&path) else { continue };
        let count = differences(&manifest.inputs, &to.inputs).len();
        let is_better = best
            .as_ref()
            .is_none_or(|(fewest, newest, ..)| count < *fewest || (count == *fewest && made > *newest));
        if is_better {
            best = Some((count, made, name, manifest));
        }
    }
    Ok(best.map(|(_, _, fingerprint, manifest)| {
        let mut lines = Vec::new();
        if manifest.sbp != to.sbp {
            let stored = if manifest.sbp.is_empty() { "another version" } else { &manifest.sbp };
            lines.push(format!("sbp: {stored} stored, {} now", to.sbp));
        }
        let differing = differences(&manifest.inputs, &to.inputs);
        tell(store, "", &differing, &mut BTreeSet::new(), &mut lines);
        Nearest { fingerprint, differences: lines }
    }))
}

/// A line for each difference. Where two artifacts stand, what differs in what they were made from says more. `seen` holds
/// such twos: many ways lead to the first artifacts of a study.
fn tell(
    store: &Store,
    within: &str,
    differing: &[Difference],
    seen: &mut BTreeSet<(String, String)>,
    lines: &mut Vec<String>,
) {
    for Difference { at, before, after } in differing {
        let at = format!("{within}{}", dotted(at));
        match (artifact(store, before), artifact(store, after)) {
            (Some(one), Some(other)) => {
                if seen.insert((before.to_string(), after.to_string())) {
                    let differing = differences(&one.inputs, &other.inputs);
                    tell(store, &format!("{at} > "), &differing, seen, lines);
                }
            }
            _ => lines.push(format!("{at}: {} stored, {} now", said(before), said(after))),
        }
    }
}

/// What the artifact that a value names was made from.
fn artifact(store: &Store, value: &Value) -> Option<Manifest> {
    let name = value.as_str().filter(|name| name.len() == 32 && !name.contains(['/', '.']))?;
    let stages = files::folders_in(store.root()).ok()?;
    stages.iter().find_map(|stage| Manifest::read(&stage.join(name)).ok())
}

#[cfg(test)]
mod tests {
    use sbp_core::Fingerprint;
    use serde_json::json;

    use super::*;

    fn make(store: &Store, stage: &'static str, inputs: &Value) -> Fingerprint {
        store.make(stage, inputs, &mut |_| {}, &mut |_| Ok(())).unwrap().0.fingerprint
    }

    fn told(store: &Store, stage: &str, inputs: &Value) -> Option<Vec<String>> {
        let fingerprint = Store::fingerprint(stage, inputs);
        let found = nearest(store, &Manifest::of(stage, inputs), fingerprint.as_str(), None);
        found.unwrap().map(|nearest| nearest.differences)
    }

    #[test]
    fn the_most_alike_is_named_with_its_differing_fields() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path());
        assert_eq!(told(&store, "train", &json!({"lr": 1})), None);
        make(&store, "train", &json!({"lr": 1, "seed": 1, "model": {"layers": 2}}));
        make(&store, "train", &json!({"lr": 9, "seed": 9, "model": {"layers": 9}}));
        assert_eq!(
            told(&store, "train", &json!({"lr": 1, "seed": 2, "model": {"layers": 3}})),
            Some(vec!["model.layers: 2 stored, 3 now".to_owned(), "seed: 1 stored, 2 now".to_owned()])
        );
    }

    #[test]
    fn behind_another_artifact_stands_why_it_is_another() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path());
        let few = make(&store, "corpus", &json!({"documents": 10}));
        let many = make(&store, "corpus", &json!({"documents": 20}));
        let tokens = |corpus: &Fingerprint| json!({"corpus": corpus});
        let model = |corpus, seed: u32| json!({"tokens": corpus, "corpus": corpus, "seed": seed});
        make(&store, "tokens", &tokens(&few));
        make(&store, "train", &model(&few, 1));
        assert_eq!(
            told(&store, "tokens", &tokens(&many)),
            Some(vec!["corpus > documents: 10 stored, 20 now".to_owned()])
        );
        // Told once, though two inputs lead to it.
        assert_eq!(
            told(&store, "train", &model(&many, 1)),
            Some(vec!["corpus > documents: 10 stored, 20 now".to_owned()])
        );
    }

    #[test]
    fn another_version_of_the_program_is_a_reason() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path());
        let inputs = json!({"lr": 1});
        make(&store, "train", &inputs);
        let later = Manifest { sbp: "99.0.0".to_owned(), ..Manifest::of("train", &inputs) };
        let found = nearest(&store, &later, "another", None).unwrap().unwrap();
        let expected = format!("sbp: {} stored, 99.0.0 now", env!("CARGO_PKG_VERSION"));
        assert_eq!(found.differences, [expected]);
    }
}
