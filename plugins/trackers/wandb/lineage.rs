//! Artifacts of the store as W&B artifacts: what a run was made from, and the model that it made.
//!
//! Their names and fingerprints are recorded, not their files: the manifest of each holds one reference into the store.

use std::collections::BTreeMap;

use sbp_core::Fingerprint;
use sbp_plugin::slots::tracker::ArtifactCard;
use serde_json::json;

use super::records::{Artifact, Entry, Manifest, PolicyItem};

/// What an artifact is to a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Used,
    Made,
}

/// The artifacts that a study came by.
#[derive(Debug, Default)]
pub(super) struct Lineage {
    cards: BTreeMap<Fingerprint, ArtifactCard>,
}

impl Lineage {
    pub(super) fn add(&mut self, card: &ArtifactCard) {
        // Two arms that do the same share an artifact: it keeps the name of the first.
        self.cards.entry(card.fingerprint.clone()).or_insert_with(|| card.clone());
    }

    /// The models of the arms.
    pub(super) fn models(&self) -> Vec<&ArtifactCard> {
        self.cards.values().filter(|card| card.stage == "train").collect()
    }

    /// All that an artifact was made from, directly or not.
    pub(super) fn behind(&self, card: &ArtifactCard) -> Vec<&ArtifactCard> {
        let mut found = BTreeMap::new();
        let mut open: Vec<&Fingerprint> = card.inputs.iter().collect();
        while let Some(fingerprint) = open.pop() {
            if let Some(card) = self.cards.get(fingerprint)
                && found.insert(fingerprint, card).is_none()
            {
                open.extend(&card.inputs);
            }
        }
        found.into_values().collect()
    }
}

/// The W&B run that an artifact is recorded in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Recorder<'a> {
    pub(super) recipe: &'a str,
    pub(super) run_id: &'a str,
    pub(super) project: &'a str,
    pub(super) entity: &'a str,
}

impl Recorder<'_> {
    pub(super) fn record(&self, card: &ArtifactCard, role: Role) -> Artifact {
        let name = format!("{}-{}", self.recipe, card.job);
        let name: String = name.chars().map(|letter| if is_plain(letter) { letter } else { '-' }).collect();
        let folder = format!("{}/{}", card.stage, card.fingerprint);
        Artifact {
            run_id: self.run_id.to_owned(),
            project: self.project.to_owned(),
            entity: self.entity.to_owned(),
            kind: kind(&card.stage).to_owned(),
            // wandb since 0.31 makes another one from the manifest, and so from the fingerprint again.
            digest: card.fingerprint.to_string(),
            description: format!("{} of the study {}", card.job, self.recipe),
            metadata: json!({"fingerprint": card.fingerprint, "stage": card.stage, "job": card.job})
                .to_string(),
            user_created: role == Role::Used,
            use_after_commit: role == Role::Used,
            aliases: vec!["latest".to_owned()],
            manifest: Some(Manifest {
                version: 1,
                storage_policy: "wandb-storage-policy-v1".to_owned(),
                storage_policy_config: vec![PolicyItem {
                    key: "storageLayout".to_owned(),
                    value_json: "\"V2\"".to_owned(),
                }],
                contents: vec![Entry {
                    path: card.stage.clone(),
                    digest: card.fingerprint.to_string(),
                    reference: format!("sbp://store/{folder}"),
                }],
            }),
            finalize: true,
            client_id: client_id(&[self.run_id, &name, card.fingerprint.as_str()]),
            sequence_client_id: client_id(&[self.run_id, &name]),
            name,
        }
    }
}

/// What W&B allows in a name.
fn is_plain(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.')
}

/// The type under which W&B lists an artifact of a stage.
fn kind(stage: &str) -> &str {
    match stage {
        "base" | "tune" | "train" => "model",
        "corpus" | "synthesize" => "dataset",
        other => other,
    }
}

/// 128 digits, as wandb gives to what it logs; always the same for the same artifact.
fn client_id(of: &[&str]) -> String {
    (0..4).map(|part| Fingerprint::of_value(&(part, of)).to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(stage: &str, inputs: &[&str]) -> ArtifactCard {
        let fingerprint = |name: &str| Fingerprint::of_bytes(name.as_bytes());
        ArtifactCard {
            stage: stage.to_owned(),
            job: format!("{stage} seed 1"),
            fingerprint: fingerprint(stage),
            inputs: inputs.iter().map(|name| fingerprint(name)).collect(),
        }
    }

    #[test]
    fn a_model_stands_on_all_that_its_inputs_stand_on() {
        let mut lineage = Lineage::default();
        for card in [
            card("corpus", &[]),
            card("tokens", &["corpus"]),
            card("quality", &["corpus"]),
            card("train", &["tokens"]),
        ] {
            lineage.add(&card);
        }
        let mut stages: Vec<&str> =
            lineage.behind(&card("train", &["tokens"])).iter().map(|card| card.stage.as_str()).collect();
        stages.sort_unstable();
        assert_eq!(stages, ["corpus", "tokens"]);
        assert_eq!(lineage.models(), [&card("train", &["tokens"])]);
    }

    #[test]
    fn a_record_names_the_artifact_and_says_what_it_is_to_the_run() {
        let recorder = Recorder { recipe: "a study", run_id: "r", project: "p", entity: "" };
        let used = recorder.record(&card("corpus", &[]), Role::Used);
        assert_eq!((used.name.as_str(), used.kind.as_str()), ("a-study-corpus-seed-1", "dataset"));
        assert!(used.user_created && used.use_after_commit);
        assert_eq!(used.digest, Fingerprint::of_bytes(b"corpus").as_str());
        assert_eq!((used.client_id.len(), used.sequence_client_id.len()), (128, 128));
        let made = recorder.record(&card("train", &[]), Role::Made);
        assert!(!made.user_created && !made.use_after_commit && made.kind == "model");
    }
}
