//! Discovery by mDNS, on real multicast: skipped, with a message, where this host has none.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use simple_dns::rdata::{A, PTR, RData, SRV};
use simple_dns::{CLASS, Name, Packet, ResourceRecord};
use socket2::{Domain, Socket, Type};

use crate::ports::free_at;
use crate::process::{Agent, eventually};

const LOOPBACK: &str = if cfg!(target_os = "macos") { "lo0" } else { "lo" };

/// Whether a packet for the mDNS group is received on the interface of `ip`.
fn has_multicast(ip: Ipv4Addr) -> bool {
    let group = Ipv4Addr::new(224, 0, 0, 251);
    let probe = || {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.set_read_timeout(Some(Duration::from_secs(2)))?;
        socket.join_multicast_v4(&group, &ip)?;
        let sender = UdpSocket::bind((ip, 0))?;
        sender.send_to(b"probe", (group, socket.local_addr()?.port()))?;
        socket.recv(&mut [0; 9])
    };
    let has = probe().is_ok();
    if !has {
        eprintln!("NOT RUN: no multicast on the interface of {ip}");
    }
    has
}

/// A name unique to this test and this run.
fn cluster(test: &str) -> String {
    format!("-discover=serf-test-{}-{test}", std::process::id())
}

fn alive(agent: &Agent) -> usize {
    let members = agent.client().members().expect("answers");
    members.iter().filter(|member| member.status == "alive").count()
}

#[test]
fn agents_of_one_cluster_find_each_other_and_no_others() {
    if !has_multicast(Ipv4Addr::LOCALHOST) {
        return;
    }
    let iface = format!("-iface={LOOPBACK}");
    let start = |name: &str, cluster: &str| Agent::start(&[&format!("-node={name}"), cluster, &iface]);
    let (here, there) = (cluster("here"), cluster("there"));
    let agents = [start("a", &here), start("b", &here)];
    let stranger = start("c", &there);
    assert!(
        agents[0].output().contains(&format!("                   mDNS cluster: {}\n", &here["-discover=".len()..]))
    );
    for agent in &agents {
        eventually("two members", || (alive(agent) == 2).then_some(()));
    }
    eventually("a word about it", || {
        agents.iter().any(|agent| agent.output().contains("[INFO] agent.mdns: Joined 1 hosts")).then_some(())
    });
    assert_eq!(alive(&stranger), 1);
}

/// An interface on which a packet for the mDNS group is received over IPv6.
fn multicast_v6() -> Option<String> {
    let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb);
    let works = |index: u32| {
        let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))?;
        socket.set_read_timeout(Some(Duration::from_secs(2)))?;
        socket.join_multicast_v6(&group, index)?;
        socket.send_to(b"probe", SocketAddrV6::new(group, socket.local_addr()?.port(), 0, index))?;
        socket.recv(&mut [0; 9])
    };
    let interfaces = if_addrs::get_if_addrs().expect("can be listed");
    let of_ipv6 = interfaces.into_iter().filter(|interface| interface.ip().is_ipv6());
    let found = of_ipv6.filter(|interface| interface.index.is_some_and(|index| works(index).is_ok()));
    found.map(|interface| interface.name).next()
}

#[test]
fn either_of_ipv4_and_ipv6_is_enough() {
    let v4 = has_multicast(Ipv4Addr::LOCALHOST).then(|| LOOPBACK.to_owned());
    for (without, interface) in [("ipv6", v4), ("ipv4", multicast_v6())] {
        let Some(interface) = interface else {
            eprintln!("NOT RUN: no multicast without {without}");
            continue;
        };
        let (cluster, interface) = (cluster(without), format!("-mdns-iface={interface}"));
        let off = format!("-mdns-disable-{without}");
        let agents = ["a", "b"].map(|name| Agent::start(&[&format!("-node={name}"), &cluster, &interface, &off]));
        for agent in &agents {
            eventually("two members", || (alive(agent) == 2).then_some(()));
        }
    }
}

