//! Inputs and artifacts in buckets, with a server of S3 and a client of it that others wrote.
//!
//! `SBP_PEER_PYTHON` names a Python with the packages `moto[server]` (5.2.5 was run) and `boto3`.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A Python that can import what is needed; none, and a line that says so, where there is no such.
#[expect(clippy::print_stderr, reason = "a test that looks at nothing says so")]
fn python() -> Option<PathBuf> {
    let python = std::env::var_os("SBP_PEER_PYTHON").map(PathBuf::from);
    let has_them = |python: &PathBuf| {
        let answer = Command::new(python).args(["-c", "import boto3, moto.server"]).output();
        answer.is_ok_and(|output| output.status.success())
    };
    let python = python.filter(has_them);
    if python.is_none() {
        eprintln!("skipped: SBP_PEER_PYTHON names no Python with the packages moto[server] and boto3");
    }
    python
}

/// A server of S3 on this machine.
struct Server {
    process: Child,
    python: PathBuf,
    endpoint: String,
}

impl Server {
    fn start(python: &Path, environment: &[(&str, &str)]) -> Self {
        let port = {
            let free = TcpListener::bind("127.0.0.1:0").expect("a port");
            free.local_addr().expect("it is bound").port()
        };
        let mut command = Command::new(python);
        command.args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &port.to_string()]);
        command.envs(environment.iter().copied()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().expect("it starts");
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(began.elapsed() < Duration::from_secs(60), "moto does not answer");
            std::thread::sleep(Duration::from_millis(100));
        }
        Self { process, python: python.to_owned(), endpoint: format!("http://127.0.0.1:{port}") }
    }

    /// Sets a command up to use it.
    fn reach<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command
            .env("AWS_ENDPOINT_URL", &self.endpoint)
            .env("AWS_ACCESS_KEY_ID", "someone")
            .env("AWS_SECRET_ACCESS_KEY", "secret")
            .env("AWS_DEFAULT_REGION", "us-east-1")
    }

    /// Has boto3 do something; what it printed.
    fn bucket(&self, arguments: &[&str]) -> String {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("outside/objects/bucket.py");
        super::succeed(self.reach(Command::new(&self.python).arg(script).args(arguments)))
    }

    /// A run of the recipe, everything it makes here under `home`.
    fn run(&self, recipe: &Path, home: &Path, remote: Option<&str>) -> Output {
        self.to_run(recipe, home, remote).output().expect("it starts")
    }

    fn to_run(&self, recipe: &Path, home: &Path, remote: Option<&str>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sbp-under-test"));
        command
            .arg("run")
            .arg(recipe)
            .args(["--json", "--set", "execution.num_threads=1"])
            .env("SBP_HOME", home);
        command.args(
            remote.iter().flat_map(|url| ["--set".to_owned(), format!("execution.remote_store={url}")]),
        );
        self.reach(&mut command);
        command
    }

    /// What `sbp corpus stats` says is wrong with a corpus of text files.
    fn refusal(&self, recipe: &Path, path: &str) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sbp-under-test"));
        command.args(["corpus", "stats"]).arg(recipe).args(["--set", &format!("corpus.path={path}")]);
        let output = self.reach(&mut command).output().expect("it starts");
        assert!(!output.status.success(), "{path} is taken");
        told(&output).split_whitespace().filter(|word| *word != "│").collect::<Vec<_>>().join(" ")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Documents that are alike by threes: two shards for training, one packed; texts to score; an evaluation set.
fn inputs(folder: &Path) {
    let words = ["amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heath", "islet", "jetty"];
    let word = |number: usize| words[number % words.len()];
    let line = |number: usize| {
        let topic = number / 3;
        let text: Vec<&str> = (0..30)
            .map(|at| {
                if at % 4 == 3 {
                    word(number * 7 + at)
                } else {
                    word(topic * (at % 5 + 1) + at / 9 + topic / 10)
                }
            })
            .collect();
        format!("{{\"id\": {number}, \"text\": \"number {number}: {}\"}}\n", text.join(" "))
    };
    let lines = |numbers: std::ops::Range<usize>| numbers.map(line).collect::<String>();
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, bytes).expect("written");
    };
    write("train/a.jsonl", lines(0..120).as_bytes());
    write("train/b.jsonl.zst", &zstd::encode_all(lines(120..240).as_bytes(), 3).expect("packed"));
    write("train/notes.md", b"not a part of it");
    for number in 240..245 {
        write(&format!("scored/texts/{number}.txt"), line(number).as_bytes());
    }
    write("guarded.csv", b"question,answer\n\"what, then?\",nothing of the kind\n");
}

/// A folder with [`inputs`] in it, and the same at `s3://study/in/puts`.
fn inputs_in(server: &Server) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let local = folder.path().join("inputs");
    inputs(&local);
    server.bucket(&["make", "study"]);
    server.bucket(&["upload", &local.display().to_string(), "study", "in/puts"]);
    folder
}

