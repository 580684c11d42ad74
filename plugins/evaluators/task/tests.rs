//! Whole tasks: prompts byte for byte, scores by hand, and the files as the field has them.

use sbp_testkit::{BigramModel, ByteTokenizer};
use serde_json::{Value, json};

use super::*;

/// A folder with files, and a task on it.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, content) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("inside")).expect("made");
        std::fs::write(path, content).expect("written");
    }
    folder
}

/// What a task asks, says and scores.
fn items(config: &TaskConfig, model: &mut BigramModel) -> (Vec<Item>, Vec<Score>) {
    let mut items = Vec::new();
    let mut context = EvalContext { items: Some(&mut items), ..EvalContext::new(model, &ByteTokenizer) };
    let scores = config.open().expect("a task").evaluate(&mut context).expect("scores");
    (items, scores)
}

/// The prompts and continuations of a built-in task over one row, without examples.
fn arguments(task: &str, row: &Value) -> Vec<(String, String)> {
    let folder = folder(&[("rows.jsonl", &row.to_string())]);
    let config =
        TaskConfig { num_fewshot: Some(0), ..TaskConfig::of(task, folder.path().join("rows.jsonl")) };
    items(&config, &mut BigramModel::untrained(4096)).0.remove(0).arguments
}

fn pair(context: &str, continuation: &str) -> (String, String) {
    (context.to_owned(), continuation.to_owned())
}

fn score(scores: &[Score], metric: &str) -> f64 {
    scores
        .iter()
        .find(|score| score.metric == metric)
        .unwrap_or_else(|| panic!("no {metric}: {scores:?}"))
        .value()
}

#[test]
fn prompts_are_those_of_the_harness_byte_for_byte() {
    let arc = json!({"question": "Why?", "choices": {"text": ["so", "not so"], "label": ["1", "2"]}, "answerKey": "2"});
    let expected = [pair("Question: Why?\nAnswer:", " so"), pair("Question: Why?\nAnswer:", " not so")];
    assert_eq!(arguments("arc_easy", &arc), expected);
    let original = json!({"question": {"stem": "Why?", "choices": [{"text": "so", "label": "1"}, {"text": "not so", "label": "2"}]}, "answerKey": "2"});
    assert_eq!(arguments("arc_challenge", &original), expected);

    let openbookqa = json!({"question_stem": "Fish", "choices": {"text": ["swim", "fly"], "label": ["A", "B"]}, "answerKey": "A "});
    let openbookqa_row = json!({"question_stem": openbookqa["question_stem"], "choices": openbookqa["choices"], "answerKey": " A"});
    assert_eq!(arguments("openbookqa", &openbookqa_row), [pair("Fish", " swim"), pair("Fish", " fly")]);

    let sciq = json!({"support": " Wet.\n", "question": "What?", "distractor1": "a", "distractor2": "b", "distractor3": "c", "correct_answer": "d"});
    let expected = ["a", "b", "c", "d"]
        .map(|it| pair(" Wet.\n\nQuestion: What?\nAnswer:".trim_start(), &format!(" {it}")));
    assert_eq!(arguments("sciq", &sciq), expected);

    let piqa = json!({"goal": "eat", "sol1": "bite", "sol2": "bark ", "label": "0"});
    let expected = [pair("Question: eat\nAnswer:", " bite"), pair("Question: eat\nAnswer:", " bark ")];
    assert_eq!(arguments("piqa", &piqa), expected);

    let winogrande = json!({"sentence": "Ann saw Bo_b because _ looked.", "option1": "Ann", "option2": "Bo", "answer": "1"});
    let after = " b because _ looked.";
    assert_eq!(
        arguments("winogrande", &winogrande),
        [pair("Ann saw BoAnn", after), pair("Ann saw BoBo", after)]
    );

    let lambada = json!({"text": "He said \"yes\" to  Ann"});
    assert_eq!(arguments("lambada_openai", &lambada), [pair("He said \"yes\" to ", " Ann")]);

    let triviaqa = json!({"question": "Who?", "answer": {"aliases": ["D. H.", "DH"]}});
    assert_eq!(
        arguments("triviaqa", &triviaqa),
        [pair("Question: Who??\nAnswer:", ""), pair("Question: Who??\nAnswer:", " D. H.")]
    );
    let original = json!({"Question": "Who?", "Answer": {"Aliases": ["D. H.", "DH"]}});
    assert_eq!(arguments("triviaqa", &original), arguments("triviaqa", &triviaqa));

    let webqs = json!({"question": "where?", "answers": ["New York City", "Rome", "New York"]});
    let expected = ["New York", "Rome"].map(|it| pair("Question: where?\nAnswer:", &format!(" {it}")));
    assert_eq!(arguments("webqs", &webqs), expected);
    let original =
        json!({"utterance": "where?", "targetValue": "(list (description \"New York\") (description Rome))"});
    assert_eq!(arguments("webqs", &original), expected);
}