/// Answers all questions for `cluster` on the loopback interface with a member at `addr`, until the test ends.
fn announce(cluster: &str, addr: SocketAddr) {
    let group = Ipv4Addr::new(224, 0, 0, 251);
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).expect("can be made");
    socket.set_reuse_address(true).expect("is set");
    socket.bind(&SocketAddr::from((group, 5353)).into()).expect("is shared");
    socket.join_multicast_v4(&group, &Ipv4Addr::LOCALHOST).expect("has multicast");
    let socket = UdpSocket::from(socket);
    let IpAddr::V4(ip) = addr.ip() else { panic!("is no IPv4") };
    let kind = format!("_serf_{cluster}._tcp.local");
    let instance = format!("member.{kind}");
    let mut packet = Packet::new_reply(0);
    let mut add = |name: &str, data: RData<'static>| {
        let name = Name::new(name).expect("is a name").into_owned();
        packet.answers.push(ResourceRecord::new(name, CLASS::IN, 120, data));
    };
    let name = |text: &str| Name::new(text).expect("is a name").into_owned();
    add(&kind, RData::PTR(PTR(name(&instance))));
    add(&instance, RData::SRV(SRV { priority: 10, weight: 1, port: addr.port(), target: name("host") }));
    add("host", RData::A(A { address: ip.to_bits() }));
    let answer = packet.build_bytes_vec().expect("can be built");
    let asked = cluster.to_owned().into_bytes();
    std::thread::spawn(move || {
        let mut packet = [0; 9000];
        while let Ok((length, from)) = socket.recv_from(&mut packet) {
            if packet[..length].windows(asked.len()).any(|part| part == asked) {
                _ = socket.send_to(&answer, from);
            }
        }
    });
}

#[test]
fn a_failed_join_is_retried_until_it_succeeds() {
    if !has_multicast(Ipv4Addr::LOCALHOST) {
        return;
    }
    let cluster = cluster("again");
    let port = free_at(Ipv4Addr::LOCALHOST.into());
    announce(&cluster["-discover=".len()..], port);
    let agent = Agent::start(&["-node=b", &cluster, &format!("-iface={LOOPBACK}")]);
    agent.wait("[ERR] agent.mdns: Failed to join:");
    // This agent runs no discovery of its own.
    let _member = Agent::start(&["-node=c", &format!("-bind={port}")]);
    eventually("two members", || (alive(&agent) == 2).then_some(()));
}

#[test]
fn an_agent_does_not_start_when_discovery_cannot_work() {
    let mut agent = Agent::spawn("127.0.0.1:0", &[&cluster("none"), "-mdns-disable-ipv4", "-mdns-disable-ipv6"]);
    assert_eq!(agent.exit_code(), 1);
    agent.wait("==> Error starting mDNS listener: both IPv4 and IPv6 are disabled");
}

/// HashiCorp's agent, killed on drop.
struct Reference(Child);

impl Drop for Reference {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

#[test]
fn hashicorps_agent_finds_ours_and_ours_finds_it() {
    let reference = std::env::var_os("SERF_REFERENCE").unwrap_or_else(|| "/usr/bin/serf".into());
    if !Path::new(&reference).exists() {
        return eprintln!("NOT RUN: {} is not installed", Path::new(&reference).display());
    }
    let interfaces = if_addrs::get_if_addrs().expect("can be listed");
    let ip = interfaces.iter().find_map(|interface| match interface.ip() {
        IpAddr::V4(ip) if !ip.is_loopback() && !ip.is_link_local() => Some(ip),
        _ => None,
    });
    let Some(ip) = ip.filter(|ip| has_multicast(*ip)) else {
        return eprintln!("NOT RUN: HashiCorp's agent discovers on no loopback interface");
    };
    let (bind, ours_first, theirs_first) = (format!("-bind={ip}:0"), cluster("ours"), cluster("theirs"));
    let ours = |cluster: &str| Agent::start(&["-node=ours", &bind, cluster]);
    let theirs = |cluster: &str| {
        let bind = format!("-bind={}", free_at(ip.into()));
        let mut command = Command::new(&reference);
        command.args(["agent", "-node=theirs", &bind, "-rpc-addr=127.0.0.1:0", cluster]);
        Reference(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("can be started"))
    };
    let one = ours(&ours_first);
    let _two = theirs(&ours_first);
    let _three = theirs(&theirs_first);
    let four = ours(&theirs_first);
    for agent in [&one, &four] {
        eventually("two members", || (alive(agent) == 2).then_some(()));
    }
}
