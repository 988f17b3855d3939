//! `serf doctor` on healthy nodes, and on every fault that it detects.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::thread;

use serde_json::Value;
use serf_tokio::{Options, Serf};

use super::super::process::Directory;
use super::lab::{Agent, OURS, Ran, binaries, serf};

const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZg==";
const OTHER_KEY: &str = "ZmVkY2JhOTg3NjU0MzIxMA==";

fn doctor(args: &[&str]) -> Ran {
    let args: Vec<&str> = ["doctor", "-format=json", "-timeout=2s"].iter().chain(args).copied().collect();
    serf(&args, &[])
}

/// The checks with this result, in order.
fn checks(report: &Value, result: &str) -> Vec<String> {
    let checks = report["checks"].as_array().expect("is a list").iter();
    let such = checks.filter(|check| check["result"] == result);
    such.map(|check| check["check"].as_str().expect("is text").to_owned()).collect()
}

fn found(report: &Value, name: &str) -> String {
    let checks = report["checks"].as_array().expect("is a list");
    let check = checks.iter().find(|check| check["check"] == name);
    check.map(|check| check["found"].as_str().expect("is text").to_owned()).unwrap_or_default()
}

/// Asserts that exactly these checks fail, each with advice.
fn assert_failed(ran: &Ran, failed: &[&str]) -> Value {
    let report = ran.json();
    assert_eq!(checks(&report, "failed"), failed, "{report:#}");
    assert_eq!(ran.code, Some(if failed.is_empty() { 0 } else { 1 }));
    assert_eq!(report["healthy"], failed.is_empty());
    for check in report["checks"].as_array().expect("is a list") {
        assert!(check["result"] != "failed" || check["advice"].is_string(), "{check}");
    }
    report
}

#[test]
fn a_healthy_node_passes_every_check_and_learns_of_no_member() {
    for binary in binaries() {
        let node = Agent::start(&binary, "one", &[]);
        let report = assert_failed(&doctor(&[&node.bind]), &[]);
        assert_eq!(report["node"], "one");
        let all = [
            "address",
            "tcp",
            "label",
            "key",
            "udp",
            "packet-size",
            "udp-back",
            "name",
            "versions",
            "members",
            "clock",
        ];
        assert_eq!(checks(&report, "ok"), all, "{report:#}");
        assert!(found(&report, "packet-size").contains("9000"), "the loopback carries them");
        assert_eq!(node.ask(&["members"]).out.lines().count(), 1);
        assert!(!node.log().contains("EventMemberFailed"));
    }
}

#[test]
fn the_text_says_the_same_in_columns() {
    let node = Agent::start(OURS, "one", &[]);
    let ran = serf(&["doctor", &node.bind], &[]);
    assert_eq!(ran.code, Some(0));
    assert!(ran.out.starts_with(&format!("ok       address      {}\n", node.bind)), "{}", ran.out);
    assert!(ran.out.ends_with("\nNothing is wrong with this node.\n"), "{}", ran.out);
    let ran = serf(&["doctor", "-encrypt", KEY, &node.bind], &[]);
    assert!(ran.out.contains("failed   key          the node does not encrypt, and a key was given\n"), "{}", ran.out);
    assert!(ran.out.contains("\n                      Leave the key away"), "{}", ran.out);
    assert!(ran.out.ends_with("\n1 check failed.\n"));
}

#[test]
fn the_right_key_passes_and_a_wrong_one_is_distinguished_from_none() {
    for binary in binaries() {
        let node = Agent::start(&binary, "one", &["-encrypt", KEY]);
        assert_failed(&doctor(&["-encrypt", KEY, &node.bind]), &[]);
        let report = assert_failed(&doctor(&[&node.bind]), &["key"]);
        assert_eq!(found(&report, "key"), "the node encrypts, and no key was given");
        let report = assert_failed(&doctor(&["-encrypt", OTHER_KEY, &node.bind]), &["key"]);
        assert_eq!(found(&report, "key"), "the node replies under another key than those given");
        assert_eq!(checks(&report, "unknown"), ["label", "udp"], "silence over UDP is no second fault");
    }
}

