//! `-capture`: what a killed agent leaves behind.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serf_tokio::capture::{Reader, Recorded};
use serf_tokio::serf_proto::{Input, Instant, Node, Outbox, Outputs, Tap};

use super::super::process::Directory;
use super::lab::{Agent, OURS, eventually};

#[derive(Debug, Default)]
struct Replayed(Mutex<Option<Outputs>>);

impl Tap for Replayed {
    fn input(&self, _now: Instant, _input: Input) {}

    fn outputs(&self, outputs: Outputs) {
        *self.0.lock().expect("works") = Some(outputs);
    }
}

/// Replays a file; returns the node at its end and the number of inputs whose outputs were compared.
fn replay(bytes: &[u8]) -> (Node, usize) {
    let reader = Reader::new(bytes).expect("works");
    let mut node = Node::restore(&reader.head().checkpoint, None).expect("works");
    let tap = Arc::new(Replayed::default());
    node.set_tap(Some(Arc::clone(&tap) as Arc<dyn Tap>));
    let mut out = Outbox::new();
    let recorded: Vec<Recorded> = reader.collect();
    for (number, Recorded { at, input, outputs, .. }) in recorded.iter().enumerate() {
        node.apply(*at, input, &mut out);
        out.drain().for_each(drop);
        let replayed = tap.0.lock().expect("works").take();
        let is_cut = number + 1 == recorded.len() && outputs.is_none();
        assert!(is_cut || replayed == *outputs, "input {number}, {input:?}: {outputs:?}, now {replayed:?}");
    }
    (node, recorded.len())
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(dir).into_iter().flatten().map(|entry| entry.expect("works").path());
    let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|it| it == "capture")).collect();
    files.sort();
    files
}

#[test]
fn a_killed_agent_leaves_a_capture_that_replays() {
    let one = Agent::start(OURS, "one", &[]);
    let directory = Directory::new();
    let dir = directory.path().join("two");
    let mut two = Agent::start(OURS, "two", &["-join", &one.bind, "-capture", dir.to_str().expect("works")]);
    two.wait_status("one", "alive");
    assert_eq!(one.ask(&["event", "deploy", "v1"]).code, Some(0));
    eventually("some inputs are on the disk", || {
        files(&dir).first().and_then(|file| fs::metadata(file).ok()).filter(|it| it.len() > 6000)
    });
    two.kill();
    let found = files(&dir);
    assert_eq!(found.len(), 1);
    let (node, inputs) = replay(&fs::read(&found[0]).expect("works"));
    assert!(inputs > 20, "{inputs} inputs");
    assert!(node.member("one").is_some() && node.local().name() == "two");
    // The next run continues the numbers and keeps what the killed one recorded. It records after a signal.
    let flags = ["-join", &*one.bind, "-capture", dir.to_str().expect("works"), "-capture-paused"];
    let again = Agent::start(OURS, "three", &flags);
    again.wait_status("one", "alive");
    assert_eq!(files(&dir).len(), 1);
    again.signal("USR2");
    eventually("the second file", || (files(&dir).len() == 2).then_some(()));
    again.signal("USR2");
    eventually("the capture stops", || again.log().contains("Capture stopped").then_some(()));
    let (node, _) = replay(&fs::read(&files(&dir)[1]).expect("works"));
    assert!(node.member("one").is_some(), "a capture that is switched on begins with what the node knows");
}
