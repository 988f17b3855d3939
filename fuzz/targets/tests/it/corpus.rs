//! Regression test of all stored inputs: each target runs over its corpus, and over every prefix of each input.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serf_fuzz::{TARGETS, Target};

/// Longer inputs are not truncated at every byte.
const CUT_BYTES_MAX: usize = 2048;
/// Time limit per input, for a slow machine.
const TIME_MAX: Duration = Duration::from_secs(20);

fn fuzz_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Inputs that the fuzzer added are named by a hash of their content; stored ones have a descriptive name.
fn is_hash(name: &str) -> bool {
    name.len() == 40 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Returns the stored inputs of a target by name.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let dir = fuzz_dir().join("corpus").join(target);
    let mut inputs: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| !is_hash(&entry.file_name().to_string_lossy()))
        .map(|entry| (entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path()).unwrap()))
        .collect();
    inputs.sort();
    inputs
}

/// Runs a target; names the input if a property does not hold.
fn run(target: Target, name: &str, data: &[u8]) {
    let started = Instant::now();
    if let Err(panic) = std::panic::catch_unwind(|| target(data)) {
        eprintln!("the input was {name}: {data:x?}");
        std::panic::resume_unwind(panic);
    }
    assert!(started.elapsed() < TIME_MAX, "{name} took {:?}", started.elapsed());
}

/// Runs every input of a target and all its prefixes; returns the number of inputs.
fn replay(target: &str) {
    let function = TARGETS.iter().find(|(name, _)| *name == target).unwrap().1;
    let inputs = corpus(target);
    assert!(inputs.len() >= 3, "{target} has {} inputs", inputs.len());
    for (name, data) in inputs {
        run(function, &name, &data);
        let cuts = if data.len() <= CUT_BYTES_MAX { data.len() } else { 0 };
        for cut in 0..cuts {
            run(function, &format!("{name}, cut to {cut}"), &data[..cut]);
        }
    }
}

macro_rules! replays {
    ($($target:ident),* $(,)?) => {
        mod every_claim_holds_for {
            $(#[test] fn $target() { super::replay(stringify!($target)); })*
        }

        #[test]
        fn every_target_has_a_replay_and_a_wrapper() {
            let replayed: BTreeSet<_> = [$(stringify!($target)),*].into();
            let targets: BTreeSet<_> = TARGETS.iter().map(|(name, _)| *name).collect();
            assert_eq!(replayed, targets);
            let wrappers: BTreeSet<_> = fs::read_dir(fuzz_dir().join("fuzz_targets")).unwrap()
                .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
                .collect();
            assert_eq!(wrappers, targets.iter().map(ToString::to_string).collect());
            let manifest = fs::read_to_string(fuzz_dir().join("Cargo.toml")).unwrap();
            for target in targets {
                let wrapper = fs::read_to_string(fuzz_dir().join("fuzz_targets").join(target).with_extension("rs")).unwrap();
                assert!(wrapper.contains(&format!("serf_fuzz::{target}(data)")), "{wrapper}");
                assert!(manifest.contains(&format!("name = \"{target}\"")), "{target} is in the manifest");
            }
        }
    };
}

replays!(
    agent_config,
    capture,
    compression,
    datagram_hashicorp,
    datagram_native,
    datagram_sealed,
    filters,
    hashicorp_bodies,
    keyring,
    mdns,
    metrics_text,
    native_bodies,
    node_inputs,
    results,
    rpc_replies,
    rpc_requests,
    scenario,
    snapshot,
    stream,
    two_nodes,
);
