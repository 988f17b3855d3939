//! What a layer may touch besides its own state.

mod heard;
mod keys;

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::{self, Write as _};
use core::net::SocketAddr;
use core::time::Duration;

use bytes::Bytes;

pub(crate) use self::heard::{Heard, Origin};
pub(crate) use self::keys::{KeyOutcome, KeyRequest, KeyRequests, Requester};
use crate::complaints::{ComplaintKind, Complaints, PeerAt};
use crate::config::Config;
use crate::event::Event;
use crate::policy::SharedPolicy;
use crate::rng::{Rng, Seed};
use crate::roster::{Directory, MemberIdx, Roster};
use crate::stats::{DropReason, Stats};
use crate::time::Instant;
use crate::timer::{Timer, Timers};
use crate::types::{JoinId, Name};
use crate::wire::{Codec, Versions};

/// Lent to the layers. `now` is set once per call, so that no layer function takes it.
#[derive(Clone, Debug)]
pub(crate) struct Core {
    pub(crate) now: Instant,
    pub(crate) cfg: Arc<Config>,
    /// What the application decides.
    pub(crate) policy: Option<SharedPolicy>,
    pub(crate) rng: Rngs,
    pub(crate) roster: Roster,
    pub(crate) timers: Timers,
    /// Messages to one address, sent when the call ends.
    pub(crate) unicasts: Vec<Unicast>,
    /// What membership noticed, for the layers above it.
    pub(crate) notifications: Vec<Notification>,
    /// Streams to open.
    pub(crate) dials: Vec<Dial>,
    /// What the application is told, in order.
    pub(crate) events: Vec<Event>,
    /// What members want done with our keys, until each is answered.
    pub(crate) key_requests: KeyRequests,
    pub(crate) stats: Stats,
    /// What the log says of peers that are refused or hard to reach.
    pub(crate) complaints: Complaints,
    /// What a complaint about the input that is handled will quote.
    pub(crate) detail: String,
}

impl Core {
    pub(crate) fn new(cfg: Arc<Config>, seed: &Seed, directory: Directory, now: Instant) -> Self {
        let mut rng = Rngs::new(seed);
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
            events: Vec::new(),
            key_requests: KeyRequests::default(),
            stats: Stats::default(),
            complaints: Complaints::default(),
            detail: String::new(),
        }
    }

    /// Whether a layer left something that the node must carry on.
    pub(crate) const fn has_effects(&self) -> bool {
        let is_empty = self.notifications.is_empty() && self.dials.is_empty() && self.unicasts.is_empty();
        !is_empty || self.key_requests.has_new()
    }

    /// Lets go of room that only something large needed, such as the merge of a whole cluster's state.
    pub(crate) fn give_back_memory(&mut self) {
        self.unicasts.shrink_to(BUFFERED_KEPT);
        self.notifications.shrink_to(BUFFERED_KEPT);
        self.dials.shrink_to(BUFFERED_KEPT);
        self.events.shrink_to(BUFFERED_KEPT);
    }

    /// In which codec to write to somebody: a member if we know which, else a stranger. `answers` is the codec of what is
    /// answered, if anything is.
    pub(crate) fn codec(&self, peer: Option<MemberIdx>, answers: Option<Codec>) -> Codec {
        let versions = peer.and_then(|idx| self.roster.peer(idx)).map(|peer| peer.versions());
        self.cfg.codec.writes(versions, answers)
    }

    /// The codec of what is kept to be told to many; it is translated for those who read another.
    pub(crate) fn codec_kept(&self) -> Codec {
        self.cfg.codec.writes(Some(Versions::OURS), None)
    }

    /// The codec of what lies inside of messages and is never translated: everybody must read it.
    pub(crate) fn codec_for_all(&self) -> Codec {
        self.cfg.codec.writes(None, None)
    }

    pub(crate) fn arm(&mut self, after: Duration, timer: impl Into<Timer>) {
        self.timers.set(timer, self.now + after);
    }

    pub(crate) fn notify(&mut self, notification: Notification) {
        self.notifications.push(notification);
    }

    /// Has a stream opened for an exchange that must be over at `until`.
    pub(crate) fn dial(&mut self, to: SocketAddr, ask: Ask, until: Instant) {
        self.dials.push(Dial { to, ask, until });
    }

    /// Counts why an input is not used, with what the log is to quote of it.
    pub(crate) fn drop_naming(&mut self, reason: DropReason, detail: fmt::Arguments<'_>) {
        self.stats.drop(reason);
        self.detail.clear();
        _ = self.detail.write_fmt(detail);
    }

    /// Counts why what is said of a peer is not used. The member that passed it on is not to blame.
    pub(crate) fn drop_of(&mut self, reason: DropReason, peer: SocketAddr, detail: fmt::Arguments<'_>) {
        self.stats.drop(reason);
        self.stats.dropped_lately &= !reason.bit();
        self.complain(ComplaintKind::Refused(reason), PeerAt { addr: peer, listens: true }, &format!("{detail}"));
    }

    /// Has the log say what is wrong with a peer, unless it has said so already.
    pub(crate) fn complain(&mut self, kind: ComplaintKind, peer: PeerAt, detail: &str) {
        if let Some(line) = self.complaints.note(self.now, kind, peer, detail, &self.roster) {
            line.log();
        }
    }

    /// The same of a member.
    pub(crate) fn complain_of(&mut self, kind: ComplaintKind, member: MemberIdx, detail: &str) {
        if let Some(addr) = self.roster.peer(member).map(|peer| peer.addr()) {
            self.complain(kind, PeerAt { addr, listens: true }, detail);
        }
    }

    /// What was complained of is well again.
    pub(crate) fn withdraw(&mut self, kind: ComplaintKind, peer: SocketAddr) {
        if let Some(line) = self.complaints.withdraw(self.now, kind, peer) {
            line.log();
        }
    }

    /// A member is gone, and with it what was wrong with the way to it.
    pub(crate) fn forget_complaints(&mut self, member: MemberIdx) {
        if let Some(peer) = self.roster.peer(member).filter(|_| !self.complaints.is_empty()) {
            self.complaints.forget(peer.addr());
        }
    }

    /// A probe was answered in time or late, by the member itself or through another.
    pub(crate) fn probe_answered(&mut self, origin: Origin, member: MemberIdx, is_in_time: bool) {
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
}