#[test]
fn during_a_rotation_doctor_reports_whether_the_node_reads_the_given_key() {
    let directory = Directory::new();
    let file = directory.path().join("keyring").display().to_string();
    for binary in binaries() {
        std::fs::write(&file, format!(r#"["{KEY}", "{OTHER_KEY}"]"#)).expect("can be written");
        let node = Agent::start(&binary, "one", &["-keyring-file", &file]);
        let report = assert_failed(&doctor(&["-encrypt", OTHER_KEY, &node.bind]), &["key"]);
        assert!(found(&report, "udp").starts_with("it understands what was given"), "{report:#}");
        assert_failed(&doctor(&["-keyring-file", &file, &node.bind]), &[]);
        // Reversed, the first key encrypts and the second decrypts the answers.
        std::fs::write(&file, format!(r#"["{OTHER_KEY}", "{KEY}"]"#)).expect("can be written");
        assert_failed(&doctor(&["-keyring-file", &file, &node.bind]), &[]);
    }
}

#[test]
fn addresses_may_be_ipv6_and_names() {
    if UdpSocket::bind("[::1]:0").is_err() {
        return eprintln!("NOT RUN: there is no IPv6");
    }
    for binary in binaries() {
        let address = super::lab::free_address().replace("127.0.0.1", "[::1]");
        let node = Agent::start(&binary, "one", &["-bind", &address]);
        let report = assert_failed(&doctor(&[&address]), &[]);
        assert_eq!(report["node"], "one");
        assert!(found(&report, "udp-back").starts_with("the node sends to [::1]:"));
        drop(node);
        let node = Agent::start(&binary, "one", &[]);
        assert_failed(&doctor(&[&node.bind.replace("127.0.0.1", "localhost")]), &[]);
    }
    assert_eq!(found(&doctor(&["::1"]).json(), "address"), "[::1]:7946");
}

#[test]
fn a_key_or_label_for_a_node_that_has_none_is_found_and_the_rest_is_checked_without() {
    for binary in binaries() {
        let node = Agent::start(&binary, "one", &[]);
        let report = assert_failed(&doctor(&["-encrypt", KEY, &node.bind]), &["key"]);
        assert!(found(&report, "udp").starts_with("5 of 5"));
        assert_failed(&doctor(&["-label=dc1", &node.bind]), &["label"]);
        assert_failed(&doctor(&["-label=dc1", "-encrypt", KEY, &node.bind]), &["label", "key"]);
    }
}

#[test]
fn a_label_must_be_the_nodes() {
    let mut options =
        Options::local("embedded").with(|options| options.bind = "127.0.0.1:0".parse().expect("is an address"));
    options.protocol.transport.label = "dc1".into();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("can be built");
    let node = {
        let _within = runtime.enter();
        Serf::start(options).expect("starts")
    };
    thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
    let address = node.bound_addr().to_string();
    let report = assert_failed(&doctor(&["-label=dc1", &address]), &[]);
    assert_eq!(report["node"], "embedded");
    assert_failed(&doctor(&[&address]), &["label"]);
    assert_failed(&doctor(&["-label=dc2", &address]), &["label"]);
}

#[test]
fn where_nothing_listens_both_protocols_fail() {
    let report = assert_failed(&doctor(&[&super::lab::free_address()]), &["tcp", "udp"]);
    assert!(found(&report, "tcp").starts_with("nothing listens on TCP port"));
    assert!(found(&report, "udp").starts_with("nothing listens on UDP port"));
    let report = assert_failed(&doctor(&["nobody.invalid"]), &["address"]);
    assert_eq!(found(&report, "address"), "lookup nobody.invalid: no such host");
}

/// Forwards TCP to an agent; UDP to its port is dropped, as behind a firewall.
fn tcp_only(agent: &Agent) -> (String, UdpSocket) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("is bound");
    // Bound and never read: packets vanish without an error.
    let hole = UdpSocket::bind(address).expect("is free");
    let to = agent.bind.clone();
    thread::spawn(move || {
        for from in listener.incoming().map_while(Result::ok) {
            let Ok(to) = TcpStream::connect(&to) else { return };
            for (mut from, mut to) in [(from.try_clone(), to.try_clone()), (to.try_clone(), from.try_clone())]
                .map(|(from, to)| (from.expect("can be cloned"), to.expect("can be cloned")))
            {
                thread::spawn(move || {
                    let mut piece = [0; 4096];
                    while let Ok(len @ 1..) = from.read(&mut piece) {
                        if to.write_all(&piece[..len]).is_err() {
                            return;
                        }
                    }
                    _ = to.shutdown(Shutdown::Write);
                });
            }
        }
    });
    (address.to_string(), hole)
}

#[test]
fn blocked_udp_is_distinguished_from_a_node_that_is_down() {
    for binary in binaries() {
        let node = Agent::start(&binary, "one", &[]);
        let (address, _hole) = tcp_only(&node);
        let report = assert_failed(&doctor(&[&address]), &["udp"]);
        assert_eq!(found(&report, "udp"), "no answer, although TCP works");
        assert_eq!(found(&report, "tcp"), "connected; states exchanged");
    }
}

/// Forwards UDP to an agent and back, except packets longer than `bytes_max`; and TCP.
fn narrow(agent: &Agent, bytes_max: usize) -> String {
    let (address, outside) = tcp_only(agent);
    let inside = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    inside.connect(&agent.bind).expect("an address");
    let asker = std::sync::Arc::new(std::sync::Mutex::new(None));
    let (outside_too, inside_too, asker_too) =
        (outside.try_clone().expect("clones"), inside.try_clone().expect("clones"), std::sync::Arc::clone(&asker));
    thread::spawn(move || {
        let mut packet = [0; 65536];
        while let Ok((len, from)) = outside.recv_from(&mut packet) {
            *asker.lock().expect("no panic") = Some(from);
            if len <= bytes_max {
                _ = inside.send(&packet[..len]);
            }
        }
    });
    thread::spawn(move || {
        let mut packet = [0; 65536];
        loop {
            // The next call reports a peer that has gone.
            let Ok(len) = inside_too.recv(&mut packet) else { continue };
            if let Some(to) = *asker_too.lock().expect("no panic") {
                _ = outside_too.send_to(&packet[..len], to);
            }
        }
    });
    address
}

#[test]
fn packets_that_are_too_long_for_the_way_are_found() {
    for binary in binaries() {
        let node = Agent::start(&binary, "one", &[]);
        let report = assert_failed(&doctor(&[&narrow(&node, 1300)]), &["packet-size"]);
        assert_eq!(found(&report, "packet-size"), "packets of up to 1280 bytes are answered");
        assert!(found(&report, "name").contains(&format!("announced at {}", node.bind)), "the way is not the address");
    }
}

#[test]
fn an_rpc_address_and_other_services_are_recognised() {
    for binary in binaries() {
        let node = Agent::start(&binary, "one", &[]);
        let report = assert_failed(&doctor(&[&node.rpc]), &["gossip"]);
        assert_eq!(found(&report, "gossip"), "this is the address of an agent's RPC");
    }
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("is bound").to_string();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            _ = stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n");
        }
    });
    let report = assert_failed(&doctor(&[&address]), &["tcp", "udp"]);
    assert_eq!(found(&report, "tcp"), "the answer is not from a Serf node");
}

