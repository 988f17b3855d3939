//! Anti-entropy: exchanges the full state with a random member at intervals (`pushPull` and `mergeState` in
//! memberlist's state.go).

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use super::Swim;
use crate::core::{Core, ExchangePurpose, Origin};
use crate::fingerprint::Fingerprint;
use crate::roster::MemberIdx;
use crate::stats::DropReason;
use crate::time::Instant;
use crate::timer::SwimTimer;
use crate::wire::native::StateEntry;
use crate::wire::swim::{Accusation, Alive, State};
use crate::wire::{Announced, Codec, MemberState, PushPull, Versions, hashicorp, native};

/// The remote members' versions are incompatible with ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused;

/// Schedule of push/pulls.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct PushPulls {
    /// Whether the random first delay has passed. Full intervals follow.
    staggered: bool,
    /// When a member's digest was last equal to ours.
    agreed_at: Instant,
    /// When one last differed although no news was on its way.
    disagreed_at: Instant,
}

impl PushPulls {
    /// Whether an exchange is due at this firing of the timer. The first firing only ends the random delay.
    fn fired(&mut self) -> bool {
        core::mem::replace(&mut self.staggered, true)
    }

    /// `memory`: how long ago an agreement or a disagreement matters.
    pub(super) fn fingerprint(&self, memory: Duration, to: &mut Fingerprint<'_>) {
        let Self { staggered, agreed_at, disagreed_at } = self;
        to.put((staggered, *agreed_at > Instant::ZERO, *disagreed_at > Instant::ZERO));
        to.age_up_to(*agreed_at, memory);
        to.age_up_to(*disagreed_at, memory);
    }
}

impl Swim {
    pub(super) fn push_pull_due(&mut self, core: &mut Core) {
        let interval = core.cfg.push_pull_interval_of(self.members_known());
        if self.push_pulls.fired() {
            self.push_pull_with_any(core, interval);
        }
        core.arm(interval, SwimTimer::PushPull);
    }

    /// Notes that a member's digest was equal to ours.
    pub(crate) const fn agreed(&mut self, now: Instant) {
        self.push_pulls.agreed_at = now;
    }

    /// Notes that a member's digest differed although no news was on its way, or that equal digests do not show all.
    pub(crate) const fn disagreed(&mut self, now: Instant) {
        self.push_pulls.disagreed_at = now;
    }

    /// When a member's digest was last equal to ours; the start of time if none was.
    pub(crate) const fn agreed_at(&self) -> Instant {
        self.push_pulls.agreed_at
    }

    /// Requests a push/pull with a random member. Ours: not if it would find nothing, because the member compares
    /// digests on every probe, and all digests agreed with ours within the interval.
    pub(super) fn push_pull_with_any(&self, core: &mut Core, interval: Duration) {
        let alive = |swim: &Self, idx| swim.members.row(idx).state == Some(State::Alive);
        let chosen = self.choose_by_zone(&mut core.rng.gossip, 1, alive);
        let Some(&idx) = chosen.first() else { return };
        let compares = core.roster.peer(idx).is_some_and(|peer| peer.versions().compares_digests());
        let within = |at: Instant| at > Instant::ZERO && core.now - at <= interval;
        let agrees = within(self.push_pulls.agreed_at) && !within(self.push_pulls.disagreed_at);
        if !(compares && agrees) {
            self.push_pull_with(core, idx);
        }
    }

    /// Requests a push/pull with a member.
    pub(crate) fn push_pull_with(&self, core: &mut Core, idx: MemberIdx) {
        let Some(with) = core.roster.peer(idx).map(|peer| peer.addr()) else { return };
        let purpose = ExchangePurpose::PushPull { join: false, codec: core.codec(Some(idx), None) };
        let until = core.now + core.cfg.transport().stream_timeout;
        core.dial(with, purpose, until);
    }

