//! Shared state and effect queues that the node lends to a layer for the duration of a call.

mod heard;
mod keys;
mod sometimes;

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::{self, Write as _};
use core::net::SocketAddr;
use core::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

pub(crate) use self::heard::{Heard, Origin};
pub(crate) use self::keys::{KeyOutcome, KeyRequest, KeyRequests, Requester};
use self::sometimes::Met;
pub use self::sometimes::Sometimes;
use crate::complaints::{ComplaintKind, Complaints, PeerAt};
use crate::config::Config;
use crate::event::Event;
use crate::fingerprint::Fingerprint;
use crate::policy::SharedPolicy;
use crate::rng::{Rng, Seed};
use crate::roster::{Directory, MemberIdx, Roster};
use crate::stats::{DropReason, Stats};
use crate::time::Instant;
use crate::timer::{Timer, Timers};
use crate::types::{JoinId, Name};
use crate::wire::{Codec, Versions};

/// The context of a layer function. `now` is set once per call, so that no layer function needs it as a parameter.
#[derive(Clone, Debug)]
pub(crate) struct Core {
    pub(crate) now: Instant,
    pub(crate) cfg: Arc<Config>,
    /// The application's vetoes, if it has a policy.
    pub(crate) policy: Option<SharedPolicy>,
    pub(crate) rng: Rngs,
    pub(crate) roster: Roster,
    pub(crate) timers: Timers,
    /// Messages to single addresses, sent at the end of the call.
    pub(crate) unicasts: Vec<Unicast>,
    /// Facts about members, from membership to the layers above.
    pub(crate) notifications: Vec<Notification>,
    /// Streams to open.
    pub(crate) dials: Vec<Dial>,
    /// Numbers of fetches whose streams are to be closed.
    pub(crate) abandoned: Vec<u32>,
    /// Events for the application, in order.
    pub(crate) events: Vec<Event>,
    /// Key operations requested by members and not yet answered.
    pub(crate) key_requests: KeyRequests,
    pub(crate) stats: Stats,
    /// Rare situations that this node has met.
    pub(crate) met: Met,
    /// Complaints: log lines about peers that are refused or unreachable.
    pub(crate) complaints: Complaints,
    /// Text that the next complaint about the current input quotes.
    pub(crate) detail: String,
}

impl Core {
    pub(crate) fn new(cfg: Arc<Config>, seed: &Seed, directory: Directory, now: Instant) -> Self {
        let mut rng = Rngs::new(seed);
        // The hash key comes from the seed too: peers cannot predict collisions, and runs are reproducible.
        let hash_key = rng.jitter.next_u64();
        Self {
            now,
            cfg,
            policy: None,
            rng,
            roster: Roster::new(directory, hash_key),
            timers: Timers::new(),
            unicasts: Vec::new(),
            notifications: Vec::new(),
            dials: Vec::new(),
            abandoned: Vec::new(),
            events: Vec::new(),
            key_requests: KeyRequests::default(),
            stats: Stats::default(),
            met: Met::default(),
            complaints: Complaints::default(),
            detail: String::new(),
        }
    }

    /// Whether any effect queue is not empty, so that `settle` must run another pass.
    pub(crate) const fn has_effects(&self) -> bool {
        let Self { notifications, dials, abandoned, unicasts, key_requests, .. } = self;
        let is_empty = notifications.is_empty() && dials.is_empty() && abandoned.is_empty() && unicasts.is_empty();
        !is_empty || key_requests.has_new()
    }

    /// Shrinks the queues after a large burst, such as the merge of a whole cluster's state.
    pub(crate) fn give_back_memory(&mut self) {
        self.unicasts.shrink_to(BUFFERED_KEPT);
        self.notifications.shrink_to(BUFFERED_KEPT);
        self.dials.shrink_to(BUFFERED_KEPT);
        self.events.shrink_to(BUFFERED_KEPT);
    }

    /// Chooses the codec for a receiver: a member if `peer` is known, otherwise a stranger. `answers` is the codec of
    /// the request, if this is an answer.
    pub(crate) fn codec(&self, peer: Option<MemberIdx>, answers: Option<Codec>) -> Codec {
        let versions = peer.and_then(|idx| self.roster.peer(idx)).map(|peer| peer.versions());
        self.cfg.transport().codec.writes(versions, answers)
    }

    /// The codec of buffered broadcasts. They are transcoded for members that read another codec.
    pub(crate) fn codec_kept(&self) -> Codec {
        self.cfg.transport().codec.writes(Some(Versions::OURS), None)
    }

