//! Log lines of complaints. Uses HashiCorp's text where it has an equivalent line, because operators search for it.

use alloc::format;
use alloc::string::String;
use core::fmt::{self, Write as _};
use core::time::Duration;

use super::{ComplaintKind, Episode};
use crate::roster::acts;
use crate::stats::DropReason;
use crate::time::Instant;

/// A log line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    text: String,
}

impl Line {
    /// A new complaint: the problem, the peer, and advice.
    pub(super) fn opened(kind: ComplaintKind, episode: &Episode) -> Self {
        let advice = advice(kind);
        let text = match (episode.peer, kind) {
            (Some(peer), ComplaintKind::Refused(_) | ComplaintKind::Encrypted) => {
                // Ephemeral ports belong to clients and nothing listens there; without a port, `doctor` uses the
                // default.
                let listens = (1..EPHEMERAL_PORTS).contains(&peer.port());
                let doctor = if listens { format!("{peer}") } else { format!("{}", peer.ip()) };
                format!("{}: {advice}; see also: serf doctor {doctor}", headline(kind, episode))
            }
            (Some(peer), ComplaintKind::UdpBlocked | ComplaintKind::UdpIndirect | ComplaintKind::Exchange) => {
                format!("{}: {advice}; see also: serf doctor {peer}", headline(kind, episode))
            }
            (Some(_), _) => format!("{}: {advice}", headline(kind, episode)),
            (None, _) => {
                format!("{}: from now on those of all other peers are counted together", headline(kind, episode))
            }
        };
        Self { text }
    }

    /// A summary of a complaint that continues.
    pub(super) fn ongoing(kind: ComplaintKind, episode: &Episode, now: Instant) -> Self {
        let (count, since) = (episode.count, Seconds(now - episode.since));
        Self { text: format!("{}: still, {count} times in {since}", headline(kind, episode)) }
    }

    /// The end of a complaint.
    pub(super) fn resolved(kind: ComplaintKind, episode: &Episode, now: Instant) -> Self {
        let (count, lasted) = (episode.count, Seconds(episode.latest - episode.since));
        let mut text = format!("{}: over, ", headline(kind, episode));
        _ = if kind.ends_by_silence() || episode.peer.is_none() {
            write!(text, "none for {} ({count} times in {lasted} before)", Seconds(now - episode.latest))
        } else {
            write!(text, "it works again ({count} times in {} before)", Seconds(now - episode.since))
        };
        Self { text }
    }

    /// Logs the line. Always as a warning, so that the end is visible wherever the beginning is.
    pub(crate) fn log(&self) {
        tracing::warn!("{}", self.text);
    }

    #[cfg(test)]
    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

/// The problem and the peer, without punctuation at the end.
fn headline(kind: ComplaintKind, episode: &Episode) -> String {
    let (from, whom) = (Source(episode), MemberText(episode));
    let detail = Quoted(&episode.detail);
    match kind {
        ComplaintKind::Refused(DropReason::NotForUs) if episode.detail.is_empty() => {
            format!("Got ping for unexpected node {from}")
        }
        ComplaintKind::Refused(DropReason::NotForUs) => format!("Got ping for unexpected node '{detail}' {from}"),
        ComplaintKind::Refused(DropReason::NameConflict) if !episode.detail.is_empty() => {
            format!("Conflicting address for {detail} {from}")
        }
        ComplaintKind::Refused(DropReason::Versions | DropReason::Vetoed | DropReason::Network)
            if !episode.detail.is_empty() =>
        {
            format!("{detail} {from}")
        }
        ComplaintKind::Refused(reason) => format!("{} {from}", refusal(reason)),
        ComplaintKind::Encrypted => format!("Remote state is encrypted and encryption is not configured {from}"),
        ComplaintKind::UdpBlocked => {
            format!("Was able to connect to {whom} over TCP but UDP probes failed, network may be misconfigured")
        }
        ComplaintKind::UdpIndirect => format!("Probes of {whom} are answered only through other members"),
        ComplaintKind::Exchange => format!("Push/Pull with {whom} failed: {detail}"),
        ComplaintKind::Send => format!("Failed to send to {whom}: {detail}"),
        ComplaintKind::Receive => format!("Error reading UDP packet: {detail}"),
        ComplaintKind::Accept => format!("Error accepting TCP connection: {detail}"),
    }
}

const fn refusal(reason: DropReason) -> &'static str {
    match reason {
        DropReason::Key => "Decrypt packet failed: No installed keys could decrypt the message",
        DropReason::Unencrypted => "Decrypt packet failed: Encryption is configured but the message is not encrypted",
        DropReason::Label => "Discarding input with an unacceptable label",
        DropReason::Checksum => "Got invalid checksum for UDP packet",
        DropReason::Compound => "Failed to decode compound request",
        DropReason::Inflate => "Failed to decompress payload",
        DropReason::Malformed => "Failed to decode a message",
        DropReason::Codec => "Message in a codec that this node does not read",
        DropReason::Unexpected => "Message type not supported",
        DropReason::OutOfRange => "Refused an incarnation or Lamport time that is out of range",
        DropReason::Versions => "Protocol versions are incompatible",
        DropReason::Limit => "Dropped input that exceeds a limit",
        DropReason::NameConflict => "Conflicting address",
        DropReason::Vetoed => "Rejected by the policy of this node",
        DropReason::Network => "Blocked: the address is in none of the allowed networks",
        DropReason::NotForUs | DropReason::OldEvent => "Input dropped",
    }
}

