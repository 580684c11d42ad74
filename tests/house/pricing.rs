//! What a plan says that its stages take, against figures worked out by hand.

use std::fs;
use std::path::Path;

use sbp_pipeline::{Preview, StagePrice, preview};
use sbp_plugin::slots::mixer::Source;
use sbp_recipe::{Overrides, Plan, load};

fn plan(recipe: &Path, sets: &[&str]) -> Plan {
    let sets = sets.iter().map(|set| (*set).to_owned()).collect();
    let loaded = load(recipe, &Overrides { profiles: Vec::new(), sets });
    Plan::new(loaded.unwrap_or_else(|errors| panic!("{:?}", miette::Report::new(errors))))
}

/// The smoke recipe on a corpus that is not there: 1,000 documents of 100 tokens, four times as many for the oracle.
fn declared(sets: &[&str]) -> Preview {
    let common = [
        "corpus={ kind = \"jsonl\", path = \"absent.jsonl\" }",
        "splits.pretrain_documents=1000",
        "splits.expected={ documents = 100_000, tokens_per_document = 100 }",
    ];
    let sets: Vec<&str> = common.iter().chain(sets).copied().collect();
    preview(&plan(&super::root().join("recipes/tiny/smoke.toml"), &sets)).expect("it can be priced")
}

fn stage<'p>(preview: &'p Preview, name: &str) -> &'p StagePrice {
    let found = preview.price.stages.iter().find(|stage| stage.stage == name);
    found.unwrap_or_else(|| panic!("{name} is not among {:?}", preview.price.stages))
}

fn paper(study: &str, sets: &[&str]) -> Preview {
    let path = super::root().join(format!("recipes/paper/{study}.toml"));
    preview(&plan(&path, sets)).expect("it can be priced")
}

#[test]
fn a_small_study_by_hand() {
    let preview = declared(&[]);
    assert!(preview.declared.as_deref().is_some_and(|why| why.contains("absent.jsonl")), "{preview:?}");
    assert_eq!(preview.concerns, []);
    let stage = |name: &str| stage(&preview, name);

    // Two layers of 2 x 32 x 32 + 2 x 32 x 16 + 3 x 32 x 64, and a head of 32 x 512, are 34,816 products; attention is 2 x 4 x 32 = 256 a
    // token of context, of which there are 50.5 on average.
    let forward = |context: f64| 2.0 * 34_816.0 + 256.0 * context;
    let train = 3.0 * forward(50.5);
    assert_eq!(preview.flops_per_token, train);

    // The pool of 400,000 tokens at 3 bytes of text each; 2 bytes a token but for the end markers, 4 a document.
    assert_eq!(stage("corpus").disk_bytes, Some(1.2e6));
    assert_eq!((stage("tokens").tokens, stage("tokens").disk_bytes), (Some(400_000), Some(808_000.0)));

    // Two passes over 100,000 tokens are 195 steps of 1,024.
    let base = stage("base");
    assert_eq!((base.steps, base.tokens, base.flops), (Some(195), Some(199_680), Some(199_680.0 * train)));
    // 35,040 parameters with two moments each, in 4 bytes.
    assert_eq!((base.disk_bytes, base.resumable_bytes), (Some(140_160.0), Some(420_480.0)));

    let embed = stage("embed");
    assert_eq!((embed.tokens, embed.flops, embed.disk_bytes), (None, None, Some(1_000.0 * 512.0 * 4.0)));
    let pair = stage("pair");
    assert_eq!((pair.flops, pair.disk_bytes), (Some(2.0 * 1e6 * 512.0), Some(1_000.0 * 2.0 * 20.0)));

    // Pairs are 200 tokens long.
    let tune = stage("tune");
    assert_eq!((tune.steps, tune.flops), (Some(20), Some(20_480.0 * 3.0 * forward(100.5))));

    // A quarter of the 390 steps, written 96 tokens at a time after 100 tokens of seed document.
    let synthesize = stage("synthesize");
    let tokens = 99_840.0 / 96.0 * 196.0;
    assert_eq!((synthesize.tokens, synthesize.flops), (Some(203_840), Some(tokens * forward(98.5))));

    let arm = 399_360.0 * train;
    let made = [base, tune, synthesize].iter().filter_map(|stage| stage.flops).sum::<f64>();
    for (name, end_to_end) in [("repetition", arm), ("sbp", arm + made), ("oracle", arm)] {
        let label = format!("train {name}");
        let price = stage(&label);
        assert_eq!((price.steps, price.flops), (Some(390), Some(arm)), "{name}");
        assert_eq!(price.end_to_end_flops, Some(end_to_end), "{name}");
    }
    let total = made + 3.0 * arm + 2.0 * 1e6 * 512.0;
    assert!((preview.price.flops() / total - 1.0).abs() < 1e-12);
}

#[test]
fn seeds_and_rounds_and_kept_checkpoints_count() {
    let preview = declared(&[
        "recipe.seeds=[1, 2, 3]",
        "synthesizer.rounds.count=2",
        "execution.keep_checkpoints.every_steps=100",
        "training.optimizer={ kind = \"muon\" }",
    ]);
    let times = |name| stage(&preview, name).times;
    // The first round's embeddings are of no seed.
    assert_eq!(["corpus", "base", "embed", "pair", "tune", "synthesize"].map(times), [1, 3, 4, 6, 6, 6]);
    // Muon keeps one number of the 18,656 parameters inside the model, AdamW two of the 16,384 of the embedding.
    let arm = stage(&preview, "train oracle");
    let resumable = 4.0 * (35_040.0 + 2.0 * 16_384.0 + 18_656.0);
    assert_eq!(arm.resumable_bytes, Some(resumable));
    // Three of its 390 steps are hundreds.
    assert_eq!(arm.disk_bytes, Some(140_160.0 + 3.0 * resumable));
}

