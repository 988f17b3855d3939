//! What is wrong with a peer or with the way to it, as few lines of log.
//!
//! Counters say how much was refused, but not from where; an operator looks into the log first, for an address and for what to
//! do. HashiCorp's logs a line per packet. Ours, for each pair of complaint and peer: one warning when it begins, a summary with
//! a count while it lasts, one line when it is over. A flood of forged sources fills a bounded table; what is beyond it is
//! counted together.
//!
//! Nothing here changes what a node does or sends, and time is [`Core::now`](crate::core::Core).

mod words;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

pub(crate) use self::words::Line;
use crate::limits::{COMPLAINT_DETAIL_BYTES_MAX, COMPLAINT_PEERS_MAX, COMPLAINT_PEERS_OF_ONE_KIND_MAX};
use crate::roster::{MemberIdx, Roster};
use crate::stats::DropReason;
use crate::time::Instant;
use crate::types::Name;

/// What is complained of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ComplaintKind {
    /// What the peer sends is refused.
    Refused(DropReason),
    /// The peer encrypts, and we have no key.
    Encrypted,
    /// The member answers pings on streams and none by datagrams: UDP is blocked one way or both.
    UdpBlocked,
    /// The member answers pings through other members, and has not answered a direct one for long: UDP is blocked between it
    /// and us.
    UdpIndirect,
    /// States cannot be exchanged with a member that is alive: TCP is blocked, or it refuses us.
    Exchange,
    /// The operating system refuses to send to the peer.
    Send,
    /// The operating system refuses to receive.
    Receive,
    /// The operating system refuses to accept streams.
    Accept,
}

impl ComplaintKind {
    /// Whether absence ends it. A member of a large cluster is probed so seldom that it is only over when a later probe succeeds.
    const fn ends_by_silence(self) -> bool {
        !matches!(self, Self::UdpBlocked | Self::UdpIndirect | Self::Exchange)
    }
}

/// A complaint that is not over.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Complaint {
    /// What is complained of.
    pub kind: ComplaintKind,
    /// The peer, with port 0 where only its host is known; `None`: all peers beyond the bound of the table.
    pub peer: Option<SocketAddr>,
    /// The member that has this address.
    pub member: Option<Name>,
    /// When it was noticed first.
    pub since: Instant,
    /// How often it was noticed: packets, streams, probes.
    pub count: u64,
}

/// Where a peer is. Each of its streams comes from another port, so that what is refused is counted by host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PeerAt {
    pub(crate) addr: SocketAddr,
    /// Whether the port says anything: a node sends its packets from the one at which it listens.
    pub(crate) listens: bool,
}

impl PeerAt {
    fn host(self) -> SocketAddr {
        SocketAddr::new(self.addr.ip(), 0)
    }
}

/// What is known of one complaint.
#[derive(Clone, Debug)]
struct Episode {
    peer: Option<SocketAddr>,
    member: Option<Name>,
    detail: Box<str>,
    since: Instant,
    latest: Instant,
    count: u64,
    /// How many of them the log knows.
    told: u64,
    tell_at: Instant,
    pause: Duration,
}

impl Episode {
    fn over_at(&self, kind: ComplaintKind) -> Instant {
        if self.peer.is_none() || kind.ends_by_silence() { self.latest + SILENCE } else { Instant::MAX }
    }

    fn next(&self, kind: ComplaintKind) -> Instant {
        let tell_at = if self.count > self.told { self.tell_at } else { Instant::MAX };
        tell_at.min(self.over_at(kind))
    }
}

/// The complaints that are not over.
#[derive(Clone, Debug, Default)]
pub(crate) struct Complaints {
    /// By kind and host or address; `None` for those beyond the bound.
    open: BTreeMap<(ComplaintKind, Option<SocketAddr>), Episode>,
    /// When a line may be due. `None` while there is no complaint.
    due: Option<Instant>,
    /// Members whose latest probes were answered only through others, and how many in a row.
    indirect: Vec<(MemberIdx, u8)>,
}

