//! Membership and failure detection: SWIM with Lifeguard's extensions, after memberlist's state.go.
//!
//! The layer sees its own state, the [`Core`] and decoded messages. It does not depend on Serf, packets, streams or the
//! outbox: it queues messages in [`Core::unicasts`] and facts for the node in [`Core::notifications`].
//!
//! | rule | file |
//! |---|---|
//! | which claim overrides which | `verdict.rs` decides, `claims.rs` applies |
//! | which member is probed, and when it is suspected | `probing/` |
//! | how long a suspect may refute | `suspicion.rs` |
//! | which accusations are accepted, and our refutations | `own.rs` |
//! | what is gossiped, to which members | `broadcasts.rs`, `gossip.rs` |
//! | push/pull | `sync.rs` |
//! | which newcomers are admitted at the memory limit, or under a known name | `admission.rs`, `takeovers.rs` |
//! | how forged leaves are refuted | `forged_leaves.rs` |

mod admission;
mod awareness;
mod broadcasts;
mod claims;
mod forged_leaves;
mod gossip;
mod members;
mod own;
mod probing;
mod suspicion;
mod sync;
mod takeovers;
#[cfg(test)]
mod tests;
mod verdict;

use core::net::SocketAddr;

use serde::{Deserialize, Serialize};

use self::admission::Admission;
use self::awareness::Awareness;
use self::claims::{admits, evidence, is_gone};
pub(crate) use self::members::Accused;
use self::members::{Members, Zones, live_hash};
use self::own::Own;
use self::probing::Probing;
pub(crate) use self::sync::MERGE_FAILED;
pub(crate) use self::sync::OVERDUE_INTERVALS;
use self::sync::PushPulls;
use self::takeovers::Takeovers;
use crate::broadcast::{RowQueue, SendCounts as _};
use crate::core::{Core, Heard, Notification, Origin};
use crate::roster::{Identity, MemberIdx, RecordHashes};
use crate::stats::{DropReason, Histogram};
use crate::timer::SwimTimer;
use crate::waits::Waits;
use crate::wire::swim::{FIRST_INCARNATION, Message, PeerRef, State};

use crate::fingerprint::Fingerprint;

/// The membership layer of one node.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Swim {
    members: Members,
    own: Own,
    broadcasts: RowQueue<MemberIdx>,
    waits: Waits<MemberIdx>,
    probing: Probing,
    awareness: Awareness,
    push_pulls: PushPulls,
    admission: Admission,
    takeovers: Takeovers,
}

impl Swim {
    /// Creates the layer with this node as the only member, or, with `converged`, with every peer of the directory.
    pub(crate) fn new(core: &mut Core, identity: &Identity, converged: bool) -> Self {
        let peer = identity.peer();
        let me = core.roster.intern(peer.name()).expect("an empty roster has room for ourselves");
        core.roster.set_peer(me, peer.announced());
        let zones = Zones::new(&core.cfg.swim().zone_tag, core.cfg.swim().zone_bridges);
        let mut swim = Self {
            members: Members::new(me, zones),
            own: Own::new(FIRST_INCARNATION),
            broadcasts: RowQueue::new(),
            waits: Waits::new(),
            probing: Probing::new(&mut core.rng.probe),
            awareness: Awareness::new(core.cfg.swim().awareness_max_multiplier),
            push_pulls: PushPulls::default(),
            admission: Admission::default(),
            takeovers: Takeovers::default(),
        };
        if converged {
            swim.assume_converged(core);
        }
        swim.members.set_alive(core, me, FIRST_INCARNATION);
        // A converged cluster has nothing to announce.
        if !converged {
            swim.queue_broadcast(core, me);
        }
        core.notify(Notification::Joined(me));
        // A random first delay per loop, so that nodes that start together do not tick in step.
        let wait = core.rng.jitter.duration_below(core.cfg.swim().probe_interval);
        core.arm(wait, SwimTimer::Probe);
        let wait = core.rng.jitter.duration_below(core.cfg.swim().push_pull_interval);
        core.arm(wait, SwimTimer::PushPull);
        swim
    }

