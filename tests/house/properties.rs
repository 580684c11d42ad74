//! What holds for every recipe: writing it out changes nothing, layers add up, and no text brings the loader down.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use miette::{GraphicalReportHandler, GraphicalTheme};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use sbp_recipe::{Code, Overrides, Plan, Recipe, RecipeErrors, load, load_points, recipe_schema};
use serde_json::{Map, Value, json};

use super::schema::{branches, followed, needed, properties};

/// What a recipe came to: itself, or the codes of what is wrong with it.
type Outcome = Result<Recipe, Vec<Code>>;

fn outcome(path: &Path, overrides: &Overrides) -> Outcome {
    match load(path, overrides) {
        Ok(loaded) => Ok(loaded.recipe),
        Err(errors) => {
            let mut codes: Vec<_> = errors.problems.iter().map(|problem| problem.stable_code()).collect();
            codes.sort_by_key(Code::to_string);
            Err(codes)
        }
    }
}

fn smoke() -> PathBuf {
    super::root().join("recipes/tiny/smoke.toml").canonicalize().expect("the smoke recipe is there")
}

proptest! {
    #[test]
    fn a_recipe_written_out_is_the_same_recipe(choices in vec(any::<u16>(), 0..800)) {
        let folder = tempfile::tempdir()?;
        let (written, again) = (folder.path().join("written.toml"), folder.path().join("again.toml"));
        let text = toml::to_string(&recipe(Choices::new(choices))).expect("recipes have a form in TOML");
        fs::write(&written, &text)?;
        let plan = Plan::new(load(&written, &Overrides::default()).map_err(|errors| {
            TestCaseError::fail(format!("{}\n{text}", shown(&errors)))
        })?);
        fs::write(&again, plan.resolved_toml())?;
        let resolved = Plan::new(load(&again, &Overrides::default()).map_err(|errors| {
            TestCaseError::fail(format!("{}\n{}", shown(&errors), plan.resolved_toml()))
        })?);
        prop_assert_eq!(&resolved.recipe, &plan.recipe);
        prop_assert_eq!(&resolved.id, &plan.id);
        prop_assert_eq!(resolved.resolved_toml(), plan.resolved_toml());
    }

    #[test]
    fn how_layers_are_grouped_does_not_matter([b, c, d] in [layer(), layer(), layer()]) {
        let files = Files::new(&[("b", &[], &b), ("c", &[], &c), ("d", &[], &d)]);
        files.write("cb", &["b"], &c);
        files.write("cd", &["c", "d"], &Layer::new());
        let chain = files.load("all", &["cb"], &d);
        prop_assert_eq!(&files.load("all", &["b", "c"], &d), &chain);
        prop_assert_eq!(&files.load("all", &["b", "cd"], &Layer::new()), &chain);
        // And --set is a layer like any other.
        let sets = d.iter().map(|(option, value)| format!("{option}={value}")).collect();
        files.write("all", &["cb"], &Layer::new());
        let set = outcome(&files.path("all"), &Overrides { sets, ..Overrides::default() });
        prop_assert_eq!(&set, &chain);
    }

    #[test]
    fn a_layer_is_laid_over_what_those_below_came_to([mut b, c] in [layer(), layer()]) {
        if b.get("retriever.kind") != Some(&"'arroy'") {
            b.remove("retriever.num_trees");
        }
        let files = Files::new(&[("b", &[], &b)]);
        let below = load(&files.path("b"), &Overrides::default()).expect("it is valid");
        let resolved = Plan::new(below).resolved_toml();
        fs::write(files.path("resolved"), resolved)?;
        let text: String = c.iter().map(|(option, value)| format!("{option} = {value}\n")).collect();
        fs::write(files.path("over"), format!("extends = [\"resolved.toml\"]\n{text}"))?;
        let over = outcome(&files.path("over"), &Overrides::default());
        prop_assert_eq!(over, files.load("all", &["b"], &c));
    }

    #[test]
    fn layers_that_choose_no_plugin_can_be_merged_by_hand([mut b, mut c] in [layer(), layer()]) {
        b.retain(|option, _| !of_a_plugin(option));
        c.retain(|option, _| !of_a_plugin(option));
        let files = Files::new(&[("b", &[], &b)]);
        let layers = files.load("all", &["b"], &c);
        let mut merged = b;
        for (option, value) in c {
            // A duration has one unit.
            let table = option.rsplit_once('.').map_or("", |(table, _)| table);
            merged.retain(|other, _| !table.ends_with("duration") || !other.starts_with(table));
            merged.insert(option, value);
        }
        prop_assert_eq!(files.load("all", &[], &merged), layers);
    }

    #[test]
    fn bytes_do_not_bring_it_down(bytes in vec(any::<u8>(), 0..200)) {
        survives(&bytes, &Overrides::default())?;
    }

    #[test]
    fn words_do_not_bring_it_down(words in vec(word(), 0..60)) {
        survives(words.concat().as_bytes(), &Overrides::default())?;
    }

    #[test]
    fn changed_recipes_do_not_bring_it_down(
        of in select(shipped()),
        changes in vec((any::<Index>(), 0..5_usize, word()), 1..5),
    ) {
        let mut lines: Vec<String> = of.lines().map(str::to_owned).collect();
        for (place, change, word) in changes {
            let at = place.index(lines.len());
            match change {
                0 => drop(lines.remove(at)),
                1 => lines.insert(at, lines[place.index(lines.len() / 2)].clone()),
                2 => lines.insert(at, word.to_owned()),
                3 => lines[at] = match lines[at].split_once('=') {
                    Some((option, _)) => format!("{option}= {word}"),
                    None => word.to_owned(),
                },
                _ => {
                    let cut = lines[at].char_indices().map(|(at, _)| at).nth(word.len()).unwrap_or(0);
                    lines[at].truncate(cut);
                }
            }
        }
        survives(lines.join("\n").as_bytes(), &Overrides::default())?;
    }

    #[test]
    fn overrides_do_not_bring_it_down(
        sets in vec(vec(prop_oneof![word(), select(OPTIONS.map(|(option, _)| option).to_vec())], 0..5), 0..3),
        profiles in vec(word(), 0..2),
    ) {
        let overrides = Overrides {
            sets: sets.iter().map(|words| words.concat()).collect(),
            profiles: profiles.into_iter().map(str::to_owned).collect(),
        };
        survives(&fs::read(smoke())?, &overrides)?;
    }
}

