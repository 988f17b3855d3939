//! Complaints: a rate-limited log of problems with peers and the paths to them.
//!
//! Counters show how much input was dropped, but not from where. Operators look into the log first, for an address and
//! for advice. HashiCorp's: one line per packet. Ours: per peer and kind of complaint, a warning when it begins,
//! summaries with a count while it lasts, and a line when it ends. The table is bounded against floods of forged
//! sources; complaints beyond the limit are counted together.
//!
//! Does not change what a node does or sends. Time is [`Core::now`](crate::core::Core).

mod words;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

pub(crate) use self::words::Line;
use serde::{Deserialize, Serialize};

use crate::limits::{COMPLAINT_DETAIL_BYTES_MAX, COMPLAINT_PEERS_MAX, COMPLAINT_PEERS_OF_ONE_KIND_MAX};
use crate::roster::{MemberIdx, Roster};
use crate::stats::DropReason;
use crate::time::Instant;
use crate::types::Name;

/// Kind of a complaint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ComplaintKind {
    /// The peer's input is dropped.
    Refused(DropReason),
    /// The peer encrypts, and this node has no key.
    Encrypted,
    /// The member acks pings on streams but not in datagrams: UDP is blocked in one or both directions.
    UdpBlocked,
    /// The member acks through helpers, and has not acked a direct ping for a while: UDP is blocked between it and this
    /// node.
    UdpIndirect,
    /// Push/pull with a live member fails: TCP is blocked, or the member refuses.
    Exchange,
    /// The operating system fails to send to the peer.
    Send,
    /// The operating system fails to receive.
    Receive,
    /// The operating system fails to accept streams.
    Accept,
}

impl ComplaintKind {
    /// Whether silence ends the complaint. A member of a large cluster is probed so rarely that only a successful probe
    /// can end the others.
    const fn ends_by_silence(self) -> bool {
        !matches!(self, Self::UdpBlocked | Self::UdpIndirect | Self::Exchange)
    }
}

/// An open complaint.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Complaint {
    /// Kind of the complaint.
    pub kind: ComplaintKind,
    /// The peer, with port 0 if only the host is known; `None`: all peers beyond the table's limit.
    pub peer: Option<SocketAddr>,
    /// The member at this address.
    pub member: Option<Name>,
    /// Time of the first occurrence.
    pub since: Instant,
    /// Number of occurrences: packets, streams or probes.
    pub count: u64,
}

/// The address of a peer. Streams come from ephemeral ports, so dropped input is counted by host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PeerAt {
    pub(crate) addr: SocketAddr,
    /// Whether the port identifies the peer: packets are sent from the listening port, streams are not.
    pub(crate) listens: bool,
}

impl PeerAt {
    fn host(self) -> SocketAddr {
        SocketAddr::new(self.addr.ip(), 0)
    }
}

/// State of an open complaint.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Episode {
    peer: Option<SocketAddr>,
    member: Option<Name>,
    detail: Box<str>,
    since: Instant,
    latest: Instant,
    count: u64,
    /// Number of occurrences at the last log line.
    reported: u64,
    report_at: Instant,
    pause: Duration,
}

impl Episode {
    fn over_at(&self, kind: ComplaintKind) -> Instant {
        if self.peer.is_none() || kind.ends_by_silence() { self.latest + SILENCE } else { Instant::MAX }
    }

    fn next(&self, kind: ComplaintKind) -> Instant {
        let report_at = if self.count > self.reported { self.report_at } else { Instant::MAX };
        report_at.min(self.over_at(kind))
    }
}

/// All open complaints.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Complaints {
    /// By kind and host or address; `None` for peers beyond the limit.
    open: BTreeMap<(ComplaintKind, Option<SocketAddr>), Episode>,
    /// Time of the next possible log line; `None` without complaints.
    due: Option<Instant>,
    /// Members whose latest probes were acked only through helpers, with the number of such probes in a row.
    indirect: Vec<(MemberIdx, u8)>,
}

impl Complaints {
    /// Counts an occurrence. Returns a line if it is the first.
    pub(crate) fn note(
        &mut self,
        now: Instant,
        kind: ComplaintKind,
        peer: PeerAt,
        detail: &str,
        roster: &Roster,
    ) -> Option<Line> {
        let key =
            if matches!(kind, ComplaintKind::Refused(_) | ComplaintKind::Encrypted) { peer.host() } else { peer.addr };
        let mut key = (kind, Some(key));
        // The table is full: count it together with others.
        if !self.open.contains_key(&key) && !self.has_room(kind) {
            key.1 = None;
        }
        if let Some(episode) = self.open.get_mut(&key) {
            episode.count += 1;
            episode.latest = now;
            self.due = self.due.map(|due| due.min(episode.next(kind)));
            return None;
        }
        let (peer, member) = match key.1 {
            Some(_) => peer_of(peer, roster),
            None => (None, None),
        };
        let (detail, pause) = (shortened(detail).into(), PAUSE_LEAST);
        let episode = Episode {
            peer,
            member,
            detail,
            since: now,
            latest: now,
            count: 1,
            reported: 1,
            report_at: now + pause,
            pause,
        };
        let next = episode.next(kind);
        self.due = Some(self.due.map_or(next, |due| due.min(next)));
        let line = Line::opened(kind, &episode);
        self.open.insert(key, episode);
        Some(line)
    }