#[test]
fn hellaswag_is_cleaned_as_the_harness_does() {
    let row = json!({
        "activity_label": "Baking",
        "ctx_a": "[header] How to bake [title] Mix it.  Then",
        "ctx_b": "the COOK",
        "endings": [" stirs. [step] Slowly.", "eats  it [title] All"],
        "label": "1",
    });
    // As Python has it: `capitalize` lowers the rest, the pattern takes brackets and leaves the spaces around them, and two
    // spaces become one in one pass.
    let context = "Baking: How to bake. Mix it. Then The cook";
    assert_eq!(
        arguments("hellaswag", &row),
        [pair(context, " stirs. Slowly."), pair(context, " eats it. All")]
    );
}

#[test]
fn mmlu_shows_the_first_five_of_the_subject_under_its_description() {
    let dev = |subject: &str| -> String {
        let row = |n: usize| {
            format!("\"{subject} {n},\nmore\",a{n},b{n},c{n},d{n},{}\n", ["A", "B", "C", "D"][n % 4])
        };
        (0..6).map(row).collect()
    };
    let folder = folder(&[
        ("mmlu/dev/high_school_biology_dev.csv", &dev("bio")),
        ("mmlu/dev/anatomy_dev.csv", &dev("ana")),
        ("mmlu/test/high_school_biology_test.csv", "\" What is \"\"life\"\"? \",w,x,y,z,D\n"),
    ]);
    let (items, scores) = items(&TaskConfig::of("mmlu", folder.path()), &mut BigramModel::untrained(2048));
    let example = |n: usize| {
        let letter = ["A", "B", "C", "D"][n % 4];
        format!("bio {n},\nmore\nA. a{n}\nB. b{n}\nC. c{n}\nD. d{n}\nAnswer: {letter}\n\n")
    };
    let context = "The following are multiple choice questions (with answers) about high school biology.\n\n"
        .to_owned()
        + &(0..5).map(example).collect::<String>()
        + "What is \"life\"?\nA. w\nB. x\nC. y\nD. z\nAnswer:";
    assert_eq!(items[0].arguments, ["A", "B", "C", "D"].map(|letter| pair(&context, &format!(" {letter}"))));
    assert_eq!((items[0].target.clone(), items[0].index), (json!(3), 0));
    // Two bytes that 258 tokens are equally likely for; their exponential is the perplexity.
    assert!((score(&scores, "eval/mmlu/nll") - 2.0 * 258f64.ln()).abs() < 1e-9);
    assert!((score(&scores, "eval/mmlu/ppl") / 258f64.powi(2) - 1.0).abs() < 1e-9);
    // The layout of the Hugging Face Hub gives the same.
    let card =
        TaskConfig::of("mmlu", folder.path()).open().expect("a task").tasks().expect("cards").remove(0);
    assert_eq!((card.num_fewshot, card.num_items, card.num_asked), (5, 1, 1));
    assert!(!card.higher_is_better["ppl"]);
    assert_eq!(card.config["files"]["read"]["items"], json!(["test/high_school_biology_test.csv"]));
}