    fn assume_converged(&mut self, core: &mut Core) {
        for idx in core.roster.indices() {
            if idx != self.me() {
                self.members.set_alive(core, idx, FIRST_INCARNATION);
            }
        }
    }

    /// Dispatches a decoded message of a packet.
    pub(crate) fn handle(&mut self, core: &mut Core, heard: &mut Heard, message: &Message<'_>) {
        let origin = heard.origin();
        match message {
            Message::Ping(ping) => _ = self.answer_ping(core, heard, ping),
            Message::IndirectPing(ping) => self.relay_ping(core, heard, ping),
            Message::Ack(ack) => _ = self.acked(core, origin, ack.seq),
            Message::Nack { seq } => self.probing.nacked(*seq),
            Message::Alive(alive) | Message::Joined { alive, .. } => self.alive(core, origin, alive),
            Message::Suspect(accusation) => self.suspect(core, origin, accusation),
            Message::Dead(accusation) => self.dead(core, origin, accusation),
            Message::User(_) => core.stats.drop(DropReason::Unexpected),
        }
    }

    /// Dispatches a timer of this layer.
    pub(crate) fn handle_timer(&mut self, core: &mut Core, timer: SwimTimer) {
        match timer {
            SwimTimer::Probe => self.probe_next(core),
            SwimTimer::AckDue => self.probe_indirectly(core),
            SwimTimer::ProbeEnd => self.end_probe(core),
            SwimTimer::PushPull => self.push_pull_due(core),
            SwimTimer::Suspicion(idx) => self.suspicion_due(core, Origin::Local, idx),
            SwimTimer::Relay(seq) => self.relay_due(core, seq),
            SwimTimer::Takeover(idx) => self.takeover_due(core, idx),
        }
    }

    /// Removes members that have been dead or left for longer than `gossip_to_the_dead_time`. Keeps a name while a
    /// takeover of it is pending.
    fn reap(&mut self, core: &mut Core) {
        let Self { members, takeovers, .. } = self;
        members.reap(core, |idx| takeovers.contains(idx));
    }

    /// The index of this node.
    pub(crate) const fn me(&self) -> MemberIdx {
        self.members.me()
    }

    /// Whether a member is alive or suspect.
    pub(crate) fn is_live(&self, idx: MemberIdx) -> bool {
        self.members.is_live(idx)
    }

    /// The live member, other than this node, at an address. Linear in the number of rows.
    pub(crate) fn live_at(&self, core: &Core, addr: SocketAddr) -> Option<MemberIdx> {
        self.members.rows().map(|(idx, _)| idx).find(|&idx| self.is_live_at(core, idx, addr))
    }

    /// Whether another member is live and has this address.
    pub(crate) fn is_live_at(&self, core: &Core, idx: MemberIdx, addr: SocketAddr) -> bool {
        idx != self.me() && self.is_live(idx) && core.roster.peer(idx).is_some_and(|peer| peer.addr() == addr)
    }

    /// The incarnation of this node.
    pub(crate) const fn incarnation(&self) -> u32 {
        self.own.incarnation()
    }

    /// The last known incarnation; `None` if `idx` is not a member.
    pub(crate) fn incarnation_of(&self, idx: MemberIdx) -> Option<u32> {
        self.state_of(idx).map(|(_, incarnation)| incarnation)
    }

    /// Local health score (Lifeguard §IV-A); 0 is healthy.
    pub(crate) const fn health_score(&self) -> u32 {
        self.awareness.score()
    }

    /// The accusations of a member that is not alive; `None` if it is alive, or the log has evicted them.
    pub(crate) fn accused(&self, idx: MemberIdx) -> Option<&Accused> {
        self.members.accused(idx)
    }

    /// Number of known members, including this node and the dead that are not yet reaped: memberlist's `estNumNodes`.
    pub(crate) fn members_known(&self) -> u32 {
        self.members.known()
    }