    /// Whether a peer may have its own entry. While a shared entry for this kind exists, new peers join it, so that a
    /// flood of forged sources causes no new lines as old entries end.
    fn has_room(&self, kind: ComplaintKind) -> bool {
        let of_kind = self.open.range((kind, None)..).take_while(|((of, _), _)| *of == kind).count();
        of_kind < COMPLAINT_PEERS_OF_ONE_KIND_MAX
            && self.open.len() < COMPLAINT_PEERS_MAX
            && !self.open.contains_key(&(kind, None))
    }

    /// Ends a complaint that was seen to be resolved. Returns the line that reports it.
    pub(crate) fn withdraw(&mut self, now: Instant, kind: ComplaintKind, peer: SocketAddr) -> Option<Line> {
        let episode = self.open.remove(&(kind, Some(peer)))?;
        Some(Line::resolved(kind, &episode, now))
    }

    /// Drops the complaints about the path to a member that is gone. Its failure has a log line of its own.
    pub(crate) fn forget(&mut self, peer: SocketAddr) {
        self.open.retain(|(kind, of), _| kind.ends_by_silence() || *of != Some(peer));
    }

    /// Whether [`sweep`](Self::sweep) is due.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.due.is_some_and(|due| due <= now)
    }

    /// Emits the lines that are due: summaries, and the end of complaints that stayed silent.
    pub(crate) fn sweep(&mut self, now: Instant, mut say: impl FnMut(&Line)) {
        let mut due: Option<Instant> = None;
        self.open.retain(|&(kind, _), episode| {
            if episode.over_at(kind) <= now {
                say(&Line::resolved(kind, episode, now));
                return false;
            }
            if episode.count > episode.reported && episode.report_at <= now {
                say(&Line::ongoing(kind, episode, now));
                episode.reported = episode.count;
                // Exponential back-off of the summaries.
                episode.pause = (episode.pause * 2).min(PAUSE_MOST);
                episode.report_at = now + episode.pause;
            }
            let next = episode.next(kind);
            due = Some(due.map_or(next, |due| due.min(next)));
            true
        });
        self.due = due;
    }

    /// Records an acked probe, direct or through a helper. Returns whether so many in a row needed a helper that direct
    /// pings seem to be blocked.
    pub(crate) fn probe_answered(&mut self, member: MemberIdx, is_direct: bool) -> bool {
        let at = self.indirect.iter().position(|(of, _)| *of == member);
        match (at, is_direct) {
            // One direct ack ends the row: datagrams pass.
            (Some(at), true) => _ = self.indirect.remove(at),
            (None, true) => {}
            (Some(at), false) => {
                self.indirect[at].1 = self.indirect[at].1.saturating_add(1);
                return self.indirect[at].1 >= INDIRECT_IN_A_ROW;
            }
            (None, false) => {
                // Evicts the longest watched; a member with lasting trouble comes back with its next probe.
                if self.indirect.len() == INDIRECT_MEMBERS_MAX {
                    self.indirect.remove(0);
                }
                self.indirect.push((member, 1));
            }
        }
        false
    }

    /// Whether there is no complaint.
    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty() && self.indirect.is_empty()
    }

    /// All open complaints.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Complaint> + '_ {
        self.open.iter().map(|(&(kind, _), episode)| Complaint {
            kind,
            peer: episode.peer,
            member: episode.member.clone(),
            since: episode.since,
            count: episode.count,
        })
    }
}

/// The address to display, and the member at it. Linear in the number of members; called only when a complaint begins.
fn peer_of(peer: PeerAt, roster: &Roster) -> (Option<SocketAddr>, Option<Name>) {
    let members = || (0..).take(roster.len()).filter_map(|idx| roster.peer(MemberIdx(idx)));
    if let Some(member) = members().find(|member| member.addr() == peer.addr) {
        return (Some(peer.addr), Some(member.shared_name()));
    }
    let mut of_host = members().filter(|member| member.addr().ip() == peer.addr.ip());
    let only = of_host.next().filter(|_| of_host.next().is_none());
    // Behind an ephemeral port, the only member of that host is the peer.
    let addr = match only {
        Some(member) if !peer.listens => member.addr(),
        _ if peer.listens => peer.addr,
        _ => peer.host(),
    };
    (Some(addr), only.map(|member| member.shared_name()))
}

fn shortened(detail: &str) -> &str {
    let end = (0..=COMPLAINT_DETAIL_BYTES_MAX.min(detail.len())).rev().find(|&end| detail.is_char_boundary(end));
    &detail[..end.unwrap_or_default()]
}

/// Silence that ends a complaint. Longer than the intervals of joins and push/pulls.
const SILENCE: Duration = Duration::from_secs(120);

/// Time to the first summary; each later pause is twice as long.
const PAUSE_LEAST: Duration = Duration::from_secs(60);

/// Maximum pause between summaries.
const PAUSE_MOST: Duration = Duration::from_secs(3600);

/// Number of indirect acks in a row that indicate blocked UDP. At 10 % packet loss a direct ping fails once in five
/// times, and this many in a row once in a thousand.
const INDIRECT_IN_A_ROW: u8 = 4;

/// Members tracked for indirect acks. At the limit the oldest is evicted.
const INDIRECT_MEMBERS_MAX: usize = 32;

#[cfg(test)]
mod tests;
