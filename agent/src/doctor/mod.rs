//! Diagnoses a node from outside, without becoming a member: what it needs of the network, the keys and the label, what
//! is wrong, and what to do about it.
//!
//! Leaves no trace. Over UDP it sends pings, which every node answers and none remembers; over TCP a push/pull that
//! lists no members, from which the node therefore learns none.

mod exchange;
mod layers;
mod local;
mod packets;
mod probe;
mod report;

use std::io;
use std::net::{Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use serf_tokio::serf_proto::diagnostics::State;
use serf_tokio::serf_proto::{EnvelopeConfig, Keyring, Label, Seed, Versions};

use self::exchange::{Exchange, View};
use self::packets::Pings;
use self::probe::Probe;
pub(crate) use self::report::{Report, Verdict};
use crate::config;
use crate::endpoint::go_words;
use crate::rpc::{Client, ClientOptions};

/// The node to diagnose, and the parameters.
#[derive(Debug)]
pub(crate) struct Examination {
    /// `host` or `host:port`.
    pub(crate) address: String,
    /// The keys to try, the primary one first.
    pub(crate) keyring: Keyring,
    pub(crate) label: Label,
    /// How long each step may take.
    pub(crate) timeout: Duration,
    /// An agent to compare the node with.
    pub(crate) local: Option<ClientOptions>,
}

impl Examination {
    /// Runs all checks that are possible.
    pub(crate) fn run(&self) -> Report {
        let mut report = Report::default();
        // A bare IPv6 address is not a host:port.
        let bracketed = self.address.parse::<Ipv6Addr>().map(|ip| format!("[{ip}]"));
        let to = match config::resolve_address(bracketed.as_ref().unwrap_or(&self.address)) {
            Ok(to) => to,
            Err(error) => {
                report.failed("address", error.to_string(), "Give host or host:port of the node's gossip address.");
                return report;
            }
        };
        report.ok("address", to.to_string());
        let ours =
            EnvelopeConfig { label: self.label.clone(), keyring: self.keyring.clone(), ..EnvelopeConfig::default() };
        let first = exchange::exchange(to, &ours, self.timeout);
        self.judge_tcp(&mut report, to, &first);
        if matches!(first, Exchange::Closed) && self.answers_rpc(to) {
            report.failed(
                "gossip",
                "this is the address of an agent's RPC",
                "Give the node's gossip address, 'Bind addr' in the agent's banner; the RPC address is for -rpc-addr.",
            );
            return report;
        }
        let (layers, seen) = layers::judge(&mut report, to, ours, first, self.timeout);
        let mut probe = match Probe::new(to, &layers) {
            Ok(probe) => probe,
            Err(error) => {
                report.failed("udp", go_words(&error), "See that this host has a route to the node.");
                return report;
            }
        };
        let view = match &seen {
            Exchange::View(view) => Some(view),
            _ => None,
        };
        let mut pings = Pings { probe: &mut probe, report: &mut report, timeout: self.timeout };
        if pings.answered(&seen) {
            pings.sizes();
            pings.unsolicited_packets();
            if let Some(view) = view {
                pings.identify(view, to);
            }
        }
        if let Some(view) = view {
            judge_versions(&mut report, view);
            judge_view(&mut report, view);
        }
        if let Some(options) = &self.local {
            local::compare(&mut report, view, options, self.timeout);
        }
        report
    }

    fn judge_tcp(&self, report: &mut Report, to: SocketAddr, seen: &Exchange) {
        let seconds = self.timeout.as_secs_f64();
        match seen {
            Exchange::Unreachable(error) if error.kind() == io::ErrorKind::ConnectionRefused => report.failed(
                "tcp",
                format!("nothing listens on TCP port {} of {}", to.port(), to.ip()),
                "Start the agent there; compare the address with 'Bind addr' in its banner, which must not be a loopback \
                 address for other hosts to reach.",
            ),
            Exchange::Unreachable(error) => report.failed(
                "tcp",
                format!("no connection within {seconds} s: {}", go_words(error)),
                "Let TCP pass to this port: joins, exchanges of whole states, and pings where UDP fails need it.",
            ),
            Exchange::Silent => report.failed(
                "tcp",
                format!("connected, but no reply within {seconds} s"),
                "See whether the process hangs or the host is overloaded, and whether this is the gossip port.",
            ),
            Exchange::Nonsense => report.failed(
                "tcp",
                "the answer is not from a Serf node",
                "Give the node's gossip address: 'Bind addr' in the agent's banner.",
            ),
            Exchange::Closed => report.ok("tcp", "connected; closed without a reply"),
            Exchange::Complaint(_) | Exchange::Sealed => report.ok("tcp", "connected; the node replies"),
            Exchange::View(_) => report.ok("tcp", "connected; states exchanged"),
        }
    }

    fn answers_rpc(&self, to: SocketAddr) -> bool {
        let (address, timeout) = (to.to_string(), self.timeout);
        let options =
            ClientOptions { address, dial_timeout: timeout, reply_timeout: timeout, ..ClientOptions::default() };
        TcpStream::connect_timeout(&to, timeout).is_ok() && Client::connect(&options).is_ok()
    }
}

/// Whether the protocol versions admit a node of this program. Checks every live member, since a join through any of
/// them checks all.
fn judge_versions(report: &mut Report, view: &View) {
    let ours = Versions::HASHICORP;
    let live = || view.members.iter().filter(|member| matches!(member.state, State::Alive | State::Suspect));
    let found = live().find_map(|member| {
        let (theirs, name) = (member.versions, &member.name);
        if let Some(what) = ours.incompatible(theirs) {
            let (layer, (min, max)) = layer(theirs, what.is_delegate);
            let (least, most) = what.understood;
            let is_none = if what.is_delegate && max == 0 { ": it is not a Serf node" } else { "" };
            return Some(format!(
                "{name} speaks {layer} versions {min} to {max}, Serf needs {least} to {most}{is_none}"
            ));
        }
        let what = theirs.incompatible(ours)?;
        let (layer, (min, max)) = layer(theirs, what.is_delegate);
        Some(format!("{name} understands {layer} versions {min} to {max}, Serf speaks {}", what.spoken))
    });
    match found {
        None => report.ok("versions", format!("{} live members speak what Serf's nodes understand", live().count())),
        Some(found) => {
            let advice = "No Serf node can join while it is a member. Upgrade it, give agents the -protocol that it \
                          understands, or give the address of a Serf node.";
            report.failed("versions", found, advice);
        }
    }
}

/// The name of one of the two protocol layers, and the least and greatest version that a node supports of it.
const fn layer(of: Versions, is_delegate: bool) -> (&'static str, (u8, u8)) {
    if is_delegate {
        ("delegate", (of.delegate_min(), of.delegate_max()))
    } else {
        ("protocol", (of.protocol_min(), of.protocol_max()))
    }
}

/// Reports the node's view of its cluster. Wall clocks are never sent; members share Lamport clocks.
fn judge_view(report: &mut Report, view: &View) {
    let [alive, suspect, dead, left] =
        [State::Alive, State::Suspect, State::Dead, State::Left].map(|it| view.count(it));
    let found = format!("{alive} alive, {suspect} suspected, {dead} failed, {left} left, as the node sees it");
    if suspect + dead == 0 {
        report.ok("members", found);
    } else {
        let names: Vec<_> =
            view.members.iter().filter(|member| matches!(member.state, State::Suspect | State::Dead)).collect();
        let names: Vec<_> = names.iter().take(NAMES_MAX).map(|member| member.name.as_str()).collect();
        let advice = format!("Ask its agent why: 'serf why NAME', for {}.", names.join(", "));
        report.note("members", found, advice);
    }
    match view.clocks {
        Some(clocks) => {
            let (member, event, query) = (clocks.member, clocks.event, clocks.query);
            report.ok("clock", format!("Lamport times: members {member}, events {event}, queries {query}"));
        }
        None => report.note(
            "clock",
            "the node sends no Lamport clocks",
            "It is a memberlist node without Serf: events and queries will not reach it.",
        ),
    }
}

/// A seed that does not repeat.
fn fresh_seed() -> Seed {
    let mut bytes = [0; 32];
    // Without entropy encryption fails as well, but diagnosing an unencrypted node is harmless.
    _ = getrandom::fill(&mut bytes);
    Seed::from_bytes(bytes)
}

/// Number of names printed as examples.
const NAMES_MAX: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    fn versions(of: &[[u8; 6]]) -> Report {
        let member = |(at, versions): (u8, &[u8; 6])| exchange::Seen {
            name: format!("n{at}"),
            addr: SocketAddr::from(([10, 0, 0, at], 7946)),
            state: State::Alive,
            versions: Versions::from_bytes(*versions),
        };
        let mut report = Report::default();
        judge_versions(&mut report, &View { members: (1..).zip(of).map(member).collect(), clocks: None });
        report
    }

    #[test]
    fn a_node_through_which_no_serf_node_can_join_is_not_well() {
        const SERF: [u8; 6] = [1, 5, 2, 2, 5, 5];
        let found = |of: &[[u8; 6]]| {
            let report = versions(of);
            (report.is_healthy(), report.findings[0].found.clone())
        };
        assert!(found(&[SERF, [1, 5, 2, 2, 6, 5], [1, 4, 2, 2, 5, 4]]).0);
        let alertmanager = "n2 speaks delegate versions 0 to 0, Serf needs 2 to 5: it is not a Serf node";
        assert_eq!(found(&[SERF, [1, 5, 2, 0, 0, 0]]), (false, alertmanager.into()));
        let newer = "n1 speaks delegate versions 6 to 9, Serf needs 2 to 5";
        assert_eq!(found(&[[1, 5, 2, 6, 9, 9]]), (false, newer.into()));
        let strict = "n1 understands protocol versions 3 to 5, Serf speaks 2";
        assert_eq!(found(&[[3, 5, 3, 2, 5, 5]]), (false, strict.into()));
        let older = "n1 understands delegate versions 2 to 4, Serf speaks 5";
        assert_eq!(found(&[[1, 4, 2, 2, 4, 4]]), (false, older.into()));
    }
}