    /// Encodes all known members in any state, including this node.
    pub(crate) fn write_states(&self, core: &Core, codec: Codec, out: &mut Vec<u8>) {
        for (idx, row) in self.members.rows() {
            let Some(state) = row.state else { continue };
            match codec {
                Codec::Native => native::push_state(out, state, row.incarnation, core.roster.record(idx)),
                Codec::HashiCorp => {
                    let Some(peer) = core.roster.peer(idx) else { continue };
                    hashicorp::push_state(out, state, row.incarnation, peer.announced());
                }
            }
        }
    }

    /// Estimates the size of [`write_states`](Self::write_states)' output, in bytes.
    pub(crate) fn states_bytes(&self, core: &Core, codec: Codec) -> usize {
        let own = core.roster.peer(self.me()).map_or(0, |peer| peer.record().len());
        let overhead = if codec == Codec::Native { 12 } else { HASHICORP_OVERHEAD_BYTES };
        (self.members_known() as usize) * (own + overhead) + 16
    }

    /// Merges a remote state (`mergeState` in memberlist's state.go). Merges nothing if the versions of its live
    /// members are incompatible with ours.
    ///
    /// Members that are dead on the remote side are only suspected here, so that they may refute.
    pub(crate) fn merge(&mut self, core: &mut Core, origin: Origin, remote: &PushPull<'_>) -> Result<(), Refused> {
        let ours = core.cfg.transport().versions();
        // Before any state is merged, so that a refusal changes nothing.
        if !versions_agree(ours, remote) {
            let what = incompatible(ours, core.roster.name_ref(self.me()), remote)
                .unwrap_or_else(|| "the versions of its members do not go together".into());
            core.drop_naming(DropReason::Versions, format_args!("{MERGE_FAILED}{what}"));
            return Err(Refused);
        }
        match remote {
            PushPull::Native(remote) => self.merge_states(core, origin, remote.states().map(MemberState::from)),
            PushPull::HashiCorp(remote) => self.merge_states(core, origin, remote.states().map(MemberState::from)),
        }
        Ok(())
    }

    fn merge_states<'a>(&mut self, core: &mut Core, origin: Origin, states: impl Iterator<Item = MemberState<'a>>) {
        let me = core.roster.name(self.me());
        let mut previous = None;
        for member in states {
            // Both sides list members in similar order, so the entry after the previous one usually matches.
            let found = core.roster.find_after(previous, member.name);
            previous = found.or(previous);
            self.merge_state(core, origin, &me, found, member);
        }
    }

    /// Merges a row of a reconciliation, by the rules of a push/pull.
    pub(crate) fn merge_row(&mut self, core: &mut Core, origin: Origin, entry: &StateEntry<'_>) {
        let (me, alive) = (core.roster.name(self.me()), entry.alive);
        let found = core.roster.find_bytes(alive.name);
        let announced = Announced::Record(alive.record);
        let state =
            MemberState { state: Some(entry.state), incarnation: alive.incarnation, name: alive.name, announced };
        self.merge_state(core, origin, &me, found, state);
    }

    /// Whether our state of a member takes precedence over a remote one of a reconciliation, by its incarnation or
    /// because the member is gone.
    pub(crate) fn takes_precedence(&self, idx: MemberIdx, entry: &StateEntry<'_>) -> bool {
        let (row, theirs) = (self.members.row(idx), entry.alive.incarnation);
        let is_end = matches!(row.state, Some(State::Dead | State::Left)) && entry.state == State::Alive;
        row.state.is_some() && (row.incarnation > theirs || (row.incarnation == theirs && is_end))
    }

    fn merge_state(
        &mut self,
        core: &mut Core,
        origin: Origin,
        me: &str,
        found: Option<MemberIdx>,
        MemberState { state, incarnation, name, announced }: MemberState<'_>,
    ) {
        if let Some(idx) = found
            && state == Some(State::Alive)
            && core.roster.announces(idx, &announced)
        {
            // The known-news path: no decoding if the record is unchanged.
            return self.alive_as_known(core, origin, idx, incarnation);
        }
        let Ok(name) = core::str::from_utf8(name) else {
            return core.stats.drop(DropReason::Malformed);
        };
        let accusation = Accusation { incarnation, node: name, from: name };
        match state {
            Some(State::Alive) => match announced.peer() {
                Ok(peer) => self.alive(core, origin, &Alive { incarnation, peer }),
                Err(_) => core.stats.drop(DropReason::Malformed),
            },
            // With the member as its own accuser: that is how a leave is distinguished from a failure.
            Some(State::Left) => self.dead(core, origin, &accusation),
            // As our own suspicion: the remote table does not name the accusers.
            Some(State::Dead | State::Suspect) => self.suspect(core, origin, &Accusation { from: me, ..accusation }),
            None => core.stats.drop(DropReason::Unexpected),
        }
    }
}

