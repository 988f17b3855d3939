//! Black-box tests of the agent: the process, its output, its RPC, its signals.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::process::{ANY_PORT, Agent, Directory, eventually};

use serf_agent::rpc::{Client, ClientError, EventRecord, MemberFilter, Record, Request, UserEvent};

fn event(name: &str) -> UserEvent {
    UserEvent { name: name.into(), payload: Some(b"x".to_vec()), coalesce: false }
}

fn next_event(client: &mut Client) -> EventRecord {
    match client.next_record(Some(Duration::from_secs(10))).expect("is connected").expect("comes in time").1 {
        Record::Event { event: Some(event), .. } => event,
        other => panic!("not an event: {other:?}"),
    }
}

#[test]
fn the_banner_says_what_scripts_read() {
    let mut agent = Agent::start(&["-tag", "role=web"]);
    let output = agent.output();
    let lines: Vec<&str> = output.lines().take(11).collect();
    assert_eq!(
        lines[..4],
        [
            "==> Starting Serf agent...",
            "==> Starting Serf agent RPC...",
            "==> Serf agent running!",
            "                      Node name: 'one'"
        ]
    );
    assert_eq!(lines[5], format!("                       RPC addr: '{}'", agent.rpc));
    assert_eq!(
        lines[6..10],
        [
            "                      Encrypted: false",
            "                       Snapshot: false",
            "                        Profile: lan",
            "    Message Compression Enabled: true"
        ]
    );
    agent.signal("TERM");
    assert_eq!(agent.exit_code(), 1, "it did not leave");
    agent.wait("[WARN] serf: Shutdown without a Leave");
}

#[test]
fn an_interrupt_leaves_and_ends_well() {
    let mut agent = Agent::start(&[]);
    agent.signal("INT");
    assert_eq!(agent.exit_code(), 0);
    agent.wait("agent: shutdown complete");
    let output = agent.output();
    assert!(output.contains("==> Gracefully shutting down agent...") && output.contains("EventMemberLeave: one"));
    assert!(output.contains("Received event: member-leave") && !output.contains("without a Leave"));
}

#[test]
fn what_was_logged_is_shown_when_the_start_fails() {
    let mut agent = Agent::spawn(ANY_PORT, &["-join", "127.0.0.1:1"]);
    assert_eq!(agent.exit_code(), 1);
    agent.wait("Failed to join 127.0.0.1: dial tcp 127.0.0.1:1: connect: connection refused");
    agent.wait("[INFO] agent: Serf agent starting");
}

#[test]
fn a_request_before_the_token_is_refused_once_with_its_body() {
    let dir = Directory::new();
    let config = dir.file("c.json", "{\"rpc_auth\": \"s3cret\"}");
    let agent = Agent::start(&["-config-file", &config]);
    let mut requests = Vec::new();
    Request::Handshake { version: 1 }.encode(1, &mut requests);
    Request::Event(event("no")).encode(2, &mut requests);
    Request::Auth { key: "s3creT".into() }.encode(3, &mut requests);
    Request::Auth { key: "s3cret".into() }.encode(4, &mut requests);
    Request::Event(event("yes")).encode(5, &mut requests);
    let mut socket = TcpStream::connect(&agent.rpc).expect("listens");
    socket.write_all(&requests).expect("takes it");
    let mut answers = Vec::new();
    let expected = [(1, ""), (2, "Authentication required"), (3, "Invalid authentication token"), (4, ""), (5, "")];
    let mut all = Vec::new();
    for (seq, error) in expected {
        let header = rmpv::Value::Map(vec![("Error".into(), error.into()), ("Seq".into(), seq.into())]);
        rmpv::encode::write_value(&mut all, &header).expect("a vector takes all");
    }
    answers.resize(all.len(), 0);
    socket.read_exact(&mut answers).expect("answers");
    assert_eq!(answers, all);
    assert!(matches!(agent.client_with("wrong"), Err(ClientError::Refused(_))));
    assert!(agent.client_with("s3cret").is_ok());
}

