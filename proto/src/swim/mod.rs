//! Membership and failure detection: SWIM with Lifeguard's extensions, by memberlist's rules.
//!
//! Knows its own rows, the [`Core`] it is lent and the meaning of messages. It does not know Serf, packets, streams or the
//! outbox: what should be sent it leaves in [`Core::unicasts`], what others should know in [`Core::notifications`].

mod awareness;
mod broadcasts;
mod case;
mod doubt;
mod gossip;
mod incarnation;
mod leave;
mod member;
mod order;
mod probe;
mod relay;
mod room;
mod rows;
mod suspicion;
mod sync;
mod takeover;
#[cfg(test)]
mod tests;
mod verdict;

use alloc::collections::BTreeMap;
use alloc::sync::Arc;

use self::awareness::Awareness;
pub(crate) use self::case::{Case, How, Learned};
use self::case::{Cases, Gone};
use self::incarnation::Own;
use self::leave::Farewell;
use self::member::Trouble;
use self::order::ProbeOrder;
use self::probe::Probe;
use self::relay::Relay;
use self::room::Door;
use self::rows::{Row, Rows};
pub(crate) use self::sync::MERGE_FAILED;
use self::takeover::Takeover;
use self::verdict::{About, Claim, Verdict, judge};
use crate::broadcast::{TransmitQueue, Turn};
use crate::core::{Core, Heard, Notification, Origin};
use crate::event::Event;
use crate::roster::{Holder, Identity, MemberIdx, canonical};
use crate::stats::DropReason;
use crate::types::Name;
use crate::wire::swim::{Accusation, Alive, FIRST_INCARNATION, Message, PeerRef, State};

/// The membership layer of one node.
#[derive(Clone, Debug)]
pub(crate) struct Swim {
    me: MemberIdx,
    own: Own,
    farewell: Farewell,
    rows: Rows,
    /// Members by state; their sum is memberlist's `n`, the dead that are not yet forgotten included.
    counts: [u32; 4],
    /// What is known besides of members that are not simply alive. Sparse, since most are.
    troubles: BTreeMap<MemberIdx, Trouble>,
    /// What an operator can be told of those of late.
    cases: Cases,
    /// Members that others are to be told about; what they are told is read from the row when it is sent.
    queue: TransmitQueue<MemberIdx>,
    /// Members whose row says that they are queued.
    queued: usize,
    awareness: Awareness,
    order: ProbeOrder,
    probe: Option<Probe>,
    /// A member that is accused at an incarnation at which only our own evidence counts: it is probed soon.
    hearsay: Option<MemberIdx>,
    seq: u32,
    relays: BTreeMap<u32, Relay>,
    door: Door,
    /// Claims of names of members that are gone.
    takeovers: BTreeMap<MemberIdx, Takeover>,
    /// Whether the first, random wait before push/pulls is over.
    staggered: bool,
}

impl Swim {
    /// A node that knows itself only, or with `converged` everybody in the roster's directory.
    pub(crate) fn new(core: &mut Core, identity: &Identity, converged: bool) -> Self {
        let peer = identity.peer();
        let me = core.roster.intern(peer.name()).expect("an empty roster has room for ourselves");
        core.roster.set_peer(me, peer.announced());
        let mut swim = Self {
            me,
            own: Own::new(FIRST_INCARNATION),
            farewell: Farewell::default(),
            rows: Rows::default(),
            counts: [0; 4],
            troubles: BTreeMap::new(),
            cases: Cases::default(),
            queue: TransmitQueue::new(Turn::Newest),
            queued: 0,
            awareness: Awareness::new(core.cfg.awareness_max_multiplier),
            order: ProbeOrder::new(),
            probe: None,
            hearsay: None,
            // Peers only echo it; a random start keeps them from guessing which acks we wait for.
            seq: core.rng.probe.next_u32(),
            relays: BTreeMap::new(),
            door: Door::default(),
            takeovers: BTreeMap::new(),
            staggered: false,
        };
        if converged {
            swim.assume_converged(core);
        }
        swim.enter(core, me, FIRST_INCARNATION);
        if !converged {
            swim.spread(me);
        }
        core.notify(Notification::Joined(me));
        swim.start_timers(core);
        swim
    }

