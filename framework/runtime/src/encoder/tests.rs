use std::fs;

use proptest::prelude::*;
use sbp_core::Cost;

use super::parity::fixture;
use super::*;

fn open(kind: &str, options: &EncoderOptions) -> OpenedEncoder {
    OpenedEncoder::open(&fixture(kind), options, Device::Cpu).unwrap()
}

fn rows(encoder: &mut OpenedEncoder, texts: &[&str]) -> Vec<Vec<f32>> {
    let mut done = 0;
    let flat = encoder.encode(texts, &mut |count| done = count).unwrap();
    assert_eq!(done, texts.len());
    flat.chunks_exact(encoder.dim()).map(<[f32]>::to_vec).collect()
}

fn assert_near(a: &[f32], b: &[f32]) {
    let apart = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(a.len() == b.len() && apart < 1e-5, "rows are {apart} apart");
}

/// Opens a copy of a folder in which a file was changed.
fn open_changed(kind: &str, file: &str, change: impl FnOnce(&str) -> String) -> Result<OpenedEncoder> {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(fixture(kind)).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
    }
    let path = folder.path().join(file);
    fs::write(&path, change(&fs::read_to_string(&path).unwrap())).unwrap();
    OpenedEncoder::open(folder.path(), &EncoderOptions::default(), Device::Cpu)
}

fn refusal(outcome: Result<OpenedEncoder>) -> String {
    outcome.err().expect("the folder is refused").to_string()
}

#[test]
fn a_row_is_of_its_text_whatever_stands_beside_it() {
    for kind in ["bert", "qwen3_body"] {
        let mut encoder = open(kind, &EncoderOptions::default());
        // More than a chunk, and more tokens than a group.
        let texts: Vec<String> =
            (0..CHUNK + 40).map(|n| format!("the dog sat on {n} hills ").repeat(n % 7 + 1)).collect();
        let views: Vec<&str> = texts.iter().map(String::as_str).collect();
        let together = rows(&mut encoder, &views);
        for place in [0, 1, 6, 200, CHUNK - 1, CHUNK, CHUNK + 39] {
            assert_near(&together[place], &rows(&mut encoder, &views[place..=place])[0]);
        }
        assert!(rows(&mut encoder, &[]).is_empty());
    }
}

#[test]
fn a_prefix_is_part_of_the_text() {
    let prefix = EncoderOptions { prefix: "the cat ".to_owned(), ..EncoderOptions::default() };
    let with = rows(&mut open("bert", &prefix), &["sat"]);
    assert_near(&with[0], &rows(&mut open("bert", &EncoderOptions::default()), &["the cat sat"])[0]);
}

#[test]
fn a_text_without_a_token_gives_zeros() {
    let without_markers = |text: &str| {
        let mut tokenizer: serde_json::Value = serde_json::from_str(text).unwrap();
        tokenizer["post_processor"] = serde_json::Value::Null;
        tokenizer.to_string()
    };
    let mut encoder = open_changed("qwen3_body", "tokenizer.json", without_markers).unwrap();
    let found = rows(&mut encoder, &["cat", "", "dog"]);
    assert!(found[1].iter().all(|x| *x == 0.0) && found[2].iter().any(|x| *x != 0.0));
}

#[test]
fn bf16_is_near_fp32() {
    for kind in ["bert", "qwen3_body"] {
        let bf16 = EncoderOptions { precision: Precision::Bf16, ..EncoderOptions::default() };
        let text = ["the cat sat on a mat"];
        let (near, exact) =
            (rows(&mut open(kind, &bf16), &text), rows(&mut open(kind, &EncoderOptions::default()), &text));
        let cosine: f32 = near[0].iter().zip(&exact[0]).map(|(a, b)| a * b).sum();
        assert!(cosine > 0.99 && near != exact, "{kind}: {cosine}");
    }
}

#[test]
fn cost_is_of_the_tokens_that_were_read() {
    let mut encoder = open("bert", &EncoderOptions { max_tokens: Some(5), ..EncoderOptions::default() });
    // [CLS] the cat [SEP], and five of a longer text.
    rows(&mut encoder, &["the cat", "the cat sat on a mat"]);
    // Two layers of 4 x 16 x 16 weights in attention and 2 x 16 x 24 beside it; then scores and values.
    let of = |l: u64| l * 2 * (2 * (4 * 16 * 16 + 2 * 16 * 24) + 4 * 16 * l);
    assert_eq!(encoder.take_cost(), Cost { tokens: 9, flops: (of(4) + of(5)) as f64 });
    assert_eq!(encoder.take_cost(), Cost::default());
}

#[test]
fn options_that_do_not_fit_the_folder_are_refused() {
    let refused = |max_tokens| {
        let options = EncoderOptions { max_tokens: Some(max_tokens), ..EncoderOptions::default() };
        refusal(OpenedEncoder::open(&fixture("bert"), &options, Device::Cpu))
    };
    assert!(refused(41).contains("max_tokens is 41") && refused(41).ends_with("reads 40 at most"));
    assert!(refused(2).contains("no room for text beside the encoder's 2 markers"));
}

#[test]
fn folders_that_cannot_be_used_say_why() {
    let config = |from: &'static str, to: &'static str| {
        refusal(open_changed("bert", "config.json", |text| {
            assert!(text.contains(from));
            text.replace(from, to)
        }))
    };
    assert!(config("\"gelu\"", "\"relu\"").contains("a hidden_act other than gelu is not supported"));
    assert!(
        config("\"num_attention_heads\": 4", "\"num_attention_heads\": 3").contains("3 heads do not divide")
    );
    assert!(config("\"hidden_size\": 16", "\"hidden_size\": 32").contains("config.json says [88, 32]"));
    assert!(config("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3").contains("encoder.layer.2."));
    assert!(config("\"bert\"", "\"roberta\"").contains("`roberta`"));
    let broken = refusal(open_changed("bert", "tokenizer.json", |_| "{".to_owned()));
    assert!(broken.contains("tokenizer.json"), "{broken}");
    let other_vocabulary = |text: &str| {
        let mut tokenizer: serde_json::Value = serde_json::from_str(text).unwrap();
        tokenizer["model"]["vocab"]["cat"] = 420.into();
        tokenizer.to_string()
    };
    let mut other = open_changed("bert", "tokenizer.json", other_vocabulary).unwrap();
    let error = other.encode(&["a cat"], &mut |_| {}).unwrap_err().to_string();
    assert!(error.contains("has token 420, its model a vocabulary of 88"), "{error}");
}

proptest! {
    #[test]
    fn groups_hold_every_text_once_within_their_bound(lengths in prop::collection::vec(0_usize..50, 0..60)) {
        let sequences: Vec<Vec<TokenId>> = lengths.iter().map(|&length| vec![0; length]).collect();
        let groups = groups(&sequences, 64);
        for group in &groups {
            let tokens: usize = group.iter().map(|&place| lengths[place]).sum();
            prop_assert!(tokens <= 64 || group.len() == 1);
        }
        let mut places: Vec<usize> = groups.concat();
        places.sort_unstable();
        let wanted: Vec<usize> = (0..lengths.len()).filter(|&place| lengths[place] > 0).collect();
        prop_assert_eq!(places, wanted);
    }
}