/// Whether all live members of `remote` and this node share protocol versions (`verifyProtocol` in memberlist). Ours:
/// checks only the remote's live members, so that one odd record in the local table cannot block every exchange.
fn versions_agree(ours: Versions, remote: &PushPull<'_>) -> bool {
    let mut common = remote.live_versions();
    common.add(ours);
    common.agrees()
}

/// Describes the first live member of `remote` that is incompatible with us, in memberlist's words.
fn incompatible(ours: Versions, me: &str, remote: &PushPull<'_>) -> Option<String> {
    let check = |member: MemberState<'_>| {
        let theirs = member.announced.peer().ok().filter(|_| member.state == Some(State::Alive))?.versions;
        match (ours.incompatible(theirs), theirs.incompatible(ours)) {
            (Some(what), _) => Some(format!("Node '{}' {what}", String::from_utf8_lossy(member.name))),
            (None, Some(what)) => Some(format!("Node '{me}' {what}")),
            (None, None) => None,
        }
    };
    match remote {
        PushPull::Native(remote) => remote.states().map(MemberState::from).find_map(check),
        PushPull::HashiCorp(remote) => remote.states().map(MemberState::from).find_map(check),
    }
}

/// After how many probe intervals without agreement views are reconciled although news is still gossiped.
pub(crate) const OVERDUE_INTERVALS: u32 = 30;

/// Prefix of memberlist's log line for a failed merge.
pub(crate) const MERGE_FAILED: &str = "Failed push/pull merge: ";

/// Bytes of a state in HashiCorp's codec beyond the native record: the map keys.
const HASHICORP_OVERHEAD_BYTES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn remote(states: &[(State, [u8; 6])]) -> Vec<u8> {
        let mut body = Vec::new();
        native::begin_push_pull(&mut body, false, u32::try_from(states.len()).unwrap());
        for &(state, versions) in states {
            let addr = "10.0.0.1:1".parse().unwrap();
            let peer =
                crate::wire::swim::PeerRef { name: "a", addr, meta: &[], versions: Versions::from_bytes(versions) };
            native::push_state(&mut body, state, 1, &native::encode_record(peer));
        }
        body
    }

    fn agree(states: &[(State, [u8; 6])]) -> bool {
        versions_agree(Versions::OURS, &PushPull::parse(Codec::Native, &remote(states)).unwrap())
    }

    #[test]
    fn versions_that_do_not_overlap_are_refused_only_among_the_live() {
        const SERF_0_9: [u8; 6] = [1, 5, 2, 2, 5, 5];
        const NO_DELEGATE: [u8; 6] = [1, 5, 2, 0, 0, 0];
        assert!(agree(&[(State::Alive, SERF_0_9), (State::Alive, Versions::OURS.to_bytes())]));
        assert!(!agree(&[(State::Alive, SERF_0_9), (State::Alive, NO_DELEGATE)]));
        assert!(agree(&[(State::Alive, SERF_0_9), (State::Dead, NO_DELEGATE)]));
        assert!(!agree(&[(State::Alive, [3, 5, 3, 2, 5, 5])]), "it does not understand what we speak");
    }
}
