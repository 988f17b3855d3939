//! The checks that use pings.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serf_tokio::serf_proto::diagnostics::State;

use super::exchange::{Exchange, Seen, View};
use super::probe::Probe;
use super::report::Report;

/// The checks over UDP.
pub(super) struct Pings<'a> {
    pub(super) probe: &'a mut Probe,
    pub(super) report: &'a mut Report,
    pub(super) timeout: Duration,
}

impl Pings<'_> {
    /// Whether the node answers, what share of pings, and how fast.
    pub(super) fn answered(&mut self, seen: &Exchange) -> bool {
        let mut times = Vec::new();
        let mut elsewhere = None;
        let to = self.probe.to();
        for _ in 0..PINGS {
            let started = Instant::now();
            let Ok(seq) = self.probe.ping("", 0) else { continue };
            if let Some((_, from)) = self.await_ack(&[seq], started + self.timeout / PINGS) {
                times.push(started.elapsed());
                elsewhere = elsewhere.or_else(|| (from != to).then_some(from));
            }
        }
        if let Some(from) = elsewhere {
            let advice = "The host has several addresses: bind the agent to one of them, or NAT is in between.";
            self.report.note("udp-source", format!("answers come from {from}"), advice);
        }
        times.sort_unstable();
        let Some(median) = times.get(times.len() / 2) else {
            self.no_answer(seen);
            return false;
        };
        let found =
            format!("{} of {PINGS} pings answered, {:.3} ms in the middle", times.len(), median.as_secs_f64() * 1e3);
        if times.len() < PINGS as usize {
            let advice = "Packets get lost or the node is slow. Members bear some of that, at the price of false suspicion; \
                          see 'health_score' in 'serf info'.";
            self.report.note("udp", found, advice);
        } else {
            self.report.ok("udp", found);
        }
        true
    }

    fn no_answer(&mut self, seen: &Exchange) {
        let port = self.probe.to().port();
        if self.probe.unreadable > 0 {
            let found = "it understands what was given, and answers under another key, its primary one";
            return self.report.unknown("udp", found);
        }
        match seen {
            Exchange::Sealed | Exchange::Closed | Exchange::Complaint(_) => {
                self.report.unknown("udp", "no answer, as is to be expected with a wrong key or label");
            }
            _ if self.probe.is_refused(self.timeout / PINGS) => {
                let advice = "Start the agent there; a node listens on TCP and UDP of one port.";
                self.report.failed("udp", format!("nothing listens on UDP port {port}"), advice);
            }
            Exchange::View(_) => {
                let advice = format!(
                    "Let UDP pass to port {port} and its answers back, in firewalls, security groups and NAT. TCP alone keeps \
                     members from failing, but gossip, events and queries go over UDP."
                );
                self.report.failed("udp", "no answer, although TCP works", advice);
            }
            _ => {
                let advice = format!("See that the node runs and that UDP passes to port {port} and back.");
                self.report.failed("udp", "no answer", advice);
            }
        }
    }

    /// The largest packet that reaches the node.
    pub(super) fn sizes(&mut self) {
        let mut open: BTreeMap<u32, usize> = BTreeMap::new();
        let mut passed = Vec::new();
        for _ in 0..TRIES {
            for bytes in SIZES {
                if passed.contains(&bytes) {
                    continue;
                }
                if let Ok(seq) = self.probe.ping("", bytes) {
                    open.insert(seq, bytes);
                }
            }
            let until = Instant::now() + self.timeout / TRIES;
            while passed.len() < SIZES.len()
                && let Some(heard) = self.probe.next(until)
            {
                if let Some(&bytes) = open.get(&heard.seq)
                    && !passed.contains(&bytes)
                {
                    passed.push(bytes);
                }
            }
        }
        // A larger size counts only if all smaller ones pass: fragments arrive by chance.
        let largest = SIZES.into_iter().take_while(|bytes| passed.contains(bytes)).last().unwrap_or_default();
        let found = format!("packets of up to {largest} bytes are answered");
        if largest >= GOSSIP_BYTES_MAX {
            self.report.ok("packet-size", found);
        } else {
            let advice = format!(
                "Gossip packets have up to {GOSSIP_BYTES_MAX} bytes. Raise the MTU on the way (tunnels and overlays lower it), or let \
                 fragments and ICMP 'fragmentation needed' pass."
            );
            self.report.failed("packet-size", found, advice);
        }
    }

    /// Whether unsolicited packets of the node reach this host, as packets of members must: the node is pinged from one
    /// socket and answers to another, which has sent it nothing. A firewall or NAT that admits only replies blocks
    /// that.
    ///
    /// Members would send an indirect ping, but our nodes accept those from members only.
    pub(super) fn unsolicited_packets(&mut self) {
        let advice =
            "Let UDP pass from the node to this host. If this host is behind NAT, members here need -advertise.";
        let Ok(mut back) = self.probe.another() else {
            return self.report.unknown("udp-back", "the system gives no second socket");
        };
        let mut asked = Vec::new();
        for _ in 0..TRIES {
            asked.extend(self.probe.ping_answered_at(back.local));
            let until = Instant::now() + self.timeout / TRIES;
            while let Some(heard) = back.next(until) {
                if asked.contains(&heard.seq) {
                    let found = format!("the node sends to {} unasked, and it arrives", back.local);
                    return self.report.ok("udp-back", found);
                }
            }
        }
        let found = format!("the node was to answer at {}, and nothing arrived", back.local);
        self.report.failed("udp-back", found, advice);
    }

    /// Which member the node is, and whether it announces the address that we use. A node answers only pings with its
    /// own name.
    pub(super) fn identify(&mut self, view: &View, to: SocketAddr) {
        let live = view.members.iter().filter(|member| matches!(member.state, State::Alive | State::Suspect));
        // HashiCorp's nodes log pings with another name, so the other members are tried only if necessary, and not all
        // of a large cluster. NAT mostly keeps the port.
        let (here, mut elsewhere): (Vec<_>, Vec<_>) = live.partition(|member| member.addr == to);
        elsewhere.sort_by_key(|member| member.addr.port() != to.port());
        elsewhere.truncate(ELSEWHERE_MAX);
        let batches = here.chunks(BATCH).chain(elsewhere.chunks(BATCH));
        let mut tries = batches.flat_map(|batch| (0..TRIES).map(move |_| batch));
        let Some(node) = tries.find_map(|batch| self.find_member_there(batch)) else {
            return self.report.unknown(
                "name",
                "the node answers to none of the names that were tried; does it announce another address?",
            );
        };
        self.report.node = Some(node.name.clone());
        if node.addr == to {
            return self.report.ok("name", format!("{}, announced at this address", node.name));
        }
        let advice = format!(
            "Members talk to it at {}, not at the address given here: that one must be reachable from all of them. Set it with \
             -advertise.",
            node.addr
        );
        self.report.note("name", format!("{}, announced at {}", node.name, node.addr), advice);
    }

    /// Pings members by name at the node's address.
    fn find_member_there<'m>(&mut self, members: &[&'m Seen]) -> Option<&'m Seen> {
        let asked: Vec<(u32, &Seen)> =
            members.iter().filter_map(|member| Some((self.probe.ping(&member.name, 0).ok()?, *member))).collect();
        let seqs: Vec<u32> = asked.iter().map(|(seq, _)| *seq).collect();
        let (seq, _) = self.await_ack(&seqs, Instant::now() + self.timeout / TRIES)?;
        asked.into_iter().find(|(asked, _)| *asked == seq).map(|(_, member)| member)
    }

    fn await_ack(&mut self, seqs: &[u32], until: Instant) -> Option<(u32, SocketAddr)> {
        while let Some(heard) = self.probe.next(until) {
            if seqs.contains(&heard.seq) {
                return Some((heard.seq, heard.from));
            }
        }
        None
    }
}

/// Pings sent to measure packet loss.
const PINGS: u32 = 5;

/// Tries of every other check.
const TRIES: u32 = 3;

/// How many members are pinged by name at once.
const BATCH: usize = 32;

/// How many members that announce another address are pinged by name at the node's address.
const ELSEWHERE_MAX: usize = 64;

/// The longest packet of members: memberlist's 1400 bytes, which it exceeds by up to 7.
const GOSSIP_BYTES_MAX: usize = 1407;

/// 1472 fills an Ethernet frame; what is longer goes in fragments, as large user events do.
const SIZES: [usize; 7] = [256, 512, 1024, 1280, GOSSIP_BYTES_MAX, 1472, 9000];
