//! Sources of addresses to join, and the first start of a cluster.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use simple_dns::rdata::{A, RData, SRV};
use simple_dns::{CLASS, Name, Packet, PacketFlag, QTYPE, RCODE, ResourceRecord, TYPE};

use super::metrics::get;
use crate::ports::free_address;
use crate::process::{ANY_PORT, Agent, Directory, eventually};

fn wait_members(agents: &[&Agent], count: usize) {
    for agent in agents {
        let alive = || agent.client().members().expect("answers").iter().filter(|it| it.status == "alive").count();
        eventually("all members", || (alive() == count).then_some(()));
    }
}

fn lines(agent: &Agent, what: &str) -> usize {
    agent.output().lines().filter(|line| line.contains(what)).count()
}

/// A name server for `_serf._tcp.test`, whose members are named `mN.test`. Over UDP it answers SRV records only when
/// they are few; over TCP always.
struct NameServer {
    addr: SocketAddr,
    members: Arc<Mutex<Vec<SocketAddr>>>,
}

impl NameServer {
    fn start() -> Self {
        let tcp = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let addr = tcp.local_addr().expect("is bound");
        let udp = UdpSocket::bind(addr).expect("is free for UDP too");
        let members: Arc<Mutex<Vec<SocketAddr>>> = Arc::default();
        let of_udp = Arc::clone(&members);
        thread::spawn(move || {
            let mut packet = [0; 512];
            while let Ok((length, from)) = udp.recv_from(&mut packet) {
                _ = udp.send_to(&answer(&packet[..length], &of_udp.lock().expect("no panic"), 2), from);
            }
        });
        let of_tcp = Arc::clone(&members);
        thread::spawn(move || {
            for stream in tcp.incoming() {
                let Ok(mut stream) = stream else { continue };
                let mut length = [0; 2];
                _ = stream.read_exact(&mut length);
                let mut packet = vec![0; usize::from(u16::from_be_bytes(length))];
                _ = stream.read_exact(&mut packet);
                let answer = answer(&packet, &of_tcp.lock().expect("no panic"), usize::MAX);
                let length = u16::try_from(answer.len()).expect("fits").to_be_bytes();
                _ = stream.write_all(&[&length[..], &answer].concat());
            }
        });
        Self { addr, members }
    }

    fn seed(&self) -> String {
        format!("-retry-join=srv:_serf._tcp.test@{}", self.addr)
    }
}

/// The answer to a query: SRV records for the service, or the address of a member.
fn answer(query: &[u8], members: &[SocketAddr], records_max: usize) -> Vec<u8> {
    let query = Packet::parse(query).expect("is a query");
    let mut reply = Packet::new_reply(query.id());
    reply.questions.clone_from(&query.questions);
    let [question] = &query.questions[..] else { panic!("one question") };
    let name = question.qname.to_string();
    let record = |data| ResourceRecord::new(question.qname.clone(), CLASS::IN, 0, data);
    match (name.as_str(), question.qtype) {
        ("_serf._tcp.test", QTYPE::TYPE(TYPE::SRV)) if members.len() > records_max => {
            reply.set_flags(PacketFlag::TRUNCATION);
        }
        ("_serf._tcp.test", QTYPE::TYPE(TYPE::SRV)) if !members.is_empty() => {
            reply.answers = members
                .iter()
                .enumerate()
                .map(|(at, addr)| {
                    let target = Name::new(&format!("m{at}.test")).expect("is a name").into_owned();
                    record(RData::SRV(SRV { priority: 1, weight: 1, port: addr.port(), target }))
                })
                .collect();
        }
        (host, QTYPE::TYPE(TYPE::A)) if host.starts_with('m') && !members.is_empty() => {
            reply.answers = vec![record(RData::A(A { address: Ipv4Addr::LOCALHOST.to_bits() }))];
        }
        (host, QTYPE::TYPE(TYPE::AAAA)) if host.starts_with('m') && !members.is_empty() => {}
        _ => *reply.rcode_mut() = RCODE::NameError,
    }
    reply.build_bytes_vec().expect("can be built")
}