#[test]
fn examples_end_with_their_answers_in_every_scoring() {
    let rows = r#"{"question": "q0", "choices": {"text": ["x", "y"], "label": ["A", "B"]}, "answerKey": "B"}
                  {"question": "q1", "choices": {"text": ["x", "y"], "label": ["A", "B"]}, "answerKey": "A"}"#;
    let wino = r#"{"sentence": "a _ b.", "option1": "x", "option2": "y", "answer": "2"}
                  {"sentence": "c _ d.", "option1": "x", "option2": "y", "answer": "1"}"#;
    let trivia = r#"{"question": "q0", "answer": {"aliases": ["One", "1"]}}
                    {"question": "q1", "answer": {"aliases": ["Two"]}}"#;
    let webqs = r#"{"question": "q0", "answers": ["Rome", "Bari"]}
                   {"question": "q1", "answers": ["Oslo"]}"#;
    let lambada = r#"{"text": "to be"}
                     {"text": "or not"}"#;
    for (task, rows, expected) in [
        ("arc_easy", rows, "Question: q1\nAnswer: x\n\nQuestion: q0\nAnswer:"),
        ("winogrande", wino, "c x d.\n\na x"),
        ("triviaqa", trivia, "Question: q1?\nAnswer: Two\n\nQuestion: q0?\nAnswer:"),
        ("webqs", webqs, "Question: q1\nAnswer: Oslo\n\nQuestion: q0\nAnswer:"),
        ("lambada_openai", lambada, "or not\n\nto"),
    ] {
        let folder = folder(&[("rows.jsonl", rows)]);
        // The only other row is the example.
        let config =
            TaskConfig { num_fewshot: Some(1), ..TaskConfig::of(task, folder.path().join("rows.jsonl")) };
        let (items, _) = items(&config, &mut BigramModel::untrained(256));
        assert_eq!(items[0].arguments[0].0, expected, "{task}");
    }
}

/// A model that has read some texts.
fn reader(texts: &[&str]) -> BigramModel {
    let mut model = BigramModel::untrained(256);
    texts.iter().for_each(|text| model.learn(&ByteTokenizer.document(text)));
    model
}

#[test]
fn choices_win_by_hand_counted_probabilities() {
    let own = r#"
        task = "own"
        version = "1"
        source = "by hand"
        scoring = "multiple_choice"
        metrics = ["acc", "acc_norm", "nll", "exact_match"]
        context = "{{q}}"
        choices = "c"
        answer = "a"
        files = { items = ["test*"] }
    "#;
    let rows = r#"{"q": "x", "c": ["a", "bbbb"], "a": 0}
                  {"q": "x", "c": ["a", "bbbb"], "a": "bbbb"}"#;
    let folder = folder(&[("own.toml", own), ("test.json", rows)]);
    let config = TaskConfig {
        task: None,
        definition: Some(RecipePath(folder.path().join("own.toml"))),
        ..TaskConfig::of("", folder.path())
    };
    // Behind a space, a once and b once; behind b, b three times and the end once.
    let mut model = reader(&[" a", " bbbb"]);
    let prior = 1.0 / 258.0;
    let to_space = prior; // Nothing was counted behind "x".
    let a = f64::ln(to_space * (1.0 + prior) / 3.0);
    let bs = f64::ln(to_space * (1.0 + prior) / 3.0 * ((3.0 + prior) / 5.0).powi(3));
    let (items, scores) = items(&config, &mut model);
    for (said, expected) in items[0].responses.iter().zip([a, bs]) {
        assert!(
            (said[0].as_f64().expect("a number") - expected).abs() < 1e-9 && said[1] == json!(false),
            "{said}"
        );
    }
    // The short one is likelier as a whole, the long one by the character.
    assert!(a > bs && a / 1.0 < bs / 4.0);
    let of = |item: &Item| ["acc", "acc_norm", "nll"].map(|metric| item.metrics[metric]);
    assert_eq!(of(&items[0]), [1.0, 0.0, -items[0].responses[0][0].as_f64().expect("a number")]);
    assert_eq!(of(&items[1])[..2], [0.0, 1.0]);
    assert_eq!((score(&scores, "eval/own/acc"), score(&scores, "eval/own/acc_norm")), (0.5, 0.5));
    assert!((score(&scores, "eval/own/nll") + (a + bs) / 2.0).abs() < 1e-9);
    assert_eq!((items[0].target.clone(), items[1].target.clone()), (json!(0), json!(1)));

    // Names, limits, and what a user's own task is told by.
    let named = TaskConfig { name: Some("other".to_owned()), max_items: Some(1), ..config.clone() };
    let task = named.open().expect("a task");
    assert_eq!(task.metrics()[0], "eval/other/acc");
    let card = task.tasks().expect("cards").remove(0);
    assert_eq!((card.task.as_str(), card.num_items, card.num_asked), ("other", 2, 1));
    assert_eq!(card.config["context"], json!("{{q}}"));
    let content = || config.open().expect("a task").content().expect("read").expect("content");
    let before = content();
    std::fs::write(folder.path().join("own.toml"), own.replace("{{q}}", "{{q}}.")).expect("written");
    let other_prompt = content();
    std::fs::write(folder.path().join("test.json"), rows.replace("\"x\"", "\"z\"")).expect("written");
    assert!(before != other_prompt && other_prompt != content());
}

