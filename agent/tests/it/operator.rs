//! Outputs of a running agent besides its log: metrics on standard error and at a statistics server.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::process::{Agent, Directory, eventually};
use serf_agent::rpc::UserEvent;

fn send_event(agent: &Agent) {
    let event = UserEvent { name: "a b".into(), payload: None, coalesce: false };
    agent.client().event(event).expect("is sent");
}

/// A process that is killed when dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

#[test]
fn figures_of_the_last_minute_are_printed_on_demand() {
    let agent = Command::new(env!("CARGO_BIN_EXE_serf"))
        .args(["agent", "-node=one", "-bind=127.0.0.1:0", "-rpc-addr=127.0.0.1:0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("can be started");
    let mut agent = Process(agent);
    let mut stderr = agent.0.stderr.take().expect("was piped");
    let printed = Arc::new(Mutex::new(String::new()));
    let page = Arc::clone(&printed);
    thread::spawn(move || {
        let mut piece = [0; 4096];
        while let Ok(length @ 1..) = stderr.read(&mut piece) {
            page.lock().expect("no panic").push_str(&String::from_utf8_lossy(&piece[..length]));
        }
    });
    let mut lines = BufReader::new(agent.0.stdout.take().expect("was piped")).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("Log data will now stream in")), "it starts");
    thread::spawn(move || lines.for_each(drop));
    let sent = Command::new("kill").args(["-USR1", &agent.0.id().to_string()]).status();
    assert!(sent.expect("kill is there").success());
    let line = eventually("figures", || {
        let printed = printed.lock().expect("no panic").clone();
        let find = |text: &str| printed.lines().find(|line| line.contains(text)).map(str::to_owned);
        find("][G] 'serf-agent.memberlist.health.score': 0.000")?;
        find("][C] 'serf-agent.serf.member.join': Count: 1 Sum: 1.000 LastUpdated: ")
    });
    assert!(line.starts_with("[20"), "{line}");
    assert!(agent.0.try_wait().expect("is ours").is_none(), "it goes on");
}

#[test]
fn figures_reach_a_statsite_server_and_do_so_again_when_it_comes_back() {
    let server = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let dir = Directory::new();
    let addr = server.local_addr().expect("is bound");
    let config = dir.file("c.json", &format!("{{\"statsite_addr\": \"{addr}\"}}"));
    let agent = Agent::start(&["-config-file", &config]);
    // The agent reconnects to a server that hangs up.
    for _ in 0..2 {
        let (mut connection, _) = server.accept().expect("the agent connects");
        connection.set_read_timeout(Some(Duration::from_millis(200))).expect("is open");
        let mut all = String::new();
        eventually("the figures", || {
            send_event(&agent);
            let mut piece = [0; 4096];
            let length = connection.read(&mut piece).unwrap_or(0);
            all.push_str(core::str::from_utf8(&piece[..length]).expect("is text"));
            let wanted = ["serf-agent.serf.events.a_b:1.000000|c\n", ".memberlist.health.score:0.000000|g\n"];
            wanted.iter().all(|line| all.contains(line)).then_some(())
        });
        drop(connection);
        // A write shows the agent that the connection is broken.
        send_event(&agent);
    }
}

#[test]
fn lines_of_the_log_are_whole_however_many_write_at_once() {
    let agent = Agent::start(&[]);
    let clients: Vec<_> = (0..8)
        .map(|n| {
            let mut client = agent.client();
            thread::spawn(move || {
                for round in 0..100 {
                    let event = UserEvent { name: format!("e{n}-{round}"), payload: None, coalesce: false };
                    client.event(event).expect("is sent");
                }
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().expect("no panic"));
    let mark = "Received event: user-event: e";
    eventually("all events are logged", || (agent.output().matches(mark).count() == 800).then_some(()));
    let (_, log) = agent
        .output()
        .split_once("Log data will now stream in")
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .expect("is there");
    let is_whole = |line: &str| {
        let rest = line.strip_prefix("    20").and_then(|rest| rest.split_once('[')).map(|(_, rest)| rest);
        line.len() < 120 && line.matches("    20").count() == 1 && rest.is_some_and(|rest| rest.contains("] "))
    };
    let broken: Vec<&str> = log.lines().skip(2).filter(|line| !is_whole(line)).collect();
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn what_debians_units_do_starts_reloads_and_ends_it() {
    let dir = Directory::new();
    dir.file("serf.json.example", "{ this one is not read");
    let settings = |tag: &str| {
        format!(
            "{{\"node_name\": \"unit\", \"bind\": \"127.0.0.1:0\", \"rpc_addr\": \"127.0.0.1:0\", \"profile\": \"wan\", \
             \"log_level\": \"info\", \"tags\": {{\"t\": \"{tag}\"}}}}"
        )
    };
    let folder = format!("{}/", dir.path().display());
    for (args, signal, code) in [
        // systemd: ExecStart, KillSignal.
        (vec!["agent".to_owned(), format!("-config-dir={folder}")], "-INT", 0),
        // The init script: DAEMON_ARGS, do_reload, do_stop.
        (vec!["agent".to_owned(), "-config-dir".to_owned(), folder.clone()], "-TERM", 1),
    ] {
        dir.file("serf.json", &settings("before"));
        let agent = Command::new(env!("CARGO_BIN_EXE_serf")).args(&args).stdout(Stdio::piped()).spawn();
        let mut agent = Process(agent.expect("can be started"));
        let mut lines = BufReader::new(agent.0.stdout.take().expect("was piped")).lines().map_while(Result::ok);
        assert!(lines.any(|line| line.contains("Node name: 'unit'")));
        assert!(lines.any(|line| line.contains("Log data will now stream in")));
        let send = |signal: &str| {
            let sent = Command::new("kill").args([signal, &agent.0.id().to_string()]).status();
            assert!(sent.expect("kill is there").success());
        };
        dir.file("serf.json", &settings("after"));
        send("-1");
        assert!(lines.any(|line| line.contains("EventMemberUpdate: unit")), "the new tags are taken over");
        send(signal);
        thread::spawn(move || lines.for_each(drop));
        let status = eventually("its end", || agent.0.try_wait().expect("is ours"));
        assert_eq!(status.code(), Some(code), "{args:?}");
    }
}