#[test]
fn srv_records_are_looked_up_at_each_try_and_a_missing_name_is_one_warning() {
    let dns = NameServer::start();
    let one = Agent::start(&["-node=one"]);
    let two = Agent::start(&["-node=two", &dns.seed(), "-retry-interval=1s"]);
    eventually("three tries", || (lines(&two, "Joining cluster...") >= 3).then_some(()));
    let warning = format!(
        "[WARN] agent: srv:_serf._tcp.test@{} gives no address to join: _serf._tcp.test has no SRV record, answers the name \
         server {}; it is asked again at each try",
        dns.addr, dns.addr
    );
    assert_eq!((lines(&two, &warning), lines(&two, "[WARN] agent: Join failed")), (1, 1), "{}", two.output());
    dns.members.lock().expect("no panic").push(one.bound().parse().expect("is an address"));
    wait_members(&[&one, &two], 2);
    two.wait("gives addresses to join again");

    // More than fit into a datagram of that server, and this agent among them.
    let others: [SocketAddr; 2] = ["127.0.0.1:1", "127.0.0.1:2"].map(|addr| addr.parse().expect("is an address"));
    dns.members.lock().expect("no panic").extend(others);
    let three = Agent::start(&["-node=three", &dns.seed()]);
    wait_members(&[&one, &two, &three], 3);
}

#[test]
fn a_list_of_all_members_does_not_let_an_agent_join_itself() {
    let dns = NameServer::start();
    let one = Agent::start(&["-node=one", &dns.seed(), "-retry-interval=1s"]);
    dns.members.lock().expect("no panic").push(one.bound().parse().expect("is an address"));
    one.wait("Join failed: the sources give no address but that of this agent");
    let two = Agent::start(&["-node=two"]);
    dns.members.lock().expect("no panic").push(two.bound().parse().expect("is an address"));
    wait_members(&[&one, &two], 2);
}

#[test]
fn files_commands_and_go_discover_give_addresses_and_their_failures_are_logged_once() {
    let dir = Directory::new();
    let one = Agent::start(&["-node=one"]);
    let path = dir.path().join("members").display().to_string();
    let two = Agent::start(&["-node=two", &format!("-retry-join=file:{path}"), "-retry-interval=1s"]);
    two.wait(&format!("file:{path} gives no address to join: open {path}: no such file or directory"));
    dir.file("members", &format!("# members\n\n127.0.0.1:1 {} # one\n", one.bound()));
    wait_members(&[&one, &two], 2);

    let command = format!("-join=exec:echo {}", one.bound());
    let three = Agent::start(&["-node=three", &command]);
    wait_members(&[&three], 3);
    let four = Agent::start(&["-node=four", "-retry-join=exec:echo oh >&2; exit 3", "-retry-interval=1s"]);
    eventually("three tries", || (lines(&four, "Joining cluster...") >= 3).then_some(()));
    assert_eq!(lines(&four, "gives no address to join: it ended with exit code 3: oh;"), 1, "{}", four.output());

    let arguments = "provider=test tag_key=serf";
    let program = dir.file("discover", &format!(
        "#!/bin/sh\n[ \"$1 $2 $3\" = \"-q addrs {arguments}\" ] && [ -z \"$SERF_RPC_AUTH\" ] && echo 127.0.0.1:1 {}\n",
        one.bound()
    ));
    let made = std::process::Command::new("chmod").args(["+x", &program]).status();
    assert!(made.expect("chmod is there").success());
    let found = format!("{}:{}", dir.path().display(), std::env::var("PATH").expect("is set"));
    let five = Agent::start_in(&[("PATH", &found), ("SERF_RPC_AUTH", "t")], &["-node=five", "-join", arguments]);
    let members = five.client_with("t").expect("lets us in").members().expect("answers");
    assert!(members.len() >= 3, "{members:?}");
    let six = Agent::start(&["-node=six", "-retry-join", arguments, "-retry-interval=1s"]);
    let why = "cannot run discover: no such file or directory; install HashiCorp's go-discover";
    six.wait(&format!("provider=test ... gives no address to join: {why}"));
    assert!(!six.output().contains("tag_key"), "an argument may be a secret: {}", six.output());
}

#[cfg(unix)]
#[test]
fn a_command_ends_when_a_reload_ends_its_join() {
    let dir = Directory::new();
    let pid = dir.path().join("pid");
    let config = dir.file(
        "a.json",
        &format!("{{\"retry_join\": [\"exec:echo $$ > {0}.new; mv {0}.new {0}; exec sleep 60\"]}}", pid.display()),
    );
    let agent = Agent::start(&["-node=one", &format!("-config-file={config}")]);
    let pid = eventually("the command", || std::fs::read_to_string(&pid).ok());
    let runs = || std::process::Command::new("kill").args(["-0", pid.trim()]).output().expect("runs").status.success();
    assert!(runs());
    dir.file("a.json", "{}");
    agent.signal("HUP");
    agent.wait("Reloading configuration");
    eventually("the end of the command", || (!runs()).then_some(()));
    assert!(!agent.output().contains("took longer"), "{}", agent.output());
}