    fn assume_converged(&mut self, core: &mut Core) {
        self.rows.grow(core.roster.len());
        for idx in core.roster.indices() {
            if idx != self.me {
                self.enter(core, idx, FIRST_INCARNATION);
            }
        }
    }

    /// Which member we are.
    pub(crate) const fn me(&self) -> MemberIdx {
        self.me
    }

    /// Whether a member is alive, or only suspected.
    pub(crate) fn is_live(&self, idx: MemberIdx) -> bool {
        matches!(self.row(idx).state, Some(State::Alive | State::Suspect))
    }

    /// Our own incarnation.
    pub(crate) const fn incarnation(&self) -> u32 {
        self.own.incarnation
    }

    /// The incarnation at which we know a member; `None` when we do not.
    pub(crate) fn incarnation_of(&self, idx: MemberIdx) -> Option<u32> {
        let row = self.row(idx);
        row.state.map(|_| row.incarnation)
    }

    /// Our health score: 0 is well.
    pub(crate) const fn health_score(&self) -> u32 {
        self.awareness.score()
    }

    /// What an operator can be told of a member in trouble; `None` when it is well, or its trouble is long forgotten.
    pub(crate) fn case(&self, idx: MemberIdx) -> Option<&Case> {
        self.row(idx).state.is_none_or(|state| state != State::Alive).then(|| self.cases.get(idx)).flatten()
    }

    /// memberlist's `n`: every member known, ourselves and the dead that are not yet forgotten included.
    pub(crate) fn members_known(&self) -> u32 {
        self.counts.iter().sum()
    }

    /// Members, besides ourselves, that are alive or suspect.
    pub(crate) fn others_live(&self) -> u32 {
        let live = self.counts[State::Alive as usize] + self.counts[State::Suspect as usize];
        live - u32::from(matches!(self.row(self.me).state, Some(State::Alive)))
    }

    /// How many members are suspected.
    pub(crate) const fn suspects(&self) -> usize {
        self.counts[State::Suspect as usize] as usize
    }

    /// How many members others are to be told about.
    pub(crate) const fn queue_depth(&self) -> usize {
        self.queued
    }

    /// Whether gossip would tell somebody something.
    pub(crate) fn wants_gossip(&self) -> bool {
        self.queued > 0 && self.has_listeners()
    }

    /// Whether there is anybody to gossip to.
    pub(crate) fn has_listeners(&self) -> bool {
        self.others_live() > 0 || self.counts[State::Dead as usize] > 0
    }

    /// Reads what a packet needs of the queue for no other reason than to have it in the cache.
    pub(crate) fn touch_queue(&self) -> u64 {
        let next = self.queue.upcoming().next().map_or(0, |idx| idx.0);
        u64::from(next) ^ u64::from(self.own.incarnation ^ self.counts[0] ^ self.seq) ^ self.rows.len() as u64
    }

    /// Reads a member's row for no other reason than to have it in the cache.
    #[inline]
    pub(crate) fn touch(&self, idx: MemberIdx) -> u8 {
        self.rows.touch(idx)
    }

    /// Takes a message of a packet.
    pub(crate) fn handle(&mut self, core: &mut Core, heard: &mut Heard, message: &Message<'_>) {
        let origin = heard.origin();
        match message {
            Message::Ping(ping) => self.answer_ping(core, heard, ping),
            Message::IndirectPing(ping) => self.relay_ping(core, heard, ping),
            Message::Ack(ack) => _ = self.acked(core, origin, ack.seq),
            Message::Nack { seq } => self.nacked(*seq),
            Message::Alive(alive) => self.alive(core, origin, alive),
            Message::Suspect(accusation) => self.suspect(core, origin, accusation),
            Message::Dead(accusation) => self.dead(core, origin, accusation),
            Message::User(_) => core.stats.drop(DropReason::Unexpected),
        }
    }

