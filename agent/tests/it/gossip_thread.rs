//! Checks by reading the source that the agent's thread never blocks.
//!
//! An agent has one thread for its node, its clients and its handlers. Code that blocks it, even on a write to a pipe
//! without a reader, stops gossip, and the other members declare the node failed. Files, outputs and name servers are
//! handled on other threads.

#![allow(clippy::unwrap_used, reason = "a test that cannot read its files has failed")]

use std::fs;
use std::path::{Path, PathBuf};

/// The modules whose code runs on that thread.
const ON_THE_THREAD: [&str; 7] = ["agent", "rpc/server", "mdns", "dns", "log", "places.rs", "tally.rs"];

/// Names of blocking functions: files, outputs, sleep, synchronous sockets and processes, functions of our own modules
/// that read files, and the blocking ones of `platform`.
const BLOCKS: [&str; 28] = [
    "fs::",
    "File::",
    "OpenOptions",
    "println!",
    "eprintln!",
    "eprint!",
    "io::stdout",
    "io::stderr",
    "io::stdin",
    "thread::sleep",
    "thread::park",
    "std::net::TcpStream",
    "std::net::UdpSocket",
    "ToSocketAddrs",
    "std::process::Command",
    ".recv_timeout(",
    "block_on(",
    "Draft::read(",
    "read_tags_file(",
    "write_tags_file(",
    "read_keyring(",
    "file::read(",
    "Stamp::of(",
    "create_private(",
    "dial_local(",
    "LocalListener::bind(",
    "notify_supervisor(",
    "sync_directory(",
];

/// Permitted uses, each with the reason.
const ALLOWED: &[(&str, &str, &str)] = &[
    ("agent/life.rs", "Draft::read(", "in spawn_blocking"),
    ("agent/commands.rs", "write_tags_file(", "in spawn_blocking"),
    ("agent/seeds/file.rs", "fs::", "its callers are checked"),
    ("agent/seeds/file.rs", "File::", "its callers are checked"),
    ("agent/seeds/mod.rs", "file::read(", "in spawn_blocking"),
    ("agent/seeds/watch.rs", "file::read(", "in spawn_blocking"),
    ("agent/seeds/watch.rs", "Stamp::of(", "in spawn_blocking"),
    ("agent/supervisor.rs", "notify_supervisor(", "on the supervisor's thread"),
    ("agent/supervisor.rs", ".recv_timeout(", "at the end, when the node has stopped"),
    ("agent/panics.rs", "thread::sleep", "the process ends"),
    ("agent/run.rs", "io::stdout", "given to the log's thread"),
    ("agent/run.rs", "eprintln!", "before the node starts"),
    ("agent/run.rs", "block_on(", "it is what the thread does"),
    ("agent/setup.rs", "fs::", "before the node starts"),
    ("agent/setup.rs", "read_tags_file(", "before the node starts"),
    ("agent/setup.rs", "read_keyring(", "before the node starts"),
    ("log/sink.rs", "io::stderr", "given to a thread of its own"),
    ("log/lines.rs", "thread::sleep", "in flush: before the node starts, and when it has stopped"),
    ("log/lines.rs", ".recv_timeout(", "in flush: before the node starts, and when it has stopped"),
    ("rpc/server/listener.rs", "LocalListener::bind(", "the socket file, before the node's first client"),
];

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn files(below: &Path) -> Vec<PathBuf> {
    if below.is_file() {
        return vec![below.into()];
    }
    fs::read_dir(below).unwrap().flat_map(|entry| files(&entry.unwrap().path())).collect()
}

/// The code of a file, without comments and tests.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]").next().unwrap().split("#[cfg(all(test").next().unwrap();
    text.lines().map(|line| line.split("//").next().unwrap()).collect::<Vec<_>>().join("\n")
}

/// Whether `word` occurs in `code`, not as the end of a longer name.
fn says(code: &str, word: &str) -> bool {
    let is_name = |letter: char| letter.is_alphanumeric() || letter == '_';
    code.match_indices(word).any(|(at, _)| word.starts_with('.') || !code[..at].ends_with(is_name))
}

#[test]
fn nothing_on_the_thread_that_gossips_waits_for_a_file_or_an_output() {
    let (mut found, mut used) = (Vec::new(), Vec::new());
    for path in ON_THE_THREAD.iter().flat_map(|part| files(&source().join(part))) {
        let name = path.strip_prefix(source()).unwrap().to_str().unwrap().to_owned();
        let code = code(&fs::read_to_string(&path).unwrap());
        for word in BLOCKS.iter().filter(|word| says(&code, word)) {
            match ALLOWED.iter().find(|(file, allowed, _)| *file == name && allowed == word) {
                Some(rule) => used.push(rule),
                None => found.push(format!("{name} says {word}")),
            }
        }
    }
    assert!(found.is_empty(), "these may wait:\n{}", found.join("\n"));
    let idle: Vec<_> = ALLOWED.iter().filter(|rule| !used.contains(rule)).collect();
    assert!(idle.is_empty(), "nobody needs these any more: {idle:?}");
}

#[test]
fn what_blocks_is_found_in_code_only() {
    assert!(says(&code("fn f() { std::fs::read(x); }"), "fs::") && says("use std::fs::{self};", "fs::"));
    assert!(!says("confs::x", "fs::") && !says(&code("// fs::read"), "fs::"));
    assert!(!says(&code("x\n#[cfg(test)]\nmod tests { fs::read(x) }"), "fs::"));
}