    /// Number of other members that are alive or suspect.
    pub(crate) fn others_live(&self) -> u32 {
        self.members.others_live()
    }

    /// Number of suspects.
    pub(crate) const fn suspects(&self) -> usize {
        self.members.count(State::Suspect) as usize
    }

    /// Number of queued broadcasts, one per member.
    pub(crate) const fn queue_depth(&self) -> usize {
        self.broadcasts.len()
    }

    /// Whether a broadcast is queued and a member could receive it.
    pub(crate) fn wants_gossip(&self) -> bool {
        self.queue_depth() > 0 && self.has_receiver()
    }

    /// How long broadcasts have waited before they were sent for the first time.
    pub(crate) const fn waits(&self) -> &Histogram {
        self.waits.histogram()
    }

    /// Whether any member could receive gossip. The dead count too, since they are gossiped to for a while.
    pub(crate) fn has_receiver(&self) -> bool {
        self.others_live() > 0 || self.members.count(State::Dead) > 0
    }

    /// Sum of the hashes of the live members.
    pub(crate) const fn digest(&self) -> u64 {
        self.members.digest()
    }

    /// Whether every live member, this node included, takes part in anti-entropy by digests.
    pub(crate) const fn all_compare_digests(&self) -> bool {
        self.members.all_compare_digests()
    }

    /// The live members, this node included, with the hashes of their records, and of their rows, salted.
    pub(crate) fn live_rows<'a>(
        &'a self,
        core: &'a Core,
        salt: u64,
    ) -> impl Iterator<Item = (MemberIdx, Option<RecordHashes>, u64)> + 'a {
        let live = self.members.rows().filter(|(_, row)| matches!(row.state, Some(State::Alive | State::Suspect)));
        live.map(move |(idx, row)| {
            let hashes = core.roster.hashes(idx);
            (idx, hashes, live_hash(hashes, row, salt))
        })
    }

    /// State and incarnation of a member.
    pub(crate) fn state_of(&self, idx: MemberIdx) -> Option<(State, u32)> {
        let row = self.members.row(idx);
        row.state.map(|state| (state, row.incarnation))
    }

    /// Replaces our own record. It is announced by [`announce`](Self::announce).
    pub(crate) fn set_own_record(&mut self, core: &mut Core, peer: PeerRef<'_>) {
        self.members.set_peer(core, self.me(), peer);
    }

    /// Prefetches the state that the next packet needs.
    pub(crate) fn prefetch_queue(&self) -> u64 {
        let next = self.broadcasts.upcoming().map_or(0, |idx| idx.0);
        let counters = self.incarnation() ^ self.members.count(State::Alive) ^ self.probing.seq();
        u64::from(next) ^ u64::from(counters) ^ self.members.len() as u64
    }

    /// Prefetches a member's row.
    #[inline]
    pub(crate) fn prefetch(&self, idx: MemberIdx) -> u64 {
        self.members.prefetch(idx)
    }

    /// Feeds what decides the behaviour of this layer.
    pub(crate) fn fingerprint(&self, core: &Core, to: &mut Fingerprint<'_>) {
        let Self { members, own, broadcasts, waits: _, probing, awareness, push_pulls, admission, takeovers } = self;
        members.fingerprint(to);
        own.fingerprint(to);
        broadcasts.fingerprint(to);
        probing.fingerprint(to);
        to.put(awareness.score());
        let memory = core.cfg.push_pull_interval_of(self.members_known());
        push_pulls.fingerprint(memory.max(core.cfg.swim().probe_interval.saturating_mul(OVERDUE_INTERVALS)), to);
        admission.fingerprint(to);
        takeovers.fingerprint(probing.seq(), to);
    }

    /// The last sequence number of our pings.
    pub(crate) const fn last_seq(&self) -> u32 {
        self.probing.seq()
    }

    /// The members in any state, this node included.
    pub(crate) fn known_rows(&self) -> impl Iterator<Item = (MemberIdx, State, u32)> + '_ {
        self.members.rows().filter_map(|(idx, row)| Some((idx, row.state?, row.incarnation)))
    }
}