    /// A member says that it is alive (`aliveNode` in memberlist's state.go).
    fn alive(&mut self, core: &mut Core, origin: Origin, alive: &Alive<'_>) {
        let Alive { incarnation, peer } = *alive;
        if !peer.versions.are_valid() {
            let text = format_args!(
                "Ignoring an alive message for '{}' ({}) because protocol version(s) are wrong",
                peer.name, peer.addr
            );
            return core.drop_of(DropReason::Versions, peer.addr, text);
        }
        let found = core.roster.find(peer.name);
        let row = found.map_or(Row::NOBODY, |idx| self.row(idx));
        let growth = found.map_or_else(|| core.roster.cost_of(peer), |idx| core.roster.growth(idx, peer));
        if row.state.is_none() && !core.roster.has_room(growth) {
            return self.knock(core, origin, incarnation, peer);
        }
        let Some(idx) = found.or_else(|| core.roster.intern(peer.name)) else {
            return core.stats.drop(DropReason::Limit);
        };
        // Of a name that membership has forgotten the roster may still know the address, for the layer above remembers those that left.
        let moved = self.has_moved(core, idx, peer);
        if moved && !self.may_take_name(core, idx) {
            return self.conflict(core, idx, peer);
        }
        if idx == self.me && self.is_beyond_us(core, origin, incarnation) {
            return;
        }
        if moved && incarnation > 0 {
            return self.ask_holder(core, idx, incarnation, peer);
        }
        let unchanged = row.state.is_some() && core.roster.peer(idx).is_some_and(|p| p.announced() == peer);
        let direct = row.incarnation == u32::MAX && Self::is_direct(core, origin, idx);
        let claim = Claim::Alive { unchanged, direct };
        match judge(row, claim, incarnation, self.about(idx)) {
            Verdict::Adopt if (!unchanged || is_gone(row)) && !admits(core, peer) => {
                if found.is_none() {
                    core.roster.forget_unheld(idx);
                }
            }
            Verdict::Adopt if !self.make_room(core, growth, Some(idx)) => {
                core.stats.drop(DropReason::Limit);
            }
            Verdict::Adopt => self.adopt(core, idx, incarnation, peer),
            Verdict::Refute => self.refute(core, origin, incarnation),
            _ => {
                core.stats.repeats_in += 1;
                if found.is_none() {
                    core.roster.forget_unheld(idx);
                }
            }
        }
    }

    /// A member that announces what the roster has of it says that it is alive. The same as [`alive`](Self::alive), without
    /// decoding: in most messages everything but perhaps the incarnation is known, and mostly that is too.
    #[inline]
    pub(crate) fn alive_as_known(&mut self, core: &mut Core, origin: Origin, idx: MemberIdx, incarnation: u32) {
        if self.rows.is_surely_alive(idx, incarnation) {
            core.stats.repeats_in += 1;
        } else {
            self.alive_unchanged(core, origin, idx, incarnation);
        }
    }

    fn alive_unchanged(&mut self, core: &mut Core, origin: Origin, idx: MemberIdx, incarnation: u32) {
        if idx == self.me && self.is_beyond_us(core, origin, incarnation) {
            return;
        }
        let row = self.row(idx);
        let direct = row.incarnation == u32::MAX && Self::is_direct(core, origin, idx);
        let claim = Claim::Alive { unchanged: row.state.is_some(), direct };
        match judge(row, claim, incarnation, self.about(idx)) {
            Verdict::Adopt if core.policy.is_some() && is_gone(row) && !self.may_return(core, idx) => {}
            Verdict::Adopt => self.revive(core, idx, incarnation),
            Verdict::Refute => self.refute(core, origin, incarnation),
            _ => core.stats.repeats_in += 1,
        }
    }

    /// Whether a member that is gone, or whose name only we know, may be one again as what the roster has of it.
    fn may_return(&self, core: &mut Core, idx: MemberIdx) -> bool {
        let peer = core.roster.peer(idx).map(Arc::clone);
        peer.is_none_or(|peer| admits(core, peer.announced()))
    }