impl Complaints {
    /// Notes one more case, and gives the line that is due because it is the first.
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
        let episode =
            Episode { peer, member, detail, since: now, latest: now, count: 1, told: 1, tell_at: now + pause, pause };
        let next = episode.next(kind);
        self.due = Some(self.due.map_or(next, |due| due.min(next)));
        let line = Line::begun(kind, &episode);
        self.open.insert(key, episode);
        Some(line)
    }

    /// Whether a peer may have an episode of its own. While peers of this kind are counted together, new ones are, too: a flood
    /// of forged sources makes no new lines as old ones end.
    fn has_room(&self, kind: ComplaintKind) -> bool {
        let of_kind = self.open.range((kind, None)..).take_while(|((of, _), _)| *of == kind).count();
        of_kind < COMPLAINT_PEERS_OF_ONE_KIND_MAX
            && self.open.len() < COMPLAINT_PEERS_MAX
            && !self.open.contains_key(&(kind, None))
    }

    /// What was complained of is seen to be well again. Gives the line that says so.
    pub(crate) fn withdraw(&mut self, now: Instant, kind: ComplaintKind, peer: SocketAddr) -> Option<Line> {
        let episode = self.open.remove(&(kind, Some(peer)))?;
        Some(Line::over(kind, &episode, now))
    }

    /// The member is gone: what was complained of the way to it is over. That it is gone is another line of the log.
    pub(crate) fn forget(&mut self, peer: SocketAddr) {
        self.open.retain(|(kind, of), _| kind.ends_by_silence() || *of != Some(peer));
    }

    /// Whether [`sweep`](Self::sweep) has something to do.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.due.is_some_and(|due| due <= now)
    }

    /// Gives the lines that are due: summaries, and what is over because nothing more came.
    pub(crate) fn sweep(&mut self, now: Instant, mut say: impl FnMut(&Line)) {
        let mut due: Option<Instant> = None;
        self.open.retain(|&(kind, _), episode| {
            if episode.over_at(kind) <= now {
                say(&Line::over(kind, episode, now));
                return false;
            }
            if episode.count > episode.told && episode.tell_at <= now {
                say(&Line::lasts(kind, episode, now));
                episode.told = episode.count;
                episode.pause = (episode.pause * 2).min(PAUSE_MOST);
                episode.tell_at = now + episode.pause;
            }
            let next = episode.next(kind);
            due = Some(due.map_or(next, |due| due.min(next)));
            true
        });
        self.due = due;
    }

    /// A probe was answered, directly or through another member. Says whether so many in a row needed another that direct pings
    /// seem to be blocked.
    pub(crate) fn probe_answered(&mut self, member: MemberIdx, is_direct: bool) -> bool {
        let at = self.indirect.iter().position(|(of, _)| *of == member);
        match (at, is_direct) {
            (Some(at), true) => _ = self.indirect.remove(at),
            (None, true) => {}
            (Some(at), false) => {
                self.indirect[at].1 = self.indirect[at].1.saturating_add(1);
                return self.indirect[at].1 >= INDIRECT_IN_A_ROW;
            }
            (None, false) => {
                if self.indirect.len() == INDIRECT_MEMBERS_MAX {
                    self.indirect.remove(0);
                }
                self.indirect.push((member, 1));
            }
        }
        false
    }

    /// Whether nothing is complained of.
    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty() && self.indirect.is_empty()
    }

    /// Every complaint that is not over.
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

/// The address to show, and the member that has it. Walks the roster, which is done only when a complaint begins.
fn peer_of(peer: PeerAt, roster: &Roster) -> (Option<SocketAddr>, Option<Name>) {
    let members = || (0..).take(roster.len()).filter_map(|idx| roster.peer(MemberIdx(idx)));
    if let Some(member) = members().find(|member| member.addr() == peer.addr) {
        return (Some(peer.addr), Some(member.shared_name()));
    }
    let mut of_host = members().filter(|member| member.addr().ip() == peer.addr.ip());
    let only = of_host.next().filter(|_| of_host.next().is_none());
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

/// A complaint of which nothing more comes for so long is over. Longer than the pauses of joins and of exchanges of states.
const SILENCE: Duration = Duration::from_secs(120);

/// The first summary comes after this time; each further pause is twice as long.
const PAUSE_LEAST: Duration = Duration::from_secs(60);

/// The longest pause between two summaries.
const PAUSE_MOST: Duration = Duration::from_secs(3600);

/// So many probes in a row that only others could bring to an end are no chance. With a tenth of all packets lost, a direct ping
/// fails once in five times, and so many in a row once in a thousand.
const INDIRECT_IN_A_ROW: u8 = 4;

/// Members whose probes are remembered as indirect. Beyond, the oldest is forgotten.
const INDIRECT_MEMBERS_MAX: usize = 32;

#[cfg(test)]
mod tests;