#[test]
fn a_source_that_names_nothing_is_refused_at_the_start() {
    let mut agent = Agent::spawn(ANY_PORT, &["-retry-join=srv:_serf._tcp.test@ns.test"]);
    assert_eq!(agent.exit_code(), 1);
    agent.wait(
        "==> Invalid address to join: \"srv:_serf._tcp.test@ns.test\": the name server after @ must be an IP address",
    );
    let mut agent = Agent::spawn(ANY_PORT, &["-join=exec:true"]);
    assert_eq!(agent.exit_code(), 1);
    agent.wait("no address to join: the sources of start_join give none but that of this agent");
}

#[test]
fn an_agent_is_ready_when_the_expected_members_were_there_once() {
    let one = Agent::start(&["-node=one", "-bootstrap-expect=2", "-metrics-addr=127.0.0.1:0"]);
    let health = || get(&one, "GET /healthz");
    assert_eq!(health(), (503, "waiting for members: 1 of 2 are alive\n".into()));
    let mut two = Agent::start(&["-node=two", "-join", &one.bound()]);
    eventually("readiness", || (health() == (200, "ok\n".into())).then_some(()));
    two.signal("INT");
    assert_eq!(two.exit_code(), 0);
    wait_members(&[&one], 1);
    assert_eq!(health(), (200, "ok\n".into()), "the failure of others does not end it");

    let dir = Directory::new();
    let snapshot = dir.file("snapshot", "alive: gone 127.0.0.1:1\n");
    let returns = Agent::start(&["-bootstrap-expect=3", "-metrics-addr=127.0.0.1:0", "-snapshot", &snapshot]);
    assert_eq!(get(&returns, "GET /healthz"), (200, "ok\n".into()), "its cluster may have shrunk");
}

#[test]
fn agents_that_start_in_two_groups_become_one_cluster_when_all_are_expected() {
    let dir = Directory::new();
    let lists: Vec<String> = ["left", "right"].map(|name| dir.file(name, "")).into();
    let start = |at: usize, name: &str| {
        let list = format!("-retry-join=file:{}", lists[at]);
        Agent::start(&[&format!("-node={name}"), &list, "-retry-interval=2s", "-bootstrap-expect=4"])
    };
    let agents = [start(0, "a"), start(0, "b"), start(1, "c"), start(1, "d")];
    let [a, b, c, d] = &agents;
    let write = |name: &str, members: &[&Agent]| {
        dir.file(name, &members.iter().map(|agent| agent.bound() + "\n").collect::<String>());
    };
    // Each group finds itself first, as when a service publishes the addresses of pods one after the other.
    write("left", &[a, b]);
    write("right", &[c, d]);
    wait_members(&[a, b, c, d], 2);
    write("left", &[a, b, c]);
    wait_members(&[a, b, c, d], 4);
}

#[test]
fn addresses_that_appear_in_a_file_are_joined_while_the_agent_runs_and_members_are_not_joined_again() {
    let dir = Directory::new();
    let one = Agent::start(&["-node=one"]);
    let path = dir.file("members", &format!("{}\n", one.bound()));
    let watcher = Agent::start(&["-node=watcher", &format!("-join=file:{path}")]);
    wait_members(&[&one, &watcher], 2);
    watcher.wait("is watched: it has 1 addresses");

    // Nothing but the file tells the others of this agent.
    let late = Agent::start(&["-node=late"]);
    dir.file("members", &format!("{}\n{}\n", one.bound(), late.bound()));
    wait_members(&[&one, &watcher, &late], 3);
    let joined = format!("joining new addresses of files: [{}]", late.bound());
    watcher.wait(&joined);

    // One that leaves the file stays a member, and one that returns to it is one already.
    dir.file("members", &format!("{}\n", one.bound()));
    eventually("the shorter file", || (lines(&watcher, "has changed: 0 new addresses") == 1).then_some(()));
    wait_members(&[&one, &watcher, &late], 3);
    dir.file("members", &format!("{}\n{} # again\n", one.bound(), late.bound()));
    eventually("the longer file", || (lines(&watcher, "has changed: 1 new addresses") == 2).then_some(()));
    thread::sleep(Duration::from_secs(3));
    assert_eq!(lines(&watcher, "joining new addresses"), 1, "{}", watcher.output());
}