/// The exception to merging by hand, as `load.rs` states it.
#[test]
fn a_layer_that_names_another_kind_drops_what_layers_below_say_of_the_old_one() {
    let layer = |lines: &[(&'static str, &'static str)]| lines.iter().copied().collect::<Layer>();
    let arroy = layer(&[("retriever.kind", "'arroy'")]);
    let trees = layer(&[("retriever.num_trees", "3")]);
    let exact = layer(&[("retriever.kind", "'exact'")]);
    let merged = layer(&[("retriever.kind", "'exact'"), ("retriever.num_trees", "3")]);
    let files = Files::new(&[("arroy", &[], &arroy), ("trees", &["arroy"], &trees)]);
    assert_eq!(files.load("all", &["trees"], &exact), files.load("all", &[], &exact));
    assert_eq!(files.load("all", &["arroy"], &merged), Err(vec![Code::UnknownField]));
}

#[test]
fn a_file_reached_twice_does_not_undo_what_was_laid_over_it() {
    let layer = |option, value| Layer::from([(option, value)]);
    let files = Files::new(&[
        ("parent", &[], &layer("pairs.neighbors", "3")),
        ("one", &["parent"], &layer("pairs.neighbors", "5")),
        ("other", &["parent"], &layer("tokenizer.vocab_size", "600")),
    ]);
    let both = files.load("both", &["one", "other"], &Layer::new()).expect("it is valid");
    assert_eq!((both.pairs.neighbors, both.tokenizer.vocab_size), (5, 600));
}

/// Loads bytes as a recipe, and looks at whatever is said of them as a user and a tool would.
fn survives(recipe: &[u8], overrides: &Overrides) -> Result<(), TestCaseError> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("recipe.toml");
    fs::write(&path, recipe)?;
    match load_points(&path, overrides) {
        Ok(points) => {
            for point in points {
                prop_assert!(!point.origins().is_empty());
                prop_assert!(!Plan::new(point).resolved_toml().starts_with("# not"));
            }
        }
        Err(errors) => {
            prop_assert!(!errors.problems.is_empty());
            shown(&errors);
            for problem in &errors.problems {
                // What the schema lets through can be decoded, or the place would not be told.
                prop_assert_ne!(problem.stable_code(), Code::Undecodable, "{}", problem.to_json());
            }
        }
    }
    Ok(())
}

