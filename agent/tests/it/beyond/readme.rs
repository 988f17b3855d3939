//! Runs the transcripts of `agent/README.md` as printed, except for ports, which may be in use on this host.

use std::collections::BTreeMap;
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use super::lab::{OURS, eventually, free_address};

/// A command and its expected output.
#[derive(Debug)]
struct Step {
    command: String,
    expected: Vec<String>,
}

/// The steps of all blocks, which form one session.
fn steps(page: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut is_transcript = false;
    for line in page.lines() {
        match (line, steps.last_mut()) {
            ("```console", _) => is_transcript = true,
            ("```", _) => is_transcript = false,
            _ if !is_transcript => {}
            (line, last) => match (line.strip_prefix("$ "), last) {
                (Some(command), _) => steps.push(Step { command: command.into(), expected: Vec::new() }),
                (None, Some(step)) => step.expected.push(line.into()),
                (None, None) => panic!("output before a command: {line}"),
            },
        }
    }
    steps
}

/// A line without the parts that vary between runs: numbers, and the blanks that align them.
fn shape(line: &str) -> String {
    let mut shape = String::new();
    for letter in line.trim_end().chars() {
        let letter = if letter.is_ascii_digit() { '#' } else { letter };
        // `0.5` is a number like `12`.
        let is_more_of_it = match letter {
            '#' | ' ' => shape.ends_with(letter),
            '.' => shape.ends_with('#'),
            _ => false,
        };
        if !is_more_of_it {
            shape.push(letter);
        }
    }
    shape
}

/// Whether the output matches; `…` stands for any lines.
fn matches(expected: &[String], output: &str, is_ordered: bool) -> bool {
    let mut expected: Vec<_> = expected.iter().map(|line| shape(line)).collect();
    let mut output: Vec<_> = output.lines().map(shape).collect();
    if !is_ordered {
        expected.sort();
        output.sort();
    }
    let mut rest = &output[..];
    let mut parts = expected.split(|line| line == "…");
    let first = parts.next().unwrap_or_default();
    let Some(after) = rest.strip_prefix(first) else { return false };
    rest = after;
    let mut has_gap = false;
    for part in parts {
        has_gap = true;
        let Some(at) = (0..=rest.len()).find(|at| rest[*at..].starts_with(part)) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.is_empty() || has_gap
}

/// The shell of the session.
#[derive(Default)]
struct Session {
    /// The address that replaces each of the page's.
    addresses: BTreeMap<String, String>,
    jobs: Vec<Child>,
}

impl Session {
    /// The command with addresses that are free here.
    fn placed(&mut self, command: &str) -> String {
        let mut placed = String::new();
        let mut rest = command;
        while let Some(at) = rest.find("127.0.0.1:") {
            let end = rest[at + 10..].find(|c: char| !c.is_ascii_digit()).map_or(rest.len(), |end| at + 10 + end);
            let address = self.addresses.entry(rest[at..end].into()).or_insert_with(free_address);
            placed.push_str(&rest[..at]);
            placed.push_str(address);
            rest = &rest[end..];
        }
        placed + rest
    }

    fn shell(&mut self, command: &str) -> Command {
        let rpc = self.placed("127.0.0.1:7373");
        let mut shell = Command::new("bash");
        shell.args(["-c", &format!("serf() {{ '{OURS}' \"$@\"; }}\n{command}")]).env("SERF_RPC_ADDR", rpc);
        shell.env_remove("SERF_RPC_AUTH").env_remove("NOTIFY_SOCKET");
        shell
    }

    fn run(&mut self, step: &Step) {
        let command = self.placed(&step.command);
        if let Some(command) = command.strip_suffix(" &") {
            return self.begin(&command.replacen("serf", &format!("exec '{OURS}'"), 1), step);
        }
        if let Some((signal, job)) = command.strip_prefix("kill ").and_then(|rest| rest.split_once(" %")) {
            let job: usize = job.parse().expect("is a number");
            let process = self.jobs[job - 1].id().to_string();
            let sent = Command::new("kill").args([signal, &process]).status().expect("can be run");
            return assert!(sent.success());
        }
        let is_ordered = !command.starts_with("serf query");
        // The cluster may need a moment until a command shows the expected output.
        let mut last = String::new();
        let seen = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            eventually(&step.command, || {
                let output = self.shell(&command).output().expect("can be run");
                last = String::from_utf8_lossy(&output.stdout).into_owned();
                matches(&step.expected, &last, is_ordered).then_some(())
            });
        }));
        assert!(seen.is_ok(), "$ {}\n{last}\ninstead of\n{}", step.command, step.expected.join("\n"));
    }

    /// Starts an agent, and waits for its expected output.
    fn begin(&mut self, command: &str, step: &Step) {
        let mut process = self.shell(command).stdout(Stdio::piped()).spawn().expect("can be started");
        let mut output = process.stdout.take().expect("was piped");
        self.jobs.push(process);
        let said = Arc::new(Mutex::new(Vec::new()));
        let page = Arc::clone(&said);
        thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(len @ 1..) = output.read(&mut piece) {
                page.lock().expect("no panic").extend_from_slice(&piece[..len]);
            }
        });
        // More lines may follow.
        let expected: Vec<_> = step.expected.iter().cloned().chain(["…".into()]).collect();
        eventually(&step.command, || {
            let said = said.lock().expect("no panic");
            matches(&expected, &String::from_utf8_lossy(&said), true).then_some(())
        });
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        for job in &mut self.jobs {
            _ = job.kill();
            _ = job.wait();
        }
    }
}

#[test]
fn the_transcripts_of_the_page_are_what_one_gets() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).expect("is there");
    let steps = steps(&page);
    assert!(steps.len() > 20, "the page has a session");
    let mut session = Session::default();
    steps.iter().for_each(|step| session.run(step));
}

#[test]
fn transcripts_are_compared_but_for_numbers() {
    let expected = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    assert!(matches(&expected("a 1.5 s\nb"), "a 12 s\nb\n", true));
    assert!(!matches(&expected("a 1.5 s\nb"), "a 12 s\n", true));
    assert!(!matches(&expected("a"), "a\nb", true));
    assert!(matches(&expected("a\n…\nd"), "a\nb\nc\nd", true) && matches(&expected("a\n…"), "a\nb", true));
    assert!(!matches(&expected("a\n…\nx"), "a\nb\nc\nd", true));
    assert!(matches(&expected("b\na"), "a\nb", false) && !matches(&expected("b\na"), "a\nb", true));
}