#[test]
fn the_base_model_as_embedder_is_charged_for_reading() {
    let preview = declared(&["embedder={ kind = \"lm\" }"]);
    let embed = stage(&preview, "embed");
    assert_eq!((embed.tokens, embed.flops), (Some(100_000), Some(1e5 * (2.0 * 34_816.0 + 256.0 * 50.5))));
    let (arm, sbp) = (stage(&preview, "train oracle"), stage(&preview, "train sbp"));
    let made = ["base", "embed", "tune", "synthesize"].map(|name| stage(&preview, name).flops.unwrap_or(0.0));
    let made = sbp.end_to_end_flops.unwrap_or(0.0) - arm.flops.unwrap_or(0.0) - made.iter().sum::<f64>();
    assert!(made.abs() < 1.0, "{made}");
}

#[test]
fn what_a_plan_expects_is_no_part_of_the_study() {
    let smoke = super::root().join("recipes/tiny/smoke.toml");
    let expects = "splits.expected={ documents = 9_000, tokens_per_document = 55 }";
    assert_eq!(plan(&smoke, &[]).id, plan(&smoke, &[expects]).id);
    // A corpus that is there is looked at.
    assert_eq!(preview(&plan(&smoke, &[expects])).expect("it is there").declared, None);
    let absent = "corpus={ kind = \"jsonl\", path = \"absent.jsonl\" }";
    let error = preview(&plan(&smoke, &[absent])).expect_err("nothing is declared").to_string();
    assert!(error.contains("absent.jsonl"), "{error}");
}

/// 6ND of the published sizes, to within what attention adds and embeddings take off.
#[test]
fn the_published_studies_come_to_the_published_figures() {
    for (study, steps, six_nd) in
        [("200b-3b", 23_842, 3.6e21), ("1t-3b", 119_209, 1.8e22), ("1t-6b", 119_209, 3.6e22)]
    {
        let preview = paper(study, &[]);
        assert_eq!(preview.concerns, [], "{study}");
        for arm in ["repetition", "sbp", "oracle"] {
            let price = stage(&preview, &format!("train {arm}"));
            assert_eq!(price.steps, Some(steps), "{study} {arm}");
            let share = price.flops.unwrap_or(0.0) / six_nd;
            assert!((1.0..1.1).contains(&share), "{study} {arm}: {share}");
        }
    }
}

#[test]
fn sources_of_the_published_studies_are_read_as_often_as_published() {
    for (study, baseline, sbp, synthetic, oracle) in [
        ("200b-3b", 20.0, 12.5, 75e9, 1.0),
        ("1t-3b", 20.0, 17.5, 125e9, 2.07),
        ("1t-6b", 20.0, 15.0, 250e9, 2.07),
    ] {
        let preview = paper(study, &[]);
        let tokens = |name: &str, source: Source| {
            let arm = preview.arms.iter().find(|arm| arm.name == name).expect("an arm");
            let share = arm.shares.iter().find(|share| share.source == source).expect("a source");
            share.tokens as f64
        };
        let pretrain = preview.supply.pretrain as f64;
        for (found, published) in [
            (tokens("repetition", Source::Pretrain) / pretrain, baseline),
            (tokens("sbp", Source::Pretrain) / pretrain, sbp),
            (tokens("sbp", Source::Synthetic), synthetic),
            (tokens("oracle", Source::Oracle) / preview.supply.oracle as f64, oracle),
        ] {
            assert!((found / published - 1.0).abs() < 0.005, "{study}: {found} instead of {published}");
        }
    }
}

#[test]
fn an_embedder_is_priced_when_its_configuration_is_there() {
    let preview_without = paper("200b-3b", &[]);
    let why = stage(&preview_without, "embed").not_priced.as_deref().unwrap_or_default();
    assert!(why.contains("Qwen3-Embedding-0.6B/config.json"), "{why}");
    assert!(stage(&preview_without, "pair").not_priced.is_some());

    let folder = tempfile::tempdir().expect("a folder");
    let config = r#"{"model_type": "qwen3", "hidden_size": 1024, "num_hidden_layers": 28, "num_attention_heads": 16,
        "num_key_value_heads": 8, "head_dim": 128, "intermediate_size": 3072}"#;
    fs::write(folder.path().join("config.json"), config).expect("it can be written");
    let preview = paper("200b-3b", &[&format!("embedder.path=\"{}\"", folder.path().display())]);
    let embed = stage(&preview, "embed");
    // 0.44B parameters, 10B tokens; rows of 1,024 bytes and a scale of 4.
    let near = |found: Option<f64>, expected: f64| (found.unwrap_or(0.0) / expected - 1.0).abs() < 1e-6;
    assert!(near(embed.flops, 2.0 * 440_401_920.0 * 12_077_295.0 * 828.0), "{embed:?}");
    assert!(near(embed.disk_bytes, 12_077_295.0 * 1_028.0), "{embed:?}");
    let pair = stage(&preview, "pair");
    assert!(near(pair.flops, 2.0 * 12_077_295f64.powi(2) * 1024.0), "{pair:?}");
}
