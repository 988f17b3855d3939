//! Kills an agent at random moments, with its snapshot and its keyring, while events and key changes flow.
//!
//! `SERF_KILLS` sets the number of kills; default 30.
//!
//! A program of its own, so that it runs alone: a record is written by another thread than the one that delivers the event, and
//! a kill between the two would repeat the event. Beside other tests that thread may wait for a processor.

#![cfg(unix)]

#[path = "it/ports.rs"]
mod ports;
#[expect(dead_code, reason = "the other tests use more of it")]
#[path = "it/process.rs"]
mod process;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use ports::free_address;
use process::{ANY_PORT, Agent, Directory, eventually};
use serf_agent::rpc::{Client, KeyReport, UserEvent};
use serf_tokio::serf_proto::{AfterLeave, Snapshot};
use serf_tokio::{Key, read_keyring_file, write_keyring_file};

/// The keys that the whole cluster has confirmed.
#[derive(Clone, Default)]
struct Confirmed {
    /// Keys installed on the victim whose removal has not begun.
    held: BTreeSet<String>,
    /// The primary key, unless a change is in progress.
    primary: Option<String>,
}

/// Traffic while the victim dies and restarts.
struct Traffic {
    client: Mutex<Client>,
    confirmed: Mutex<Confirmed>,
    events: AtomicU64,
    rotations: AtomicU64,
    is_over: AtomicBool,
}

impl Traffic {
    fn goes_on(&self) -> bool {
        !self.is_over.load(Ordering::Relaxed)
    }

    fn send_events(&self, mut client: Client) {
        while self.goes_on() {
            let count = self.events.fetch_add(1, Ordering::Relaxed);
            let payload = Some(vec![b'x'; 20]);
            client.event(UserEvent { name: format!("e{count}"), payload, coalesce: false }).expect("is sent");
            thread::sleep(Duration::from_millis(15));
        }
    }

    /// Rotates keys: each step is repeated until both members have confirmed it.
    fn rotate(&self, mut old: Key) {
        for round in 1_u32.. {
            let new = Key::new(&[round.to_be_bytes(); 4].concat()).expect("has the right length");
            let (new_text, old_text) = (new.to_base64(), old.to_base64());
            if !self.until_confirmed(|client| client.install_key(&new_text).ok()) {
                return;
            }
            self.change(|confirmed| {
                confirmed.held.insert(new_text.clone());
                confirmed.primary = None;
            });
            if !self.until_confirmed(|client| client.use_key(&new_text).ok()) {
                return;
            }
            self.change(|confirmed| {
                confirmed.primary = Some(new_text.clone());
                confirmed.held.remove(&old_text);
            });
            if !self.until_confirmed(|client| client.remove_key(&old_text).ok()) {
                return;
            }
            self.rotations.fetch_add(1, Ordering::Relaxed);
            old = new;
        }
    }

    fn change(&self, change: impl FnOnce(&mut Confirmed)) {
        change(&mut self.confirmed.lock().expect("no panic"));
    }

    /// Returns false when the traffic must end.
    fn until_confirmed(&self, mut step: impl FnMut(&mut Client) -> Option<KeyReport>) -> bool {
        while self.goes_on() {
            let report = step(&mut self.client.lock().expect("no panic"));
            if report.is_some_and(|report| (report.nodes, report.responses, report.errors) == (2, 2, 0)) {
                return true;
            }
            thread::sleep(Duration::from_millis(5));
        }
        false
    }
}

/// The agent that is killed and restarted.
struct Victim {
    bind: String,
    snapshot: PathBuf,
    keyring: PathBuf,
}

impl Victim {
    fn start(&self, more: &[&str]) -> Agent {
        let (snapshot, keyring) = (self.snapshot.display(), self.keyring.display());
        let args = [
            "-node=victim".to_owned(),
            "-profile=local".to_owned(),
            format!("-bind={}", self.bind),
            format!("-snapshot={snapshot}"),
            format!("-keyring-file={keyring}"),
        ];
        let args: Vec<&str> = args.iter().map(String::as_str).chain(more.iter().copied()).collect();
        // A connection of the others may hold the port for a moment.
        eventually("the port is free again", || {
            let agent = Agent::spawn(ANY_PORT, &args);
            let started = eventually("a start, or why not", || {
                let output = agent.output();
                (output.contains("Log data will now stream in") || output.contains("Failed to start")).then_some(output)
            });
            (!started.contains("address already in use")).then_some(agent)
        })
    }