    /// The codec of nested payloads, which are never transcoded. Every member must be able to read it.
    pub(crate) fn codec_for_all(&self) -> Codec {
        self.cfg.transport().codec.writes(None, None)
    }

    pub(crate) fn arm(&mut self, after: Duration, timer: impl Into<Timer>) {
        self.timers.set(timer, self.now + after);
    }

    pub(crate) fn notify(&mut self, notification: Notification) {
        self.notifications.push(notification);
    }

    /// Requests a stream for an exchange with the deadline `until`.
    pub(crate) fn dial(&mut self, to: SocketAddr, purpose: ExchangePurpose, until: Instant) {
        self.dials.push(Dial { to, purpose, until });
    }

    /// Counts a drop, with the text that a complaint about it quotes.
    pub(crate) fn drop_naming(&mut self, reason: DropReason, detail: fmt::Arguments<'_>) {
        self.stats.drop(reason);
        self.detail.clear();
        _ = self.detail.write_fmt(detail);
    }

    /// Counts a drop caused by what a message says about a peer. The complaint names that peer, not the sender.
    pub(crate) fn drop_of(&mut self, reason: DropReason, peer: SocketAddr, detail: fmt::Arguments<'_>) {
        self.stats.drop(reason);
        // Cleared for the sender, so that `complain_of_drops` does not name it.
        self.stats.dropped_lately &= !reason.bit();
        self.complain(ComplaintKind::Refused(reason), PeerAt { addr: peer, listens: true }, &format!("{detail}"));
    }

    /// Reports a complaint about a peer. The complaint log decides whether it is worth a line.
    pub(crate) fn complain(&mut self, kind: ComplaintKind, peer: PeerAt, detail: &str) {
        if let Some(line) = self.complaints.note(self.now, kind, peer, detail, &self.roster) {
            line.log();
        }
    }

    /// Reports a complaint about a member.
    pub(crate) fn complain_of(&mut self, kind: ComplaintKind, member: MemberIdx, detail: &str) {
        if let Some(addr) = self.roster.peer(member).map(|peer| peer.addr()) {
            self.complain(kind, PeerAt { addr, listens: true }, detail);
        }
    }

    /// Resolves a complaint.
    pub(crate) fn withdraw(&mut self, kind: ComplaintKind, peer: SocketAddr) {
        if let Some(line) = self.complaints.withdraw(self.now, kind, peer) {
            line.log();
        }
    }

    /// Drops the complaints about a member that is gone.
    pub(crate) fn forget_complaints(&mut self, member: MemberIdx) {
        if let Some(peer) = self.roster.peer(member).filter(|_| !self.complaints.is_empty()) {
            self.complaints.forget(peer.addr());
        }
    }

    /// Updates the UDP complaints after an ack: `is_in_time` if it came within the probe timeout, otherwise possibly
    /// through a helper.
    pub(crate) fn probe_answered(&mut self, origin: Origin, member: MemberIdx, is_in_time: bool) {
        // The common case: nothing to resolve and nothing to report.
        if is_in_time && self.complaints.is_empty() {
            return;
        }
        let Some(addr) = self.roster.peer(member).map(|peer| peer.addr()) else { return };
        let is_direct = is_in_time || origin == Origin::Packet(addr);
        if self.complaints.probe_answered(member, is_direct) {
            self.complain_of(ComplaintKind::UdpIndirect, member, "");
        } else if is_direct {
            self.withdraw(ComplaintKind::UdpBlocked, addr);
            self.withdraw(ComplaintKind::UdpIndirect, addr);
        }
    }

    /// Feeds what decides the behaviour of the node, except the RNG: a program that explores all choices sets it before
    /// each call. The queues of effects are empty between calls. Of the statistics only the number of probes decides
    /// anything.
    pub(crate) fn fingerprint(&self, to: &mut Fingerprint<'_>) {
        debug_assert!(!self.has_effects() && self.events.is_empty(), "a call leaves nothing behind");
        self.roster.fingerprint(to);
        self.timers.fingerprint(to);
        to.text(&self.key_requests);
        to.put(self.stats.probes % PROBES_CYCLE);
    }

    /// Replaces all RNG streams.
    pub(crate) fn reseed(&mut self, seed: &Seed) {
        self.rng = Rngs::new(seed);
    }

    /// Whether anything was drawn since the RNG streams were set to `seed`.
    pub(crate) fn has_drawn(&self, seed: &Seed) -> bool {
        self.rng != Rngs::new(seed)
    }
}

/// Capacity that the queues keep between calls, in items.
const BUFFERED_KEPT: usize = 8;