#[test]
fn winogrande_prefers_the_option_that_makes_the_rest_likely() {
    let rows = r#"{"sentence": "It was _ went.", "option1": "ka", "option2": "ko", "answer": "2"}"#;
    let folder = folder(&[("rows.jsonl", rows)]);
    let config = TaskConfig::of("winogrande", folder.path().join("rows.jsonl"));
    let (_, scores) = items(&config, &mut reader(&["o went."]));
    assert_eq!(score(&scores, "eval/winogrande/acc"), 1.0);
    let (_, scores) = items(&config, &mut reader(&["a went."]));
    assert_eq!(score(&scores, "eval/winogrande/acc"), 0.0);
}

#[test]
fn last_words_are_known_where_every_token_is_the_likeliest() {
    let folder = folder(&[("rows.jsonl", r#"{"text": "the cat"} {"text": "the cow"}"#)]);
    let config = TaskConfig::of("lambada_openai", folder.path().join("rows.jsonl"));
    let (items, scores) = items(&config, &mut reader(&["e cat", "e cat"]));
    assert_eq!(items.iter().map(|item| item.metrics["acc"]).collect::<Vec<_>>(), [1.0, 0.0]);
    let nats = -items.iter().map(|item| item.responses[0][0].as_f64().expect("a number")).sum::<f64>() / 2.0;
    assert!((score(&scores, "eval/lambada_openai/ppl") - nats.exp()).abs() < 1e-9);
}

#[test]
fn answers_in_the_models_own_words_are_compared_with_every_alias() {
    let rows = r#"{"question": "who", "answer": {"aliases": ["Marx", "R. Marx"]}}
                  {"question": "what", "answer": {"aliases": ["a fox"]}}"#;
    let folder = folder(&[("rows.jsonl", rows)]);
    let config = TaskConfig::of("triviaqa", folder.path().join("rows.jsonl"));
    let (items, scores) = items(&config, &mut reader(&[": marx!\nQ", ": marx!\nQ"]));
    assert_eq!(items[0].responses[0], json!(" marx!"));
    assert_eq!(items.iter().map(|item| item.metrics["exact_match"]).collect::<Vec<_>>(), [1.0, 0.0]);
    assert_eq!(score(&scores, "eval/triviaqa/exact_match"), 0.5);
    assert_eq!(items[0].metrics["nll"], -items[0].responses[1][0].as_f64().expect("a number"));
    assert_eq!(items[0].target, json!(["Marx", "R. Marx"]));
}

#[test]
fn any_accepted_answer_that_is_greedy_counts_in_webqs() {
    let folder = folder(&[("rows.jsonl", r#"{"question": "where", "answers": ["Rome", "Oslo"]}"#)]);
    let config =
        TaskConfig { num_fewshot: Some(0), ..TaskConfig::of("webqs", folder.path().join("rows.jsonl")) };
    let (items, scores) = items(&config, &mut reader(&[": Rome", ": Rome"]));
    assert_eq!((items[0].target.clone(), score(&scores, "eval/webqs/exact_match")), (json!([0, 1]), 1.0));
    // The first accepted answer is Oslo, by the order of the harness.
    assert_eq!(items[0].arguments[0].1, " Oslo");
    assert_eq!(items[0].metrics["nll"], -items[0].responses[0][0].as_f64().expect("a number"));
}

#[test]
fn examples_may_come_from_elsewhere_and_too_few_are_an_error() {
    let row = |q: &str| {
        format!(r#"{{"question": "{q}", "choices": {{"text": ["x"], "label": ["A"]}}, "answerKey": "A"}}"#)
    };
    let folder = folder(&[("a/test.jsonl", &row("item")), ("b/other.jsonl", &row("example"))]);
    let config = TaskConfig {
        num_fewshot: Some(1),
        fewshot_data: Some(RecipePath(folder.path().join("b/other.jsonl"))),
        ..TaskConfig::of("arc_easy", folder.path().join("a"))
    };
    let (items, _) = items(&config, &mut BigramModel::untrained(256));
    assert_eq!(items[0].arguments[0].0, "Question: example\nAnswer: x\n\nQuestion: item\nAnswer:");
    let error = |config: TaskConfig| {
        let mut model = BigramModel::untrained(256);
        let mut context = EvalContext::new(&mut model, &ByteTokenizer);
        config.open().expect("a task").evaluate(&mut context).expect_err("an error").to_string()
    };
    let told = error(TaskConfig { num_fewshot: Some(2), ..config.clone() });
    assert!(told.contains("only 1 others; lower num_fewshot"), "{told}");
    let told = error(TaskConfig { fewshot_data: None, ..config });
    assert!(told.contains("there is no file of the task arc_easy") && told.contains("train*"), "{told}");
}

#[test]
fn broken_rows_are_told_with_file_row_and_key() {
    let good = r#"{"question": "q", "choices": {"text": ["x"], "label": ["A"]}, "answerKey": "A"}"#;
    for (bad, told) in [
        (r#"{"choices": {"text": ["x"], "label": ["A"]}, "answerKey": "A"}"#, "`fields.question`"),
        (r#"{"question": "q", "choices": {"text": ["x"], "label": ["A"]}, "answerKey": "E"}"#, "`answer`"),
        (r#"{"question": "q", "choices": {"text": [["x"]], "label": ["A"]}, "answerKey": "A"}"#, "`choices`"),
        (r#"{"question": "q", "choices": {"text": [], "label": ["A"]}, "answerKey": "A"}"#, "`answer`"),
        (r#"[1, 2]"#, "`fields."),
    ] {
        let folder = folder(&[("rows.jsonl", &format!("{good}\n{bad}\n"))]);
        let config = TaskConfig::of("arc_easy", folder.path().join("rows.jsonl"));
        let mut model = BigramModel::untrained(256);
        let mut context = EvalContext::new(&mut model, &ByteTokenizer);
        let error = config.open().expect("a task").evaluate(&mut context).expect_err("an error").to_string();
        assert!(
            error.starts_with("the built-in task arc_easy: ")
                && error.contains("row 2 of rows.jsonl")
                && error.contains(told),
            "{error}"
        );
    }
    let folder = folder(&[("rows.jsonl", "\n")]);
    let error = TaskConfig::of("arc_easy", folder.path().join("rows.jsonl")).open().expect("a task").items();
    assert!(error.expect_err("no items").to_string().contains("holds no items; name another file"));
}

#[test]
fn exactly_one_task_is_named() {
    let of = |task: Option<&str>, definition: Option<&str>| TaskConfig {
        task: task.map(str::to_owned),
        definition: definition.map(|path| RecipePath(path.into())),
        ..TaskConfig::of("", "x")
    };
    assert!(of(Some("piqa"), None).check().is_empty() && of(None, Some("own.toml")).check().is_empty());
    assert_eq!(of(Some("piqa"), Some("own.toml")).check()[0].0, "definition");
    assert!(of(None, None).check()[0].1.contains("no task is named"));
    assert!(of(Some("piq"), None).check()[0].1.contains("there are arc_challenge"));
    assert_eq!(TaskConfig { name: Some("a/b".to_owned()), ..of(Some("piqa"), None) }.check()[0].0, "name");
    let error = of(None, Some("/nowhere/own.toml")).open().err().expect("an error").to_string();
    assert!(error.contains("cannot open /nowhere/own.toml"), "{error}");
}

#[test]
#[expect(clippy::print_stdout, reason = "a test that finds no data says so")]
fn the_files_of_the_field_are_read_in_all_their_layouts() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/eval");
    if !data.is_dir() {
        println!("skipped: there is no {}", data.display());
        return;
    }
    for (task, file, num_items, num_fewshot) in [
        ("arc_easy", "", 570, 1),
        ("arc_challenge", "", 299, 1),
        ("sciq", "", 200, 1),
        ("winogrande", "", 267, 1),
        ("triviaqa", "", 493, 1),
        ("webqs", "", 755, 1),
        ("mmlu", "", 1531, 5),
        ("lambada_openai", "", 500, 0),
        ("openbookqa", "", 500, 1),
        ("piqa", "", 1838, 1),
        ("arc_easy", "original_formats/ARC-Easy-Dev.jsonl", 50, 1),
        ("sciq", "original_formats/sciq_valid.json", 50, 1),
        ("triviaqa", "original_formats/triviaqa-wikipedia-dev.json", 50, 1),
        ("webqs", "original_formats/webquestions.examples.sample.json", 50, 1),
        ("webqs", "webqs/devtest.jsonl", 189, 1),
    ] {
        let config = TaskConfig { num_fewshot: Some(num_fewshot), ..TaskConfig::of(task, data.join(file)) };
        let task = config.open().expect("a task");
        let rows = task.items().expect("rows");
        assert_eq!(rows.len(), num_items, "{} {file}", config.task.expect("named"));
        assert_eq!(task.posed(&rows).expect("every row is an item").len(), num_items);
    }
}
