//! The card of an exported model, `README.md`: where it is from, what it read, how it scored.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

use crate::export::Model;
use crate::runs::Run;
use crate::stages::evaluate::Scores;
use crate::stages::train::TrainingSummary;
use crate::{Result, files};

/// Writes the card. The licence is left to whoever publishes the model.
pub(crate) fn card(
    run: &Run,
    model: Model<'_>,
    seed: u64,
    artifact: &Path,
    copied: &BTreeMap<String, String>,
) -> Result<String> {
    let lock: Value = files::read_json(&run.folder.path.join("recipe.lock.json"))?;
    let manifest: Value = files::read_json(&run.folder.path.join("manifest.json"))?;
    let trained: TrainingSummary = files::read_json(&artifact.join("training.json"))?;
    let point = &lock["points"][0];
    let what = match model {
        Model::Arm(arm) => format!("arm `{arm}`"),
        Model::Synthesizer => "the tuned synthesizer".to_owned(),
    };
    let mut card = format!(
        "---\nlibrary_name: transformers\npipeline_tag: text-generation\ntags:\n- synthetic-bootstrapped-pretraining\n---\n\n\
         # {}, {what}, seed {seed}\n\n\
         A model of a study of synthetic bootstrapped pretraining (arXiv 2509.15248), made with sbp {}.\n\n",
        run.recipe,
        said(&manifest["sbp_version"]),
    );
    // A description decides about nothing, so that the lock leaves it out.
    let results: Option<Value> = files::read_json(&run.folder.results()).ok();
    if let Some(question) = results.and_then(|results| said_if(&results["description"])) {
        let _ = writeln!(card, "The study asks: {question}\n");
    }
    let _ = writeln!(card, "| | |\n|---|---|");
    let rows = [
        ("recipe", run.recipe.clone()),
        ("plan", said(&manifest["plan"])),
        ("artifact", artifact.file_name().unwrap_or_default().to_string_lossy().into_owned()),
        ("training", format!("{} steps, {} tokens", trained.steps, trained.cost.tokens)),
        ("model FLOPs", format!("{:.3e}", trained.cost.flops as f64)),
        ("loss of the last step", format!("{:.4} nats a token", trained.final_loss)),
        (
            "corpus",
            format!(
                "`{}`, content {}",
                said(&point["recipe"]["corpus"]["kind"]),
                said(&point["inputs"]["corpus"])
            ),
        ),
        (
            "computed by",
            format!("{} on {}", said(&manifest["runtime"]["library"]), said(&manifest["runtime"]["device"])),
        ),
        ("source state", said_if(&manifest["git"]).unwrap_or_else(|| "not known".to_owned())),
    ];
    for (name, value) in rows {
        let _ = writeln!(card, "| {name} | {value} |");
    }
    if let Model::Arm(arm) = model {
        let scores: Scores = files::read_json(&run.folder.arm(arm, seed).join("eval/scores.json"))?;
        card.push_str("\n## Scores\n\n| metric | value | standard error |\n|---|---|---|\n");
        for score in &scores.scores {
            let _ = writeln!(card, "| {} | {:.4} | {:.4} |", score.metric, score.value(), score.stderr());
        }
    }
    card.push_str(
        "\n## Files\n\nBLAKE3, checked when they were copied here.\n\n| file | hash |\n|---|---|\n",
    );
    for (name, hash) in copied {
        let _ = writeln!(card, "| `{name}` | `{hash}` |");
    }
    card.push_str(
        "\n## Licence\n\nNone is stated. Whoever publishes this model chooses one, with the licence of the corpus in mind.\n",
    );
    Ok(card)
}

/// A text or a number without its quotes.
fn said(value: &Value) -> String {
    said_if(value).unwrap_or_else(|| "unknown".to_owned())
}

fn said_if(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()).filter(|text| !text.is_empty()),
        other => Some(other.to_string()),
    }
}
