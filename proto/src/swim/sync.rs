//! Anti-entropy: the whole state, exchanged with a random member at intervals (`pushPull` and `mergeState` in memberlist's
//! state.go).

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::Swim;
use crate::core::{Ask, Core, Origin};
use crate::roster::MemberIdx;
use crate::stats::DropReason;
use crate::timer::SwimTimer;
use crate::wire::swim::{Accusation, Alive, State};
use crate::wire::{Codec, MemberState, PushPull, Versions, hashicorp, native};

/// The other side's versions do not go with ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused;

/// When push/pulls happen.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PushPulls {
    /// Whether the first, random wait is over. A whole interval follows it.
    staggered: bool,
}

impl PushPulls {
    /// Whether an exchange is due now that the timer fired.
    fn fired(&mut self) -> bool {
        core::mem::replace(&mut self.staggered, true)
    }
}

impl Swim {
    pub(super) fn push_pull_due(&mut self, core: &mut Core) {
        if self.push_pulls.fired() {
            self.push_pull_with_any(core);
        }
        core.arm(core.cfg.push_pull_interval_of(self.members_known()), SwimTimer::PushPull);
    }

    fn push_pull_with_any(&self, core: &mut Core) {
        let alive = |swim: &Self, idx| swim.members.row(idx).state == Some(State::Alive);
        let chosen = self.choose_reliable(&mut core.rng.gossip, 1, alive);
        if let Some(&idx) = chosen.first() {
            self.push_pull_with(core, idx);
        }
    }

    /// Exchanges states with a member.
    pub(super) fn push_pull_with(&self, core: &mut Core, idx: MemberIdx) {
        let Some(with) = core.roster.peer(idx).map(|peer| peer.addr()) else { return };
        let ask = Ask::PushPull { join: false, codec: core.codec(Some(idx), None) };
        let until = core.now + core.cfg.stream_timeout;
        core.dial(with, ask, until);
    }

    /// Writes every member that we know, in every state, ourselves included.
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

    /// About how many bytes [`write_states`](Self::write_states) writes.
    pub(crate) fn states_bytes(&self, core: &Core, codec: Codec) -> usize {
        let own = core.roster.peer(self.me()).map_or(0, |peer| peer.record().len());
        let overhead = if codec == Codec::Native { 12 } else { HASHICORP_OVERHEAD_BYTES };
        (self.members_known() as usize) * (own + overhead) + 16
    }

    /// Takes another member's states (`mergeState` in memberlist's state.go). Nothing is taken when the versions of the live
    /// among them do not go with ours.
    ///
    /// A member that the other side holds for dead is only suspected here, so that it may refute.
    pub(crate) fn merge(&mut self, core: &mut Core, origin: Origin, remote: &PushPull<'_>) -> Result<(), Refused> {
        let ours = core.cfg.codec.versions();
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
        for MemberState { state, incarnation, name, announced } in states {
            let found = core.roster.find_after(previous, name);
            previous = found.or(previous);
            if let Some(idx) = found
                && state == Some(State::Alive)
                && core.roster.announces(idx, &announced)
            {
                self.alive_as_known(core, origin, idx, incarnation);
                continue;
            }
            let Ok(name) = core::str::from_utf8(name) else {
                core.stats.drop(DropReason::Malformed);
                continue;
            };
            let accusation = Accusation { incarnation, node: name, from: name };
            match state {
                Some(State::Alive) => match announced.peer() {
                    Ok(peer) => self.alive(core, origin, &Alive { incarnation, peer }),
                    Err(_) => core.stats.drop(DropReason::Malformed),
                },
                Some(State::Left) => self.dead(core, origin, &accusation),
                Some(State::Dead | State::Suspect) => {
                    self.suspect(core, origin, &Accusation { from: &me, ..accusation })
                }
                None => core.stats.drop(DropReason::Unexpected),
            }
        }
    }
}

/// Whether every live member of `remote`, and we, speak versions that all of them understand (`verifyProtocol` in
/// memberlist). Only the live are asked, and only those that came: one odd record in our own table must not keep us from
/// ever exchanging states again.
fn versions_agree(ours: Versions, remote: &PushPull<'_>) -> bool {
    let mut common = remote.live_versions();
    common.add(ours);
    common.agrees()
}

/// The first live member of `remote` that does not go with us, and why, in memberlist's words.
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

/// What memberlist's log says before it says why.
pub(crate) const MERGE_FAILED: &str = "Failed push/pull merge: ";

/// What a state takes in HashiCorp's codec besides what the native record holds: the keys.
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
