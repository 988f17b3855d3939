//! `sim replay`: captures of nodes on virtual hosts, replayed by the program.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;
use std::time::Duration;

use serf_sim::{Network, run};
use serf_tokio::{Capture, Key, Options, Serf};
use tempfile::TempDir;

const SECRET: &[u8] = b"a payload that is a secret";

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// A directory that is removed at the end.
struct Dir(TempDir);

impl Dir {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("works"))
    }

    fn replay(&self, hosts: &[&str], options: &[&str]) -> Output {
        let dirs = hosts.iter().map(|host| self.0.path().join(host));
        Command::new(env!("CARGO_BIN_EXE_sim")).arg("replay").args(dirs).args(options).output().expect("works")
    }

    fn text(&self, hosts: &[&str], options: &[&str]) -> String {
        let Output { status, stdout, stderr } = self.replay(hosts, options);
        let stdout = String::from_utf8_lossy(&stdout).into_owned();
        assert!(status.success(), "{stdout}{}", String::from_utf8_lossy(&stderr));
        stdout
    }

    fn files(&self, host: &str) -> Vec<PathBuf> {
        let mut files: Vec<_> =
            fs::read_dir(self.0.path().join(host)).expect("works").map(|entry| entry.expect("works").path()).collect();
        files.sort();
        files
    }
}

fn key(byte: u8) -> Key {
    Key::new(&(0..32).map(|n| byte.wrapping_mul(37).wrapping_add(n)).collect::<Vec<u8>>()).expect("works")
}

/// A cluster of four, of which one cannot send to another for a while, and one crashes. Their captures are copied to `dir`.
fn incident(dir: &Dir, change: fn(Options) -> Options) {
    let out = Mutex::new(Vec::new());
    run(7, async |net: Network| {
        let apps = net
            .hosts(4, move |host| {
                let options = change(host.options().with(|options| options.capture = Some(Capture::new("/capture"))));
                async move { Serf::start(options).expect("works") }
            })
            .await;
        net.settle(secs(60)).await;
        apps.of("n1").user_event("deploy", SECRET, true).expect("works");
        if !apps.of("n0").keys().is_empty() {
            apps.of("n0").install_key(&key(9)).await.expect("works");
            apps.of("n0").use_key(&key(9)).await.expect("works");
        }
        let link = net.link("n2", "n0").one_way();
        link.cut();
        net.advance(secs(20)).await;
        net.heal();
        net.advance(secs(10)).await;
        net.crash("n3");
        net.advance(secs(60)).await;
        let names = net.host_names();
        for host in names {
            for number in 1..1000 {
                let name = format!("{number:08}.capture");
                if let Some(bytes) = net.disk(&host).read(Path::new("/capture").join(&name)) {
                    out.lock().expect("works").push((host.clone(), name, bytes));
                }
            }
        }
    });
    for (host, name, bytes) in out.into_inner().expect("works") {
        fs::create_dir_all(dir.0.path().join(&host)).expect("works");
        fs::write(dir.0.path().join(&host).join(name), bytes).expect("works");
    }
}

#[test]
fn a_capture_replays_with_the_recorded_outputs_and_shows_who_failed_and_why() {
    let dir = Dir::new();
    incident(&dir, |options| options);
    for host in ["n0", "n1", "n2", "n3"] {
        let text = dir.text(&[host], &[]);
        assert!(text.contains("The outputs are the recorded ones"), "{text}");
    }
    let text = dir.text(&["n0"], &["--member", "n3"]);
    assert!(text.contains("n0 suspects n3, accused by ") && text.contains("n0 sees: n3 declared failed by "), "{text}");
    assert!(!text.contains("deploy"), "events are traffic: {text}");
    assert!(dir.text(&["n0"], &["--events"]).contains("n0 delivers the user event deploy (26 bytes)"));
    let json: serde_json::Value = serde_json::from_str(&dir.text(&["n0"], &["--json"])).expect("works");
    assert_eq!(json["captures"][0]["difference"], serde_json::Value::Null);
    let kinds: Vec<_> =
        json["timeline"].as_array().expect("works").iter().map(|fact| fact["kind"].as_str().expect("works")).collect();
    assert!(["capture", "suspect", "failed"].iter().all(|kind| kinds.contains(kind)), "{kinds:?}");
    let short = dir.text(&["n0"], &["--until", "5s"]);
    assert!(!short.contains("failed") && short.len() < text.len(), "{short}");
}

#[test]
fn the_captures_of_several_nodes_are_one_story_in_the_order_of_their_exchanges() {
    let dir = Dir::new();
    incident(&dir, |options| options);
    let text = dir.text(&["n0", "n1", "n2", "n3"], &[]);
    let line =
        |what: &str| text.lines().position(|line| line.contains(what)).unwrap_or_else(|| panic!("{what}: {text}"));
    assert!(line("n1 sends the user event deploy") < line("declared failed by"), "{text}");
    assert!(["n0", "n1", "n2"].iter().all(|node| text.contains(&format!("{node} sees: n3 declared failed"))), "{text}");
}