    /// Asserts that the files can be read after a crash, and contain everything confirmed before.
    fn check_files(&self, before: &Confirmed, after: &Confirmed) {
        let contents = fs::read(&self.snapshot).expect("is there");
        let replay = Snapshot::replay(&contents, AfterLeave::Forget);
        assert_eq!(replay.lines_skipped, 0, "{}", String::from_utf8_lossy(&contents));
        let torn = contents.len() - replay.intact_bytes;
        assert!(torn < 200, "{torn} bytes are lost");
        let keys: Vec<String> =
            read_keyring_file(&self.keyring).expect("is whole").iter().map(Key::to_base64).collect();
        // Changes between the two snapshots may or may not be present.
        for key in before.held.intersection(&after.held) {
            assert!(keys.contains(key), "{key} was confirmed and is not among {keys:?}");
        }
        if before.primary == after.primary
            && let Some(primary) = &before.primary
        {
            // The next key may be in use already, although it is not confirmed.
            assert!(keys.contains(primary), "{primary} is not among {keys:?}");
        }
    }

    /// Makes the file so long that the next start begins with a compaction.
    fn bloat_snapshot(&self) {
        let mut file = fs::OpenOptions::new().append(true).open(&self.snapshot).expect("is there");
        let comment = format!("\n#{}\n", "x".repeat(1000));
        file.write_all(comment.repeat(140).as_bytes()).expect("is written");
    }
}

/// Counts how often each event was delivered, from an agent's log.
fn count_events(output: &str, told: &mut BTreeMap<String, u32>) {
    for (_, name) in output.lines().filter_map(|line| line.split_once("Received event: user-event: ")) {
        *told.entry(name.to_owned()).or_default() += 1;
    }
}

fn random_below(most: u64) -> u64 {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).expect("there is luck");
    u64::from_le_bytes(bytes) % most
}

fn keyring(dir: &Path, name: &str, key: &Key) -> PathBuf {
    let path = dir.join(name);
    write_keyring_file(&path, core::slice::from_ref(key)).expect("is written");
    path
}

#[test]
fn an_agent_killed_at_any_moment_comes_back_and_has_lost_and_repeated_nothing() {
    let kills: u32 = std::env::var("SERF_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(30);
    let dir = Directory::new();
    let key = Key::new(&[0; 32]).expect("has the right length");
    let steady_keys = keyring(dir.path(), "steady.keys", &key).display().to_string();
    let steady = Agent::start(&["-node=steady", "-profile=local", "-keyring-file", &steady_keys]);
    let output = steady.output();
    let seed = output.split_once("Bind addr: '").and_then(|(_, rest)| rest.split('\'').next()).expect("is shown");
    let victim = Victim {
        bind: free_address(),
        snapshot: dir.path().join("victim.snapshot"),
        keyring: keyring(dir.path(), "victim.keys", &key),
    };
    let traffic = Arc::new(Traffic {
        client: Mutex::new(steady.client()),
        confirmed: Mutex::default(),
        events: AtomicU64::new(0),
        rotations: AtomicU64::new(0),
        is_over: AtomicBool::new(false),
    });
    let (events, rotation) = (Arc::clone(&traffic), Arc::clone(&traffic));
    let sender = steady.client();
    let mut life = victim.start(&["-join", seed]);
    let threads = [thread::spawn(move || events.send_events(sender)), thread::spawn(move || rotation.rotate(key))];
    let mut told = BTreeMap::new();
    let rejoined = |life: &Agent| {
        eventually("both are members", || {
            let output = life.output();
            output.contains("EventMemberJoin: steady").then_some(())
        })
    };
    rejoined(&life);
    for kill in 0..kills {
        if kill % 3 > 0 {
            rejoined(&life);
        }
        thread::sleep(Duration::from_millis(random_below(500)));
        let before = traffic.confirmed.lock().expect("no panic").clone();
        life.process.kill().expect("runs");
        life.process.wait().expect("is ours");
        let after = traffic.confirmed.lock().expect("no panic").clone();
        victim.check_files(&before, &after);
        count_events(&life.output_to_the_end(), &mut told);
        if kill % 4 == 0 {
            victim.bloat_snapshot();
        }
        life = victim.start(&[]);
    }
    rejoined(&life);
    let rotations = traffic.rotations.load(Ordering::Relaxed);
    eventually("keys change as before", || (traffic.rotations.load(Ordering::Relaxed) > rotations).then_some(()));
    traffic.is_over.store(true, Ordering::Relaxed);
    threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
    steady.client().event(UserEvent { name: "last".into(), payload: None, coalesce: false }).expect("is sent");
    life.wait("Received event: user-event: last");
    count_events(&life.output(), &mut told);
    let twice: Vec<_> = told.iter().filter(|(_, times)| **times > 1).collect();
    let (sent, rotations) = (traffic.events.load(Ordering::Relaxed), traffic.rotations.load(Ordering::Relaxed));
    eprintln!("{kills} kills, {sent} events, {} told, {rotations} rotations of keys", told.len());
    assert!(twice.is_empty(), "told more than once: {twice:?}");
    assert!(told.len() > kills as usize && rotations > 0, "{} events, {rotations} rotations", told.len());
}