fn shown(errors: &RecipeErrors) -> String {
    let mut text = String::new();
    let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor());
    handler.render_report(&mut text, errors).expect("it renders");
    text
}

fn shipped() -> Vec<String> {
    ["quickstart.toml", "desk/arxiv.toml", "tiny/smoke.toml"]
        .map(|name| fs::read_to_string(super::root().join("recipes").join(name)).expect("it can be read"))
        .to_vec()
}

/// Scraps of recipes and of what people type, whole or broken.
fn word() -> impl Strategy<Value = &'static str> {
    select(vec![
        "=",
        ".",
        ",",
        "\n",
        " ",
        "#",
        "[",
        "]",
        "[[",
        "]]",
        "{",
        "}",
        "\"",
        "'",
        "\"\"\"",
        "\\",
        "\\u{0}",
        "é",
        "🦀",
        "\u{feff}",
        "\r\n",
        "\t",
        "0",
        "-1",
        "1e6",
        "1e400",
        "nan",
        "-inf",
        "0x1F",
        "9223372036854775807",
        "1e19",
        "99999999999999999999",
        "true",
        "1979-05-27",
        "07:32:00",
        "\"exact\"",
        "\"text\"",
        "[]",
        "{}",
        "[1, 2]",
        "[[]]",
        "[{}]",
        "{ kind = \"arroy\" }",
        "{ kind = 1 }",
        "kind",
        "kind = ",
        "extends",
        "extends = [\"recipe.toml\"]",
        "profiles",
        "[profiles.gpu]",
        "sweep",
        "[sweep]",
        "axes",
        "axes.a.option = \"training.peak_lr\"",
        "axes.a.values = [1e-3, 2]",
        "mode = \"zip\"",
        "recipe",
        "[recipe]",
        "name",
        "arms",
        "[arms]",
        "arms.\"a b\"",
        "training",
        "[training.schedule]",
        "[[evaluators]]",
        "pairs.filters",
        "~0",
        "~1",
        "/",
        "a",
        "gpu",
    ])
}

/// Assignments that a layer over the smoke recipe may hold: options, each with values to choose from.
const OPTIONS: [(&str, &[&str]); 16] = [
    ("recipe.seeds", &["[2]", "[3, 4]"]),
    ("recipe.description", &["\"\"", "'Why?'"]),
    ("tokenizer.vocab_size", &["300", "6e2"]),
    ("model.num_layers", &["1", "3"]),
    ("retriever.kind", &["'arroy'", "'exact'"]),
    ("retriever.num_trees", &["3", "40"]),
    ("corpus.concepts", &["30", "50"]),
    ("pairs.neighbors", &["1", "3"]),
    ("pairs.filters", &["[]", "[{ kind = 'near_duplicate', max_jaccard = 0.5 }]"]),
    ("base.duration.steps", &["3", "4"]),
    ("base.duration.passes", &["1", "0.5"]),
    ("arms.sbp.training.peak_lr", &["0.01", "0.5"]),
    ("arms.sbp.kind", &["'repetition'", "'sbp'"]),
    ("arms.more", &["{ kind = 'sbp', synthetic_share = 0.5 }", "{ kind = 'oracle' }"]),
    ("training.schedule", &["{ kind = 'constant' }", "{ kind = 'cosine', final_share = 0.2 }"]),
    ("execution.device", &["'cuda'", "'auto'"]),
];

fn of_a_plugin(option: &str) -> bool {
    ["retriever", "corpus", "arms", "training.schedule"].iter().any(|table| option.starts_with(table))
}

/// Option and value, in TOML.
type Layer = BTreeMap<&'static str, &'static str>;

fn layer() -> impl Strategy<Value = Layer> {
    vec((any::<Index>(), any::<Index>()), 0..6).prop_map(|picks| {
        let mut layer = Layer::new();
        for (option, value) in picks {
            let (option, values) = *option.get(&OPTIONS);
            layer.insert(option, *value.get(values));
        }
        if layer.contains_key("base.duration.steps") {
            layer.remove("base.duration.passes");
        }
        layer
    })
}

/// Layers in files; one that extends nothing else extends the smoke recipe.
struct Files(tempfile::TempDir);

impl Files {
    fn new(files: &[(&str, &[&str], &Layer)]) -> Self {
        let new = Self(tempfile::tempdir().expect("a temporary folder"));
        for (name, extends, layer) in files {
            new.write(name, extends, layer);
        }
        new
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(format!("{name}.toml"))
    }