#[test]
fn files_of_a_ring_replay_without_those_that_were_removed() {
    let dir = Dir::new();
    let ring: fn(Options) -> Options = |options: Options| {
        options.with(|options| {
            let capture = options.capture.take().expect("works");
            options.capture = Some(capture.with(|capture| (capture.file_bytes, capture.files) = (4096, 3)));
        })
    };
    incident(&dir, ring);
    let files = dir.files("n0");
    assert_eq!(files.len(), 3);
    assert!(!files[0].ends_with("00000001.capture"), "the first was removed");
    let text = dir.text(&["n0"], &[]);
    assert!(text.contains("the files before this one were removed"), "{text}");
    assert!(text.contains("so are the states at the beginning of 2 files"), "{text}");
}

#[test]
fn a_torn_file_replays_up_to_its_tear_and_a_changed_state_is_a_difference() {
    let dir = Dir::new();
    incident(&dir, |options| options);
    let file = dir.files("n0").pop().expect("works");
    let whole = fs::read(&file).expect("works");
    fs::write(&file, &whole[..whole.len() - 5]).expect("works");
    assert!(dir.text(&["n0"], &["--check"]).contains("bytes are an incomplete record"));
    // The inputs of one node on the state of another: the first output differs.
    let other = fs::read(dir.files("n1").pop().expect("works")).expect("works");
    let magic = whole.iter().position(|byte| *byte == b'\n').expect("works") + 1;
    let head =
        |bytes: &[u8]| magic + 8 + u32::from_le_bytes(bytes[magic..magic + 4].try_into().expect("works")) as usize;
    fs::write(&file, [&other[..head(&other)], &whole[head(&whole)..]].concat()).expect("works");
    let Output { status, stdout, .. } = dir.replay(&["n0"], &["--check"]);
    let stdout = String::from_utf8_lossy(&stdout);
    assert!(status.code() == Some(1) && stdout.contains("FIRST DIFFERENCE: 00000001.capture"), "{stdout}");
}

#[test]
fn keys_are_never_in_a_capture_and_payloads_only_if_they_may_be() {
    let dir = Dir::new();
    let encrypted: fn(Options) -> Options =
        |options: Options| options.with(|options| options.protocol.transport.encrypt_keys = vec![key(1)]);
    let redacted: fn(Options) -> Options = |options: Options| {
        options.with(|options| {
            options.protocol.transport.encrypt_keys = vec![key(1)];
            let capture = options.capture.take().expect("works");
            options.capture = Some(capture.with(|capture| capture.payloads = false));
        })
    };
    for payloads in [true, false] {
        if payloads {
            incident(&dir, encrypted)
        } else {
            incident(&dir, redacted)
        }
        for host in ["n0", "n1", "n2", "n3"] {
            let bytes: Vec<u8> = dir.files(host).iter().flat_map(|file| fs::read(file).expect("works")).collect();
            let has = |secret: &[u8]| bytes.windows(secret.len()).any(|window| window == secret);
            for key in [key(1), key(9)] {
                assert!(!has(key.as_bytes()) && !has(key.to_base64().as_bytes()), "a key is in the capture of {host}");
            }
            assert_eq!(has(SECRET), payloads, "{host}");
            let text = dir.text(&[host], &[]);
            let verdict = if payloads { "because a key was replaced" } else { "inputs were not compared" };
            assert!(text.contains(verdict) && text.contains("n3"), "{text}");
        }
    }
}

#[test]
fn a_capture_becomes_a_script_with_letters_for_names() {
    let dir = Dir::new();
    incident(&dir, |options| options);
    let file = dir.0.path().join("story.txt");
    dir.text(&["n0"], &["--turn-into-script", file.to_str().expect("works")]);
    let story = fs::read_to_string(&file).expect("works");
    let commands: Vec<&str> = story.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(commands.first(), Some(&"start a"), "n0 was alone when its capture began");
    assert!(["start b", "join b via a"].iter().all(|command| commands.contains(command)), "{story}");
    assert!(commands.iter().any(|command| command.starts_with("crash ")), "{story}");
    assert!(story.ends_with("members a\n----\n") && !story.contains("n3"), "{story}");
}

#[test]
fn what_is_no_capture_is_refused_in_one_line() {
    let dir = Dir::new();
    fs::create_dir_all(dir.0.path().join("n0")).expect("works");
    let Output { status, stderr, .. } = dir.replay(&["n0"], &[]);
    let stderr = String::from_utf8_lossy(&stderr);
    assert!(
        status.code() == Some(2) && stderr.lines().count() == 1 && stderr.contains("nothing to replay"),
        "{stderr}"
    );
    fs::write(dir.0.path().join("n0/00000001.capture"), b"serf capture 1\n").expect("works");
    let Output { status, .. } = dir.replay(&["n0"], &[]);
    assert_eq!(status.code(), Some(2));
}