#[cfg(unix)]
#[test]
fn a_file_that_is_swapped_by_its_link_is_noticed_and_a_bad_one_is_one_warning() {
    use std::fs::rename;
    use std::os::unix::fs::symlink;

    let dir = Directory::new();
    // As a ConfigMap is mounted: the link of the directory is replaced, the path leads through it.
    let mount = |name: &str, text: &str| {
        std::fs::create_dir(dir.path().join(name)).expect("can be made");
        dir.file(&format!("{name}/members"), text);
        symlink(name, dir.path().join("new")).expect("can be made");
        rename(dir.path().join("new"), dir.path().join("data")).expect("can be replaced");
    };
    let one = Agent::start(&["-node=one"]);
    mount("v1", &one.bound());
    let source = format!("file:{}", dir.path().join("data/members").display());
    let watcher = Agent::start(&["-node=watcher", &format!("-retry-join={source}")]);
    wait_members(&[&one, &watcher], 2);

    mount("v2", &format!("[\"{}\"]", one.bound()));
    let warning = format!("[WARN] agent: {source} gives no address to join: no word of it is an address: ");
    watcher.wait(&warning);
    let late = Agent::start(&["-node=late"]);
    mount("v3", &format!("{} {}", one.bound(), late.bound()));
    wait_members(&[&one, &watcher, &late], 3);
    watcher.wait(&format!("[INFO] agent: {source} gives addresses to join again"));
    assert_eq!(lines(&watcher, &warning), 1, "{}", watcher.output());
}

#[test]
fn an_address_of_a_changed_file_that_does_not_answer_yet_is_tried_again() {
    let dir = Directory::new();
    let one = Agent::start(&["-node=one"]);
    let path = dir.file("members", &one.bound());
    let watcher = Agent::start(&["-node=watcher", &format!("-retry-join=file:{path}")]);
    wait_members(&[&watcher], 2);

    let closed = free_address();
    dir.file("members", &format!("{} {closed}", one.bound()));
    watcher.wait("[WARN] agent: error joining: 1 error occurred:");
    let late = Agent::start(&["-node=late", &format!("-bind={closed}")]);
    wait_members(&[&one, &watcher, &late], 3);
}

#[test]
fn an_address_that_a_file_had_at_the_start_is_joined_when_it_answers() {
    let dir = Directory::new();
    let (one, closed) = (Agent::start(&["-node=one"]), free_address());
    let path = dir.file("members", &format!("{} {closed}", one.bound()));
    let watcher = Agent::start(&["-node=watcher", &format!("-join=file:{path}")]);
    wait_members(&[&watcher], 2);
    let late = Agent::start(&["-node=late", &format!("-bind={closed}")]);
    wait_members(&[&one, &watcher, &late], 3);
}

#[test]
fn a_file_of_start_join_is_watched_while_retry_join_fails() {
    let dir = Directory::new();
    let one = Agent::start(&["-node=one"]);
    let path = dir.file("members", &one.bound());
    let retry = format!("-retry-join={}", free_address());
    let watcher = Agent::start(&["-node=watcher", &format!("-join=file:{path}"), &retry, "-retry-interval=1s"]);
    watcher.wait("[WARN] agent: Join failed:");
    let late = Agent::start(&["-node=late"]);
    dir.file("members", &format!("{} {}", one.bound(), late.bound()));
    wait_members(&[&one, &watcher, &late], 3);
    assert_eq!(lines(&watcher, "Join completed"), 1, "retry_join still fails: {}", watcher.output());
}

#[cfg(unix)]
#[test]
fn a_file_that_a_reload_brings_is_watched_too() {
    let dir = Directory::new();
    let config = dir.file("a.json", "{}");
    let one = Agent::start(&["-node=one"]);
    let watcher = Agent::start(&["-node=watcher", "-join", &one.bound(), "-config-file", &config]);
    let path = dir.file("members", &one.bound());
    dir.file("a.json", &format!("{{\"start_join\": [\"file:{path}\"]}}"));
    watcher.signal("HUP");
    watcher.wait(&format!("joining: [{}] replay: false", one.bound()));
    eventually("the join", || (lines(&watcher, "agent: joined: 1 nodes") == 2).then_some(()));
    let late = Agent::start(&["-node=late"]);
    dir.file("members", &format!("{} {}", one.bound(), late.bound()));
    wait_members(&[&one, &watcher, &late], 3);
}
