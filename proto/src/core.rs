//! What a layer may touch besides its own state.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::{self, Write as _};
use core::net::SocketAddr;
use core::time::Duration;

use bytes::Bytes;

use crate::complaints::{ComplaintKind, Complaints, PeerAt};
use crate::config::Config;
use crate::event::{Event, KeyOperation};
use crate::limits::ANSWERS_PER_PACKET_MAX;
use crate::policy::SharedPolicy;
use crate::rng::{Rng, Seed};
use crate::roster::{Directory, MemberIdx, Roster};
use crate::stats::{DropReason, Stats};
use crate::time::Instant;
use crate::timer::{Many, Slot, Timers};
use crate::types::{Name, QueryId};
use crate::wire::{Codec, Versions};

/// Lent to the layers. `now` is set once per call, so that no layer function takes it.
#[derive(Clone, Debug)]
pub(crate) struct Core {
    pub(crate) now: Instant,
    /// The codec of the message that is being handled.
    pub(crate) heard_in: Codec,
    /// From whom it comes.
    pub(crate) heard_from: HeardFrom,
    /// How long the datagram is in which it came.
    pub(crate) heard_bytes: usize,
    /// How many more requests of this datagram are answered.
    pub(crate) answers_left: u32,
    pub(crate) cfg: Arc<Config>,
    /// What the application decides.
    pub(crate) policy: Option<SharedPolicy>,
    pub(crate) rng: Streams,
    pub(crate) roster: Roster,
    pub(crate) timers: Timers,
    /// Messages to one address, sent when the call ends.
    pub(crate) unicasts: Vec<Unicast>,
    /// What membership tells whoever is above it.
    pub(crate) notifications: Vec<Notification>,
    /// What the application is told, in order.
    pub(crate) events: Vec<Event>,
    /// What members want done with our keys.
    pub(crate) key_demands: Vec<KeyDemand>,
    pub(crate) stats: Stats,
    /// What the log says of peers that are refused or hard to reach.
    pub(crate) complaints: Complaints,
    /// What a complaint about the input that is handled will quote.
    pub(crate) detail: String,
}

impl Core {
    pub(crate) fn new(cfg: Arc<Config>, seed: &Seed, directory: Directory, now: Instant) -> Self {
        let mut rng = Streams::new(seed);
        let hash_key = rng.jitter.next_u64();
        Self {
            now,
            heard_in: Codec::Native,
            heard_from: HeardFrom::Nobody,
            heard_bytes: 0,
            answers_left: 0,
            cfg,
            policy: None,
            rng,
            roster: Roster::new(directory, hash_key),
            timers: Timers::new(),
            unicasts: Vec::new(),
            notifications: Vec::new(),
            events: Vec::new(),
            key_demands: Vec::new(),
            stats: Stats::default(),
            complaints: Complaints::default(),
            detail: String::new(),
        }
    }

