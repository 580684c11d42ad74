//! The program `sbp-engine`, started by itself as a program with libtorch linked in may be.

use std::process::Command;

fn engine() -> Command {
    Command::new(env!("CARGO_BIN_EXE_sbp-engine"))
}

#[test]
fn it_finds_the_libtorch_it_wants() {
    let output = engine().args(["doctor", "--json"]).output().expect("it starts");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let facts: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(facts["libtorch"]["found"], facts["libtorch"]["wanted"]);
    assert!(facts["libtorch"]["found"].is_string(), "{facts}");
}

/// The counterpart of the test that `sbp` is not.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[test]
fn it_is_linked_to_libtorch() {
    let output = engine().env("LD_TRACE_LOADED_OBJECTS", "1").output().expect("it starts");
    let libraries = String::from_utf8_lossy(&output.stdout);
    assert!(libraries.contains("libtorch_cpu") && libraries.contains("libc10"), "{libraries}");
}

#[cfg(target_os = "linux")]
#[test]
fn its_idle_threads_sleep_whoever_starts_it() {
    use std::fs;
    use std::time::{Duration, Instant};

    let folder = tempfile::tempdir().expect("a folder");
    // A recipe that it waits for, because nobody writes it.
    let recipe = folder.path().join("recipe.toml");
    assert!(Command::new("mkfifo").arg(&recipe).status().expect("mkfifo runs").success());
    let mut child = engine()
        .arg("run")
        .arg(&recipe)
        .env_remove("GOMP_SPINCOUNT")
        .env_remove("OMP_WAIT_POLICY")
        .spawn()
        .expect("it starts");
    let environment = format!("/proc/{}/environ", child.id());
    let deadline = Instant::now() + Duration::from_secs(60);
    let is_set = loop {
        let settings = fs::read(&environment).unwrap_or_default();
        if settings.split(|byte| *byte == 0).any(|setting| setting == b"GOMP_SPINCOUNT=1000") {
            break true;
        }
        if Instant::now() >= deadline || child.try_wait().expect("it can be waited for").is_some() {
            break false;
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let _ = child.kill();
    let _ = child.wait();
    assert!(is_set);
}