#[test]
fn a_bad_pattern_closes_the_connection_and_nothing_else() {
    let agent = Agent::start(&[]);
    let mut client = agent.client();
    let filter = MemberFilter { name: "(".into(), ..MemberFilter::default() };
    assert_eq!(client.members_filtered(filter), Err(ClientError::Closed));
    assert_eq!(agent.client().members().expect("answers").len(), 1);
}

#[test]
fn a_huge_announced_length_costs_nothing_and_is_refused() {
    let agent = Agent::start(&[]);
    let mut socket = TcpStream::connect(&agent.rpc).expect("listens");
    socket.write_all(b"\xdf\x7f\xff\xff\xff").expect("takes it");
    let status = fs::read_to_string(format!("/proc/{}/status", agent.process.id()));
    if let Ok(status) = status {
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("is listed");
        let kib: u64 = resident.trim().trim_end_matches(" kB").parse().expect("is a number");
        assert!(kib < 64 * 1024, "{kib} KiB");
    }
    socket.write_all(&vec![0; 100_000]).expect("takes it");
    let mut rest = Vec::new();
    _ = socket.read_to_end(&mut rest);
    assert_eq!(rest, b"", "closed without an answer");
    assert_eq!(agent.client().members().expect("answers").len(), 1);
}

#[test]
fn a_client_that_does_not_read_loses_only_its_own_records() {
    let agent = Agent::start(&["-log-level=warn"]);
    let mut stalled = agent.client();
    stalled.stream("user").expect("subscribes");
    stalled.monitor("debug").expect("subscribes");
    let mut reading = agent.client();
    reading.stream("user:last").expect("subscribes");
    let mut sender = agent.client();
    let payload = vec![b'x'; 400];
    for _ in 0..15_000 {
        let event = UserEvent { name: "flood".into(), payload: Some(payload.clone()), coalesce: false };
        sender.event(event).expect("is sent");
    }
    sender.event(event("last")).expect("is sent");
    assert!(matches!(next_event(&mut reading), EventRecord::User { name, .. } if name == "last"));
    let output = agent.output();
    assert!(output.matches("Dropping event to ipc.client").count() < 100, "told, but not for each");
}

#[test]
fn a_slow_script_delays_no_stream_no_query_and_with_parallel_handlers_no_script() {
    let dir = Directory::new();
    let done = dir.path().join("done").display().to_string();
    let agent = Agent::start(&[
        "-parallel-handlers",
        "-event-handler=user:go=sleep 5",
        &format!("-event-handler=user:go=cat > {done}.new && mv {done}.new {done}"),
    ]);
    let mut client = agent.client();
    client.stream("user:go,user:after").expect("subscribes");
    let begun = Instant::now();
    client.event(event("go")).expect("is sent");
    client.event(event("after")).expect("is sent");
    next_event(&mut client);
    next_event(&mut client);
    eventually("the other script", || fs::read_to_string(&done).ok().filter(|text| text == "x\n"));
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    agent.wait("[WARN] agent: Script 'sleep 5' slow, execution exceeding 1s");
}

#[test]
fn one_script_sees_its_events_in_order() {
    let dir = Directory::new();
    let page = dir.path().join("page").display().to_string();
    let agent = Agent::start(&[&format!("-event-handler=user=echo $SERF_USER_EVENT >> {page}")]);
    let mut client = agent.client();
    let names: Vec<String> = (0..30).map(|n| format!("e{n}")).collect();
    names.iter().for_each(|name| client.event(event(name)).expect("is sent"));
    let read = || fs::read_to_string(&page).unwrap_or_default();
    eventually("all events", || (read().lines().count() == 30).then_some(()));
    assert_eq!(read().lines().collect::<Vec<_>>(), names);
}

