//! What a plan says of the memory of a training, beside what trainings take.

use std::path::Path;

use sbp_core::ModelConfig;
use sbp_pipeline::TrainingMemory;
use sbp_plugin::ports::Precision;
use sbp_recipe::ExecutionSection;
use serde_json::Value;

use super::{answer, sbp_run};

const VOCAB_SIZE: usize = 512;

fn model(hidden_size: usize) -> ModelConfig {
    ModelConfig {
        hidden_size,
        num_layers: 6,
        num_heads: 8,
        num_kv_heads: 4,
        head_dim: 64,
        intermediate_size: 3 * hidden_size,
        context_length: 384,
        ..ModelConfig::default()
    }
}

/// Most bytes that the program held while it trained a model for a step: measured, and as the plan reckons them.
fn bytes(hidden_size: usize, tokens_at_once: usize, recompute: bool) -> [f64; 2] {
    let model = model(hidden_size);
    let home = tempfile::tempdir().expect("a folder");
    let recipe = home.path().join("recipe.toml");
    let text = format!(
        r#"
[recipe]
name = "memory"
seeds = [1]

[corpus]
kind = "concepts"
concepts = 40
heldout_documents = 10
max_questions = 10

[splits]
pretrain_documents = 120
heldout_documents = 10

[tokenizer]
vocab_size = {VOCAB_SIZE}

[model]
hidden_size = {hidden_size}
num_layers = {}
num_heads = {}
num_kv_heads = {}
head_dim = {}
intermediate_size = {}
context_length = {}

[training]
tokens_per_step = 4096
peak_lr = 1e-3
optimizer = {{ kind = "adamw" }}
schedule = {{ kind = "constant" }}

[budget]
duration = {{ steps = 1 }}

[mixer]
kind = "joint"

[arms]
repetition = {{ kind = "repetition" }}

[[evaluators]]
kind = "bits_per_byte"

[execution]
tokens_per_microbatch = {tokens_at_once}
recompute_activations = {recompute}
checkpoint_every_secs = 1e9
"#,
        model.num_layers,
        model.num_heads,
        model.num_kv_heads,
        model.head_dim,
        model.intermediate_size,
        model.context_length,
    );
    std::fs::write(&recipe, text).expect("written");
    let output = sbp_run(&recipe, home.path(), &[]).output().expect("it starts");
    let run = answer(&output)["run_dir"].as_str().expect("a folder").to_owned();
    let status = std::fs::read(Path::new(&run).join("status.json")).expect("status.json is there");
    let status: Value = serde_json::from_slice(&status).expect("it is JSON");
    let measured = status["peak_memory_bytes"].as_f64().expect("Linux tells it");

    let execution = ExecutionSection {
        tokens_per_microbatch: Some(tokens_at_once),
        recompute_activations: recompute,
        ..ExecutionSection::default()
    };
    let moments = 2.0 * model.num_parameters(VOCAB_SIZE) as f64;
    let reckoned =
        TrainingMemory::of(&model, VOCAB_SIZE, moments, (4096, Precision::Fp32), &execution, 1).bytes();
    [measured, reckoned]
}

#[cfg(target_os = "linux")]
#[test]
fn what_a_training_takes_is_what_the_plan_says() {
    // Of each two, the program itself cancels out.
    let differences = [
        ("more tokens at once", bytes(256, 4096, false), bytes(256, 512, false)),
        ("layers computed twice", bytes(256, 4096, false), bytes(256, 4096, true)),
        ("a larger model", bytes(1024, 512, false), bytes(256, 512, false)),
    ];
    for (what, more, less) in differences {
        let (measured, reckoned) = (more[0] - less[0], more[1] - less[1]);
        let ratio = measured / reckoned;
        assert!(
            (0.75..1.33).contains(&ratio),
            "{what}: {:.0} MB measured, {:.0} MB reckoned",
            measured / 1e6,
            reckoned / 1e6
        );
    }
}