#[test]
fn a_node_that_accepts_and_stays_silent_does_not_hold_the_doctor_up() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let report = assert_failed(&doctor(&[&listener.local_addr().expect("is bound").to_string()]), &["tcp", "udp"]);
    assert_eq!(found(&report, "tcp"), "connected, but no reply within 2 s");
}

#[test]
fn the_agent_here_is_compared_with_the_node() {
    for binary in binaries() {
        let node = Agent::start(&binary, "one", &[]);
        let here = Agent::start(OURS, "two", &["-join", &node.bind]);
        node.wait_status("two", "alive");
        let report = assert_failed(&doctor(&["-rpc-addr", &here.rpc, &node.bind]), &[]);
        assert_eq!(found(&report, "agent"), "two and one know each other as alive");
        assert!(checks(&report, "ok").ends_with(&["agent".into(), "clock-agent".into(), "agent-udp".into()]));

        let stranger = Agent::start(OURS, "three", &[]);
        let report = assert_failed(&doctor(&["-rpc-addr", &stranger.rpc, &node.bind]), &["agent"]);
        assert_eq!(found(&report, "agent"), "the node does not know three");
        let twin = Agent::start(OURS, "two", &[]);
        let report = assert_failed(&doctor(&["-rpc-addr", &twin.rpc, &node.bind]), &["agent"]);
        assert!(found(&report, "agent").contains("which is not ours"));
    }
    let node = Agent::start(OURS, "one", &[]);
    assert_failed(&doctor(&["-rpc-addr=127.0.0.1:1", &node.bind]), &["agent"]);
}

#[test]
fn clocks_too_far_apart_for_events_to_arrive_are_found() {
    let node = Agent::start(OURS, "one", &[]);
    let here = Agent::start(OURS, "two", &[]);
    let mut client = serf_agent::rpc::Client::connect(&serf_agent::rpc::ClientOptions {
        address: node.rpc.clone(),
        ..Default::default()
    })
    .expect("lets us in");
    for _ in 0..600 {
        let event = serf_agent::rpc::UserEvent { name: "tick".into(), payload: None, coalesce: false };
        client.event(event).expect("is sent");
    }
    let report = assert_failed(&doctor(&["-rpc-addr", &here.rpc, &node.bind]), &["agent", "clock-agent"]);
    assert!(found(&report, "clock-agent").contains("events 600"), "{report:#}");
}

#[test]
fn arguments_that_make_no_sense_are_refused_before_anything_is_sent() {
    for (args, error) in [
        (vec![], "The gossip address of one node must be specified."),
        (vec!["-encrypt=zzz", "127.0.0.1"], "Invalid encryption key: "),
        (vec!["-encrypt", KEY, "-keyring-file=x", "127.0.0.1"], "Only one of -encrypt and -keyring-file allowed"),
        (vec!["-keyring-file=/none", "127.0.0.1"], "stat /none: no such file or directory"),
        (vec!["-timeout=0", "127.0.0.1"], "The timeout must be positive"),
    ] {
        let ran = doctor(&args);
        assert_eq!(ran.code, Some(1));
        assert!(ran.json()["error"].as_str().expect("is text").starts_with(error), "{}", ran.out);
    }
}
