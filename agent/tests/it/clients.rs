//! Runs published clients of the Python package index against our agent.
//!
//! Skipped, with a message, where Python or its package index is not available.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{Agent, Directory};

/// The packages of a client, installed once for all runs. `None`, with a message, when that fails.
fn packages(name: &str, wanted: &[&str]) -> Option<PathBuf> {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("python-{name}-{}", wanted.join("-")));
    if dir.exists() {
        return Some(dir);
    }
    let new = dir.with_extension(format!("{}.new", std::process::id()));
    _ = fs::remove_dir_all(&new);
    let install = Command::new("python3")
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--target"])
        .arg(&new)
        .args(wanted)
        .output();
    let said = match install {
        Ok(output) if output.status.success() => {
            // Another run may have created it first.
            _ = fs::rename(&new, &dir);
            return Some(dir);
        }
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim_end().to_owned(),
        Err(error) => error.to_string(),
    };
    _ = fs::remove_dir_all(&new);
    eprintln!("NOT RUN: {wanted:?} cannot be installed: {said}");
    None
}

/// Runs a client's calls against an agent with a token; a second agent can be joined and killed.
fn run(script: &str, packages: &Path) {
    let dir = Directory::new();
    let config = dir.file("c.json", "{\"rpc_auth\": \"s3cret\", \"tags\": {\"role\": \"web\"}}");
    let one = Agent::start(&["-profile=local", "-config-file", &config, "-event-handler=query:load=echo 0.5"]);
    let two = Agent::start(&["-profile=local", "-node=two"]);
    let bind = two.bound();
    let (host, port) = one.rpc.rsplit_once(':').expect("is an address");
    let output = Command::new("python3")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(script))
        .args([host, port, "s3cret", &bind, &two.process.id().to_string()])
        .env("PYTHONPATH", packages)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .expect("is there, it has installed them");
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success() && text.ends_with("all calls done\n"), "{text}");
}

#[test]
fn serfclient_makes_all_its_calls() {
    if let Some(packages) = packages("serfclient", &["serfclient==1.2.0", "msgpack==1.1.2"]) {
        run("serfclient_calls.py", &packages);
    }
}

#[test]
fn serfclient_makes_all_its_calls_with_the_msgpack_of_its_day() {
    if let Some(packages) = packages("serfclient", &["serfclient==1.2.0", "msgpack==0.6.2"]) {
        run("serfclient_calls.py", &packages);
    }
}

#[test]
fn serfio_makes_all_its_calls() {
    if let Some(packages) = packages("serfio", &["serfio==0.3.3", "msgpack==1.1.2"]) {
        run("serfio_calls.py", &packages);
    }
}

#[test]
fn asyncserf_makes_its_calls() {
    // It needs library versions of its time.
    let day = ["asyncserf==0.21.1", "anyio==3.7.1", "async_generator==1.10", "msgpack==0.6.2"];
    if let Some(packages) = packages("asyncserf", &day) {
        run("asyncserf_calls.py", &packages);
    }
}
