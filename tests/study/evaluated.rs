//! Models in folders, scored without a recipe, and the files that an evaluation leaves.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use sbp_pipeline::{FolderEvaluation, Quiet, evaluate_folder};
use sbp_plugin::ports::Precision;
use sbp_plugin::prelude::*;
use sbp_plugin::slots::evaluator::{EvalContext, Evaluator, Item, Score, TaskCard};
use sbp_testkit::BigramRuntime;
use serde_json::{Value, json};

use super::without_torch::study;

/// A task of two items, one of which is asked; the scores are given, so that a snapshot depends on no model.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
struct Towers {
    readable: bool,
}

impl Plugin<slots::Evaluator> for Towers {
    const KIND: &'static str = "towers";
    fn example() -> Self {
        Self { readable: true }
    }
    fn build(&self, _: &BuildContext) -> Result<Box<dyn Evaluator>> {
        Ok(Box::new(self.clone()))
    }
}

impl Evaluator for Towers {
    fn metrics(&self) -> Vec<String> {
        ["eval/towers/acc", "eval/towers/nll", "val/letters/ppl"].map(str::to_owned).to_vec()
    }

    fn content(&self) -> Result<Option<Fingerprint>> {
        match self.readable {
            true => Ok(Some(Fingerprint::of_bytes(b"two towers"))),
            false => {
                Err("no file fits eval/towers.jsonl; --data names the folder of the task's files".into())
            }
        }
    }

    fn tasks(&self) -> Result<Vec<TaskCard>> {
        Ok(vec![TaskCard {
            task: "towers".to_owned(),
            version: "1.0".to_owned(),
            num_fewshot: 1,
            num_items: 2,
            num_asked: 1,
            higher_is_better: BTreeMap::from([("acc".to_owned(), true), ("nll".to_owned(), false)]),
            config: json!({"task": "towers", "output_type": "multiple_choice"}),
        }])
    }

    fn evaluate(&mut self, context: &mut EvalContext<'_>) -> Result<Vec<Score>> {
        // The model can be asked in tokens of the folder's tokenizer.
        let end = context.tokenizer.markers().end_of_text;
        let tokens = context.tokenizer.encode("The tower is tall.")?;
        context.model.log_probs(&[[vec![end], tokens].concat()])?;
        let prompt = "Is the tower tall?";
        if let Some(items) = &mut context.items {
            items.push(Item {
                task: "towers".to_owned(),
                index: 0,
                row: json!({"question": prompt, "choices": ["no", "yes"], "answer": 1}),
                arguments: [" no", " yes"].map(|choice| (prompt.to_owned(), choice.to_owned())).to_vec(),
                responses: vec![json!([-2.5, false]), json!([-0.5, true])],
                target: json!(1),
                metrics: BTreeMap::from([("acc".to_owned(), 1.0), ("nll".to_owned(), 0.125)]),
            });
        }
        Ok(vec![
            Score::ratio("eval/towers/acc", true, vec![(1.0, 1.0)]),
            Score::ratio("eval/towers/nll", false, vec![(0.125, 1.0)]),
            Score::perplexity("val/letters/ppl", vec![(4.0, 2.0), (6.0, 3.0)]),
        ])
    }
}

fn evaluate(folder: &Path, readable: bool) -> sbp_pipeline::Result<FolderEvaluation> {
    let evaluators = [Selected::new(Towers { readable })];
    evaluate_folder(&mut BigramRuntime::default(), folder, Precision::Fp32, &evaluators, &mut Quiet(|| false))
}

/// The folder of a trained model.
fn model(home: &Path) -> PathBuf {
    study(home, &[]).folder.path.join("arms/sbp/seed-1/hf")
}

fn read(path: PathBuf) -> Value {
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).expect("it is JSON")
}

#[test]
fn a_folder_is_scored_in_the_layout_of_the_harness() {
    let home = tempfile::tempdir().expect("a folder");
    let evaluation = evaluate(&model(home.path()), true).expect("it can be scored");
    insta::assert_snapshot!("table", evaluation.table());

    let output = home.path().join("a/new/folder");
    evaluation.write(&output).expect("it can be written");
    let results = read(output.join("results.json"));
    assert_eq!(results, evaluation.results());
    insta::assert_json_snapshot!("results", results, {
        ".config.model_args" => insta::dynamic_redaction(|value, _| {
            let text = value.as_str().expect("a text").to_owned();
            assert!(text.starts_with("pretrained=") && text.ends_with("arms/sbp/seed-1/hf,dtype=float32"), "{text}");
            "pretrained=[folder],dtype=float32"
        }),
    });
    insta::assert_json_snapshot!("samples", read(output.join("samples_towers.jsonl")));
    assert!(!output.join("samples_letters.jsonl").exists());
}

#[test]
fn what_cannot_be_scored_is_told_before_the_model_is_asked() {
    let home = tempfile::tempdir().expect("a folder");
    let model = model(home.path());
    let copy = home.path().join("copy");
    fs::create_dir(&copy).expect("it can be made");
    for file in ["bigram.json", "tokenizer.json"] {
        fs::copy(model.join(file), copy.join(file)).expect("it can be copied");
    }
    let mut told = String::new();
    let mut tell = |folder: &Path, readable: bool| {
        let error = evaluate(folder, readable).expect_err("it cannot be scored").to_string();
        told.push_str(&format!("{}\n", error.replace(&home.path().display().to_string(), "[home]")));
    };
    tell(&home.path().join("absent"), true);
    tell(&copy, true);
    fs::write(copy.join("tokenizer_config.json"), r#"{"eos_token": "<end>"}"#).expect("it can be written");
    tell(&copy, true);
    fs::write(copy.join("tokenizer.json"), "{}").expect("it can be written");
    tell(&copy, true);
    fs::remove_file(copy.join("tokenizer.json")).expect("it is there");
    tell(&copy, true);
    tell(&model, false);
    insta::assert_snapshot!("errors", told);
}

#[test]
fn every_arm_of_a_run_has_the_files_of_the_harness() {
    let home = tempfile::tempdir().expect("a folder");
    let finished = study(home.path(), &[]);
    for arm in ["repetition", "sbp", "oracle"] {
        let folder = finished.folder.path.join(format!("arms/{arm}/seed-1/eval"));
        let results = read(folder.join("results.json"));
        let of = |task: &str, metric: &str| results["results"][task][metric].as_f64();
        let metrics = &finished.results.arms[arm].seeds[0].metrics;
        assert_eq!(of("heldout", "bpb,none"), metrics.get("val/heldout/bpb").copied());
        assert_eq!(of("questions", "acc,none"), metrics.get("eval/questions/acc").copied());
        assert!(of("questions", "acc_stderr,none").is_some_and(|stderr| stderr > 0.0), "{results}");
        assert_eq!(results["higher_is_better"]["questions"], json!({"acc": true, "nll": false}));
        assert_eq!(results["config"]["model_args"], "pretrained=../hf,dtype=float32");
        let evaluators = &read(folder.join("scores.json"))["evaluators"];
        assert_eq!(evaluators["val/heldout/bpb"]["kind"], "bits_per_byte");
        assert_eq!(evaluators["eval/questions/nll"]["kind"], "multiple_choice");
    }
}