/// The probes that are chosen differently recur after this many; `Swim::next_target`.
pub(crate) const PROBES_CYCLE: u64 = 4;

/// One RNG stream per concern, so that drawing more in one does not shift the others.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub(crate) struct Rngs {
    pub(crate) probe: Rng,
    pub(crate) gossip: Rng,
    pub(crate) jitter: Rng,
    pub(crate) coordinate: Rng,
    pub(crate) query: Rng,
    pub(crate) join: Rng,
    pub(crate) anti_entropy: Rng,
}

impl Rngs {
    fn new(seed: &Seed) -> Self {
        let stream = |number| Rng::stream(seed, number);
        Self {
            probe: stream(1),
            gossip: stream(2),
            jitter: stream(3),
            coordinate: stream(4),
            query: stream(5),
            join: stream(6),
            // 7 is the envelope's.
            anti_entropy: stream(8),
        }
    }
}

/// A message to one address, sent once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unicast {
    pub(crate) to: SocketAddr,
    /// The member at this address, if known: decides codec and checksum.
    pub(crate) peer: Option<MemberIdx>,
    /// The codec of the request, if this is an answer: its sender can read it.
    pub(crate) answers: Option<Codec>,
    pub(crate) body: Body,
}

/// The content of a unicast. Holds indices instead of names; names are encoded with the packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// Pings `target`. With `accusing` also carries the suspicion, so that the target can refute at once.
    Ping {
        seq: u32,
        target: MemberIdx,
        accusing: bool,
    },
    /// Pings `target` without piggybacked broadcasts, because the sending time is controlled by another node.
    BarePing {
        seq: u32,
        target: MemberIdx,
    },
    IndirectPing {
        seq: u32,
        target: MemberIdx,
        nack: bool,
    },
    /// Pings a member that is considered left and pinged us. Carries the accusation, so that it can refute, and our own
    /// state, in case it considers us gone too.
    Challenge {
        seq: u32,
        target: MemberIdx,
    },
    /// Pings a node that is not a member yet.
    NewcomerPing {
        seq: u32,
        node: Name,
    },
    /// Acks a member's ping, with the payload of the Serf layer.
    Ack {
        seq: u32,
    },
    /// Acks a ping of an unknown sender. Empty, and no longer than the ping's datagram, because the source address may
    /// be forged.
    StrangerAck {
        seq: u32,
        bytes_max: usize,
    },
    /// Forwards the ack of a relayed ping.
    RelayedAck {
        seq: u32,
    },
    Nack {
        seq: u32,
    },
    /// A complete native frame of anti-entropy. Carries no broadcasts.
    Frame(Bytes),
    /// A complete message of the Serf layer. Carries no broadcasts: all responses to a query go to one member, which
    /// would get all piggybacked copies.
    User(Bytes),
}

/// A fact about a member, from membership to the layers above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notification {
    /// The member is alive and was not before.
    Joined(MemberIdx),
    /// The member's metadata changed.
    Updated(MemberIdx),
    /// The member failed: by our own detection or by an accusation.
    Dead(MemberIdx),
    /// The member left, by its own message.
    Left(MemberIdx),
    /// Membership evicted the member to free memory.
    Evicted(MemberIdx),
    /// A node that is not a member pings us from the address that the roster has for its name.
    Forgotten(MemberIdx),
    /// Another node claims the member's name.
    Conflict(MemberIdx),
    /// The last retransmit of our own leave broadcast was sent.
    LeaveBroadcastSent,
    /// Verify whether a member really left: its leave broadcast may be forged.
    VerifyLeft(MemberIdx),
}

/// A stream to open, for an exchange with the deadline `until`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dial {
    pub(crate) to: SocketAddr,
    pub(crate) purpose: ExchangePurpose,
    pub(crate) until: Instant,
}

/// The purpose of an exchange on a stream that we open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ExchangePurpose {
    /// Periodic anti-entropy, or, with `join`, a reconnect to a failed member.
    PushPull { join: bool, codec: Codec },
    /// A seed of a join of the application.
    Join { id: JoinId, seed: u32 },
    /// Pings the member that is remembered at a seed's address, before states are exchanged with it.
    Greet { id: JoinId, seed: u32 },
    /// Pings a failed member, before states are exchanged with it: another node may have its address.
    Reconnect { target: MemberIdx, codec: Codec },
    /// Fetches a large answer to a query of this node; `number` is that of the fetch, `bytes_max` the limit of the answer.
    Fetch { number: u32, bytes_max: u32 },
    /// Pings a member that does not ack datagrams.
    Ping { seq: u32, target: MemberIdx, codec: Codec },
}