    fn write(&self, name: &str, extends: &[&str], layer: &Layer) {
        let parents = match extends {
            [] => format!("{:?}", [smoke()]),
            some => format!("{:?}", some.iter().map(|name| format!("{name}.toml")).collect::<Vec<_>>()),
        };
        let lines: String = layer.iter().map(|(option, value)| format!("{option} = {value}\n")).collect();
        fs::write(self.path(name), format!("extends = {parents}\n{lines}")).expect("it can be written");
    }

    fn load(&self, name: &str, extends: &[&str], layer: &Layer) -> Outcome {
        self.write(name, extends, layer);
        outcome(&self.path(name), &Overrides::default())
    }
}

/// Numbers that decide; when they run out every choice is the first, so that fewer make a smaller recipe.
struct Choices(std::vec::IntoIter<u16>);

impl Choices {
    fn new(numbers: Vec<u16>) -> Self {
        Self(numbers.into_iter())
    }

    /// One of `0..of`.
    fn next(&mut self, of: usize) -> usize {
        usize::from(self.0.next().unwrap_or(0)) % of.max(1)
    }

    fn share(&mut self) -> f64 {
        self.next(1001) as f64 / 1000.0
    }
}

/// A valid recipe: what the schema allows, made to fit together where a schema cannot say what does.
fn recipe(mut choices: Choices) -> Value {
    let mut recipe = value(recipe_schema(), &mut choices);
    for of_layers in super::schema::OF_LAYERS {
        recipe.as_object_mut().expect("a table").remove(of_layers);
    }
    fit(&mut recipe, &mut choices);
    recipe
}

fn value(schema: &Value, choices: &mut Choices) -> Value {
    let schema = followed(recipe_schema(), schema);
    let kinds = branches(schema);
    if !kinds.is_empty() {
        let (kind, options) = kinds[choices.next(kinds.len())];
        let mut table = table(options, choices);
        table.insert("kind".to_owned(), json!(kind));
        return Value::Object(table);
    }
    let consts = schema["oneOf"].as_array().into_iter().flatten().map(|one| &one["const"]);
    let fixed: Vec<&Value> = schema["enum"].as_array().into_iter().flatten().chain(consts).collect();
    if !fixed.is_empty() {
        return fixed[choices.next(fixed.len())].clone();
    }
    let bound = |names: [&str; 2]| names.iter().find_map(|name| schema[*name].as_f64());
    let least = bound(["minimum", "exclusiveMinimum"]);
    let most = bound(["maximum", "exclusiveMaximum"]);
    let kind = match schema["type"].as_array() {
        Some(kinds) => &kinds[choices.next(kinds.len())],
        None => &schema["type"],
    };
    match kind.as_str().unwrap_or("object") {
        "object" => Value::Object(table(schema, choices)),
        "array" => {
            let least = schema["minItems"].as_u64().unwrap_or(0) as usize;
            let items = (0..least + choices.next(3)).map(|_| value(&schema["items"], choices));
            Value::Array(items.collect())
        }
        "integer" => {
            let least = least.unwrap_or(0.0) as u64;
            let spread = most.map_or(1000, |most| (most as u64 - least).min(1000));
            json!(least + choices.next(spread as usize + 1) as u64)
        }
        // Bounds may be excluded, so neither is reached.
        "number" => {
            let least = least.unwrap_or(0.0);
            json!(least + (most.unwrap_or(least + 10.0) - least) * (0.25 + choices.share() / 2.0))
        }
        "boolean" => json!(choices.next(2) == 1),
        _ => match schema["pattern"].as_str() {
            Some(pattern) if pattern.contains("cuda") => json!(["cpu", "auto", "cuda:1"][choices.next(3)]),
            Some(pattern) if pattern.contains("://") => json!(["s3://b", "az://c/d/e"][choices.next(2)]),
            Some(_) => json!(["a", "B-2.c_d"][choices.next(2)]),
            None => json!(["x", "", "ünï", "two\nlines", "\"a\" \\ 'b'", "# = ["][choices.next(6)]),
        },
    }
}