    /// Lets go of room that only something large needed, such as the merge of a whole cluster's state.
    pub(crate) fn give_back_memory(&mut self) {
        self.unicasts.shrink_to(BUFFERED_KEPT);
        self.notifications.shrink_to(BUFFERED_KEPT);
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

    /// A datagram comes in.
    pub(crate) const fn hear(&mut self, from: SocketAddr, bytes: usize) {
        self.heard_from = HeardFrom::Packet(from);
        self.heard_bytes = bytes;
        self.answers_left = ANSWERS_PER_PACKET_MAX;
    }

    /// Whether a request in this datagram may still be answered; one that may not is counted.
    pub(crate) fn may_answer(&mut self) -> bool {
        let may = self.answers_left > 0;
        if may {
            self.answers_left -= 1;
        } else {
            self.stats.drop(DropReason::Limit);
        }
        may
    }

    pub(crate) fn arm(&mut self, after: Duration, slot: Slot) {
        self.timers.set(slot, self.now + after);
    }

    pub(crate) fn arm_many(&mut self, after: Duration, timer: Many) {
        self.timers.push(self.now + after, timer);
    }

    pub(crate) fn notify(&mut self, notification: Notification) {
        self.notifications.push(notification);
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
    pub(crate) fn probe_answered(&mut self, member: MemberIdx, is_in_time: bool) {
        if is_in_time && self.complaints.is_empty() {
            return;
        }
        let Some(addr) = self.roster.peer(member).map(|peer| peer.addr()) else { return };
        let is_direct = is_in_time || self.heard_from == HeardFrom::Packet(addr);
        if self.complaints.probe_answered(member, is_direct) {
            self.complain_of(ComplaintKind::UdpIndirect, member, "");
        } else if is_direct {
            self.withdraw(ComplaintKind::UdpBlocked, addr);
            self.withdraw(ComplaintKind::UdpIndirect, addr);
        }
    }

    /// Where the input comes from that is handled.
    pub(crate) const fn peer_heard(&self) -> Option<PeerAt> {
        match self.heard_from {
            HeardFrom::Nobody => None,
            HeardFrom::Packet(addr) => Some(PeerAt { addr, listens: true }),
            HeardFrom::Exchange(addr) | HeardFrom::Reply(addr) => Some(PeerAt { addr, listens: false }),
        }
    }
}

/// The buffers between calls keep room for this many items.
const BUFFERED_KEPT: usize = 8;

/// What the layers act upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeardFrom {
    /// A timer, or the application.
    Nobody,
    /// A packet from there.
    Packet(SocketAddr),
    /// An exchange of states that was begun there.
    Exchange(SocketAddr),
    /// The reply to an exchange that we began with the peer there.
    Reply(SocketAddr),
}

/// One stream of luck a concern, so that a change in one does not shift the others.
#[derive(Clone, Debug)]
pub(crate) struct Streams {
    pub(crate) probe: Rng,
    pub(crate) gossip: Rng,
    pub(crate) jitter: Rng,
    pub(crate) coordinate: Rng,
    pub(crate) query: Rng,
    pub(crate) join: Rng,
}

impl Streams {
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
    /// A ping of a node that is no member yet.
    Knock {
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

/// What membership tells whoever is above it.
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
    /// Another node claims the member's name.
    Conflict(MemberIdx),
    /// Every copy of our own farewell was sent.
    FarewellSent,
    /// An exchange on a stream is wanted.
    Wants { with: SocketAddr, ask: Ask, until: Instant },
}

/// Who asked something, and how to answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asker {
    pub(crate) id: QueryId,
    pub(crate) addr: SocketAddr,
    /// Empty from members of old versions.
    pub(crate) node: Box<str>,
    pub(crate) relay_factor: u8,
}

/// What a member wants done with our keys. The layer that has them does it, and the Serf layer answers.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct KeyDemand {
    pub(crate) asker: Asker,
    pub(crate) operation: KeyOperation,
    /// Which key; means nothing when they are to be listed.
    pub(crate) key: Box<[u8]>,
}

impl fmt::Debug for KeyDemand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A key does not belong into any log.
        write!(f, "KeyDemand {{ {}, key: {} bytes }}", self.operation, self.key.len())
    }
}

/// What came of a demand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct KeyOutcome {
    pub(crate) done: bool,
    /// What to tell whoever asked.
    pub(crate) message: Box<str>,
    /// The keys in base64, the primary first, when they were to be listed.
    pub(crate) keys: Vec<Box<str>>,
}

/// What an exchange is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// Periodic anti-entropy, or, as a join, with a failed member that answers again.
    PushPull { join: bool, codec: Codec },
    /// A join, for the application.
    Join { id: crate::types::JoinId, seed: u32 },
    /// A ping of the member that is remembered at a seed's address: only it is asked for its state.
    Greet { id: crate::types::JoinId, seed: u32 },
    /// A ping of a failed member: states are exchanged when it answers, not with another node that has its address.
    Reconnect { target: MemberIdx, codec: Codec },
    /// A ping of a member that does not answer datagrams.
    Ping { seq: u32, target: MemberIdx, codec: Codec },
}