    /// Whether the address differs from the one we know. An IPv4 address and its IPv6-mapped form are the same.
    fn has_moved(&self, core: &Core, idx: MemberIdx, peer: PeerRef<'_>) -> bool {
        core.roster.peer(idx).is_some_and(|known| known.addr() != canonical(peer.addr))
    }

    /// Whether another address may take the name if the holder does not answer: it left, has been dead for long enough, or is known
    /// to the layer above only.
    fn may_take_name(&self, core: &Core, idx: MemberIdx) -> bool {
        if idx == self.me {
            return false;
        }
        let reclaim = core.cfg.dead_node_reclaim_time;
        match self.row(idx).state {
            None | Some(State::Left) => true,
            Some(State::Dead) => !reclaim.is_zero() && core.now - self.trouble_since(idx) > reclaim,
            _ => false,
        }
    }

    fn conflict(&self, core: &mut Core, idx: MemberIdx, peer: PeerRef<'_>) {
        let Some(existing) = core.roster.peer(idx).map(Arc::clone) else {
            return core.stats.drop(DropReason::NameConflict);
        };
        let (theirs, state) = (canonical(peer.addr), self.row(idx).state.map_or(0, |state| state as u8));
        let text = format_args!("{}. Mine: {} Theirs: {theirs} Old state: {state}", peer.name, existing.addr());
        core.drop_of(DropReason::NameConflict, theirs, text);
        if self.farewell.is_said() {
            return;
        }
        core.events.push(Event::NameConflict { existing, other: canonical(peer.addr) });
        core.notify(Notification::Conflict(idx));
    }

    /// Believes an alive message.
    fn adopt(&mut self, core: &mut Core, idx: MemberIdx, incarnation: u32, peer: PeerRef<'_>) {
        let is_member = self.is_live(idx);
        let meta_changed = is_member && core.roster.peer(idx).is_some_and(|p| p.meta() != peer.meta);
        core.roster.set_peer(idx, peer);
        self.revive(core, idx, incarnation);
        if meta_changed {
            core.notify(Notification::Updated(idx));
        }
    }

    /// Believes that a member is alive, as what the roster has of it.
    fn revive(&mut self, core: &mut Core, idx: MemberIdx, incarnation: u32) {
        debug_assert!(idx != self.me, "nobody else raises our incarnation");
        let before = self.row(idx).state;
        if before.is_none() {
            self.door.note_answer(idx, false);
        }
        self.enter(core, idx, incarnation);
        self.spread(idx);
        if matches!(before, None | Some(State::Dead | State::Left)) {
            core.notify(Notification::Joined(idx));
        }
    }

    /// Makes a member alive at `incarnation`, whatever it was.
    fn enter(&mut self, core: &mut Core, idx: MemberIdx, incarnation: u32) {
        core.roster.hold(idx, Holder::Swim);
        self.troubles.remove(&idx);
        self.cases.close(idx);
        self.set_state(core, idx, State::Alive);
        self.rows.change(idx, |row| row.incarnation = incarnation);
    }

    /// Somebody accuses a member of being suspect (`suspectNode` in memberlist's state.go).
    fn suspect(&mut self, core: &mut Core, origin: Origin, accusation: &Accusation<'_>) {
        let Some((idx, row)) = self.accused(core, origin, accusation) else { return };
        match judge(row, Claim::Suspect, accusation.incarnation, self.about(idx)) {
            Verdict::Suspect => self.begin_suspicion(core, origin, idx, accusation),
            Verdict::Confirm => self.confirm(core, origin, idx, accusation),
            Verdict::Refute => self.refute(core, origin, accusation.incarnation),
            Verdict::Raise => self.raise(idx, accusation.incarnation),
            _ => {}
        }
    }

