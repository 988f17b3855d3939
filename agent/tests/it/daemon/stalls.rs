//! Outputs without a reader, files that block, silent connections: none of them blocks the agent.

use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::process::{ANY_PORT, Agent, Directory, eventually};

fn answers(agent: &Agent) -> bool {
    agent.client().members().expect("answers").len() == 1
}

#[test]
fn unread_metrics_delay_nothing() {
    let mut agent = Agent::start_with(&[], Stdio::piped());
    // Each has about two KiB, and a pipe holds 64.
    for _ in 0..200 {
        agent.signal("USR1");
        assert!(answers(&agent));
    }
    agent.signal("INT");
    assert_eq!(agent.exit_code(), 0);
    let mut figures = String::new();
    agent.process.stderr.take().expect("was piped").read_to_string(&mut figures).expect("is text");
    assert!(figures.contains("[C] 'serf-agent.agent.ipc.accept': Count: "), "{figures}");
}

#[test]
fn settings_that_cannot_be_read_hold_up_nothing() {
    let dir = Directory::new();
    let path = dir.file("config.json", "{\"tags\": {\"a\": \"1\"}}");
    let mut agent = Agent::start(&["-config-file", &path]);
    fs::remove_file(&path).expect("is ours");
    assert!(Command::new("mkfifo").arg(&path).status().expect("is there").success());
    // It has no writer, so opening it for reading blocks.
    agent.signal("HUP");
    agent.wait("Reloading configuration...");
    agent.signal("HUP");
    assert!(answers(&agent));
    assert_eq!(agent.tags(), "a=1");
    // Read a second time, because they may have changed since.
    for value in ["2", "3"] {
        let mut fifo = OpenOptions::new().write(true).open(&path).expect("somebody reads it");
        fifo.write_all(format!("{{\"tags\": {{\"a\": \"{value}\"}}}}").as_bytes()).expect("somebody reads it");
        drop(fifo);
        eventually("the new tags", || (agent.tags() == format!("a={value}")).then_some(()));
    }
    agent.signal("HUP");
    agent.signal("INT");
    assert_eq!(agent.exit_code(), 0, "though a thread waits for the file");
}

#[test]
fn a_supervisor_that_does_not_read_holds_up_nothing() {
    let dir = Directory::new();
    let path = dir.path().join("notify").display().to_string();
    let _socket = UnixDatagram::bind(&path).expect("can be bound");
    let mut agent = Agent::start_in(&[("NOTIFY_SOCKET", &path)], &[]);
    for n in 1..=20 {
        agent.signal("HUP");
        eventually("a reload", || (agent.output().matches("Reloading configuration...").count() >= n).then_some(()));
        assert!(answers(&agent));
    }
    agent.signal("INT");
    assert_eq!(agent.exit_code(), 0);
}

#[test]
fn healthz_waits_for_no_connection_that_says_nothing() {
    let agent = Agent::start(&["-metrics-addr=127.0.0.1:0"]);
    let output = agent.output();
    let (_, addr) = output.split_once("Metrics addr: '").expect("is in the banner");
    let addr = addr.split('\'').next().expect("is quoted");
    // Some connections send nothing, some a part of a request.
    let connections: Vec<_> = (0..200)
        .map(|n| {
            let mut socket = TcpStream::connect(addr).expect("listens");
            if n % 2 == 0 {
                _ = socket.write_all(b"GET /healthz HT");
            }
            socket
        })
        .collect();
    let asked = Instant::now();
    let mut socket = TcpStream::connect(addr).expect("listens");
    socket.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").expect("takes it");
    let mut text = String::new();
    socket.read_to_string(&mut text).expect("answers and closes");
    assert!(text.starts_with("HTTP/1.1 200 OK") && text.ends_with("ok\n"), "{text}");
    assert!(asked.elapsed() < Duration::from_millis(1500), "{:?}", asked.elapsed());
    for mut socket in connections {
        socket.set_read_timeout(Some(Duration::from_secs(20))).expect("is open");
        let mut rest = [0; 1024];
        // Closed, after an error reply to a partial request, if any.
        while !matches!(socket.read(&mut rest), Ok(0) | Err(_)) {}
    }
}

#[test]
fn a_name_with_control_characters_is_refused_before_anything_else() {
    let mut agent = Agent::spawn(ANY_PORT, &["-node=a\n2026/11/28 [ERR] b"]);
    assert_eq!(agent.exit_code(), 1);
    agent.wait("the name has a control character at byte 1");
}
