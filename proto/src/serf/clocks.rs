//! The three Lamport clocks of a node.

use super::lamport::LamportClock;
use crate::core::Core;
use crate::stats::{Clocks, DropReason};
use crate::types::{JoinId, Snapshot};
use crate::wire::serf;

/// One clock for join and leave intents, one for user events, one for queries.
#[derive(Clone, Debug, Default)]
pub(super) struct LamportClocks {
    pub(super) member: LamportClock,
    pub(super) event: LamportClock,
    pub(super) query: LamportClock,
    /// The first join of ours that reached a member.
    first_join: Option<JoinId>,
}

impl LamportClocks {
    pub(super) const fn times(&self) -> Clocks {
        Clocks { member: self.member.time(), event: self.event.time(), query: self.query.time() }
    }

    /// Goes on after the times in a snapshot.
    pub(super) fn resume(&mut self, snapshot: &Snapshot) {
        self.member.resume(snapshot.clock());
        self.event.resume(snapshot.event_clock());
        self.query.resume(snapshot.query_clock());
    }

    /// Follows the clocks of the other side of a push/pull. With the first `join` that reaches a member its times are taken over
    /// however far ahead they are: they are the cluster's. Of three clocks one that is too far ahead does not stop the others.
    pub(super) fn witness_all(&mut self, core: &mut Core, theirs: serf::Clocks, join: Option<JoinId>) {
        let adopts = join.is_some_and(|id| *self.first_join.get_or_insert(id) == id);
        let ours = [&mut self.member, &mut self.event, &mut self.query];
        for (clock, time) in ours.into_iter().zip([theirs.member, theirs.event, theirs.query]) {
            // A clock shows the time of the next message: the last one that it has seen is the one before.
            let Some(seen) = time.checked_sub(1) else { continue };
            if !(adopts && clock.adopt(seen).is_ok()) && clock.follow(core.now, seen).is_err() {
                core.stats.drop(DropReason::Absurd);
            }
        }
    }
}