/// Advice for the operator.
const fn advice(kind: ComplaintKind) -> &'static str {
    match kind {
        ComplaintKind::Refused(reason) => match reason {
            DropReason::Key => "its keys differ from ours; compare the keyrings, or keep it off this port",
            DropReason::Unencrypted => "give it the cluster's key, or keep it off this port",
            DropReason::Label => "it belongs to another cluster, or has a wrong label",
            DropReason::NotForUs => "another node had this address, or announces it; compare -advertise there",
            DropReason::OutOfRange => "that node, or the one whose state it repeats, is faulty; restart it",
            DropReason::Versions => "upgrade the older node; a memberlist node without Serf cannot join",
            DropReason::Limit => "input that is too large or too frequent is lost; see the counters 'dropped'",
            DropReason::NameConflict => "names must be unique; rename one of the two nodes",
            DropReason::Vetoed => "see the policy of this program",
            DropReason::Network => "add its network to cidrs_allowed if it is a member",
            _ => "it is not a Serf node, has another version, or its packets are damaged in transit",
        },
        ComplaintKind::Encrypted => "give this node the cluster's key",
        ComplaintKind::UdpBlocked | ComplaintKind::UdpIndirect => {
            "allow UDP in both directions, in firewalls, security groups and NAT of both hosts"
        }
        ComplaintKind::Exchange => "allow TCP to its gossip port, and compare keys, label and versions",
        ComplaintKind::Send => "see packet filter, routes and MTU of this host",
        ComplaintKind::Receive => "see the network interfaces of this host",
        ComplaintKind::Accept => "raise the limit of open files of this process",
    }
}

/// `from=10.0.0.1:7946 (name)`, in HashiCorp's format.
struct Source<'a>(&'a Episode);

impl fmt::Display for Source<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.peer {
            Some(peer) if peer.port() == 0 => write!(f, "from={}", peer.ip())?,
            Some(peer) => write!(f, "from={peer}")?,
            None => return f.write_str("from many addresses"),
        }
        match &self.0.member {
            Some(name) => write!(f, " ({})", Quoted(name)),
            None => Ok(()),
        }
    }
}

/// `name (10.0.0.1:7946)`.
struct MemberText<'a>(&'a Episode);

impl fmt::Display for MemberText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.0.member, self.0.peer) {
            (Some(name), Some(peer)) => write!(f, "{} ({peer})", Quoted(name)),
            (None, Some(peer)) => write!(f, "{peer}"),
            (_, None) => f.write_str("many members"),
        }
    }
}

/// Text from a peer, with control characters escaped, which must not reach a terminal.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(
            |char| {
                if acts(char) { write!(f, "{}", char.escape_debug()) } else { f.write_char(char) }
            },
        )
    }
}

/// First ephemeral port, on Linux.
const EPHEMERAL_PORTS: u16 = 32_768;

/// A duration in whole seconds.
struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} s", self.0.as_secs())
    }
}