#[test]
fn a_reload_keeps_what_clients_have_set() {
    let dir = Directory::new();
    let config = dir.file("c.json", "{\"tags\": {\"a\": \"1\", \"gone\": \"1\"}}");
    let agent = Agent::start(&["-config-file", &config]);
    agent.client().update_tags([("set".into(), "x".into())].into(), vec![]).expect("works");
    dir.file("c.json", "{\"tags\": {\"a\": \"2\"}, \"event_handlers\": [\"user:ping=echo pong\"]}");
    agent.signal("HUP");
    eventually("the tags of file and client", || (agent.tags() == "a=2,set=x").then_some(()));
    agent.client().event(event("ping")).expect("is sent");
    agent.wait("Event 'user' script output: pong");
    assert_eq!(agent.client().stats().expect("answers")["event_handlers"]["user:ping"], "echo pong");
    dir.file("c.json", "{broken");
    agent.signal("HUP");
    agent.wait("==> Failed to reload configs");
    assert_eq!(agent.tags(), "a=2,set=x");
}

#[test]
fn a_reload_leaves_the_tags_file_alone() {
    let dir = Directory::new();
    let path = dir.path().join("tags.json").display().to_string();
    let agent = Agent::start(&["-tags-file", &path]);
    agent.client().update_tags([("role".into(), "<db>".into())].into(), vec![]).expect("works");
    agent.signal("HUP");
    agent.wait("==> Reloading configuration...");
    agent.client().event(event("after")).expect("is sent");
    agent.wait("user-event: after");
    assert_eq!(agent.tags(), "role=<db>");
    assert_eq!(fs::read_to_string(&path).expect("was written"), "{\n  \"role\": \"\\u003cdb\\u003e\"\n}");
}

#[test]
fn a_unix_socket_serves_and_is_removed() {
    use std::os::unix::fs::PermissionsExt;
    let dir = Directory::new();
    let path = dir.path().join("serf.sock");
    let mut agent = Agent::start_at(&format!("unix://{}", path.display()), &[]);
    assert_eq!(agent.client().members().expect("answers")[0].name, "one");
    assert_eq!(fs::metadata(&path).expect("is there").permissions().mode() & 0o777, 0o600);
    agent.client().leave().expect("works");
    assert_eq!(agent.exit_code(), 0);
    assert!(!Path::new(&path).exists());
}

#[test]
fn figures_reach_a_statsd_server() {
    let server = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    server.set_read_timeout(Some(Duration::from_secs(10))).expect("is set");
    let dir = Directory::new();
    let addr = server.local_addr().expect("is bound");
    let config = dir.file("c.json", &format!("{{\"statsd_addr\": \"{addr}\"}}"));
    let agent = Agent::start(&["-config-file", &config]);
    agent.client().event(event("a b")).expect("is sent");
    let mut all = String::new();
    eventually("the figures", || {
        let mut packet = [0; 2000];
        let length = server.recv(&mut packet).expect("comes in time");
        assert!(length <= 1400);
        all.push_str(core::str::from_utf8(&packet[..length]).expect("is text"));
        let wanted = ["serf-agent.agent.ipc.accept:1.000000|c\n", "serf-agent.serf.events.a_b:1.000000|c\n"];
        (wanted.iter().all(|line| all.contains(line)) && all.contains(".memberlist.health.score:0.000000|g\n"))
            .then_some(())
    });
}

#[test]
fn a_second_signal_does_not_wait_for_the_leave() {
    let mut agent = Agent::start(&[]);
    agent.signal("INT");
    agent.wait("==> Gracefully shutting down agent...");
    agent.signal("INT");
    assert_eq!(agent.exit_code(), 1);
    agent.wait("[WARN] serf: Shutdown without a Leave");
}

#[test]
fn a_client_that_sends_no_more_is_gone() {
    let agent = Agent::start(&[]);
    let mut requests = Vec::new();
    Request::Handshake { version: 1 }.encode(1, &mut requests);
    Request::Stream { filter: "*".into() }.encode(2, &mut requests);
    let mut socket = TcpStream::connect(&agent.rpc).expect("listens");
    socket.write_all(&requests).expect("takes it");
    socket.shutdown(std::net::Shutdown::Write).expect("is open");
    socket.set_read_timeout(Some(Duration::from_secs(10))).expect("is set");
    let mut answers = Vec::new();
    socket.read_to_end(&mut answers).expect("is closed soon");
    assert_eq!(answers.len(), 26, "what was asked before is answered");
}