    /// Somebody declares a member dead, or says farewell (`deadNode` in memberlist's state.go).
    fn dead(&mut self, core: &mut Core, origin: Origin, accusation: &Accusation<'_>) {
        let Some((idx, row)) = self.accused(core, origin, accusation) else { return };
        match judge(row, Claim::Dead, accusation.incarnation, self.about(idx)) {
            Verdict::Bury => self.bury(core, origin, idx, accusation),
            Verdict::Refute => self.refute(core, origin, accusation.incarnation),
            Verdict::Raise => self.raise(idx, accusation.incarnation),
            _ => {}
        }
    }

    /// The accused, if we know it and the accusation can be refuted.
    fn accused(&mut self, core: &mut Core, origin: Origin, accusation: &Accusation<'_>) -> Option<(MemberIdx, Row)> {
        let idx = core.roster.find(accusation.node)?;
        let row = self.row(idx);
        row.state?;
        if idx == self.me {
            // At the greatest number no node of ours believes it, and no node of HashiCorp's could hear the refutation.
            let in_vain = accusation.incarnation == u32::MAX && self.own.incarnation < u32::MAX;
            if !in_vain {
                return (!self.is_beyond_us(core, origin, accusation.incarnation)).then_some((idx, row));
            }
        } else if self.is_refutable(core, origin, idx, row, accusation) {
            return Some((idx, row));
        }
        core.stats.drop(DropReason::Absurd);
        None
    }

    /// Keeps a row's incarnation from lagging behind what was said of it, though nothing else changes. Otherwise a
    /// delayed alive message could raise the dead.
    fn raise(&mut self, idx: MemberIdx, incarnation: u32) {
        self.rows.change(idx, |row| row.incarnation = row.incarnation.max(incarnation));
    }

    fn bury(&mut self, core: &mut Core, origin: Origin, idx: MemberIdx, accusation: &Accusation<'_>) {
        let state = if accusation.node == accusation.from { State::Left } else { State::Dead };
        let alive_at = self.alive_at(idx, self.row(idx));
        self.raise(idx, accusation.incarnation);
        self.set_state(core, idx, state);
        let from = self.name_of(core, accusation.from);
        let suspicion = self.troubles.get(&idx).and_then(|trouble| trouble.suspicion.as_ref());
        let ran_out = suspicion.is_some_and(|suspicion| suspicion.is_over(core.now));
        let how = if ran_out && *from == *core.roster.name_ref(self.me) {
            How::OwnTimer
        } else {
            heard(origin, How::Ourselves)
        };
        let gone = Gone { learned: Learned { at: core.now, how }, said_by: Name::clone(&from) };
        self.cases.bury(idx, self.row(idx).incarnation, gone);
        self.troubles.insert(
            idx,
            Trouble { since: core.now, alive_at, accuser: from, challenged_at: core.now, suspicion: None },
        );
        self.spread(idx);
        core.notify(if state == State::Left { Notification::Left(idx) } else { Notification::Gone(idx) });
    }

    fn about(&self, idx: MemberIdx) -> About {
        match (idx == self.me, self.farewell.is_said()) {
            (false, _) => About::Another,
            (true, false) => About::Me,
            (true, true) => About::MeLeaving,
        }
    }
}

/// Whether the member is not one now: nobody, dead or left.
const fn is_gone(row: Row) -> bool {
    matches!(row.state, None | Some(State::Dead | State::Left))
}

/// Whether the application admits a member that announces this.
fn admits(core: &mut Core, peer: PeerRef<'_>) -> bool {
    let admitted = core.policy.as_ref().is_none_or(|policy| policy.admits(peer));
    if !admitted {
        let text = format_args!("Ignoring an alive message for '{}': the policy does not admit it", peer.name);
        core.drop_of(DropReason::Vetoed, peer.addr, text);
    }
    admitted
}

/// How something became known that was heard there; `otherwise` when it was heard nowhere.
const fn heard(origin: Origin, otherwise: How) -> How {
    match origin {
        Origin::Local => otherwise,
        Origin::Packet(from) => How::Packet(from),
        Origin::Exchange(with) | Origin::Reply(with) => How::Exchange(with),
    }
}