/// The buffers between calls keep room for this many items.
const BUFFERED_KEPT: usize = 8;

/// One RNG stream per concern, so that drawing more in one does not shift the others.
#[derive(Clone, Debug)]
pub(crate) struct Rngs {
    pub(crate) probe: Rng,
    pub(crate) gossip: Rng,
    pub(crate) jitter: Rng,
    pub(crate) coordinate: Rng,
    pub(crate) query: Rng,
    pub(crate) join: Rng,
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
        }
    }
}

/// A message to one address, sent once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unicast {
    pub(crate) to: SocketAddr,
    /// Who listens there, if we know: decides codec and checksum.
    pub(crate) peer: Option<MemberIdx>,
    /// The codec of the message that this answers, if it does: whoever wrote it reads it.
    pub(crate) answers: Option<Codec>,
    pub(crate) body: Body,
}

/// What a unicast says. Indices, not names: the names are written when the packet is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// A ping of `target`; with `accusing` also the suspicion, so that the target can refute at once.
    Ping {
        seq: u32,
        target: MemberIdx,
        accusing: bool,
    },
    /// A ping of `target` that no broadcast rides on: others decide when it is sent.
    BarePing {
        seq: u32,
        target: MemberIdx,
    },
    IndirectPing {
        seq: u32,
        target: MemberIdx,
        nack: bool,
    },
    /// To a member that is said to have left and pings us: a ping with that accusation and our own state, so that it can refute,
    /// and can hear of us if it holds us for gone in turn.
    Challenge {
        seq: u32,
        target: MemberIdx,
    },
    /// A ping of a node that is no member yet.
    NewcomerPing {
        seq: u32,
        node: Name,
    },
    /// The answer to a member's ping of us, which carries what the layer above has to say.
    Ack {
        seq: u32,
    },
    /// The answer to a stranger's ping. It carries nothing, and has no more bytes than the datagram that it answers: anybody may
    /// have forged the sender.
    StrangerAck {
        seq: u32,
        bytes_max: usize,
    },
    /// Another member answered the ping that we relayed.
    RelayedAck {
        seq: u32,
    },
    Nack {
        seq: u32,
    },
    /// A message of the Serf layer, whole. It goes alone: the answers to a query all go to one member, which would be the only
    /// one to hear of the broadcasts that rode along.
    User(Bytes),
}

/// What membership noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notification {
    /// The member is alive and was not before.
    Joined(MemberIdx),
    /// The member announces other metadata.
    Updated(MemberIdx),
    /// The member is gone: others say so, or we found out.
    Gone(MemberIdx),
    /// The member is gone, and said so itself.
    Left(MemberIdx),
    /// Membership needs the room and has forgotten the member.
    Evicted(MemberIdx),
    /// A name that membership has forgotten, or has never known, pings us from the address that the roster has of it.
    Forgotten(MemberIdx),
    /// Another node claims the member's name.
    Conflict(MemberIdx),
    /// Every copy of our own farewell was sent.
    FarewellSent,
    /// The member left long enough ago to be gone, and is asked whether it is: others may have said farewell in its name.
    Doubted(MemberIdx),
}

/// A stream to open, for an exchange that must be over at `until`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dial {
    pub(crate) to: SocketAddr,
    pub(crate) ask: Ask,
    pub(crate) until: Instant,
}

/// What an exchange is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// Periodic anti-entropy, or, as a join, with a failed member that answers again.
    PushPull { join: bool, codec: Codec },
    /// A join, for the application.
    Join { id: JoinId, seed: u32 },
    /// A ping of the member that is remembered at a seed's address: only it is asked for its state.
    Greet { id: JoinId, seed: u32 },
    /// A ping of a failed member: states are exchanged when it answers, not with another node that has its address.
    Reconnect { target: MemberIdx, codec: Codec },
    /// A ping of a member that does not answer datagrams.
    Ping { seq: u32, target: MemberIdx, codec: Codec },
}