/// A recipe whose inputs lie below `root`.
fn recipe(root: &str, at: &Path) {
    let smoke = Path::new(env!("CARGO_MANIFEST_DIR")).join("../recipes/tiny/smoke.toml");
    let text = format!(
        r#"
            extends = ["{}"]
            evaluators = [
              {{ kind = "bits_per_byte" }},
              {{ kind = "perplexity", name = "own", path = "{root}/scored" }},
            ]
            corpus = {{ kind = "jsonl", path = ["{root}/train/*.jsonl", "{root}/train/b.jsonl.zst"], heldout_share = 0.1 }}

            [splits]
            pretrain_documents = 60
            oracle_factor = 2
            heldout_documents = 10
            evaluation_sets = {{ guarded = "{root}/guarded.csv" }}
        "#,
        smoke.display()
    );
    fs::write(at, text).expect("written");
}

fn results(output: &Output) -> Value {
    let said = String::from_utf8_lossy(&output.stdout);
    let answer: Value = serde_json::from_str(said.lines().last().unwrap_or_default())
        .unwrap_or_else(|_| panic!("no answer: {said}\n{}", told(output)));
    let path = answer["results"].as_str().unwrap_or_else(|| panic!("no results: {answer}\n{}", told(output)));
    let mut results: Value = serde_json::from_str(&fs::read_to_string(path).expect("results")).expect("JSON");
    let object = results.as_object_mut().expect("an object");
    object.remove("provenance");
    object.remove("timing");
    results
}

/// Which stages ended, and whether each was fetched, reused or made.
fn stages(home: &Path) -> Vec<(String, &'static str)> {
    let logs: Vec<_> =
        glob::glob(&format!("{}/runs/*/*/events.jsonl", home.display())).expect("a pattern").collect();
    assert_eq!(logs.len(), 1);
    let text = fs::read_to_string(logs[0].as_ref().expect("a log")).expect("read");
    let events = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let ended = events.filter(|event| event["event"] == "stage_finished");
    let how = |event: &Value| match (event["fetched"] == true, event["reused"] == true) {
        (true, _) => "fetched",
        (false, true) => "reused",
        (false, false) => "made",
    };
    ended.map(|event| (event["stage"].as_str().expect("a name").to_owned(), how(&event))).collect()
}

