//! Evaluation of a model in a Hugging Face folder, ours or anybody's: without a recipe, a corpus or a store.

pub(crate) mod harness;
mod table;

use std::path::Path;

use sbp_plugin::ports::{Precision, Runtime};
use sbp_plugin::{Selected, slots};
use serde_json::{Value, json};

use crate::stages::evaluate::{self, Evaluation, Questions};
use crate::stages::{caught, failed};
use crate::tokenizer::Tokenizer;
use crate::watch::Reporter;
use crate::{Error, Result, files};

const LABEL: &str = "evaluate";
/// What a study's first seed is by default, so that evaluators ask what they ask there.
const SEED: u64 = 1;

/// What the evaluation of a folder came to.
#[derive(Debug)]
pub struct FolderEvaluation {
    evaluation: Evaluation,
    config: Value,
}

impl FolderEvaluation {
    /// The results in the layout of lm-evaluation-harness.
    pub fn results(&self) -> Value {
        harness::results(&self.evaluation, &self.config)
    }

    /// The results as a table in Markdown.
    pub fn table(&self) -> String {
        table::markdown(&self.evaluation)
    }

    /// Writes `results.json`, and `samples_<task>.jsonl` for every task whose items are known, into a folder that is made
    /// where it is not there.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        files::create_folder(folder)?;
        harness::write(folder, &self.evaluation, &self.config)
    }
}

/// Asks evaluators about the model in a Hugging Face folder, which has its tokenizer beside it.
///
/// # Errors
/// When there is no such folder, when its layout or its tokenizer cannot be used, or when what an evaluator asks about is
/// missing: all of that before the model is asked anything.
pub fn evaluate_folder(
    runtime: &mut dyn Runtime,
    folder: &Path,
    precision: Precision,
    evaluators: &[Selected<slots::Evaluator>],
    reporter: &mut dyn Reporter,
) -> Result<FolderEvaluation> {
    caught(LABEL, || {
        let refused = |error: sbp_plugin::Error| Error::Refused(error.to_string());
        if !folder.is_dir() {
            return Err(Error::Refused(format!(
                "there is no folder {}; name a model's Hugging Face folder, such as arms/<arm>/seed-<seed>/hf of a run",
                folder.display()
            )));
        }
        let tokenizer = Tokenizer::of_model(folder).map_err(refused)?;
        // Reads the files of every task.
        evaluate::identity(evaluators, SEED).map_err(refused)?;
        reporter.stage_started(LABEL);
        let mut model = runtime.open(folder, precision).map_err(refused)?;
        let about = Questions { tokenizer: &tokenizer, heldout: &[], questions: &[] };
        let mut done = |done| reporter.progress(&evaluate::progress(LABEL, done, evaluators.len()));
        let evaluation = evaluate::evaluate(model.as_mut(), about, evaluators, SEED, &mut done);
        let evaluation = evaluation.map_err(failed(LABEL))?;
        reporter.stage_finished(LABEL, false);
        let mut config = harness::config(&folder.display().to_string(), precision, &evaluation);
        config["device"] = json!(runtime.facts().device);
        Ok(FolderEvaluation { evaluation, config })
    })
}