fn table(schema: &Value, choices: &mut Choices) -> Map<String, Value> {
    let mut table = Map::new();
    let mut options: Vec<_> = properties(schema).filter(|(name, _)| *name != "kind").collect();
    if schema["maxProperties"] == 1 {
        options = vec![options[choices.next(options.len())]];
        return options.into_iter().map(|(name, option)| (name.clone(), value(option, choices))).collect();
    }
    for (name, option) in options {
        if needed(schema, name) || choices.next(4) != 0 {
            table.insert(name.clone(), value(option, choices));
        }
    }
    let others = schema.get("additionalProperties").filter(|others| others.is_object());
    for name in ["repetition", "some-arm", "another_1"].iter().take(1 + choices.next(3)) {
        if let Some(others) = others {
            table.insert((*name).to_owned(), value(others, choices));
        }
    }
    table
}

/// What a schema cannot say: see `meaning.rs`, and `check` of the plugins.
fn fit(recipe: &mut Value, choices: &mut Choices) {
    if let Some(tuning) = recipe.pointer_mut("/synthesizer/tuning").and_then(Value::as_object_mut) {
        tuning.remove("cross_documents");
    }
    if let Some(init) = recipe.pointer_mut("/synthesizer/init").and_then(Value::as_object_mut) {
        init.clear();
    }
    let seeds: Vec<usize> = (0..=choices.next(3)).map(|seed| seed * 1000 + choices.next(1000)).collect();
    recipe["recipe"]["seeds"] = json!(seeds);
    let kv_heads = 1 + choices.next(2);
    recipe["model"] = json!({
        "num_kv_heads": kv_heads,
        "num_heads": kv_heads * (1 + choices.next(3)),
        "head_dim": 2 * (1 + choices.next(50)),
        "context_length": 4000 + choices.next(1000),
        "rope_theta": 1.0 + 1e5 * choices.share(),
        "tie_embeddings": choices.next(2) == 1,
    });
    // A pool begins with D_pretrain.
    let splits = recipe["splits"].as_object_mut().expect("a table");
    if let (Some(pool), Some(pretrain)) = (splits.get("oracle_documents"), splits.get("pretrain_documents")) {
        let documents = pool.as_u64().unwrap_or(0) + pretrain.as_u64().unwrap_or(0);
        splits.insert("oracle_documents".to_owned(), json!(documents));
    }
    let synthesis = ["embedder", "retriever", "synthesizer"].iter().all(|name| recipe.get(name).is_some());
    let arms = recipe["arms"].as_object_mut().expect("a table");
    for arm in arms
        .values_mut()
        .filter(|arm| !synthesis && (arm["kind"] == "sbp" || arm["kind"] == "related_context"))
    {
        *arm = json!({"kind": "repetition"});
    }
    let names: Vec<String> = arms.keys().cloned().collect();
    let mut one = || &names[choices.next(names.len())];
    recipe["comparison"] = json!({"baseline": one(), "oracle": one()});
    if let Some(synthesizer) = recipe.get_mut("synthesizer") {
        // As many as any budget may ask for.
        synthesizer["max_draws_per_seed"] = json!(u32::MAX);
    }
    every_table(recipe, &mut |table| {
        let number = |name: &str| table.get(name).and_then(Value::as_f64);
        if let Some(tokens) = number("tokens") {
            // No less than a step.
            table.insert("tokens".to_owned(), json!(tokens as u64 + 1000));
        } else if table.get("kind") == Some(&json!("length")) {
            table.insert("min_words".to_owned(), json!(0));
        } else if table.get("kind") == Some(&json!("similarity_band")) {
            table.insert("similarity_min".to_owned(), json!(-1));
        } else if table.get("kind") == Some(&json!("concepts")) {
            table.insert("attributes".to_owned(), json!(8));
            table.insert("revealed_attributes_min".to_owned(), json!(1));
        } else if table.get("kind") == Some(&json!("task")) {
            table.insert("task".to_owned(), json!("arc_easy"));
            table.remove("definition");
            table.remove("name");
        } else if table.get("kind") == Some(&json!("wandb")) {
            table.retain(|option, _| option == "kind");
        } else if table.get("kind") == Some(&json!("perplexity")) {
            table.insert("name".to_owned(), json!("text"));
        }
    });
}

fn every_table(value: &mut Value, visit: &mut dyn FnMut(&mut Map<String, Value>)) {
    match value {
        Value::Object(table) => {
            visit(table);
            table.values_mut().for_each(|value| every_table(value, visit));
        }
        Value::Array(items) => items.iter_mut().for_each(|value| every_table(value, visit)),
        _ => {}
    }
}