fn all_are(stages: &[(String, &'static str)], expected: &str) {
    assert!(stages.len() > 10, "{stages:?}");
    assert!(stages.iter().all(|(_, how)| *how == expected), "not all {expected}: {stages:?}");
}

/// Stage and fingerprint of every artifact.
fn artifacts(home: &Path) -> Vec<String> {
    let store = home.join("store");
    let seals =
        glob::glob(&format!("{}/*/*/DONE", store.display())).expect("a pattern").filter_map(Result::ok);
    let name = |seal: PathBuf| {
        let folder = seal.parent().and_then(|folder| folder.strip_prefix(&store).ok());
        folder.expect("an artifact").to_string_lossy().into_owned()
    };
    let mut names: Vec<String> = seals.map(name).collect();
    names.sort();
    names
}

#[test]
fn a_study_of_a_bucket_is_that_of_a_folder_and_its_artifacts_travel_through_one() {
    let Some(python) = python() else { return };
    let server = Server::start(&python, &[]);
    let folder = inputs_in(&server);
    let at = |name: &str| folder.path().join(name);
    let (local, remote) = (at("local.toml"), at("remote.toml"));
    recipe(&at("inputs").display().to_string(), &local);
    recipe("s3://study/in/puts", &remote);
    let store = "s3://study/shared/store";

    let expected = results(&server.run(&local, &at("one"), None));
    let made = server.run(&remote, &at("two"), Some(store));
    // The name of a recipe is no part of its results, and the same content is the same identity wherever it lies.
    assert_eq!(results(&made), expected);
    all_are(&stages(&at("two")), "made");
    assert_eq!(artifacts(&at("two")), artifacts(&at("one")));
    let shared = server.bucket(&["list", "study", "shared/store"]);
    assert_eq!(shared.lines().filter(|key| key.ends_with("/DONE")).count(), artifacts(&at("two")).len());

    // Another machine makes nothing.
    fs::remove_dir_all(at("two")).expect("removed");
    let fetched = server.run(&remote, &at("two"), Some(store));
    assert_eq!(results(&fetched), expected);
    all_are(&stages(&at("two")), "fetched");
    assert_eq!(artifacts(&at("two")), artifacts(&at("one")));

    // What is damaged there is told, made anew, and whole again.
    let model = shared.lines().find(|key| key.contains("/train/") && key.ends_with("model.safetensors"));
    let model = model.expect("a model");
    server.bucket(&["damage", "study", model]);
    let healed = server.run(&remote, &at("three"), Some(store));
    assert_eq!(results(&healed), expected);
    let told_of = told(&healed).lines().filter(|line| line.contains("is damaged")).count();
    assert_eq!(told_of, 1, "{}", told(&healed));
    let again: Vec<_> = stages(&at("three")).into_iter().filter(|(_, how)| *how == "made").collect();
    assert!(again.len() == 1 && again[0].0.starts_with("train "), "{again:?}");
    assert_eq!(results(&server.run(&remote, &at("four"), Some(store))), expected);
    all_are(&stages(&at("four")), "fetched");

    // A store that was there before is copied as it is reused.
    fs::remove_dir_all(at("one/runs")).expect("removed");
    results(&server.run(&local, &at("one"), Some("s3://study/later")));
    all_are(&stages(&at("one")), "reused");
    let later = server.bucket(&["list", "study", "later"]);
    assert_eq!(later.lines().filter(|key| key.ends_with("/DONE")).count(), artifacts(&at("one")).len());

    // Without the bucket of the store, a run says so once and goes on.
    let alone = server.run(&local, &at("five"), Some("s3://gone/store"));
    assert_eq!(results(&alone), expected);
    let told_of = told(&alone).lines().filter(|line| line.contains("remote store: ")).count();
    assert_eq!(told_of, 1, "{}", told(&alone));
    assert!(told(&alone).contains("there is no bucket s3://gone"), "{}", told(&alone));
}

#[test]
fn processes_that_make_a_study_together_share_what_is_in_a_bucket() {
    let Some(python) = python() else { return };
    let server = Server::start(&python, &[]);
    let folder = inputs_in(&server);
    let at = |name: &str| folder.path().join(name);
    let path = at("remote.toml");
    recipe("s3://study/in/puts", &path);
    // The same bits whatever the number of processes, and a second round, which pairs what the first wrote.
    let same =
        ["training.gradient_parts=2", "synthesizer.tuning.gradient_parts=2", "synthesizer.rounds.count=2"];
    let same: Vec<&str> = same.into_iter().flat_map(|set| ["--set", set]).collect();
    let store = "s3://study/store";
    let together = |home: &str| {
        let port =
            TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("it is bound").port();
        let start = |rank: usize| {
            let mut command = server.to_run(&path, &at(home), Some(store));
            command.args(&same).env("RANK", rank.to_string()).env("WORLD_SIZE", "2");
            command.env("MASTER_ADDR", "127.0.0.1").env("MASTER_PORT", port.to_string());
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts")
        };
        let [leader, other] = [start(0), start(1)];
        let leader = leader.wait_with_output().expect("it ends");
        assert!(other.wait_with_output().expect("it ends").status.code() == leader.status.code());
        leader
    };

    let alone = server.to_run(&path, &at("one"), None).args(&same).output().expect("it starts");
    let expected = results(&alone);
    assert_eq!(results(&together("two")), expected);
    all_are(&stages(&at("two")), "made");
    assert_eq!(artifacts(&at("two")), artifacts(&at("one")));
    let shared = server.bucket(&["list", "study", "store"]);
    assert_eq!(shared.lines().filter(|key| key.ends_with("/DONE")).count(), artifacts(&at("two")).len());

    assert_eq!(results(&together("three")), expected);
    all_are(&stages(&at("three")), "fetched");
    assert_eq!(artifacts(&at("three")), artifacts(&at("one")));
}

#[test]
fn what_is_wrong_with_a_bucket_is_told_with_its_remedy() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let recipe_path = folder.path().join("recipe.toml");
    recipe("s3://study/inputs", &recipe_path);
    let mut server = Server::start(&python, &[]);
    server.bucket(&["make", "study"]);
    for (path, cause, remedy) in [
        ("s3://study/none.jsonl", "there is nothing at s3://study/none.jsonl", "check the URL"),
        ("s3://study/*.jsonl", "no file fits s3://study/*.jsonl", ""),
        ("s3://nobody/none.jsonl", "there is no bucket s3://nobody", "AWS_ENDPOINT_URL"),
        ("ftp://study/x", "of a kind that is not read", "s3://, gs://, az://, abfss://"),
    ] {
        let said = server.refusal(&recipe_path, path);
        assert!(said.contains(cause) && said.contains(remedy), "{path}: {said}");
    }
    server.process.kill().expect("ended");
    server.process.wait().expect("ended");
    let said = server.refusal(&recipe_path, "s3://study/none.jsonl");
    assert!(said.contains("s3://study/none.jsonl: the service cannot be reached"), "{said}");
    assert!(said.contains("check the network and AWS_ENDPOINT_URL"), "{said}");

    let guarded = Server::start(&python, &[("INITIAL_NO_AUTH_ACTION_COUNT", "0")]);
    let said = guarded.refusal(&recipe_path, "s3://study/none.jsonl");
    assert!(said.contains("s3://study/none.jsonl: access is denied"), "{said}");
    assert!(said.contains("set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"), "{said}");
}
